"""Find objects across the seam of 360-degree panoramas, where the left and right edges meet."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from velum.frame import Frame, Plane, Role
from velum.region import Box, Region

SMALLEST_WIDTH = 1024
"""From this width on, an image twice as wide as high counts as a panorama (equirectangular, 360 by 180 degrees)."""

REACH = 4
"""The view across the seam reaches a fourth of the height to either side: the width of an object near the camera."""


def locate_with_seam(
    frames: Sequence[Frame], locate: Callable[[Sequence[Frame]], list[list[Region]]]
) -> list[list[Region]]:
    """Return the regions that `locate` finds in each frame and, in panoramas, across the seam as well."""
    seams = [(i, seam) for i, frame in enumerate(frames) if (seam := seam_view(frame))]
    found = locate([*frames, *(seam for _, seam in seams)])
    for (i, _), across in zip(seams, found[len(frames) :], strict=True):
        found[i] += split_at_seam(across, frames[i])
    return found[: len(frames)]


def seam_view(frame: Frame) -> Frame | None:
    """Return the view across the seam of a panorama, its right end beside its left one. None for other images."""
    if frame.width != 2 * frame.height or frame.width < SMALLEST_WIDTH:
        return None
    reach = frame.height // REACH
    right = frame.rgb(reach, frame.height, Box(frame.width - reach, 0, frame.width, frame.height))
    left = frame.rgb(reach, frame.height, Box(0, 0, reach, frame.height))
    return Frame.of(Plane(np.hstack((right, left)), Role.RGB), index=frame.index, time=frame.time)


def split_at_seam(found: Iterable[Region], frame: Frame) -> list[Region]:
    """Split each region of the seam view in two, one at each edge of the panorama, in pixels of the panorama.

    Regions that do not cross the seam are left out: the panorama itself shows them whole.
    """
    reach = frame.height // REACH
    parts = []
    for region in found:
        box = region.box
        if not box.x0 < reach < box.x1:
            continue
        left_of_seam = reach - box.x0
        halves = (
            (Box(frame.width - left_of_seam, box.y0, frame.width, box.y1), slice(None, left_of_seam)),
            (Box(0, box.y0, box.x1 - reach, box.y1), slice(left_of_seam, None)),
        )
        for half, columns in halves:
            mask = None if region.mask is None else region.mask[:, columns]
            if mask is None or mask.any():
                parts.append(Region(half, region.label, region.score, mask, origin=region.origin))
    return parts
