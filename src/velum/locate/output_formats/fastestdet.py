"""FastestDet: one grid with a sixteenth of the input's resolution, with objectness, box and classes for each cell.

Layout of the repository dog-qiuqiu/FastestDet: one output (5 + classes, h, w): objectness from 0 to 1; the hyperbolic
tangent of two values is the centre's offset from the cell's corner in cells; the sigmoid of two more is the size as a
share of the input; class scores from 0 to 1. The score is `objectness ** 0.6 * class ** 0.4`.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Input, Signature, Tensors

OBJECTNESS, CLASS = 0.6, 0.4
"""Exponents of objectness and class score in the score of a detection."""


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return every class of every cell whose score is at least `threshold`. Raises `ValueError` for another shape."""
    grid = next(iter(outputs.values()))
    if grid.ndim != 3 or grid.shape[0] < 6:
        raise ValueError(f"output {grid.shape} is not (5 + classes, rows, columns)")
    scores = np.clip(grid[0], 0, 1) ** OBJECTNESS * np.clip(grid[5:], 0, 1) ** CLASS
    kind, rows, columns = np.nonzero(scores >= threshold)
    down, across = grid.shape[1:]
    middle = np.stack((columns, rows), axis=1) + np.tanh(grid[1:3, rows, columns].T)
    half = 0.5 / (1 + np.exp(-np.clip(grid[3:5, rows, columns].T, -50, 50)))
    middle = middle / np.array((across, down))
    edges = np.concatenate((middle - half, middle + half), axis=1) * np.array(input_wh * 2)
    return Detections(edges.astype(np.float32), scores[kind, rows, columns].astype(np.float32), kind.astype(np.int32))


def recognise(signature: Signature) -> str | None:
    """Return why the network can be this one: one grid of at least 6 values at a sixteenth of the input."""
    shapes = list(signature.outputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 4 or len(signature.inputs) != 1:
        return None
    _, values, rows, columns = shapes[0]
    if values is None or values < 6 or rows is None or columns is None:
        return None
    if next(iter(signature.inputs.values()))[1:] != (3, 16 * rows, 16 * columns):
        return None
    return f"its output is a grid at a sixteenth of the input, of a box, objectness and {values - 5} classes"


FAMILY = Family(
    decode,
    Input(order="bgr", scale=(1 / 255, 1 / 255, 1 / 255), size_wh=(352, 352)),
    smallest_side=24.0,
    largest_side=352.0,
    nms_iou=0.45,
    recognise=recognise,
)
