"""AIZOO's FaceMaskDetection, for faces with and without masks: an SSD whose priors are not part of the network.

Layout of the repository AIZOOTech/FaceMaskDetection, at 260 x 260 pixels: boxes (5972, 4) as offsets from the priors,
and classes (5972, 2) from 0 to 1, 0 with a mask and 1 without, in either order. Arithmetic after Liu et al., "SSD"
(2016), with the priors of that repository.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors
from velum.locate.output_formats.ultra_light_face import VARIANCE

SIDES = {33: (0.04, 0.056), 17: (0.08, 0.11), 9: (0.16, 0.22), 5: (0.32, 0.45), 3: (0.64, 0.72)}
"""Cells along each side of the grid -> sides of its priors, shares of the input."""

RATIOS = (1.0, 0.62, 0.42)
"""Width divided by height of the priors; the second side of `SIDES` is used with the first ratio only."""

PRIORS = 5972


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the faces whose score is at least `threshold`. Raises `ValueError` for outputs of other shapes."""
    by_columns = {values.shape[-1]: values for values in outputs.values() if values.ndim == 2}
    if {columns: values.shape for columns, values in by_columns.items()} != {4: (PRIORS, 4), 2: (PRIORS, 2)}:
        shapes = [values.shape for values in outputs.values()]
        raise ValueError(f"outputs {shapes} are not ({PRIORS}, 4) and ({PRIORS}, 2)")
    offsets, scores = by_columns[4], by_columns[2]
    hits, kind = np.nonzero(scores >= threshold)
    placed = _priors()[hits]
    size = placed[:, 2:]
    middle = placed[:, :2] + offsets[hits, :2] * VARIANCE[0] * size
    half = np.exp(offsets[hits, 2:] * VARIANCE[1]) * size / 2
    edges = np.concatenate((middle - half, middle + half), axis=1) * np.array(input_wh * 2)
    return Detections(edges.astype(np.float32), scores[hits, kind].astype(np.float32), kind.astype(np.int32))


def _priors() -> Floats:
    """Return centre and size (5972, 4), shares of the input."""
    parts = []
    for cells, (small, large) in SIDES.items():
        shapes = [(small, RATIOS[0]), (large, RATIOS[0]), (small, RATIOS[1]), (small, RATIOS[2])]
        sizes = np.array([(side * ratio**0.5, side / ratio**0.5) for side, ratio in shapes])
        y, x = (np.indices((cells, cells)).reshape(2, -1) + 0.5) / cells
        middles = np.repeat(np.stack((x, y), axis=1), len(sizes), axis=0)
        parts.append(np.concatenate((middles, np.tile(sizes, (len(x), 1))), axis=1))
    placed: Floats = np.concatenate(parts).astype(np.float32)
    return placed


def recognise(signature: Signature) -> str | None:
    """Return why this can be that network: 4 and 2 values for each of 5972 priors, or the names of the outputs."""
    columns = {shape[-1]: (name, shape) for name, shape in signature.outputs.items() if len(shape) == 3}
    if len(signature.outputs) != 2 or columns.keys() != {4, 2}:
        return None
    (boxes, shape), (classes, _) = columns[4], columns[2]
    if shape[1] != PRIORS and not (boxes.startswith("loc_branch") and classes.startswith("cls_branch")):
        return None
    return f"its outputs are boxes and two classes for each of {PRIORS} priors"


FAMILY = Family(
    decode,
    Input(order="rgb", scale=(1 / 255, 1 / 255, 1 / 255), fit="stretch", layout="nhwc", size_wh=(260, 260)),
    smallest_side=12.0,
    largest_side=200.0,
    nms_iou=0.4,
    recognise=recognise,
)
