"""Non-maximum suppression, aware of boxes that a tile's edge has cut, and intersection over union."""

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections, Floats

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


def intersections(boxes: Floats, others: Floats) -> Floats:
    """Return the area (..., m) that boxes (..., 4) share with others (m, 4)."""
    box = boxes[..., np.newaxis, :]
    sides = np.minimum(box[..., 2:], others[:, 2:]) - np.maximum(box[..., :2], others[:, :2])
    shared: Floats = np.prod(np.maximum(sides, 0), axis=-1)
    return shared


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Return the intersection over union (n, m) of boxes (n, 4) and others (m, 4)."""
    shared = intersections(boxes, others)
    areas = [np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1) for xyxy in (boxes, others)]
    union = areas[0][:, np.newaxis] + areas[1] - shared
    ratio: Floats = shared / np.maximum(union, np.float32(1e-9))
    return ratio
