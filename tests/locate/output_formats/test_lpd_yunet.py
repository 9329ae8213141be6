"""Corners of licence plates become boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Tensors, family

SIDES = [[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]]


def slow_priors(width: int, height: int) -> list[tuple[float, float, float]]:
    """Centre and side of every prior in pixels. The first two layers halve, the first of them rounding up."""
    rows: list[tuple[float, float, float]] = []
    down, across = (height + 1) // 2 // 2, (width + 1) // 2 // 2
    for step, sides in enumerate(SIDES):
        down, across, stride = down // 2, across // 2, 8 << step
        for row in range(down):
            for column in range(across):
                rows += [((column + 0.5) * stride, (row + 0.5) * stride, side) for side in sides]
    return rows


def heads(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    likely = random.uniform(0, 1, count)
    return {
        "loc": random.normal(0, 3, (count, 14)).astype(np.float32),
        "conf": np.column_stack((1 - likely, likely)).astype(np.float32),
        "iou": random.uniform(-0.2, 1.2, (count, 1)).astype(np.float32),
    }


def slow(outputs: Tensors, width: int, height: int, threshold: float) -> list[list[float]]:
    rows = []
    for i, (x, y, side) in enumerate(slow_priors(width, height)):
        score = math.sqrt(outputs["conf"][i, 1] * min(1, max(0, outputs["iou"][i, 0])))
        if score >= threshold:
            loc = outputs["loc"][i].tolist()
            corners = [(x + loc[a] * 0.1 * side, y + loc[a + 1] * 0.1 * side) for a in (4, 6, 10, 12)]
            around = [(corners[k - 1], corners[k], corners[(k + 1) % 4]) for k in range(4)]
            xs, ys = zip(
                *([c + 0.1 * (2 * c - a - b) for a, c, b in zip(*near, strict=True)] for near in around), strict=True
            )
            rows.append([min(xs), min(ys), max(xs), max(ys), score])
    return rows


def test_there_are_as_many_priors_as_in_the_published_network() -> None:
    assert len(slow_priors(320, 240)) == 4385


@settings(max_examples=15, deadline=None)
@given(st.integers(64, 200), st.integers(64, 200), st.integers(0, 99))
def test_decoding_gives_the_same_as_prior_by_prior(width: int, height: int, seed: int) -> None:
    outputs = heads(len(slow_priors(width, height)), seed)
    found = family("lpd_yunet").decode(outputs, (width, height), 0.8)
    expected = np.array(slow(outputs, width, height, 0.8)).reshape(-1, 5)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score)), expected, rtol=1e-4, atol=1e-3)


def test_heads_of_another_input_size_are_refused() -> None:
    with pytest.raises(ValueError, match="as an input of"):
        family("lpd_yunet").decode(heads(4385, 0), (640, 480), 0.5)


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ([(100, 100), (200, 100), (200, 120), (100, 120)], [90, 98, 210, 122]),
        ([(100, 100), (160, 180), (144, 192), (84, 112)], [76.4, 90.8, 167.6, 201.2]),
        ([(100, 200), (100, 100), (120, 100), (120, 200)], [98, 90, 122, 210]),
    ],
    ids=["level", "slanted", "upright"],
)
def test_boxes_reach_beyond_the_corners_along_the_plate(corners: list[tuple[int, int]], box: list[float]) -> None:
    """By a tenth of its width at either end and of its height above and below, however it is turned."""
    width, height = 256, 256
    x, y, side = slow_priors(width, height)[-1]
    count = len(slow_priors(width, height))
    outputs = {name: np.zeros((count, columns), np.float32) for name, columns in (("loc", 14), ("conf", 2), ("iou", 1))}
    outputs["conf"][-1, 1] = outputs["iou"][-1] = 1
    outputs["loc"][-1, [4, 5, 6, 7, 10, 11, 12, 13]] = ((np.array(corners) - (x, y)) / (0.1 * side)).ravel()
    detections = family("lpd_yunet").decode(outputs, (width, height), 0.5)
    np.testing.assert_allclose(detections.xyxy, [box], atol=0.01)
    assert detections.points is not None
    assert detections.points.shape == (1, 4, 2)
    np.testing.assert_allclose(detections.points.mean(axis=1), [np.mean(corners, axis=0)], atol=0.01)
    around = [*detections.points.min(axis=(0, 1)), *detections.points.max(axis=(0, 1))]
    np.testing.assert_allclose(around, box, atol=0.01)
