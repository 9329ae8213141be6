"""Non-maximum suppression, aware of boxes that a tile's edge has cut."""

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections
from velum.region import intersections

INSIDE = 0.9
"""A box of which this share lies in a better one is dropped: hiding the better one hides it."""

CUT_INSIDE = 0.5
"""The same for boxes that a tile's edge has cut: the tile held only a part of the object."""

Flags = npt.NDArray[np.bool_]


def suppress(found: Detections, cut: Flags, iou: float) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes to keep, best first.

    Greedy, from the highest score down, with all boxes that `cut` flags after the whole ones. Each box removes those of
    its kind whose intersection over union with it is at least `iou`, or that lie in it by the shares above.
    """
    order = np.lexsort((-found.score, cut))
    xyxy, kind = found.xyxy[order], found.kind[order]
    inside = np.where(cut[order], CUT_INSIDE, INSIDE)
    area = np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1)
    left, kept = np.arange(len(order)), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        shared = intersections(xyxy[best], xyxy[left])
        same = (shared >= iou * (area[best] + area[left] - shared)) | (shared >= inside[left] * area[left])
        left = left[~(same & (kind[left] == kind[best]))]
    return order[np.array(kept, np.intp)]
