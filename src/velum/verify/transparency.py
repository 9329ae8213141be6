"""Whether what nobody could see, since it was transparent, can be seen now."""

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Role, Samples
from velum.region import Box, Mask

CLEAR, SHOWN, WHOLE = 0.1, 0.5, 0.98
"""Shares of full opacity below which a sample cannot be seen, from which it can, and from which nothing else can."""

BLACK, DARK = 24, 96
"""Levels of the brightest channel up to which a pixel shows nothing: anywhere, and at the rim of what was hidden."""

RIM = 20
"""Pixels from the edge of what was hidden as far as a coder spills what lies beside it: a block, and its smoothing."""

LEAST = 0.0005
"""Share of a picture that must be shown now for it to be told."""

_WITH_ALPHA = {Role.RGBA, Role.GREY_ALPHA}


def uncovered(before: Frame, after: Frame, hidden: Iterable[Box] = (), *, exact: bool = False) -> float:
    """Return the share of a picture that was transparent in its source and is shown now; 0 where that is none of it.

    What is black now shows nothing. At the rim of the boxes that were `hidden` that is what is dark, unless samples are
    `exact`: black that was laid over transparent parts is opaque, and a coder spills the colours of what lies beside
    it, of which nobody saw anything.
    """
    alpha = _alpha(before)
    if alpha is None or alpha.shape != (before.height, before.width):
        return 0.0
    now = _alpha(after)
    shown = np.ones(alpha.shape, bool) if now is None else now >= SHOWN
    light = after.rgb(after.width, after.height).max(axis=2)
    lit = light > BLACK
    if not exact:
        rim = _rim(hidden, lit.shape)
        lit[rim] = light[rim] > DARK
    share = float(((alpha < CLEAR) & shown & lit).mean())
    return share if share > LEAST else 0.0


def _rim(boxes: Iterable[Box], shape: tuple[int, ...]) -> Mask:
    """Return the pixels of boxes (rows, columns) that lie within `RIM` of their common edge."""
    whole = np.zeros(shape, np.uint8)
    for box in boxes:
        whole[box.slices] = 1
    kernel = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    inner = cv2.erode(whole, kernel, borderType=cv2.BORDER_REPLICATE)
    rim: Mask = whole.astype(bool) & ~inner.astype(bool)
    return rim


def opaque(frame: Frame) -> Mask | None:
    """Return the pixels of the upright picture whose colours can be seen as they are; None where all can."""
    alpha = _alpha(frame)
    return None if alpha is None else alpha > WHOLE


def _alpha(frame: Frame) -> npt.NDArray[np.float32] | None:
    """Return the opacity of each pixel of the upright picture, from 0 to 1; None where all of it is opaque."""
    for plane in frame.planes:
        if plane.role in _WITH_ALPHA or plane.role == Role.ALPHA:
            stored: Samples = plane.pixels if plane.role == Role.ALPHA else plane.pixels[..., -1]
            return frame.orientation.upright(stored).astype(np.float32) / np.float32((1 << plane.bits) - 1)
    return None
