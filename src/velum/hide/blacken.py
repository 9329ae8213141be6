"""Fill with black."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from velum.errors import BadPlan
from velum.frame import Samples
from velum.plugins import Patch


@dataclass(frozen=True, slots=True)
class Blacken:
    """Blend to black; `degree` is the opacity. At 1 nothing of the region is left."""

    degree: float = 1.0
    labels: ClassVar[frozenset[str] | None] = None

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= 1:
            raise BadPlan(f"degree of blacken is {self.degree}; it must be from 0 (nothing) to 1 (solid black)")

    @property
    def destroys(self) -> bool:
        """True at full opacity."""
        return self.degree == 1

    @property
    def doubt(self) -> str | None:
        """A blend can be turned back by a linear stretch."""
        return None if self.destroys else f"blacken with opacity {self.degree} can be undone; only degree 1 destroys"

    def hide(self, patch: Patch) -> None:
        """Blend every sample with the plane's own black."""
        for plane in patch.planes:
            if self.destroys:
                _fill(plane.pixels, plane.black)
            else:
                black = np.empty_like(plane.pixels)
                _fill(black, plane.black)
                mixed = cv2.addWeighted(plane.pixels, 1 - self.degree, black, self.degree, 0)
                plane.pixels[...] = mixed.reshape(black.shape)


def _fill(samples: Samples, colour: tuple[int, ...]) -> None:
    # Broadcasting a colour along the last axis is ten times slower than filling with one value.
    samples[...] = colour[0] if len(set(colour)) == 1 else colour
