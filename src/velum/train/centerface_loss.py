"""The loss of CenterFace: heat maps of centres, sizes and offsets, see `velum.locate.output_formats.centerface`.

Heat after Law and Deng, "CornerNet" (2018), with a Gaussian as wide as the object in each direction, after Liu et al.,
"Training-Time-Friendly Network" (2019). Boxes are learned in the cells around a centre as well: the decoder takes the
box of whichever cell is the hottest. Their loss is the generalised intersection over union of Rezatofighi et al. (2019)
and the distance of sizes and offsets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from velum.locate.output_formats.centerface import STRIDE
from velum.train.crops import NEARBY, Boxes, Crop

DEVIATION = 1 / 8
"""Deviation of the Gaussian, as a share of the object's side; at least `LEAST_DEVIATION` cells."""

LEAST_DEVIATION = 0.5

LEARNED = 0.35
"""Height of the Gaussian from which a cell's box is learned."""


def centerface_loss(outputs: Sequence[Any], crops: Sequence[Crop]) -> Any:
    """Return the loss of heat (b, n, h, w), size (b, 2, h, w) and offset (b, 2, h, w) as a tensor."""
    heat, size, offset = outputs
    device = heat.device
    targets = [_targets(crop, heat.shape[1:]) for crop in crops]
    expected, weight, boxes, strength = (
        torch.from_numpy(np.stack([target[part] for target in targets])).to(device) for part in range(4)
    )
    # Bounded so little that a cell which is wrong and sure of it still learns.
    likely, unlikely = heat.clamp(min=1e-12), (1 - heat).clamp(min=1e-7)
    centres = expected == 1
    centre_loss = -(unlikely**2 * torch.log(likely))[centres].sum()
    empty = -((1 - expected) ** 4 * likely**2 * torch.log(unlikely) * weight)[~centres].sum()
    count = max(1, int(centres.sum()))
    return (centre_loss + empty) / count + _box_loss(size, offset, boxes, strength)


def _box_loss(size: Any, offset: Any, boxes: Any, strength: Any) -> Any:
    """Return the loss of the boxes in the cells where `strength` (b, h, w) is above 0.

    `boxes` (b, 4, h, w) are edges x0, y0, x1, y1 in cells.
    """
    b, rows, columns = torch.nonzero(strength > 0, as_tuple=True)
    if not len(b):
        return size.sum() * 0 + offset.sum() * 0
    power = strength[b, rows, columns]
    x0, y0, x1, y1 = boxes[b, :, rows, columns].unbind(1)
    tall, wide = size[b, :, rows, columns].clamp(-4, 6).unbind(1)
    down, across = offset[b, :, rows, columns].unbind(1)
    middle_y, middle_x = rows + 0.5 + down, columns + 0.5 + across
    half_h, half_w = torch.exp(tall) / 2, torch.exp(wide) / 2
    distance = (
        (tall - torch.log(y1 - y0)).abs() + (wide - torch.log(x1 - x0)).abs()
        + (middle_y - (y0 + y1) / 2).abs().clamp(max=4) + (middle_x - (x0 + x1) / 2).abs().clamp(max=4)
    )  # fmt: skip
    overlap = generalised_overlap(
        (middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h), (x0, y0, x1, y1)
    )
    return (((1 - overlap) + distance / 2) * power).sum() / power.sum()


def generalised_overlap(first: Sequence[Any], second: Sequence[Any]) -> Any:
    """Return the generalised intersection over union of boxes, each as its edges x0, y0, x1, y1."""

    def area(x0: Any, y0: Any, x1: Any, y1: Any) -> Any:
        return (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)

    lower = [torch.maximum(a, b) for a, b in zip(first[:2], second[:2], strict=True)]
    upper = [torch.minimum(a, b) for a, b in zip(first[2:], second[2:], strict=True)]
    shared = area(*lower, *upper)
    union = area(*first) + area(*second) - shared
    outer = area(
        *(torch.minimum(a, b) for a, b in zip(first[:2], second[:2], strict=True)),
        *(torch.maximum(a, b) for a, b in zip(first[2:], second[2:], strict=True)),
    )
    return shared / (union + 1e-6) - (outer - union) / (outer + 1e-6)


def _targets(crop: Crop, shape: Sequence[int]) -> tuple[Boxes, Boxes, Boxes, Boxes]:
    """Return heat (n, h, w), weight of empty cells (n, h, w), boxes (4, h, w) in cells and their strength (h, w)."""
    classes, height, width = shape
    heat = np.zeros((classes, height, width), np.float32)
    weight = np.repeat(crop.complete.astype(np.float32), height * width).reshape(heat.shape)
    boxes, strength = np.zeros((4, height, width), np.float32), np.zeros((height, width), np.float32)
    rows, columns = np.indices((height, width), np.float32) + 0.5
    cells = crop.boxes / STRIDE
    for kind, (x0, y0, x1, y1) in zip(crop.kinds, cells, strict=True):
        if not crop.complete[kind]:
            _fill(weight[kind], (x0, y0, x1, y1), NEARBY * max(x1 - x0, y1 - y0), 1.0)
    for kind, box in zip(crop.ignored_kinds, crop.ignored / STRIDE, strict=True):
        _fill(weight[kind], box, 1.0, 0.0)
    # The largest first: of two objects in one cell the smaller one is learned.
    for index in np.argsort(-(cells[:, 2:] - cells[:, :2]).prod(axis=1), kind="stable"):
        x0, y0, x1, y1 = cells[index]
        wide, high = (max(LEAST_DEVIATION, side * DEVIATION) for side in (x1 - x0, y1 - y0))
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
        bell = np.exp(-((columns - middle_x) ** 2) / (2 * wide**2) - (rows - middle_y) ** 2 / (2 * high**2))
        row, column = min(height - 1, int(middle_y)), min(width - 1, int(middle_x))
        kind = crop.kinds[index]
        heat[kind] = np.maximum(heat[kind], np.minimum(bell, 0.999))
        heat[kind, row, column] = 1
        bell[row, column] = 1
        own = bell >= np.maximum(LEARNED, strength)
        strength[own], boxes[:, own] = bell[own], cells[index][:, None]
    return heat, weight, boxes, strength


def _fill(plane: Boxes, box: Sequence[float], reach: float, value: float) -> None:
    x0, y0, x1, y1 = box
    rows = slice(max(0, int(y0 - reach)), max(0, int(np.ceil(y1 + reach))))
    columns = slice(max(0, int(x0 - reach)), max(0, int(np.ceil(x1 + reach))))
    plane[rows, columns] = value
