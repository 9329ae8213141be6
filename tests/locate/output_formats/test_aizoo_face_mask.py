"""Offsets from priors become faces with and without mask."""

import math

import numpy as np
import pytest

from velum.locate.output_formats import family


def slow_priors() -> list[tuple[float, float, float, float]]:
    rows = []
    sizes = [(33, 0.04, 0.056), (17, 0.08, 0.11), (9, 0.16, 0.22), (5, 0.32, 0.45), (3, 0.64, 0.72)]
    for cells, small, large in sizes:
        for row in range(cells):
            for column in range(cells):
                for side, ratio in ((small, 1), (large, 1), (small, 0.62), (small, 0.42)):
                    w, h = side * math.sqrt(ratio), side / math.sqrt(ratio)
                    rows.append(((column + 0.5) / cells, (row + 0.5) / cells, w, h))
    return rows


@pytest.mark.parametrize("reverse", [False, True], ids=["boxes first", "classes first"])
def test_decoding_gives_the_same_as_prior_by_prior(reverse: bool) -> None:
    random = np.random.default_rng(0)
    offsets = random.normal(0, 1, (5972, 4)).astype(np.float32)
    scores = random.uniform(0, 1, (5972, 2)).astype(np.float32)
    outputs = {"a": offsets, "b": scores}
    if reverse:
        outputs = dict(reversed(outputs.items()))
    found = family("aizoo_face_mask").decode(outputs, (260, 260), 0.99)
    expected = []
    for (x, y, w, h), (dx, dy, dw, dh), both in zip(slow_priors(), offsets.tolist(), scores, strict=True):
        for kind, score in enumerate(both):
            if score >= 0.99:
                cx, cy = x + 0.1 * dx * w, y + 0.1 * dy * h
                hw, hh = w * math.exp(0.2 * dw) / 2, h * math.exp(0.2 * dh) / 2
                expected.append([260 * edge for edge in (cx - hw, cy - hh, cx + hw, cy + hh)] + [score, kind])
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score, found.kind)), expected, rtol=1e-4, atol=1e-3)


def test_outputs_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="5972"):
        family("aizoo_face_mask").decode({"a": np.zeros((10, 4)), "b": np.zeros((10, 2))}, (260, 260), 0.5)
