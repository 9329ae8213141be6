"""Tells which regions of a frame show one face.

A localizer sometimes finds half of a face once more, as a face of its own: narrower, doubtful, and too small to be
compared. Its landmarks are those of the whole face. Hidden as somebody in doubt, it would cover a person to keep.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from velum.locate.embedding.alignment import POINTS
from velum.region import Points, Region, ious

SAME_FACE_IOU = 0.3
"""IoU from which two regions of a frame show one face."""

REPEATED_SCORE = 0.5
"""Score of a repeated find, as a share of that of the face, below which it is believed to be one."""

REPEATED_AREA = 0.75
"""Largest area of a repeated find, as a share of that of the face."""

REPEATED_INSIDE = 0.5
"""Least part of a repeated find that lies within the box of the face."""

REPEATED_POINTS, REPEATED_DISTANCE = 3, 0.6
"""Landmarks of a repeated find that must lie at the same landmarks of the face, and how near, in distances between its
eyes."""

REPEATED_SPREAD = 0.5
"""Least size of a repeated find's landmarks, as a share of that of the face's: a small face before a large one, as on a
photo that somebody holds up, has all its landmarks at one of the large one's."""

Places = Sequence[tuple[int, Region]]
"""Frames and the regions of one track in them, or one region alone."""


def is_same_place(first: Region, second: Region) -> bool:
    """Tell whether two regions of a frame show one face."""
    boxes = [np.array([region.box.xyxy], np.float64) for region in (first, second)]
    return bool(ious(boxes[0], boxes[1])[0, 0] >= SAME_FACE_IOU)


def is_repeated(find: Region, face: Region) -> bool:
    """Tell whether a doubtful find shows, in part, a face that is found as a whole in the same frame."""
    if find.points is None or face.points is None or {len(find.points), len(face.points)} != {POINTS}:
        return False
    if find.score >= REPEATED_SCORE * face.score or _area(find) > REPEATED_AREA * _area(face):
        return False
    if not is_mostly_inside(find, face):
        return False
    own, whole = (np.array(points, np.float64) for points in (find.points, face.points))
    eyes = float(np.hypot(*(whole[1] - whole[0])))
    near = np.hypot(*(own - whole).T) <= REPEATED_DISTANCE * eyes
    return bool(near.sum() >= REPEATED_POINTS) and _spread(find.points) >= REPEATED_SPREAD * _spread(face.points)


def is_mostly_inside(find: Region, face: Region) -> bool:
    """Tell whether at least half of a find lies within the box of a face."""
    (x0, y0, x1, y1), (left, top, right, bottom) = find.box.xyxy, face.box.xyxy
    across, down = min(x1, right) - max(x0, left), min(y1, bottom) - max(y0, top)
    return max(across, 0) * max(down, 0) >= REPEATED_INSIDE * _area(find)


def repeated_places(places: Places, sure: Mapping[int, Sequence[Region]]) -> Places:
    """Return the places of a find that only repeat a face which is shown.

    `sure` are the faces, by frame, that are shown and sure by themselves. None is returned where a single detection of
    the find is anything else: somebody who passes before a person to keep is seen beside the person as well.
    """
    detected = [(frame, region) for frame, region in places if region.origin == "detected"]
    if not detected or not all(
        any(is_repeated(region, face) for face in sure.get(frame, ())) for frame, region in detected
    ):
        return ()
    return [
        (frame, region)
        for frame, region in places
        if any(is_mostly_inside(region, face) for face in sure.get(frame, ()))
    ]


def _area(region: Region) -> int:
    return region.box.width * region.box.height


def _spread(points: Points) -> float:
    """Return the largest distance between two points."""
    every: npt.NDArray[np.float64] = np.array(points, np.float64)
    return float(np.hypot(*(every[:, np.newaxis] - every[np.newaxis]).transpose(2, 0, 1)).max())
