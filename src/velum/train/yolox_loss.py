"""The loss of YOLOX: boxes, objectness and classes of cells, see `velum.locate.output_formats.yolox`.

Cells are given to objects as Ge et al., "YOLOX" (2021), do it: of the cells near an object, those whose box and class
are the closest so far, as many as the overlaps of the best ten boxes add up to.
"""

from collections.abc import Sequence
from typing import Any

import torch

from velum.locate.output_formats import yolox
from velum.train.centerface_loss import generalised_overlap
from velum.train.crops import Crop, known_places

REACH = 2.5
"""Cells whose centres are this many cells from an object's centre, in either direction, may be given to it."""

CLOSEST = 10
"""Boxes whose overlaps say how many cells an object gets."""

FAR = 1e5
"""Cost of a cell that lies in the object's box or near its centre, and not in both."""

BOX = 3.0
"""Weight of the boxes' loss, the generalised intersection over union, which also draws boxes to objects that
they do not overlap."""


def yolox_loss(outputs: Sequence[Any], crops: Sequence[Crop]) -> Any:
    """Return the loss of rows (b, n, 5 + classes) as a tensor."""
    rows = outputs[0]
    cells = torch.from_numpy(yolox.cells_of((crops[0].rgb.shape[1], crops[0].rgb.shape[0]))).to(rows.device)
    total, count = rows.sum() * 0, 0
    for row, crop in zip(rows, crops, strict=True):
        loss, given = _crop_loss(row, cells, crop)
        total, count = total + loss, count + given
    return total / max(1, count)


def _crop_loss(row: Any, cells: Any, crop: Crop) -> tuple[Any, int]:
    """Return the loss of one crop, summed over its cells, and the number of cells with an object."""
    stride = cells[:, 2:]
    middle, half = (cells[:, :2] + row[:, :2]) * stride, torch.exp(row[:, 2:4].clamp(-6, 6)) * stride / 2
    boxes = torch.cat((middle - half, middle + half), 1)
    objectness, classes = row[:, 4], row[:, 5:]
    expected = torch.zeros_like(objectness)
    weight = torch.from_numpy(_known_cells(crop, cells)).to(row.device)
    if not len(crop.boxes):
        return (_binary(objectness, expected) * weight).sum(), 0
    truths = torch.from_numpy(crop.boxes).to(row.device)
    kinds = torch.from_numpy(crop.kinds).to(row.device)
    place, truth = _assign(boxes.detach(), objectness.detach(), classes.detach(), cells, truths, kinds)
    expected[place] = 1
    weight[place] = 1
    overlap = overlaps(boxes[place], truths[truth])
    target = torch.zeros_like(classes[place])
    target[torch.arange(len(place)), kinds[truth]] = overlap.detach()
    whole = generalised_overlap(boxes[place].unbind(1), truths[truth].unbind(1))
    loss = (_binary(objectness, expected) * weight).sum() + BOX * (1 - whole).sum()
    return loss + _binary(classes[place], target).sum(), len(place)


def _assign(boxes: Any, objectness: Any, classes: Any, cells: Any, truths: Any, kinds: Any) -> tuple[Any, Any]:
    """Return the cells that show an object, and the index of the object that each shows."""
    centre = (cells[:, :2] + 0.5) * cells[:, 2:]
    middle = (truths[:, :2] + truths[:, 2:]) / 2
    inside = ((centre[None] > truths[:, None, :2]) & (centre[None] < truths[:, None, 2:])).all(2)
    near = ((centre[None] - middle[:, None]).abs() < REACH * cells[None, :, 2:]).all(2)
    pairs = overlaps(boxes[None], truths[:, None])
    likely = (classes.T[kinds] * objectness[None]).sqrt()
    cost = -torch.log(likely.clamp(min=1e-12)) - 3 * torch.log(pairs + 1e-6)
    cost = cost + FAR * ~(inside & near) + FAR**2 * ~(inside | near)
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    for index in range(len(truths)):
        usable = inside[index] | near[index]
        best = pairs[index][usable].topk(min(CLOSEST, int(usable.sum()))).values
        number = min(max(1, int(best.sum())), max(1, int(usable.sum())))
        chosen[index, cost[index].topk(number, largest=False).indices] = True
    cost = torch.where(chosen, cost, torch.full_like(cost, float("inf")))
    place = torch.nonzero(chosen.any(0)).flatten()
    return place, cost[:, place].argmin(0)


def overlaps(first: Any, second: Any) -> Any:
    """Return the intersection over union of boxes (..., 4), whose shapes are broadcast."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    return shared / (areas[0] + areas[1] - shared + 1e-6)


def _binary(likely: Any, expected: Any) -> Any:
    # Bounded so little that a cell which is wrong and sure of it still learns.
    return -(expected * torch.log(likely.clamp(min=1e-12)) + (1 - expected) * torch.log((1 - likely).clamp(min=1e-7)))


def _known_cells(crop: Crop, cells: Any) -> Any:
    """Return 1 for each cell that surely shows an object or surely shows none, else 0."""
    x, y = ((cells[:, :2] + 0.5) * cells[:, 2:]).cpu().numpy().T
    return known_places(crop, x, y)
