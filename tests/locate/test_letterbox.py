"""A part of an image fills an input, and boxes are mapped back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.frame import Frame, Plane, Role
from velum.locate.output_formats import Input
from velum.locate.tiling import Letterbox, fit, up_to
from velum.region import Box

SIDES = st.integers(1, 65_535)
FORMS = st.builds(
    Input,
    fit=st.sampled_from(["letterbox", "stretch"]),
    stride=st.sampled_from([1, 8, 32]),
    size_wh=st.none() | st.tuples(st.integers(1, 1000), st.integers(1, 1000)),
)


@given(st.integers(0, 1000), st.integers(0, 1000), SIDES, SIDES, st.floats(0.01, 2), FORMS, st.data())
def test_boxes_come_back_within_a_pixel(
    x: int, y: int, width: int, height: int, scale: float, form: Input, data: st.DataObject
) -> None:
    wanted = max(1, round(width * scale)), max(1, round(height * scale))
    placed = fit(Box(x, y, x + width, y + height), wanted, form)
    edges = [data.draw(st.floats(low, low + side, width=32)) for low, side in ((x, width), (y, height)) * 2]
    xyxy = np.array([edges], np.float32)
    assert np.abs(placed.to_picture(placed.to_input(xyxy)) - xyxy).max() < 0.1
    inside = placed.to_input(xyxy)
    assert (inside >= -0.01).all()
    assert (inside <= np.array(placed.input_wh * 2) + 0.1).all()


@pytest.mark.parametrize(
    ("box", "wanted", "form", "content", "size", "why"),
    [
        ((0, 0, 64, 32), (64, 32), Input(), (64, 32), (64, 32), "fits as it is"),
        ((0, 0, 65, 32), (65, 32), Input(), (65, 32), (96, 32), "padded up to the stride"),
        ((0, 0, 1, 1), (1, 1), Input(), (1, 1), (32, 32), "one pixel"),
        ((0, 0, 65, 32), (65, 32), Input(fit="stretch"), (96, 32), (96, 32), "stretched up to the stride"),
        ((0, 0, 200, 100), (9, 9), Input(size_wh=(100, 100)), (100, 50), (100, 100), "keeps the aspect"),
        ((0, 0, 200, 100), (9, 9), Input(size_wh=(100, 100), fit="stretch"), (100, 100), (100, 100), "gives it up"),
        ((0, 0, 5000, 2), (9, 9), Input(size_wh=(100, 100)), (100, 1), (100, 100), "never without a pixel"),
    ],
)
def test_content_and_input_sizes_fit_the_limits(
    box: tuple[int, int, int, int],
    wanted: tuple[int, int],
    form: Input,
    content: tuple[int, int],
    size: tuple[int, int],
    why: str,
) -> None:
    assert fit(Box(*box), wanted, form) == Letterbox(Box(*box), content, size), why


def test_a_view_has_its_padding_right_and_below() -> None:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    frame = Frame.of(Plane(pixels, Role.RGB))
    seen = Letterbox(Box(2, 1, 6, 4), (4, 3), (8, 8)).view(frame, 114)
    assert np.array_equal(seen[:3, :4], pixels[1:4, 2:6])
    assert (seen[3:] == 114).all()
    assert (seen[:, 4:] == 114).all()


@given(st.floats(0.001, 1e6), st.integers(1, 128))
def test_sides_are_rounded_up_to_the_next_multiple(length: float, step: int) -> None:
    up = up_to(length, step)
    assert up % step == 0
    assert up - step < length <= up
