"""YOLACT: boxes, and outlines as sums of prototypes.

Layout of Bolya et al., "YOLACT: Real-time Instance Segmentation" (2019), as the Open Model Zoo converts it: `boxes`
(n, 4), the edges x0, y0, x1, y1 as shares of the input; `conf` (n, classes), already softmax, class 0 is the
background; `mask` (n, k) coefficients; `proto` (rows, columns, k) prototypes over the whole input. The mask of an
object is the sigmoid of the sum of all prototypes, each times its coefficient. Kinds keep the network's numbering.
"""

import math

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return everything but background whose score is at least `threshold`. Raises `ValueError` for other shapes."""
    boxes, conf, coefficients, prototypes = (outputs[name] for name in ("boxes", "conf", "mask", "proto"))
    n = len(boxes)
    if boxes.shape != (n, 4) or conf.ndim != 2 or len(conf) != n or conf.shape[1] < 2:
        raise ValueError(f"boxes {boxes.shape} and conf {conf.shape} are not (n, 4) and (n, 2 or more)")
    if prototypes.ndim != 3 or coefficients.shape != (n, prototypes.shape[2]):
        raise ValueError(
            f"mask {coefficients.shape} and proto {prototypes.shape} are not (n, k) and (rows, columns, k)"
        )
    hits, kind = np.nonzero(conf[:, 1:] >= threshold)
    xyxy = (boxes[hits] * np.array(input_wh * 2)).astype(np.float32)
    return Detections(
        xyxy,
        conf[hits, kind + 1].astype(np.float32),
        (kind + 1).astype(np.int32),
        prototype_masks(prototypes.transpose(2, 0, 1), coefficients[hits], xyxy, input_wh),
    )


def prototype_masks(
    prototypes: Floats, coefficients: Floats, xyxy: Floats, input_wh: tuple[int, int]
) -> tuple[Floats, ...]:
    """Return for each box (n, 4), in pixels of the input, the probability that each part of it belongs to the object.

    `prototypes` (k, rows, columns) lie over the whole input; `coefficients` is (n, k).
    """
    down, across = prototypes.shape[1:]
    boxes = xyxy / np.array(input_wh * 2) * np.array((across, down) * 2)
    masks = []
    for box, own in zip(boxes.tolist(), coefficients, strict=True):
        left, right = _around(box[0], box[2], across)
        top, bottom = _around(box[1], box[3], down)
        plane = np.tensordot(own, prototypes[:, top:bottom, left:right], 1)
        logits = sample_box(plane, (box[0] - left, box[1] - top, box[2] - left, box[3] - top))
        masks.append((1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32))
    return tuple(masks)


def sample_box(plane: Floats, xyxy: tuple[float, float, float, float]) -> Floats:
    """Resample the part of `plane` (rows, columns) inside a box to about one value per cell, to be stretched over it.

    The box is in cells; `plane[0, 0]` covers 0 to 1. Values are interpolated bilinearly between the centres of cells,
    so that the result is as exact as the plane wherever in a cell the box begins; beyond the plane they are those of
    its edge.
    """
    rows, columns = plane.shape
    above, below, share = _between(xyxy[1], xyxy[3], rows)
    plane = plane[above] * (1 - share)[:, None] + plane[below] * share[:, None]
    before, after, share = _between(xyxy[0], xyxy[2], columns)
    return (plane[:, before] * (1 - share) + plane[:, after] * share).astype(np.float32)


def _between(low: float, high: float, length: int) -> tuple[np.ndarray, np.ndarray, Floats]:
    """Return, for evenly spaced points from `low` to `high`, the cells on both sides, and the second one's share."""
    count = min(max(1, math.ceil(high - low)), length)
    places = np.clip(low + (np.arange(count) + 0.5) * (high - low) / count - 0.5, 0, length - 1)
    before = places.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), (places - before).astype(np.float32)


def _around(low: float, high: float, length: int) -> tuple[int, int]:
    """Return the range of cells, at least one, that interpolation between `low` and `high` needs."""
    first = min(max(math.floor(low) - 1, 0), length - 1)
    return first, min(max(math.ceil(high) + 1, first + 1), length)


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: outputs `boxes`, `conf`, `mask` and `proto` that match."""
    shapes = [signature.outputs.get(name) for name in ("boxes", "conf", "mask", "proto")]
    match shapes:
        case [(*_, 4), (*_, _), (*_, coefficients), (*_, prototypes)] if coefficients == prototypes:
            return f"its outputs are boxes, conf, and {prototypes} prototypes of masks with their coefficients"
    return None


FAMILY = Family(
    decode,
    Input(order="bgr", fit="stretch", size_wh=(550, 550)),
    smallest_side=24.0,
    largest_side=550.0,
    nms_iou=0.5,
    recognise=recognise,
)
