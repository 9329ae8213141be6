"""Kernels in a text map become lines."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.errors import PluginFault
from velum.locate.output_formats import Signature
from velum.locate.output_formats.db import FAMILY, UNCLIP, lines


def kernel(angle: float, width: float = 120, height: float = 16, level: int = 200) -> np.ndarray:
    """Return a map with one kernel of that size in its middle, turned by `angle` degrees."""
    canvas = np.zeros((300, 300), np.uint8)
    points = cv2.boxPoints(((150.0, 150.0), (width, height), angle))
    cv2.fillPoly(canvas, [np.rint(points * 256).astype(np.int32)], level, shift=8)
    return canvas


@settings(max_examples=40, deadline=None)
@given(st.floats(-180, 180), st.floats(40, 200), st.floats(6, 30))
def test_a_line_is_its_kernel_grown_by_area_over_perimeter(angle: float, width: float, height: float) -> None:
    corners, score = lines(kernel(angle, width, height), 0.5)
    assert score == pytest.approx([200 / 255])
    across, down = (np.linalg.norm(corners[0, i] - corners[0, 0]) for i in (1, 3))
    more = UNCLIP * width * height / (width + height)
    # Every pixel that the kernel's edge touches is painted: it is up to two pixels larger, and so grows further.
    assert width + more - 1 < across < width + more + 9
    assert height + more - 1 < down < height + more + 9
    np.testing.assert_allclose(corners[0].mean(axis=0), (150.5, 150.5), atol=1.5)
    step = corners[0, 1] - corners[0, 0]
    turn = (math.degrees(math.atan2(step[1], step[0])) - angle) % 180
    assert min(turn, 180 - turn) < 4, "the first side lies along the text"


@pytest.mark.parametrize("angle", [-80, -45, -10, 0, 10, 45, 80])
def test_the_first_side_of_a_line_runs_to_the_right(angle: float) -> None:
    corners, _ = lines(kernel(angle), 0.5)
    assert corners[0, 1, 0] > corners[0, 0, 0]
    first, second = corners[0, 1] - corners[0, 0], corners[0, 2] - corners[0, 1]
    assert first[0] * second[1] - first[1] * second[0] > 0, "clockwise, as seen"


def test_lines_from_the_threshold_on_come_best_first() -> None:
    canvas = np.zeros((100, 100), np.uint8)
    for y, level in ((10, 120), (40, 250), (70, 90)):
        canvas[y : y + 8, 20:70] = level
    assert lines(canvas, 0.4)[1].tolist() == pytest.approx([250 / 255, 120 / 255])
    assert lines(canvas, 0.3)[1].shape == (3,)
    assert lines(canvas, 0.99)[0].shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("height", "count"),
    [
        (1, 0),  # noise: text of that height has no shape
        (2, 1),
        (3, 1),
    ],
)
def test_kernels_without_an_area_give_no_line(height: int, count: int) -> None:
    canvas = np.zeros((50, 50), np.uint8)
    canvas[20 : 20 + height, 5:45] = 255
    assert len(lines(canvas, 0.3)[1]) == count


@pytest.mark.parametrize("shape", [(1, 4, 6), (4, 6)])
def test_a_map_of_several_layers_is_refused(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape)
    np.testing.assert_allclose(FAMILY.read({"out": values}, 1)[0], values.reshape(4, 6), atol=1e-6)


def test_other_layouts_are_refused() -> None:
    with pytest.raises(PluginFault, match="text map"):
        FAMILY.read({"out": np.zeros((2, 4, 6))}, 1)


@pytest.mark.parametrize(
    ("taken", "given_", "is_db"),
    [
        ((None, 3, None, None), (None, 1, None, None), True),
        ((1, 3, None, None), (1, 1, None, None), True),
        ((1, 256, 256, 3), (1, 256, 256, 1), False),  # selfie
        ((None, 3, None, None), (None, 19, None, None), False),
    ],
)
def test_the_format_is_recognised_by_its_shape(taken: tuple[int, ...], given_: tuple[int, ...], is_db: bool) -> None:
    assert (FAMILY.recognise(Signature({"in": taken}, {"out": given_})) is not None) == is_db
