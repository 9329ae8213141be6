"""How a part of a picture fills the input of a network, and back again."""

import math
from dataclasses import dataclass

import numpy as np

from velum.frame import Frame, Rgb
from velum.locate.output_formats import Floats, Input
from velum.region import Box


@dataclass(frozen=True, slots=True)
class Letterbox:
    """`box` of a picture, scaled to `content_wh`, in the top left corner of an input of `input_wh` pixels."""

    box: Box
    content_wh: tuple[int, int]
    input_wh: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the input per pixel of the picture, across and down."""
        return self.content_wh[0] / self.box.width, self.content_wh[1] / self.box.height

    def to_input(self, xyxy: Floats) -> Floats:
        """Return boxes (n, 4), given in pixels of the picture, in pixels of the input."""
        return (xyxy - self._shift) * self._factor

    def to_picture(self, xyxy: Floats) -> Floats:
        """Return boxes (n, 4), given in pixels of the input, in pixels of the picture; the inverse of `to_input`."""
        return xyxy / self._factor + self._shift

    @property
    def _shift(self) -> Floats:
        return np.array([self.box.x0, self.box.y0] * 2, np.float32)

    @property
    def _factor(self) -> Floats:
        return np.array(self.scale * 2, np.float32)

    def view(self, frame: Frame, pad: int) -> Rgb:
        """Return what the network sees (height, width, 3); what lies right of and below the content is `pad`."""
        content = frame.rgb(*self.content_wh, self.box)
        if self.content_wh == self.input_wh:
            return content
        width, height = self.input_wh
        filled = np.full((height, width, 3), pad, np.uint8)
        filled[: content.shape[0], : content.shape[1]] = content
        return filled


def fit(box: Box, wanted_wh: tuple[int, int], form: Input) -> Letterbox:
    """Return how `box`, wanted at a size of `wanted_wh`, fills an input of that form.

    A network that takes any size gets the smallest input, with sides in multiples of its stride, that holds it. For one
    that takes a single size, the box is made as large as that holds.
    """
    if form.size_wh is None:
        input_wh = up_to(wanted_wh[0], form.stride), up_to(wanted_wh[1], form.stride)
        return Letterbox(box, input_wh if form.fit == "stretch" else wanted_wh, input_wh)
    if form.fit == "stretch":
        return Letterbox(box, form.size_wh, form.size_wh)
    scale = min(form.size_wh[0] / box.width, form.size_wh[1] / box.height)
    return Letterbox(box, (max(1, round(box.width * scale)), max(1, round(box.height * scale))), form.size_wh)


def up_to(length: float, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `length`."""
    return math.ceil(length / step) * step
