"""The loss of LPD-YuNet: corners, classes and fit of priors, see `velum.locate.output_formats.lpd_yunet`.

Priors are given to objects, and those without one chosen, as Liu et al., "SSD" (2016), do it. The corners to learn are
those of the object's upright box, moved inwards as far as the decoder moves them outwards.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as all of torch's users call it

from velum.locate.output_formats.lpd_yunet import CORNERS, REACH, grids_of
from velum.locate.output_formats.ultra_light_face import VARIANCE, priors
from velum.train.centerface_loss import generalised_overlap
from velum.train.crops import Crop, known_places
from velum.train.yolox_loss import overlaps

LEAST_OVERLAP = 0.35
"""Overlap of a prior with an object from which it is given to it; the closest prior always is."""

EMPTY = 3
"""Priors without an object that count, for each with one: those that are the most wrong."""

LEAST_EMPTY = 20
"""Such priors in a crop, at least."""


def lpd_yunet_loss(outputs: Sequence[Any], crops: Sequence[Crop]) -> Any:
    """Return the loss of loc (b, n, 14), conf (b, n, 1 + classes) and iou (b, n, 1) as a tensor."""
    side = crops[0].rgb.shape[0]
    placed = torch.from_numpy(priors((side, side), grids_of((side, side))) * side).to(outputs[0].device)
    total, count = outputs[0].sum() * 0, 0
    for loc, conf, fit, crop in zip(*outputs, crops, strict=True):
        loss, given = _crop_loss(loc, conf, fit[:, 0], placed, crop)
        total, count = total + loss, count + given
    return total / max(1, count)


def _crop_loss(loc: Any, conf: Any, fit: Any, placed: Any, crop: Crop) -> tuple[Any, int]:
    """Return the loss of one crop, summed over its priors, and the number of priors with an object."""
    x, y = placed[:, :2].cpu().numpy().T
    certain = torch.from_numpy(known_places(crop, x, y)).to(loc.device) > 0
    truth = torch.full((len(placed),), -1)
    truths = torch.from_numpy(crop.boxes).to(loc.device)
    if len(truths):
        boxes = torch.cat((placed[:, :2] - placed[:, 2:] / 2, placed[:, :2] + placed[:, 2:] / 2), 1)
        pairs = overlaps(boxes[:, None], truths[None])
        best, which = pairs.max(1)
        truth = torch.where(best >= LEAST_OVERLAP, which, truth)
        truth[pairs.argmax(0)] = torch.arange(len(truths))
    place = torch.nonzero(truth >= 0).flatten()
    log = torch.log(conf.clamp(1e-7, 1))
    wrong = -log[:, 0][(truth < 0) & certain]
    empty = wrong.topk(min(len(wrong), max(LEAST_EMPTY, EMPTY * len(place)))).values.sum()
    if not len(place):
        return empty / LEAST_EMPTY, 0
    kinds = torch.from_numpy(crop.kinds).to(loc.device)[truth[place]]
    return empty - log[place, kinds + 1].sum() + _box_loss(
        loc[place], fit[place], placed[place], truths[truth[place]]
    ), len(place)


def _box_loss(loc: Any, fit: Any, placed: Any, truths: Any) -> Any:
    """Return the loss of corners and fit of priors, each with its object; all in pixels."""
    offsets = loc[:, CORNERS].reshape(-1, 4, 2)
    middle, half = (truths[:, None, :2] + truths[:, None, 2:]) / 2, (truths[:, None, 2:] - truths[:, None, :2]) / 2
    signs = torch.tensor(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)).to(loc.device)
    expected = middle + half * signs / (1 + 2 * REACH)
    distance = F.smooth_l1_loss(
        offsets, (expected - placed[:, None, :2]) / (VARIANCE[0] * placed[:, None, 2:]), reduction="sum"
    )
    corners = placed[:, None, :2] + offsets * VARIANCE[0] * placed[:, None, 2:]
    corners = corners + (2 * corners - corners.roll(1, 1) - corners.roll(-1, 1)) * REACH
    predicted = torch.cat((corners.amin(1), corners.amax(1)), 1)
    shared = generalised_overlap(predicted.unbind(1), truths.unbind(1))
    good = overlaps(predicted.detach(), truths)
    return distance / 4 + 2 * (1 - shared).sum() + F.smooth_l1_loss(fit, good, reduction="sum", beta=0.1)
