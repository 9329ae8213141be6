"""NanoDet's distributions become boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Tensors, family


def counts(width: int, height: int, levels: int) -> list[int]:
    return [math.ceil(width / s) * math.ceil(height / s) for s in (8, 16, 32, 64)[:levels]]


def level(count: int, classes: int, bins: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    scores = random.uniform(0, 1, (count, classes)).astype(np.float32)
    return scores, random.normal(0, 3, (count, 4 * bins)).astype(np.float32)


def slow(levels: list[tuple[np.ndarray, np.ndarray]], width: int, shift: float, threshold: float) -> list[list[float]]:
    found = []
    for stride, (scores, distances) in zip((8, 16, 32, 64), levels, strict=False):
        columns = math.ceil(width / stride)
        for i, (row, logits) in enumerate(zip(scores, distances, strict=True)):
            edges = []
            for side in np.split(logits.astype(np.float64), 4):
                weights = [math.exp(value) for value in side]
                edges.append(stride * sum(b * w for b, w in enumerate(weights)) / sum(weights))
            x, y = (i % columns + shift) * stride, (i // columns + shift) * stride
            found += [
                [x - edges[0], y - edges[1], x + edges[2], y + edges[3], score, kind]
                for kind, score in enumerate(row)
                if score >= threshold
            ]
    return found


def check(outputs: Tensors, levels: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, int], shift: float) -> None:
    found = family("nanodet").decode(outputs, size, 0.9)
    expected = np.array(slow(levels, size[0], shift, 0.9)).reshape(-1, 6)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score, found.kind)), expected, rtol=1e-4, atol=1e-3)


sizes = st.tuples(st.integers(64, 160), st.integers(64, 160))


@settings(max_examples=15, deadline=None)
@given(sizes, st.sampled_from([1, 3, 80]), st.sampled_from([8, 11]), st.integers(0, 99), st.booleans())
def test_outputs_in_pairs_are_decoded(
    size: tuple[int, int], classes: int, bins: int, seed: int, alternating: bool
) -> None:
    random = np.random.default_rng(seed)
    levels = [level(count, classes, bins, random) for count in counts(*size, 3)]
    groups = levels if alternating else zip(*levels, strict=True)
    heads = [head for group in groups for head in group]
    check({str(i): head for i, head in enumerate(heads)}, levels, size, 0.5)


@settings(max_examples=15, deadline=None)
@given(sizes, st.sampled_from([1, 80]), st.integers(0, 99), st.sampled_from([(3, 0.5), (4, 0.0)]))
def test_a_single_output_is_decoded(size: tuple[int, int], classes: int, seed: int, form: tuple[int, float]) -> None:
    """Four levels are those of NanoDet-Plus, whose centres are the corners of its cells."""
    random = np.random.default_rng(seed)
    levels = [level(count, classes, 8, random) for count in counts(*size, form[0])]
    check({"output": np.concatenate([np.concatenate(pair, axis=1) for pair in levels])}, levels, size, form[1])


def test_low_scores_give_no_detections() -> None:
    assert len(family("nanodet").decode({"output": np.zeros((84, 112), np.float32)}, (64, 64), 0.5)) == 0


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(86, 112)], "64 x 64 pixels give 84 or 85 rows"),
        ([(84, 32)], "no classes"),
        ([(64, 80), (16, 80), (4, 80), (64, 32), (16, 32)], "distances of a stride are missing"),
        ([(64, 80), (16, 80), (4, 80), (64, 31), (16, 31), (4, 31)], "bins that are not the same for each edge"),
    ],
)
def test_impossible_shapes_are_refused(shapes: list[tuple[int, int]], reason: str) -> None:
    outputs = {str(i): np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}
    with pytest.raises(ValueError, match="not"):
        family("nanodet").decode(outputs, (64, 64), 0.5)
