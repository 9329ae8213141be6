"""Blur: a Gaussian blur that is strong enough for the size of the region."""

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2

from velum.errors import BadPlan
from velum.frame import Samples
from velum.plugins import Patch
from velum.techniques import check_passes, count_passes

SIGMA_PIXELS = 25.0
"""Standard deviation in pixels at degree 1, as the BMW Anonymization API has it."""

SIGMA_SHARE = 0.25
"""Standard deviation at degree 1 as a share of the region's shorter side, so that large faces are not hidden less."""

WORKING_SIGMA = 3.0
"""The region is reduced until sigma is about this many samples: a wide blur leaves no finer detail to lose."""

PASS_MARGIN = 1.25
"""Factor of sigma where it stands for passes of the BMW API: its filter, three means, blurs more near the edges."""

WEAK_DEGREE = 1.0
"""Below it, a trained network can name a hidden face more often than twice by chance; 0.75 is the next degree that was
measured (docs/strength.md)."""


@dataclass(frozen=True, slots=True)
class Blur:
    """Gaussian blur with a sigma of `degree` times the larger of 25 px and a quarter of the region's shorter side.

    Only samples of the region's own box enter; at its edges they are repeated.

    With `per_object` or `per_overlap` (see `velum.techniques.count_passes`) it stands for p passes of the BMW
    Anonymization API, whose variances add: sigma times sqrt(p). Samples are then mirrored at the edges, which is what
    several passes that repeat them amount to.
    """

    degree: float = 1.0
    per_object: int = 0
    per_overlap: int = 0
    labels: ClassVar[frozenset[str] | None] = None
    destroys: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= 1:
            raise BadPlan(
                f"degree of blur is {self.degree}; it must be from 0 (nothing) to 1 (sigma of at least 25 px)"
            )
        check_passes("blur", self.per_object, self.per_overlap)

    @property
    def warning(self) -> str | None:
        """Warns of a low degree: a narrow blur can be sharpened again."""
        return (
            None
            if self.degree >= WEAK_DEGREE
            else f"blur of degree {self.degree} can leave a face recognisable; use at least {WEAK_DEGREE:g}"
        )

    def sigma_pixels(self, width: int, height: int) -> float:
        """Return the standard deviation, in pixels, for a region of `width` x `height` pixels."""
        return self.degree * max(SIGMA_PIXELS, SIGMA_SHARE * min(width, height))

    def hide(self, patch: Patch) -> None:
        """Blur every plane by the same number of pixels."""
        sigma, edges = self.sigma_pixels(patch.width, patch.height), cv2.BORDER_REPLICATE
        if self.per_object or self.per_overlap:
            sigma *= math.sqrt(count_passes(patch, self.per_object, self.per_overlap)) * PASS_MARGIN
            # Twice the longer side leaves one colour: more would only take time.
            sigma, edges = min(sigma, 2.0 * max(patch.width, patch.height, SIGMA_PIXELS)), cv2.BORDER_REFLECT
        if sigma:
            for plane in patch.planes:
                plane.pixels[...] = _gaussian(plane.pixels, sigma / plane.scale_x, sigma / plane.scale_y, edges)


def _gaussian(samples: Samples, sigma_x: float, sigma_y: float, edges: int = cv2.BORDER_REPLICATE) -> Samples:
    """Return the blurred samples: halved several times, blurred, enlarged. The detour only adds blur.

    OpenCV has vector code for means of 2 x 2 samples only: in steps, a large region takes a fifth of the time.
    """
    height, width = samples.shape[:2]
    across, down = (max(0, math.floor(math.log2(sigma / WORKING_SIGMA))) for sigma in (sigma_x, sigma_y))
    right, below = -width % (1 << across), -height % (1 << down)
    small = cv2.copyMakeBorder(samples, 0, below, 0, right, edges)
    whole = small.shape[1], small.shape[0]
    for step in range(max(across, down)):
        size = small.shape[1] >> (step < across), small.shape[0] >> (step < down)
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(
        small, (0, 0), sigmaX=sigma_x / (1 << across), sigmaY=sigma_y / (1 << down), borderType=edges
    )
    blurred = cv2.resize(small, whole, interpolation=cv2.INTER_LINEAR)[:height, :width]
    return blurred.reshape(samples.shape)  # type: ignore[return-value]  # of the type of the samples
