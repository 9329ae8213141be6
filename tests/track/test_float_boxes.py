"""Arithmetic of boxes: an enlarged box contains the original."""

from hypothesis import given
from hypothesis import strategies as st

from velum.track.float_boxes import FloatBox, area, grow, iou, mix, share_inside, shift, union, zoom
from velum.track.tracker import smooth

NUMBERS = st.floats(-4000, 4000, allow_nan=False)
SIDES = st.floats(0.5, 2000)
BOXES = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), NUMBERS, NUMBERS, SIDES, SIDES)
NEAR = 1e-6


def contains(outer: FloatBox, inner: FloatBox) -> bool:
    return (
        outer[0] <= inner[0] + NEAR and outer[1] <= inner[1] + NEAR
        and outer[2] >= inner[2] - NEAR and outer[3] >= inner[3] - NEAR
    )  # fmt: skip


@given(BOXES, BOXES, st.floats(0, 1))
def test_interpolated_boxes_lie_in_the_union_of_their_ends(a: FloatBox, b: FloatBox, share: float) -> None:
    assert contains(union(a, b), mix(a, b, share))
    assert mix(a, b, 0) == a
    assert mix(a, b, 1) == b


@given(BOXES, st.lists(st.tuples(BOXES, BOXES), max_size=3))
def test_smoothing_only_enlarges_boxes(edges: FloatBox, around: list[tuple[FloatBox, FloatBox]]) -> None:
    assert contains(smooth(edges, around), edges)


@given(BOXES, st.floats(-50, 50), st.floats(-50, 50))
def test_even_motion_is_not_smoothed(edges: FloatBox, dx: float, dy: float) -> None:
    around = [(shift(edges, -n * dx, -n * dy), shift(edges, n * dx, n * dy)) for n in (1, 2)]
    assert contains(edges, smooth(edges, around))


@given(BOXES, st.floats(0, 1))
def test_grown_boxes_contain_the_original_boxes(edges: FloatBox, share: float) -> None:
    assert contains(grow(edges, share), edges)
    assert contains(zoom(edges, 1 + share), edges)


@given(BOXES, BOXES)
def test_the_overlap_is_from_0_to_1_and_symmetric(a: FloatBox, b: FloatBox) -> None:
    assert 0 <= iou(a, b) <= 1 + NEAR
    assert iou(a, b) == iou(b, a)
    assert abs(iou(a, a) - 1) < NEAR
    assert 0 <= share_inside(a, 1920, 1080) <= 1 + NEAR
    assert area(union(a, b)) >= max(area(a), area(b)) - NEAR * area(union(a, b))
