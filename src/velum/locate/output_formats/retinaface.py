"""RetinaFace as its PyTorch version exports it: priors at three strides, with boxes, classes and landmarks.

Layout after Deng et al., "RetinaFace" (2020), and the repository biubug6/Pytorch_Retinaface: boxes (n, 4) as offsets
from the priors, classes (n, 2), of which 0 is the background and 1 a face, after the softmax or before it, and
landmarks (n, 10), which are not read. Outputs are recognised by their columns, whatever their names and order. After
Liu et al., "SSD" (2016): an offset of 1 moves the centre by a tenth of the prior's size, and the size is multiplied by
the exponential of a fifth of its offset.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors
from velum.locate.output_formats.ultra_light_face import VARIANCE

SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Stride in pixels -> sides of its priors in pixels."""


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the faces whose score is at least `threshold`.

    Raises `ValueError` when there are not offsets and two classes for each prior of the input.
    """
    offsets, classes = (_only(outputs, columns) for columns in (4, 2))
    placed = priors(input_wh)
    if not len(offsets) == len(classes) == len(placed):
        raise ValueError(
            f"{len(offsets)} boxes and {len(classes)} classes are not for the {len(placed)} priors of {input_wh}"
        )
    score = _softmax(classes)[:, 1]
    hits = np.flatnonzero(score >= threshold)
    middle, size = placed[hits, :2], placed[hits, 2:]
    middle = middle + offsets[hits, :2] * VARIANCE[0] * size
    half = np.exp(offsets[hits, 2:] * VARIANCE[1]) * size / 2
    edges = np.concatenate((middle - half, middle + half), axis=1)
    return Detections(edges.astype(np.float32), score[hits].astype(np.float32), np.ones(len(hits), np.int32))


def priors(input_wh: tuple[int, int]) -> Floats:
    """Return the priors (n, 4) as centre and size in pixels: by stride, from left to right and top to bottom."""
    parts = []
    for stride, sides in SIDES.items():
        columns, rows = (-(-side // stride) for side in input_wh)
        y, x = (np.indices((rows, columns)).reshape(2, -1) + 0.5) * stride
        middle = np.repeat(np.stack((x, y), axis=1), len(sides), axis=0)
        size = np.tile(np.repeat(np.array(sides)[:, None], 2, axis=1), (len(x), 1))
        parts.append(np.concatenate((middle, size), axis=1))
    return np.concatenate(parts).astype(np.float32)


def _softmax(classes: Floats) -> Floats:
    """Return the classes as probabilities, which most files give already."""
    if classes.min(initial=0) >= 0 and np.allclose(classes.sum(axis=1), 1, atol=0.02):
        return classes
    weights = np.exp(classes - classes.max(axis=1, keepdims=True))
    soft: Floats = weights / weights.sum(axis=1, keepdims=True)
    return soft


def _only(outputs: Tensors, columns: int) -> Floats:
    tables = [values for values in outputs.values() if values.ndim == 2 and values.shape[1] == columns]
    if len(tables) != 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise ValueError(f"outputs {shapes} are not one each of (n, 4), (n, 2) and (n, 10)")
    return tables[0]


def recognise(signature: Signature) -> str | None:
    """Return the reason when the outputs are one table each of 4, 2 and 10 columns, with as many rows."""
    shapes = [shape for shape in signature.outputs.values() if len(shape) in {2, 3}]
    if len(shapes) != len(signature.outputs) or sorted(shape[-1] or 0 for shape in shapes) != [2, 4, 10]:
        return None
    if len({shape[-2] for shape in shapes}) != 1:
        return None
    return "for each prior it has a box, two classes and five landmarks, as RetinaFace gives"


FAMILY = Family(
    decode,
    Input(order="bgr", mean=(123.0, 117.0, 104.0)),
    smallest_side=16.0,
    largest_side=512.0,
    nms_iou=0.4,
    recognise=recognise,
)
