"""SCRFD: faces as distances from the cells of three grids to the edges, as InsightFace exports it.

Layout after Guo et al., "Sample and Computation Redistribution for Efficient Face Detection" (2021), and the project
InsightFace: for each stride of 8, 16 and 32 a score (n, 1) from 0 to 1, the distances (n, 4) to the left, top, right
and bottom edge in strides, and, in most files, five key points (n, 10), which are not read. Cells go from left to right
and top to bottom, with their two anchors one after the other; a cell's place is its upper left corner. Outputs are
recognised by their columns and rows, whatever their names and order.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors, concatenate

STRIDES = (8, 16, 32)
COLUMNS = {1: "scores", 4: "distances", 10: "key points"}


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the faces whose score is at least `threshold`.

    Raises `ValueError` when there are not a score and four distances for each anchor of each stride.
    """
    scores, distances = (_tables_by_rows(outputs, columns) for columns in (1, 4))
    if not len(scores) == len(distances) == len(STRIDES):
        raise ValueError(f"outputs {_shapes(outputs)} are not (n, 1) and (n, 4) for each of {len(STRIDES)} strides")
    return concatenate([
        _decode_stride(score, distance, stride, input_wh, threshold)
        for score, distance, stride in zip(scores, distances, STRIDES, strict=True)
    ])  # fmt: skip


def _decode_stride(
    scores: Floats, distances: Floats, stride: int, input_wh: tuple[int, int], threshold: float
) -> Detections:
    columns, rows = (-(-side // stride) for side in input_wh)
    anchors, rest = divmod(len(scores), columns * rows)
    if rest or not anchors or len(distances) != len(scores):
        raise ValueError(
            f"{len(scores)} scores and {len(distances)} boxes at stride {stride} do not fit the {columns} x {rows} "
            f"cells of an input of {input_wh}"
        )
    hits = np.flatnonzero(scores[:, 0] >= threshold)
    cells = hits // anchors
    place = np.stack((cells % columns, cells // columns), axis=1)
    edges = np.concatenate((place - distances[hits, :2], place + distances[hits, 2:]), axis=1) * stride
    return Detections(edges.astype(np.float32), scores[hits, 0].astype(np.float32), np.zeros(len(hits), np.int32))


def _tables_by_rows(outputs: Tensors, columns: int) -> list[Floats]:
    """Return the tables with so many columns, that of the finest grid first."""
    tables = [values for values in outputs.values() if values.ndim == 2 and values.shape[1] == columns]
    return sorted(tables, key=len, reverse=True)


def _shapes(outputs: Tensors) -> str:
    return ", ".join(f"{name} {values.shape}" for name, values in outputs.items())


def recognise(signature: Signature) -> str | None:
    """Return the reason when there are three tables each of 1, 4 and, in most files, 10 columns, and nothing else."""
    columns = sorted(shape[-1] or 0 for shape in signature.outputs.values() if len(shape) in {2, 3})
    if len(columns) == len(signature.outputs) and columns in ([1] * 3 + [4] * 3, [1] * 3 + [4] * 3 + [10] * 3):
        return "for each of 3 strides it has scores and 4 distances of anchors, as SCRFD gives"
    return None


FAMILY = Family(
    decode,
    Input(order="rgb", mean=(127.5, 127.5, 127.5), scale=(1 / 128, 1 / 128, 1 / 128)),
    smallest_side=16.0,
    largest_side=512.0,
    nms_iou=0.4,
    recognise=recognise,
)
