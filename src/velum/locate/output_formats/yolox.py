"""YOLOX: for every cell of three grids a box, its objectness and its class.

Layout after Ge et al., "YOLOX: Exceeding YOLO Series in 2021", exported without decoding: one output (n, 5 + classes)
with one row per cell at strides 8, 16 and 32, from left to right and top to bottom: the centre's offset from the
cell's corner and the logarithm of the size, across and down, in cells; objectness; class scores. Objectness and class
scores are from 0 to 1; the score of a detection is their product.
"""

from collections.abc import Sized

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors, literal

STRIDES = (8, 16, 32)


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return every class of every cell whose score is at least `threshold`.

    Raises `ValueError` when the output is not of the shape that an input of that size gives.
    """
    rows = next(iter(outputs.values()))
    cells = cells_of(input_wh)
    if rows.ndim != 2 or len(rows) != len(cells) or rows.shape[1] < 6:
        raise ValueError(f"output {rows.shape} is not ({len(cells)}, 6 or more), as an input of {input_wh} gives")
    likely = np.flatnonzero(rows[:, 4] >= threshold)
    scores = rows[likely, 4:5] * rows[likely, 5:]
    which, kind = np.nonzero(scores >= threshold)
    hits = likely[which]
    place, stride = cells[hits, :2], cells[hits, 2:]
    middle = (place + rows[hits, :2]) * stride
    half = np.exp(rows[hits, 2:4]) * stride / 2
    return Detections(
        np.concatenate((middle - half, middle + half), axis=1).astype(np.float32),
        scores[which, kind].astype(np.float32),
        kind.astype(np.int32),
    )


def cells_of(input_wh: tuple[int, int]) -> Floats:
    """Return column, row and stride of every cell (n, 3)."""
    parts = []
    for stride in STRIDES:
        row, column = np.indices((input_wh[1] // stride, input_wh[0] // stride), np.float32).reshape(2, -1)
        parts.append(np.stack((column, row, np.full_like(row, stride)), axis=1))
    return np.concatenate(parts)


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: one output with 21 rows for every 32 x 32 pixels."""
    shapes = list(signature.outputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 3 or {"stride", "task"} & signature.metadata.keys():
        return None
    _, rows, columns = shapes[0]
    if columns is None or columns < 6 or (rows is not None and (rows % 21 or rows < columns)):
        return None
    names = literal(signature.metadata.get("names", ""))
    if isinstance(names, Sized) and len(names) != columns - 5:
        return None
    return f"its output has a row for each cell at strides 8, 16 and 32, of a box, objectness and {columns - 5} classes"


FAMILY = Family(
    decode, Input(order="bgr", pad=114), smallest_side=16.0, largest_side=512.0, nms_iou=0.6, recognise=recognise
)
