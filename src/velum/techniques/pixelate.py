"""Pixelate: replace a region by a coarse grid of mean colours."""

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from cv2.typing import MatLike

from velum.errors import BadPlan
from velum.plugins import Patch
from velum.techniques import check_passes, count_passes

SMALLEST_CELL = 4
"""Pixels on a side of a cell: a finer grid would leave small regions as they were."""

READABLE_CELLS = 8
"""Most cells along the longer side behind which a trained network does not name a face more often than twice by chance
(docs/strength.md)."""

EXACT_PASSES = 16
"""Passes above which a Gaussian kernel is as good as the exact one."""


@dataclass(frozen=True, slots=True)
class Pixelate:
    """Average over square cells, at most floor(1 / degree) along the longer side and none under 4 pixels a side.

    The number of cells does not depend on the region's size, so a large face is hidden as well as a small one.

    With `per_object` or `per_overlap` (see `velum.techniques.count_passes`) cells take on colour of their neighbours in
    each pass, at least as much as in the BMW Anonymization API.
    """

    degree: float = 0.2
    per_object: int = 0
    per_overlap: int = 0
    labels: ClassVar[frozenset[str] | None] = None
    destroys: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= 1:
            raise BadPlan(f"degree of pixelate is {self.degree}; it must be from 0 (cells of 4 pixels) to 1 (one cell)")
        check_passes("pixelate", self.per_object, self.per_overlap)

    @property
    def warning(self) -> str | None:
        """Warns of a low degree: many cells leave the features of a face readable."""
        if self._most_cells <= READABLE_CELLS:
            return None
        return (
            f"pixelate of degree {self.degree} gives more than {READABLE_CELLS} cells a side and can leave a face "
            f"recognisable; use at least {1 / READABLE_CELLS}"
        )

    @property
    def _most_cells(self) -> int:
        # 1 / 0.05 can fall just below 20: rounding to nine digits keeps the floor honest.
        return int(round(1 / max(self.degree, 1e-6), 9))

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Return the number of cells (columns, rows) for a region of `width` x `height` pixels."""
        longer = max(width, height)
        cell = max(SMALLEST_CELL, longer / self._most_cells)
        return max(1, int(width / cell)), max(1, int(height / cell))

    def hide(self, patch: Patch) -> None:
        """Average each plane over the same grid: area means down, nearest neighbour up."""
        columns, rows = self.grid(patch.width, patch.height)
        repeats = count_passes(patch, self.per_object, self.per_overlap) if self.per_object or self.per_overlap else 0
        for plane in patch.planes:
            height, width = plane.pixels.shape[:2]
            cells = cv2.resize(plane.pixels, (min(columns, width), min(rows, height)), interpolation=cv2.INTER_AREA)
            cells = _mix_cells(cells, repeats + 1) if repeats else cells  # its first pass mixes, too
            plane.pixels[...] = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST).reshape(
                plane.pixels.shape
            )


def _mix_cells(cells: MatLike, repeats: int) -> MatLike:
    """Return the cells after `repeats` passes, each of which mixes a cell with its neighbours, across and down.

    The triangle filter of the BMW API, two cells wide, has a variance of a quarter of a cell, and more at the border;
    that of [1/6, 2/3, 1/6] is a third.
    """
    if repeats > EXACT_PASSES:
        sigma = min(math.sqrt(repeats / 3), 2.0 * max(cells.shape[:2]))
        return cv2.GaussianBlur(cells, (0, 0), sigmaX=sigma, borderType=cv2.BORDER_REFLECT)
    kernel = np.ones(1)
    for _ in range(repeats):
        kernel = np.convolve(kernel, (1 / 6, 2 / 3, 1 / 6))
    return cv2.sepFilter2D(cells, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
