"""Whether what was not hidden still looks like its source: its colours, its range, its detail."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Rgb
from velum.region import Box, Mask

Cells = npt.NDArray[np.float32]

SIDE, CELL = 64, 8
"""Cells on the longer side of a picture at most, and pixels of the side of one at least: the mean colours of cells are
compared, which coding moves little."""

MOST_APART = 8.0
"""Levels by which mean colours of cells may differ, on average: between pictures that were coded well it is below 2."""

EVERYWHERE, BLACK = 0.75, 24.0
"""Share of the cells that may differ where nobody says which parts were hidden, and levels up to which one is black:
what was blackened differs."""

LEAST_CONTRAST, MOST_STRETCHED = 12.0, 0.06
"""Levels of contrast from which a stretch of it can be told, and how far it may go. A wrong range stretches by 0.16."""

LEAST_DETAIL, LEAST_ALIKE = 6.0, 0.5
"""Levels of detail that a source has at least for it to be compared, and the correlation that coding leaves of it."""

LEAST_CELLS = 6


def why_changed(before: Rgb, after: Rgb, hidden: Sequence[Box] | None, seen: Mask | None = None) -> str | None:
    """Say how two pictures of one size differ outside the boxes that were hidden; None when they do not.

    `seen` are the pixels that are not transparent, None for all: colours that nobody sees may go. Without boxes, nobody
    knows what was hidden: then only what differs nearly everywhere is told.
    """
    outside = _outside(before.shape[:2], hidden or ())
    if seen is not None:
        outside &= seen
    one, other, whole = _cells(before), _cells(after), _share(outside) > 0.999
    one, other = one[whole], other[whole]
    if len(one) < LEAST_CELLS:
        return None
    apart = np.abs(one - other).max(axis=1)
    if hidden is None:
        lit = other.max(axis=1) > BLACK
        far = float((apart[lit] > MOST_APART).mean()) if lit.sum() >= LEAST_CELLS else 0.0
        return f"{far:.0%} of it has other colours than its source" if far > EVERYWHERE else None
    if apart.mean() > MOST_APART:
        return f"its colours differ from those of its source by {apart.mean():.0f} levels where nothing was hidden"
    if why := _why_stretched(one, other):
        return why
    return _why_noisy(before, after, outside)


def _outside(shape: tuple[int, ...], hidden: Sequence[Box]) -> Mask:
    """Return the pixels apart from all boxes, and from what coders spoil around them."""
    outside: Mask = np.ones(shape, bool)
    for box in hidden:
        around = box.pad(16, 16).clip(shape[1], shape[0])
        if around is not None:
            outside[around.slices] = False
    return outside


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1 / CELL, SIDE / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _cells(picture: Rgb) -> Cells:
    size = _size(picture.shape)
    cells: Cells = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32).reshape(-1, 3)
    return cells


def _share(outside: Mask) -> npt.NDArray[np.float32]:
    share = cv2.resize(outside.astype(np.float32), _size(outside.shape), interpolation=cv2.INTER_AREA)
    return share.astype(np.float32).ravel()


def _why_stretched(one: Cells, other: Cells) -> str | None:
    """Say by how much the brightness was stretched, as by samples of a wrong range."""
    dark, light = one.mean(axis=1), other.mean(axis=1)
    if dark.std() < LEAST_CONTRAST or np.corrcoef(dark, light)[0, 1] < 0.98:
        return None
    slope = float(((dark - dark.mean()) * (light - light.mean())).mean() / dark.var())
    if abs(slope - 1) <= MOST_STRETCHED:
        return None
    return f"its contrast is {slope:.2f} times that of its source where nothing was hidden"


def _why_noisy(before: Rgb, after: Rgb, outside: Mask) -> str | None:
    """Say that the detail of the source is not there, but as much of another."""
    one, other = (_detail(picture)[outside] for picture in (before, after))
    if not len(one) or max(one.std(), other.std()) < LEAST_DETAIL or other.std() < one.std() / 2:
        return None  # coders smooth, they do not add
    alike = float((one * other).mean() / max(one.std() * other.std(), 1e-6))
    return f"its detail is not that of its source (correlation {alike:.2f})" if alike < LEAST_ALIKE else None


def _detail(picture: Rgb) -> npt.NDArray[np.float32]:
    """Return what is finer than eight pixels, but not as fine as what coders leave out first."""
    grey = picture.astype(np.float32).mean(axis=2)
    fine: npt.NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 4)
    return fine
