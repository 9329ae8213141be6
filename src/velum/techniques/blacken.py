"""Blacken: fill a region with black."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadPlan
from velum.frame import Plane, Samples
from velum.plugins import Patch
from velum.techniques import check_passes, count_passes

MOST_ROUNDED = 5000
"""Passes after which rounding changes no value any more, at any degree that the BMW interface takes."""


@dataclass(frozen=True, slots=True)
class Blacken:
    """Blend with black; `degree` is the opacity. At 1 nothing of the region is left.

    With `per_object` or `per_overlap` (see `velum.techniques.count_passes`) the blend is repeated, each time rounded
    towards black, as the BMW Anonymization API does: p passes leave (1 - degree)^p.
    """

    degree: float = 1.0
    per_object: int = 0
    per_overlap: int = 0
    labels: ClassVar[frozenset[str] | None] = None

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= 1:
            raise BadPlan(f"degree of blacken is {self.degree}; it must be from 0 (nothing) to 1 (solid black)")
        check_passes("blacken", self.per_object, self.per_overlap)

    @property
    def destroys(self) -> bool:
        """True at full opacity."""
        return self.degree == 1

    @property
    def warning(self) -> str | None:
        """Warns of a degree below 1: a linear stretch restores what was blended."""
        return None if self.destroys else f"blacken with opacity {self.degree} can be undone; only degree 1 destroys"

    def hide(self, patch: Patch) -> None:
        """Blend every sample with the plane's own black."""
        repeats = count_passes(patch, self.per_object, self.per_overlap) if self.per_object or self.per_overlap else 0
        for plane in patch.planes:
            if self.destroys:
                _fill(plane.pixels, plane.black)
            elif repeats:
                _blend(plane, self.degree, repeats)
            else:
                black = np.empty_like(plane.pixels)
                _fill(black, plane.black)
                mixed = cv2.addWeighted(plane.pixels, 1 - self.degree, black, self.degree, 0)
                plane.pixels[...] = mixed.reshape(black.shape)


def _fill(samples: Samples, colour: tuple[int, ...]) -> None:
    # Broadcasting a colour along the last axis is ten times slower than filling with one value.
    samples[...] = colour[0] if len(set(colour)) == 1 else colour


def _blend(plane: Plane, degree: float, repeats: int) -> None:
    """Blend `repeats` times. Each pass works on the whole numbers that the one before left."""
    channels = plane.pixels.reshape(*plane.pixels.shape[:2], -1)
    tables = {black: _table(black, plane.bits, degree, repeats) for black in set(plane.black)}
    for i, black in enumerate(plane.black):
        channels[..., i] = tables[black][channels[..., i]]


@lru_cache(maxsize=256)
def _table(black: int, bits: int, degree: float, repeats: int) -> Samples:
    """Return a lookup table: the blended value of each value that a sample can have."""
    above = np.arange(1 << bits, dtype=np.float32) - np.float32(black)
    if bits > 8:  # deeper samples lose next to nothing by rounding, and the API has none
        deep: npt.NDArray[np.uint16] = (np.trunc(above * (1 - degree) ** repeats) + black).astype(np.uint16)
        return deep
    for _ in range(min(repeats, MOST_ROUNDED)):
        # In 32 bits, as Pillow's blend: at degree 0.1 ten must become nine, not eight.
        reduced = np.trunc(above + np.float32(degree) * -above)
        if np.array_equal(reduced, above):
            break
        above = reduced
    return (above + np.float32(black)).astype(np.uint8)
