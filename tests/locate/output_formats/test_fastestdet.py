"""FastestDet's grid becomes boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import family


def slow(grid: np.ndarray, width: int, height: int, threshold: float) -> list[list[float]]:
    _, down, across = grid.shape
    found = []
    for kind in range(len(grid) - 5):
        for row in range(down):
            for column in range(across):
                there, dx, dy, w, h = grid[:5, row, column].tolist()
                score = there**0.6 * float(grid[5 + kind, row, column]) ** 0.4
                if score >= threshold:
                    cx, cy = (math.tanh(dx) + column) / across, (math.tanh(dy) + row) / down
                    w, h = 1 / (1 + math.exp(-w)), 1 / (1 + math.exp(-h))
                    shares = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
                    found.append([s * side for s, side in zip(shares, (width, height) * 2, strict=True)])
                    found[-1] += [score, kind]
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_decoding_gives_the_same_as_cell_by_cell(across: int, down: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    grid = random.normal(0, 1, (5 + classes, down, across)).astype(np.float32)
    grid[[0, *range(5, 5 + classes)]] = random.uniform(0, 1, (1 + classes, down, across))
    found = family("fastestdet").decode({"758": grid}, (16 * across, 16 * down), 0.6)
    expected = np.array(slow(grid, 16 * across, 16 * down, 0.6)).reshape(-1, 6)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score, found.kind)), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "reason"), [((5, 22, 22), "no class"), ((22, 22), "no grid"), ((1, 85, 22, 22), "a batch axis")]
)
def test_impossible_shapes_are_refused(shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        family("fastestdet").decode({"758": np.zeros(shape, np.float32)}, (352, 352), 0.5)
