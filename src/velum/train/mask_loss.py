"""The loss of networks that give maps: of each pixel, and of the whole mask, so that small objects count, too.

The whole mask after Milletari et al., "V-Net" (2016): twice what both share, of the sum of both.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as all of torch's users call it

from velum.train.crops import INSIDE, UNKNOWN, Crop

SMOOTH = 20.0
"""Pixels added above and below, so that crops without an object have a loss as well."""


def mask_loss(outputs: Sequence[Any], crops: Sequence[Crop]) -> Any:
    """Return the loss of probabilities (b, classes, h, w) as a tensor."""
    predicted = outputs[0].clamp(1e-6, 1 - 1e-6)
    masks = torch.from_numpy(np.stack([crop.masks for crop in crops if crop.masks is not None])).to(predicted.device)
    size = predicted.shape[2:]
    certain = F.interpolate((masks != UNKNOWN).float(), size, mode="area")
    expected = F.interpolate((masks == INSIDE).float(), size, mode="area")
    pixels = -(expected * torch.log(predicted) + (1 - expected) * torch.log(1 - predicted)) * certain
    shared, both = ((part * certain).sum((0, 2, 3)) for part in (predicted * expected, predicted + expected))
    whole = 1 - (2 * shared + SMOOTH) / (both + SMOOTH)
    return pixels.sum() / certain.sum().clamp(min=1) + whole.mean()
