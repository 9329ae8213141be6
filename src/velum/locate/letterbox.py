"""Scale a part of an image into a network input, and map boxes back to the image."""

import math
from dataclasses import dataclass

import numpy as np

from velum.frame import Frame, Rgb
from velum.locate.output_formats import Floats, Input
from velum.region import Box


@dataclass(frozen=True, slots=True)
class Letterbox:
    """`box` of an image, scaled to `content_wh`, in the top left corner of an input of `input_wh` pixels."""

    box: Box
    content_wh: tuple[int, int]
    input_wh: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per image pixel, across and down."""
        return self.content_wh[0] / self.box.width, self.content_wh[1] / self.box.height

    def to_input(self, xyxy: Floats) -> Floats:
        """Convert boxes (n, 4) from image pixels to input pixels."""
        return (xyxy - self._shift) * self._factor

    def to_picture(self, xyxy: Floats) -> Floats:
        """Convert boxes (n, 4) from input pixels to image pixels."""
        return xyxy / self._factor + self._shift

    @property
    def _shift(self) -> Floats:
        return np.array([self.box.x0, self.box.y0] * 2, np.float32)

    @property
    def _factor(self) -> Floats:
        return np.array(self.scale * 2, np.float32)

    def view(self, frame: Frame, pad: int) -> Rgb:
        """Return the network input (height, width, 3); pixels right of and below the content are `pad`."""
        content = frame.rgb(*self.content_wh, self.box)
        if self.content_wh == self.input_wh:
            return content
        width, height = self.input_wh
        filled = np.full((height, width, 3), pad, np.uint8)
        filled[: content.shape[0], : content.shape[1]] = content
        return filled


def fit(box: Box, wanted_wh: tuple[int, int], form: Input) -> Letterbox:
    """Place `box` in an input of the form, scaled to `wanted_wh` where the form allows.

    A network for any size gets the smallest input that holds the box, with sides in multiples of its stride. In a
    network of fixed size the box is scaled to fill the input.
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
