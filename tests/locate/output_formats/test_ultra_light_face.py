"""Scores and boxes of ultra light face detectors become faces."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import family

SIDES = {8: [10, 16, 24], 16: [32, 48], 32: [64, 96], 64: [128, 192, 256]}


def slow_priors(width: int, height: int) -> list[tuple[float, ...]]:
    """Centre and size of every prior, one after the other, as shares of the input."""
    rows = []
    for stride, sides in SIDES.items():
        for row in range(math.ceil(height / stride)):
            for column in range(math.ceil(width / stride)):
                for side in sides:
                    prior = (column + 0.5) * stride / width, (row + 0.5) * stride / height, side / width, side / height
                    rows.append(tuple(min(1, max(0, value)) for value in prior))
    return rows


def slow_boxes(offsets: np.ndarray, width: int, height: int) -> np.ndarray:
    """Decode prior by prior; edges as shares of the input."""
    boxes = []
    for (x, y, w, h), (dx, dy, dw, dh) in zip(slow_priors(width, height), offsets.tolist(), strict=True):
        cx, cy = x + dx * 0.1 * w, y + dy * 0.1 * h
        across, down = w * math.exp(dw * 0.2) / 2, h * math.exp(dh * 0.2) / 2
        boxes.append([cx - across, cy - down, cx + across, cy + down])
    return np.array(boxes, np.float32)


@pytest.mark.parametrize(("size", "count"), [((320, 240), 4420), ((640, 480), 17640)])
def test_there_are_as_many_priors_as_in_the_published_networks(size: tuple[int, int], count: int) -> None:
    assert len(slow_priors(*size)) == count


@settings(max_examples=15, deadline=None)
@given(st.integers(64, 200), st.integers(64, 200), st.integers(2, 3), st.integers(0, 99), st.booleans())
def test_offsets_and_finished_boxes_give_the_same(
    width: int, height: int, classes: int, seed: int, finished: bool
) -> None:
    random = np.random.default_rng(seed)
    offsets = random.normal(0, 2, (len(slow_priors(width, height)), 4)).astype(np.float32)
    boxes = slow_boxes(offsets, width, height)
    scores = random.dirichlet(np.ones(classes), len(offsets)).astype(np.float32)
    outputs = {"boxes": boxes if finished else offsets, "scores": scores}  # the order of outputs means nothing
    found = family("ultra_light_face").decode(outputs, (width, height), 0.9)
    expected = [(i, kind) for i in range(len(scores)) for kind in range(1, classes) if scores[i, kind] >= 0.9]
    np.testing.assert_allclose(
        found.xyxy, boxes[[i for i, _ in expected]] * [width, height, width, height], rtol=1e-4, atol=2e-3
    )
    assert found.kind.tolist() == [kind for _, kind in expected]
    np.testing.assert_array_equal(found.score, [scores[i, kind] for i, kind in expected])


@pytest.mark.parametrize(
    ("scores", "boxes", "reason"),
    [
        ((4420, 1), (4420, 4), "no class beside the background"),
        ((4420, 2), (4419, 4), "a score without box"),
        ((4420, 2), (4420, 5), "five edges"),
        ((1, 4420, 2), (1, 4420, 4), "a batch axis"),
    ],
)
def test_impossible_shapes_are_refused(scores: tuple[int, ...], boxes: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match="scores"):
        family("ultra_light_face").decode({"scores": np.ones(scores), "boxes": np.ones(boxes)}, (320, 240), 0.5)


def test_offsets_for_another_input_size_are_refused() -> None:
    offsets = np.tile(np.array([1, 1, 0, 0], np.float32), (4420, 1))
    with pytest.raises(ValueError, match="4420 boxes are not the 17640"):
        family("ultra_light_face").decode({"scores": np.ones((4420, 2)), "boxes": offsets}, (640, 480), 0.5)
