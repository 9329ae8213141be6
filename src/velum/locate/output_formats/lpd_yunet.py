"""LPD-YuNet: the four corners of licence plates.

Layout of the OpenCV Zoo's license_plate_detection_yunet, over priors like those of the ultra light face detectors:
`loc` (n, 14), `conf` (n, 2), already softmax, class 1 is a plate; `iou` (n, 1), how well the box fits. Networks that
velum has trained can have further classes. A score is the geometric mean of class and fit. Columns 4 to 7 and 10 to 13
of `loc` are the corners, clockwise from the top left one, each an offset from the prior's centre in tenths of its size.
The detection is the upright box around the plate, which is larger than the box around these corners; see `REACH`.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors
from velum.locate.output_formats.ultra_light_face import VARIANCE, priors

COLUMNS = 14
"""Columns of `loc`."""

CORNERS = [4, 5, 6, 7, 10, 11, 12, 13]

REACH = 0.1
"""Distance by which the corners are moved outwards: this share of the plate's width along it, of its height across.

The network was trained on plates of one country and puts the corners of others too far inside. Of 110 plates that it
finds in photographs of four countries, the box around its corners covers nine tenths of the area for 58 %, the box
around the moved corners for 90 %; docs/benchmarks.md says how much of them is hidden.
"""


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the plates whose score is at least `threshold`. Raises `ValueError` when the shapes do not match."""
    loc, conf, iou = outputs["loc"], outputs["conf"], outputs["iou"]
    placed = priors(input_wh, grids_of(input_wh))
    expected = len(placed)
    if loc.shape != (expected, COLUMNS) or conf.shape[:-1] != (expected,) or iou.shape != (expected, 1):
        raise ValueError(
            f"loc {loc.shape}, conf {conf.shape} and iou {iou.shape} are not ({expected}, {COLUMNS}), ({expected}, 2 "
            f"or more) and ({expected}, 1), as an input of {input_wh} gives"
        )
    score = np.sqrt(np.clip(conf[:, 1:], 0, 1) * np.clip(iou, 0, 1))
    hits, kind = np.nonzero(score >= threshold)
    middle, size = placed[hits, None, :2], placed[hits, None, 2:]
    offsets = loc[hits][:, CORNERS].reshape(-1, 4, 2) * np.float32(VARIANCE[0])
    corners = move_outwards((middle + offsets * size) * np.array(input_wh, np.float32))
    return Detections(
        np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1).astype(np.float32),
        score[hits, kind].astype(np.float32),
        kind.astype(np.int32),
        points=corners,
    )


def move_outwards(corners: Floats) -> Floats:
    """Return the corners (n, 4, 2) moved outwards by `REACH`, along the plate's own directions."""
    before, after = np.roll(corners, 1, axis=1), np.roll(corners, -1, axis=1)
    moved: Floats = (corners + (2 * corners - before - after) * REACH).astype(np.float32)
    return moved


def grids_of(input_wh: tuple[int, int]) -> list[tuple[int, int]]:
    """Return columns and rows at strides 8 to 64: the network rounds up at its first layer, and down from there."""
    columns, rows = ((side + 1) // 2 // 4 for side in input_wh)
    return [(columns >> step, rows >> step) for step in range(4)]


def recognise(signature: Signature) -> str | None:
    """Return why this can be that network: outputs `loc`, `conf` and `iou` with 14, 2 and 1 columns."""
    columns = {name: shape[-1] for name, shape in signature.outputs.items() if shape}
    if columns != {"loc": COLUMNS, "conf": 2, "iou": 1}:
        return None
    return "its outputs are loc, conf and iou, with 14, 2 and 1 values a prior"


FAMILY = Family(
    decode,
    Input(order="bgr", fit="stretch"),
    smallest_side=16.0,
    largest_side=256.0,
    nms_iou=0.3,
    recognise=recognise,
)
