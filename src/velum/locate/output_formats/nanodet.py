"""NanoDet: class scores for the cells of three or four grids, and a distribution of the place of each edge.

Layout of the repository RangiLyu/nanodet, after Li et al., "Generalized Focal Loss" (2020): for each stride of 8, 16,
32 and with NanoDet-Plus 64, class scores (n, classes) from 0 to 1, and (n, 4 x bins) for the left, top, right and
bottom edge: after softmax over the bins, the mean bin is the edge's distance from the cell in strides. There are either
two outputs for each stride, classes before distances, or one output for all, classes first, with 8 bins.
"""

from collections.abc import Iterator

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors, concatenate

STRIDES = (8, 16, 32, 64)
BINS = 8


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return every class of every cell whose score is at least `threshold`.

    Raises `ValueError` when the outputs are not of the shapes that an input of that size gives.
    """
    heads = list(outputs.values())
    levels = list(_split_joint(heads[0], input_wh) if len(heads) == 1 else _split_pairs(heads, input_wh))
    # NanoDet's cells are centred half a stride from their corner, those of NanoDet-Plus (with a fourth level) are not.
    shift = 0.0 if len(levels) == len(STRIDES) else 0.5
    return concatenate([
        _decode_stride(scores, distances, stride, -(-input_wh[0] // stride), shift, threshold)
        for stride, (scores, distances) in zip(STRIDES, levels, strict=False)
    ])  # fmt: skip


def _decode_stride(
    scores: Floats, distances: Floats, stride: int, columns: int, shift: float, threshold: float
) -> Detections:
    hits, kind = np.nonzero(scores >= threshold)
    middle = (np.stack((hits % columns, hits // columns), axis=1) + shift) * stride
    edges = _mean_bin(distances[hits].reshape(-1, 4, distances.shape[1] // 4)) * stride
    return Detections(
        np.concatenate((middle - edges[:, :2], middle + edges[:, 2:]), axis=1).astype(np.float32),
        scores[hits, kind].astype(np.float32),
        kind.astype(np.int32),
    )


def _mean_bin(logits: Floats) -> Floats:
    """Return the mean bin of each distribution; `logits` is (..., bins)."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    mean: Floats = (weights @ np.arange(logits.shape[-1])) / weights.sum(axis=-1)
    return mean


def _counts(input_wh: tuple[int, int]) -> list[int]:
    return [-(-input_wh[0] // stride) * -(-input_wh[1] // stride) for stride in STRIDES]


def _split_joint(rows: Floats, input_wh: tuple[int, int]) -> Iterator[tuple[Floats, Floats]]:
    ends = np.cumsum(_counts(input_wh)).tolist()
    if rows.ndim != 2 or len(rows) not in ends[2:] or rows.shape[1] <= 4 * BINS:
        raise ValueError(f"output {rows.shape} is not ({ends[2]} or {ends[3]}, classes + {4 * BINS})")
    classes = rows.shape[1] - 4 * BINS
    for level in np.split(rows, [end for end in ends if end < len(rows)]):
        yield level[:, :classes], level[:, classes:]


def _split_pairs(heads: list[Floats], input_wh: tuple[int, int]) -> Iterator[tuple[Floats, Floats]]:
    flat = [head for head in heads if head.ndim == 2]
    if len(flat) != len(heads) or len(flat) not in {6, 8}:
        raise ValueError(f"outputs {[head.shape for head in heads]} are not two tables for each of 3 or 4 strides")
    for count in _counts(input_wh)[: len(heads) // 2]:
        match [head for head in flat if len(head) == count]:
            case [scores, distances] if distances.shape[1] % 4 == 0 and distances.shape[1] >= 8:
                yield scores, distances
            case others:
                raise ValueError(
                    f"{[head.shape for head in others]} are not ({count}, classes) and ({count}, 4 x bins), one of "
                    f"each for every stride, as an input of {input_wh} gives"
                )


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: pairs of outputs for each stride, or 80 classes and 32 bins."""
    shapes = [shape for shape in signature.outputs.values() if len(shape) >= 2]
    if len(shapes) == 1:
        joint = len(shapes[0]) == 3 and shapes[0][-1] == 80 + 4 * BINS
        return f"its output has a row for each cell, of 80 classes and 4 edges with {BINS} bins" if joint else None
    if len(shapes) not in {6, 8} or len(shapes) != len(signature.outputs):
        return None
    names = " ".join(signature.outputs)
    if "cls" not in names or ("dis" not in names and "bbox" not in names) or "obj" in names:
        return None
    edges = [shape[-1] for shape in shapes]
    if edges.count(4 * BINS) < len(shapes) // 2:
        return None
    return f"for each of {len(shapes) // 2} strides it has class scores and 4 edges with {BINS} bins"


FAMILY = Family(
    decode,
    Input(
        order="bgr",
        mean=(123.675, 116.28, 103.53),
        scale=(1 / 58.395, 1 / 57.12, 1 / 57.375),
        size_wh=(416, 416),
    ),
    smallest_side=16.0,
    largest_side=416.0,
    nms_iou=0.6,
    recognise=recognise,
)
