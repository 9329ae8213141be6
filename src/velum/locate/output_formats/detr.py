"""Detection transformers: a fixed number of queries, each with class logits and a box. Nothing is suppressed.

There are two outputs, recognised by their shapes and names: boxes (n, 4), centre and size as shares of the input, and
logits (n, classes). RT-DETR (Zhao et al., 2023), D-FINE (Peng et al., 2024) and RF-DETR use a sigmoid. The original
DETR (Carion et al., 2020) uses a softmax with a last class for "no object"; it is recognised by that class having the
highest logit, above 0, in many queries, since with a sigmoid that would be one object found many times. RT-DETR's own
export instead gives lists of labels, scores and boxes in pixels of the input.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors
from velum.locate.output_formats.ssd import read_lists

EMPTY_SHARE = 0.25
"""Share of queries won by the last class from which that class counts as "no object"."""


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return every class of every query whose score is at least `threshold`. Raises `ValueError` for other shapes."""
    if any(values.ndim == 1 for values in outputs.values()):
        xyxy, score, kind = read_lists(outputs)
        sure = score >= threshold
        return Detections(xyxy[sure], score[sure], kind[sure])
    boxes, logits = _heads(outputs)
    scores = _scores(logits)
    hits, kinds = np.nonzero(scores >= threshold)
    middle, half = boxes[hits, :2], boxes[hits, 2:] / 2
    edges = np.concatenate((middle - half, middle + half), axis=1) * np.array(input_wh * 2)
    return Detections(edges.astype(np.float32), scores[hits, kinds].astype(np.float32), kinds.astype(np.int32))


def _heads(outputs: Tensors) -> tuple[Floats, Floats]:
    """Return boxes and logits. Where both have four columns, names tell them apart."""
    flat = {name: values for name, values in outputs.items() if values.ndim == 2}
    boxes = [name for name, values in flat.items() if values.shape[1] == 4 and not _is_logits(name)]
    if len(flat) == 2 and len(boxes) == 1:
        box_head = flat.pop(boxes[0])
        (logits,) = flat.values()
        if len(box_head) == len(logits):
            return box_head, logits
    shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
    raise ValueError(f"outputs {shapes} are not boxes (n, 4) and logits (n, classes)")


def _is_logits(name: str) -> bool:
    return "logits" in name or name == "labels"


def _scores(logits: Floats) -> Floats:
    """Return the scores of all classes but "no object"."""
    last = logits[:, -1]
    empty = (last > 0) & (last >= logits.max(axis=1, initial=-np.inf))
    if logits.shape[1] > 1 and empty.mean() >= EMPTY_SHARE:
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores: Floats = weights[:, :-1] / weights.sum(axis=1, keepdims=True)
    else:
        scores = (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)
    return scores


def recognise(signature: Signature) -> str | None:
    """Return why this network can be of the family: boxes and logits of at most 1000 queries, or detections."""
    shapes = signature.outputs
    if shapes.keys() == {"labels", "boxes", "scores"} and shapes["boxes"][-1:] == (4,) and len(shapes["labels"]) == 2:
        return "its outputs list labels, boxes and scores"
    match [shape for shape in shapes.values() if len(shape) == 3]:
        case [(_, n, classes), (_, m, 4)] | [(_, n, 4), (_, m, classes)] if len(shapes) == 2 and n == m:
            if classes is None or (n is not None and n > 1000):
                return None
            if n is not None or any("logits" in name for name in shapes):
                return f"its outputs are boxes and logits of {classes} classes for each of {n or 'some'} queries"
    return None


def input_varies(signature: Signature) -> bool:
    """Tell whether this can be the original DETR or RF-DETR, which need ImageNet's mean; RT-DETR and D-FINE do not.

    Lists of detections come from the latter two.
    """
    return "scores" not in signature.outputs


FAMILY = Family(
    decode,
    Input(order="rgb", scale=(1 / 255, 1 / 255, 1 / 255), fit="stretch", size_wh=(640, 640)),
    smallest_side=16.0,
    largest_side=640.0,
    nms_iou=None,
    recognise=recognise,
    input_varies=input_varies,
)
