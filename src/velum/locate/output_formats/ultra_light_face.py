"""Ultra-Light-Fast face detectors (RFB and slim): a class for every prior, and its box.

Layout of the repository Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB: `scores` (n, classes), already softmax,
class 0 is the background and 1 a face; files trained on masked faces have a third class. `boxes` (n, 4) are either
decoded, edges as shares of the input, or offsets from the priors, which are decoded here. Both have the same shape; the
values tell them apart. Kinds keep the network's numbering.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors

SIDES = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
"""Stride in pixels -> sides of its priors in pixels."""

VARIANCE = 0.1, 0.2
"""Factors of the centre's offsets and of the logarithms of the size, after Liu et al., "SSD" (2016)."""


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the objects (not the background) whose score is at least `threshold`.

    Raises `ValueError` when there is not a score for every box, and when offsets do not match the input's priors.
    """
    scores, boxes = outputs["scores"], outputs["boxes"]
    if scores.ndim != 2 or scores.shape[1] < 2 or boxes.shape != (len(scores), 4):
        raise ValueError(f"scores {scores.shape} and boxes {boxes.shape} are not (n, 2 or more) and (n, 4)")
    finished = bool((boxes[:, 2:] >= boxes[:, :2]).all())
    hits, kind = np.nonzero(scores[:, 1:] >= threshold)
    xyxy = boxes[hits] if finished else _from_offsets(boxes, hits, input_wh)
    return Detections(
        (xyxy * np.array(input_wh * 2)).astype(np.float32),
        scores[hits, kind + 1].astype(np.float32),
        (kind + 1).astype(np.int32),
    )


def priors(input_wh: tuple[int, int], grids: Iterable[tuple[int, int]]) -> Floats:
    """Return the priors as centre and size (n, 4), shares of the input.

    `grids` gives the columns and rows at each stride of `SIDES`. Cells go from left to right and top to bottom, with
    all sides of a cell one after the other.
    """
    parts = []
    for (stride, sides), (columns, rows) in zip(SIDES.items(), grids, strict=True):
        y, x = (np.indices((rows, columns)).reshape(2, -1) + 0.5) * stride
        middle = np.repeat(np.stack((x, y), axis=1), len(sides), axis=0)
        size = np.tile(np.repeat(np.array(sides)[:, None], 2, axis=1), (len(x), 1))
        parts.append(np.concatenate((middle, size), axis=1))
    placed: Floats = (np.concatenate(parts) / np.array(input_wh * 2)).astype(np.float32)
    return placed


def _from_offsets(offsets: Floats, hits: npt.NDArray[np.intp], input_wh: tuple[int, int]) -> Floats:
    grids = [(-(-input_wh[0] // stride), -(-input_wh[1] // stride)) for stride in SIDES]
    placed = np.clip(priors(input_wh, grids), 0, 1)
    if len(placed) != len(offsets):
        raise ValueError(f"{len(offsets)} boxes are not the {len(placed)} of an input of {input_wh}")
    middle, size = placed[hits, :2], placed[hits, 2:]
    middle = middle + offsets[hits, :2] * VARIANCE[0] * size
    half = np.exp(offsets[hits, 2:] * VARIANCE[1]) * size / 2
    return np.concatenate((middle - half, middle + half), axis=1)


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: outputs `scores` with 2 or 3 classes and `boxes`."""
    scores, boxes = signature.outputs.get("scores"), signature.outputs.get("boxes")
    if scores is None or boxes is None or len(signature.outputs) != 2 or len(scores) != 3 or len(boxes) != 3:
        return None
    if scores[2] not in {2, 3} or boxes[2] != 4 or scores[1] != boxes[1]:
        return None
    return f"its outputs are boxes, and scores of {scores[2]} classes of which the first is the background"


FAMILY = Family(
    decode,
    Input(order="rgb", mean=(127.0, 127.0, 127.0), scale=(1 / 128, 1 / 128, 1 / 128), fit="stretch"),
    smallest_side=10.0,
    largest_side=256.0,
    nms_iou=0.3,
    recognise=recognise,
)
