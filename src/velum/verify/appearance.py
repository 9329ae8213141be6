"""Compares what was not hidden with the source: colours, contrast, detail and transparency."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Rgb, Role, Samples
from velum.region import Box, Mask

Cells = npt.NDArray[np.float32]

SIDE, CELL = 64, 8
"""Most cells along the longer side of an image, and least pixels of a cell's side. Mean colours of cells are compared,
which coding changes little."""

MOST_APART = 8.0
"""Average difference in levels that mean colours of cells may have; good coding stays below 2."""

EVERYWHERE, BLACK = 0.75, 24.0
"""Share of the cells that may differ when the hidden regions are unknown, and the level up to which a cell or a pixel
is black: it shows nothing, and blackened cells differ and do not count."""

LEAST_CONTRAST, MOST_STRETCHED = 12.0, 0.06
"""Contrast in levels from which a stretch can be measured, and the largest stretch allowed. A wrong sample range
stretches by 0.16."""

LEAST_DETAIL, LEAST_ALIKE = 6.0, 0.5
"""Least detail of a source, in levels, to be compared, and the least correlation that coding leaves."""

LEAST_CELLS = 6

CLEAR, SHOWN, WHOLE = 0.1, 0.5, 0.98
"""Opacity below which a pixel is invisible, from which it is visible, and from which it hides what lies under it."""

DARK = 96
"""Level of the brightest channel up to which a pixel at the rim of a hidden box shows nothing."""

RIM = 20
"""Pixels from the edge of a hidden box that errors of its surroundings reach: a block and its smoothing."""

LEAST_UNCOVERED = 0.0005
"""Share of the pixels of an image from which uncovered pixels count."""

_WITH_ALPHA = {Role.RGBA, Role.GREY_ALPHA}


def describe_change(before: Rgb, after: Rgb, hidden: Sequence[Box] | None, visible: Mask | None = None) -> str | None:
    """Describe how two images of one size differ outside the hidden boxes; None when they do not.

    `visible`: the pixels that are not transparent, None for all; invisible colours may change. Without `hidden` it is
    unknown what was hidden, and only a difference nearly everywhere counts.
    """
    outside = _outside(before.shape[:2], hidden or ())
    if visible is not None:
        outside &= visible
    source_cells, result_cells, whole = _cells(before), _cells(after), _share(outside) > 0.999
    source_cells, result_cells = source_cells[whole], result_cells[whole]
    if len(source_cells) < LEAST_CELLS:
        return None
    difference = np.abs(source_cells - result_cells).max(axis=1)
    if hidden is None:
        lit = result_cells.max(axis=1) > BLACK
        changed_share = float((difference[lit] > MOST_APART).mean()) if lit.sum() >= LEAST_CELLS else 0.0
        return f"{changed_share:.0%} of it has other colours than its source" if changed_share > EVERYWHERE else None
    if difference.mean() > MOST_APART:
        return f"its colours differ from those of its source by {difference.mean():.0f} levels where nothing was hidden"
    if why := _why_stretched(source_cells, result_cells):
        return why
    return _why_noisy(before, after, outside)


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
    return share if share > LEAST_UNCOVERED else 0.0


def opaque_mask(frame: Frame) -> Mask | None:
    """Return the fully opaque pixels of the upright frame; None when all are."""
    alpha = _alpha(frame)
    return None if alpha is None else alpha > WHOLE


def _outside(shape: tuple[int, ...], hidden: Sequence[Box]) -> Mask:
    """Return the pixels outside all boxes, and far enough from them that coding errors do not reach them."""
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


def _why_stretched(source_cells: Cells, result_cells: Cells) -> str | None:
    """Say by how much the contrast was stretched, as samples of a wrong range do."""
    dark, light = source_cells.mean(axis=1), result_cells.mean(axis=1)
    if dark.std() < LEAST_CONTRAST or np.corrcoef(dark, light)[0, 1] < 0.98:
        return None
    slope = float(((dark - dark.mean()) * (light - light.mean())).mean() / dark.var())
    if abs(slope - 1) <= MOST_STRETCHED:
        return None
    return f"its contrast is {slope:.2f} times that of its source where nothing was hidden"


def _why_noisy(before: Rgb, after: Rgb, outside: Mask) -> str | None:
    """Say that the detail of the source is replaced by as much other detail."""
    source, result = (_detail(picture)[outside] for picture in (before, after))
    if not len(source) or max(source.std(), result.std()) < LEAST_DETAIL or result.std() < source.std() / 2:
        return None  # coding removes detail and does not add any
    correlation = float((source * result).mean() / max(source.std() * result.std(), 1e-6))
    return (
        f"its detail is not that of its source (correlation {correlation:.2f})" if correlation < LEAST_ALIKE else None
    )


def _detail(picture: Rgb) -> npt.NDArray[np.float32]:
    """Return the detail finer than eight pixels, without the finest, which coders drop first."""
    grey = picture.astype(np.float32).mean(axis=2)
    fine: npt.NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 4)
    return fine


def _rim(boxes: Iterable[Box], shape: tuple[int, ...]) -> Mask:
    """Return the pixels of boxes (rows, columns) that lie within `RIM` of their common edge."""
    whole = np.zeros(shape, np.uint8)
    for box in boxes:
        whole[box.slices] = 1
    kernel = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    inner = cv2.erode(whole, kernel, borderType=cv2.BORDER_REPLICATE)
    rim: Mask = whole.astype(bool) & ~inner.astype(bool)
    return rim


def _alpha(frame: Frame) -> npt.NDArray[np.float32] | None:
    """Return the opacity of each pixel of the upright frame, from 0 to 1; None without an alpha plane."""
    for plane in frame.planes:
        if plane.role in _WITH_ALPHA or plane.role == Role.ALPHA:
            stored: Samples = plane.pixels if plane.role == Role.ALPHA else plane.pixels[..., -1]
            return frame.orientation.upright(stored).astype(np.float32) / np.float32((1 << plane.bits) - 1)
    return None
