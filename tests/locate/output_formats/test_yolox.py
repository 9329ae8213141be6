"""YOLOX's cells become boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import family


def cells(width: int, height: int) -> list[tuple[int, int, int]]:
    """Column, row and stride, in the network's order."""
    return [(x, y, s) for s in (8, 16, 32) for y in range(height // s) for x in range(width // s)]


def slow(rows: np.ndarray, width: int, height: int, threshold: float) -> list[list[float]]:
    found = []
    for (x, y, stride), row in zip(cells(width, height), rows.tolist(), strict=True):
        for kind, score in enumerate(row[5:]):
            if row[4] * score >= threshold:
                cx, cy = (x + row[0]) * stride, (y + row[1]) * stride
                w, h = math.exp(row[2]) * stride, math.exp(row[3]) * stride
                found.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, row[4] * score, kind])
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99), st.sampled_from([0.01, 0.5, 0.9]))
def test_decoding_gives_the_same_as_cell_by_cell(
    across: int, down: int, classes: int, seed: int, threshold: float
) -> None:
    width, height = 32 * across, 32 * down
    random = np.random.default_rng(seed)
    rows = random.uniform(0, 1, (len(cells(width, height)), 5 + classes)).astype(np.float32)
    found = family("yolox").decode({"output": rows}, (width, height), threshold)
    expected = np.array(slow(rows, width, height, threshold)).reshape(-1, 6)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score, found.kind)), expected, rtol=1e-4, atol=1e-3)


def test_every_class_above_the_threshold_counts() -> None:
    """What is perhaps a person and rather a bicycle must be hidden when persons are."""
    rows = np.zeros((21, 7), np.float32)
    rows[20, 4:] = 1, 0.4, 0.6
    assert family("yolox").decode({"output": rows}, (32, 32), 0.3).kind.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((20, 85), "a row too few"), ((21, 5), "no class"), ((1, 21, 85), "a batch axis"), ((85, 21), "turned")],
)
def test_impossible_shapes_are_refused(shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        family("yolox").decode({"output": np.zeros(shape, np.float32)}, (32, 32), 0.5)
