"""Gaussian blur, strong enough for the region's size."""

from dataclasses import dataclass
from typing import ClassVar

import cv2

from velum.errors import BadPlan
from velum.frame import Samples
from velum.plugins import Patch

SIGMA_PIXELS = 25.0
"""Standard deviation in pixels at degree 1, as the BMW Anonymization API has it."""

SIGMA_SHARE = 0.25
"""Standard deviation at degree 1 as a share of the region's shorter side, so that large faces are not hidden less."""

WORKING_SIGMA = 3.0
"""The region is reduced until sigma is about this many samples: a wide blur leaves no finer detail to lose."""

WEAK_DEGREE = 0.5


@dataclass(frozen=True, slots=True)
class Blur:
    """Gaussian blur with a sigma of `degree` times the larger of 25 px and a quarter of the region's shorter side.

    Only samples of the region's own box enter; at its edges they are repeated.
    """

    degree: float = 1.0
    labels: ClassVar[frozenset[str] | None] = None
    destroys: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= 1:
            raise BadPlan(
                f"degree of blur is {self.degree}; it must be from 0 (nothing) to 1 (sigma of at least 25 px)"
            )

    @property
    def doubt(self) -> str | None:
        """A narrow blur can be sharpened again."""
        return (
            None
            if self.degree >= WEAK_DEGREE
            else f"blur of degree {self.degree} can leave a face recognisable; use at least {WEAK_DEGREE}"
        )

    def sigma_pixels(self, width: int, height: int) -> float:
        """Return the standard deviation, in pixels, for a region of `width` x `height` pixels."""
        return self.degree * max(SIGMA_PIXELS, SIGMA_SHARE * min(width, height))

    def hide(self, patch: Patch) -> None:
        """Blur every plane by the same number of pixels."""
        sigma = self.sigma_pixels(patch.width, patch.height)
        if sigma:
            for plane in patch.planes:
                plane.pixels[...] = _gaussian(plane.pixels, sigma / plane.scale_x, sigma / plane.scale_y)


def _gaussian(samples: Samples, sigma_x: float, sigma_y: float) -> Samples:
    """Return the blurred samples: reduced by area means, blurred, enlarged. The detour only adds blur."""
    height, width = samples.shape[:2]
    columns, rows = (max(1, round(n / max(1, s / WORKING_SIGMA))) for n, s in ((width, sigma_x), (height, sigma_y)))
    small = cv2.resize(samples, (columns, rows), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(
        small, (0, 0), sigmaX=sigma_x * columns / width, sigmaY=sigma_y * rows / height, borderType=cv2.BORDER_REPLICATE
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(samples.shape)  # type: ignore[return-value]
