"""What the tracker gets to know of one frame."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from velum.errors import BadInput
from velum.region import Region

Thumbnail = npt.NDArray[np.uint8]
"""Grey upright picture (rows, columns), about 480 columns wide."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One frame: where things were found in it, and what it looks like, small and grey.

    `width` and `height` are of the upright picture, whose pixels the regions count; `thumb` shows all of it.
    `regions` is None where nobody looked.
    """

    index: int
    width: int
    height: int
    regions: tuple[Region, ...] | None
    thumb: Thumbnail

    def __post_init__(self) -> None:
        if self.thumb.ndim != 2 or self.thumb.dtype != np.uint8 or min(self.thumb.shape) < 16:
            raise BadInput(
                f"thumb of frame {self.index} is {self.thumb.dtype} {self.thumb.shape}; "
                "it must be uint8 (rows, columns), at least 16 x 16"
            )
