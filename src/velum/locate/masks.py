"""From what a network thinks of the parts of a box to the pixels that are hidden."""

from collections.abc import Sequence

import cv2
import numpy as np

from velum.locate.output_formats import Floats
from velum.region import Box, Mask

LEVEL = 0.4
"""How likely a pixel must belong to an object to be hidden with it. Under a half: what is hidden too much is visible,
what shows of a person is not noticed."""


def mask_in(box: Box, likely: Floats, xyxy: Sequence[float]) -> Mask | None:
    """Return which pixels of `box` belong to an object; None where that tells nothing and the whole box must count.

    `likely` (rows, columns) is stretched over the box with edges `xyxy`, of which `box` is the part in the picture.
    """
    rows, columns = likely.shape
    scale_x, scale_y = columns / (xyxy[2] - xyxy[0]), rows / (xyxy[3] - xyxy[1])
    # From the middle of a pixel to the middle of a cell.
    to_cells = np.array(
        [
            [scale_x, 0.0, (box.x0 + 0.5 - xyxy[0]) * scale_x - 0.5],
            [0.0, scale_y, (box.y0 + 0.5 - xyxy[1]) * scale_y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    spread = cv2.warpAffine(likely, to_cells, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask: Mask = np.asarray(spread >= LEVEL)
    return mask if mask.any() else None
