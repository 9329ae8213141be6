"""Fill: cover a region with one colour."""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from velum.errors import BadPlan
from velum.frame import Plane, Role
from velum.plugins import Patch

_NAMES = {
    "black": "#000000", "white": "#ffffff", "grey": "#808080", "red": "#d00000", "green": "#008000", "blue": "#0040c0",
    "yellow": "#ffd000", "orange": "#ff8000",
}  # fmt: skip

_LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in luma (ITU-R BT.709). Videos with the weights of BT.601 show another shade."""


@dataclass(frozen=True, slots=True)
class Fill:
    """Cover with `color`: a name such as `white`, or `#rrggbb` (red, green, blue). Nothing of the region is left."""

    color: str = "white"
    labels: ClassVar[frozenset[str] | None] = None
    destroys: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", _NAMES.get(self.color, self.color)):
            raise BadPlan(
                f"color of fill is {self.color!r}; it must be of {', '.join(_NAMES)}, or as '#rrggbb' such as '#ff8000'"
            )

    @property
    def rgb(self) -> tuple[float, float, float]:
        """Red, green and blue from 0 to 1."""
        code = _NAMES.get(self.color, self.color)
        red, green, blue = (int(code[place : place + 2], 16) / 255 for place in (1, 3, 5))
        return red, green, blue

    def hide(self, patch: Patch) -> None:
        """Write the colour as each plane stores it. The chroma planes are Cb and Cr, in this order."""
        chroma = 0
        for plane in patch.planes:
            plane.pixels[...] = self._samples_of(plane, chroma)
            chroma += plane.role == Role.CHROMA

    def _samples_of(self, plane: Plane, chroma: int) -> tuple[int, ...]:
        """Return the value of each channel of a plane; `chroma` is the number of chroma planes before it."""
        full = (1 << plane.bits) - 1
        luma = float(np.dot(_LUMA, self.rgb))
        match plane.role:
            case Role.RGB | Role.RGBA:
                channels = tuple(round(share * full) for share in self.rgb)
                return channels if plane.role == Role.RGB else (*channels, full)
            case Role.CMYK:
                ink = max(self.rgb)
                mixed = tuple(round((1 - share / ink) * full) if ink else 0 for share in self.rgb)
                return (*mixed, round((1 - ink) * full))
            case Role.LUMA if plane.limited:
                return (round((16 + 219 * luma) * 2 ** (plane.bits - 8)),)
            case Role.CHROMA:
                # ITU-R BT.709: differences to luma, scaled to half of the range.
                difference = (self.rgb[2] - luma) / 1.8556 if chroma == 0 else (self.rgb[0] - luma) / 1.5748
                swing = 224 * 2 ** (plane.bits - 8) if plane.limited else full
                return (min(full, round(2 ** (plane.bits - 1) + difference * swing)),)
            case Role.ALPHA:
                return (full,)
            case _:
                grey = _grey_of(plane, luma)
                return (grey, full) if plane.role == Role.GREY_ALPHA else (grey,)


def _grey_of(plane: Plane, luma: float) -> int:
    """Return the sample that is shown as this grey, from 0 to 1."""
    if plane.view is None:
        return round(luma * ((1 << plane.bits) - 1))
    return int(np.abs(plane.view.astype(np.int32) - round(luma * 255)).argmin())
