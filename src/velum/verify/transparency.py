"""Finds pixels that were transparent in the source and are visible now."""

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Role, Samples
from velum.region import Box, Mask

CLEAR, SHOWN, WHOLE = 0.1, 0.5, 0.98
"""Opacity below which a pixel is invisible, from which it is visible, and from which only it is."""

BLACK, DARK = 24, 96
"""Level of the brightest channel up to which a pixel shows nothing: anywhere, and at the rim of a hidden box."""

RIM = 20
"""Pixels from the edge of a hidden box that errors of its surroundings reach: a block and its smoothing."""

LEAST = 0.0005
"""Share of a picture from which it counts."""

_WITH_ALPHA = {Role.RGBA, Role.GREY_ALPHA}


def uncovered_share(before: Frame, after: Frame, hidden: Iterable[Box] = (), *, exact: bool = False) -> float:
    """Return the share of pixels that were transparent in the source and are visible now; 0 for next to none.

    Black pixels show nothing. At the rim of the `hidden` boxes dark ones show nothing either, unless samples are
    `exact`: black over transparent parts is opaque, and coding mixes it with invisible colours beside it.
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


def opaque_mask(frame: Frame) -> Mask | None:
    """Return the fully opaque pixels of the upright picture; None when all are."""
    alpha = _alpha(frame)
    return None if alpha is None else alpha > WHOLE


def _alpha(frame: Frame) -> npt.NDArray[np.float32] | None:
    """Return the opacity of each pixel of the upright picture, from 0 to 1; None without an alpha plane."""
    for plane in frame.planes:
        if plane.role in _WITH_ALPHA or plane.role == Role.ALPHA:
            stored: Samples = plane.pixels if plane.role == Role.ALPHA else plane.pixels[..., -1]
            return frame.orientation.upright(stored).astype(np.float32) / np.float32((1 << plane.bits) - 1)
    return None
