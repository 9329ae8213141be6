"""Which of several boxes on one object to keep."""

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections

INSIDE = 0.9
"""Share of a box that lies in a better one, from which it adds nothing: hiding the better one hides it."""

CUT_INSIDE = 0.5
"""The same for boxes cut by a tile's edge: what the tile saw was a part of something."""

Flags = npt.NDArray[np.bool_]


def suppress(found: Detections, cut: Flags, iou: float) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes to keep, best first.

    Greedy: from the highest score down, and boxes that `cut` marks as cut by a tile's edge after all whole ones, each
    box removes those of its kind that overlap it by at least `iou`, or lie in it by the shares above.
    """
    order = np.lexsort((-found.score, cut))
    xyxy, kind = found.xyxy[order], found.kind[order]
    inside = np.where(cut[order], CUT_INSIDE, INSIDE)
    area = np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1)
    left, kept = np.arange(len(order)), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        shared = _intersection(xyxy[best], xyxy[left])
        same = (shared >= iou * (area[best] + area[left] - shared)) | (shared >= inside[left] * area[left])
        left = left[~(same & (kind[left] == kind[best]))]
    return order[np.array(kept, np.intp)]


def _intersection(one: npt.NDArray[np.float32], many: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the area that each of `many` boxes (n, 4) shares with `one` (4,)."""
    sides = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
    shared: npt.NDArray[np.float32] = np.prod(np.maximum(sides, 0), axis=1)
    return shared
