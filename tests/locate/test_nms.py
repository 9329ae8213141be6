"""Suppression leaves one box for each object, and loses no object."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.locate.output_formats import Detections
from velum.locate.tiling import CUT_INSIDE, INSIDE, suppress

Row = tuple[float, float, float, float, float, int, bool]


def detections(rows: list[Row]) -> tuple[Detections, np.ndarray]:
    values = np.array([row[:5] for row in rows], np.float32).reshape(-1, 5)
    found = Detections(values[:, :4], values[:, 4], np.array([row[5] for row in rows], np.int32))
    return found, np.array([row[6] for row in rows], bool)


@pytest.mark.parametrize(
    ("rows", "kept", "why"),
    [
        ([], [], "nothing"),
        ([(0, 0, 10, 10, 0.5, 0, False), (1, 0, 11, 10, 0.9, 0, False)], [1], "the better of two on one object"),
        ([(0, 0, 10, 10, 0.5, 0, False), (1, 0, 11, 10, 0.9, 1, False)], [1, 0], "two kinds never meet"),
        ([(0, 0, 10, 10, 0.5, 0, False), (8, 0, 18, 10, 0.9, 0, False)], [1, 0], "neighbours that touch"),
        ([(0, 0, 100, 100, 0.9, 0, False), (40, 40, 50, 50, 0.5, 0, False)], [0], "lies in a better one"),
        ([(0, 0, 100, 100, 0.5, 0, False), (40, 40, 50, 50, 0.9, 0, False)], [1, 0], "around a better one"),
        ([(0, 0, 100, 100, 0.5, 0, False), (0, 40, 30, 100, 0.9, 0, True)], [0], "a better part, cut by a tile"),
        ([(0, 0, 100, 100, 0.5, 0, True)], [0], "cut, but the only one"),
        ([(0, 0, 30, 100, 0.9, 0, True), (20, 0, 50, 100, 0.5, 0, False)], [1, 0], "cut, mostly beside a whole one"),
    ],
)
def test_suppression_keeps_the_right_boxes(rows: list[Row], kept: list[int], why: str) -> None:
    found, cut = detections(rows)
    assert suppress(found, cut, 0.4).tolist() == kept, why


def slow(found: Detections, cut: np.ndarray, iou: float) -> list[int]:
    """The rule again, one pair at a time."""
    kept: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: (cut[i], -found.score[i], i)):
        a = found.xyxy[i]
        for j in kept:
            b = found.xyxy[j]
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(0, w) * max(0, h)
            area_a, area_b = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
            inside = shared >= (CUT_INSIDE if cut[i] else INSIDE) * area_a
            if found.kind[i] == found.kind[j] and (inside or shared >= iou * (area_a + area_b - shared)):
                break
        else:
            kept.append(i)
    return kept


ROWS = st.lists(
    st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 9)] * 2, st.integers(1, 5), st.integers(0, 1), st.booleans()),
    max_size=12,
)


@given(ROWS, st.sampled_from([0.3, 0.45, 0.7]))
def test_suppression_gives_the_same_as_pair_by_pair(
    rows: list[tuple[int, int, int, int, int, int, bool]], iou: float
) -> None:
    found, cut = detections([(x, y, x + w, y + h, s / 5, k, c) for x, y, w, h, s, k, c in rows])
    assert suppress(found, cut, iou).tolist() == slow(found, cut, iou)
