"""Mask R-CNN: lists of boxes, scores and classes, and a mask for each box.

Boxes, scores and classes as in the family ssd's lists, in pixels of the input: `boxes` (n, 4), `scores`, `classes` or
`labels`; or `boxes` (n, 5) with the score. Masks, from 0 to 1, as networks export them after He et al., "Mask R-CNN"
(2017): (n, classes, h, w), of which the plane of the object's class is taken, or (n, 1, h, w) or (n, h, w); either over
each box, or, as torchvision writes them, over the whole input. Kinds keep the network's numbering.
"""

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors
from velum.locate.output_formats.ssd import input_varies, read_lists
from velum.locate.output_formats.yolact import sample_box


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the objects whose score is at least `threshold`. Raises `ValueError` for outputs of other shapes."""
    masks = [values for values in outputs.values() if values.ndim in {3, 4}]
    boxes, scores, kinds = read_lists(outputs)
    if len(masks) != 1 or len(masks[0]) != len(boxes):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise ValueError(f"outputs {shapes} have no masks (n, classes, rows, columns) or (n, rows, columns), one a box")
    hits = np.flatnonzero(scores >= threshold)
    planes = _planes(masks[0], hits, kinds[hits])
    if masks[0].shape[-2:] == (input_wh[1], input_wh[0]):
        planes = [sample_box(plane, tuple(box)) for plane, box in zip(planes, boxes[hits].tolist(), strict=True)]
    return Detections(boxes[hits], scores[hits], kinds[hits], tuple(planes))


def _planes(masks: Floats, hits: npt.NDArray[np.intp], kinds: npt.NDArray[np.int32]) -> list[Floats]:
    """Return the mask of each detection."""
    if masks.ndim == 3:
        return list(masks[hits].astype(np.float32))
    if masks.shape[1] == 1:
        return list(masks[hits, 0].astype(np.float32))
    if len(hits) and not 0 <= kinds.min() <= kinds.max() < masks.shape[1]:
        raise ValueError(f"classes {kinds.min()} to {kinds.max()} have no masks among {masks.shape[1]} for each box")
    return list(masks[hits, kinds].astype(np.float32))


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: lists of boxes and classes, and masks."""
    names = signature.outputs.keys()
    if "boxes" in names and names & {"classes", "labels"} and names & {"masks", "raw_masks"}:
        return "its outputs list boxes, classes and masks"
    return None


FAMILY = Family(
    decode,
    Input(order="bgr"),
    smallest_side=24.0,
    largest_side=600.0,
    nms_iou=None,
    recognise=recognise,
    input_varies=input_varies,
)
