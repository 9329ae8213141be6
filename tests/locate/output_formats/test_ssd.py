"""Rows of DetectionOutput, and lists, become boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import family

DECODE = family("ssd").decode


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12), st.integers(0, 99), st.sampled_from([(1, 12, 7), (1, 1, 12, 7), (12, 7)]))
def test_rows_are_read_up_to_the_end_mark(end: int, seed: int, shape: tuple[int, ...]) -> None:
    """Rows behind image -1 are what was in memory."""
    random = np.random.default_rng(seed)
    rows = random.uniform(0, 1, (12, 7)).astype(np.float32)
    rows[:, 0], rows[:, 1] = 0, random.integers(0, 91, 12)
    if end < 12:
        rows[end, 0] = -1
    found = DECODE({"detection_out": rows.reshape(shape)}, (640, 384), 0.5)
    expected = [row for row in rows[:end].tolist() if row[2] >= 0.5]
    np.testing.assert_allclose(found.xyxy, np.array(expected).reshape(-1, 7)[:, 3:] * [640, 384, 640, 384], rtol=1e-5)
    assert found.kind.tolist() == [row[1] for row in expected]
    np.testing.assert_allclose(found.score, [row[2] for row in expected])


BOXES = np.array([[10, 20, 30, 40], [1, 2, 3, 4], [50, 60, 70, 80]], np.float32)
SCORES = np.array([0.9, 0.2, 0.6], np.float32)
WITH_SCORES = np.concatenate((BOXES, SCORES[:, None]), axis=1)


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ({"boxes": WITH_SCORES, "labels": np.array([3, 1, 2])}, "Open Model Zoo"),
        ({"labels": np.array([3, 1, 2], np.float32), "boxes": WITH_SCORES}, "classes as fractions"),
        ({"boxes": BOXES, "labels": np.array([3, 1, 2]), "scores": SCORES}, "torchvision"),
        ({"12": SCORES, "34": BOXES, "56": np.array([3, 1, 2], np.int32)}, "names that say nothing"),
        ({"boxes": WITH_SCORES, "labels": np.array([3, 1, 2]), "feature_vector": np.zeros((1, 8))}, "extra outputs"),
    ],
)
def test_lists_of_boxes_classes_and_scores_are_decoded(outputs: dict[str, np.ndarray], reason: str) -> None:
    found = DECODE(outputs, (100, 100), 0.5)
    np.testing.assert_array_equal(found.xyxy, BOXES[[0, 2]])
    np.testing.assert_array_equal(found.score, SCORES[[0, 2]])
    assert found.kind.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"boxes": (3, 4), "labels": (3,)}, "no scores"),
        ({"boxes": (3, 5), "labels": (4,)}, "a label too many"),
        ({"boxes": (3, 6), "labels": (3,)}, "six columns"),
        ({"boxes": (3, 5), "more": (3, 4), "labels": (3,)}, "two lists of boxes"),
        ({}, "no outputs"),
    ],
)
def test_impossible_shapes_are_refused(shapes: dict[str, tuple[int, ...]], reason: str) -> None:
    with pytest.raises(ValueError, match="there must be one"):
        DECODE({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, (100, 100), 0.5)
