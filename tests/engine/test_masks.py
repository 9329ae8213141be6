"""From regions to areas: growing, outlines, clipping, merging."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.engine.apply import Area, merge, outline
from velum.plan import Rule, Shape
from velum.region import Box, Mask, Region
from velum.spec import PartSpec

W, H = 60, 40

boxes = st.tuples(st.integers(-5, 55), st.integers(-5, 35), st.integers(1, 20), st.integers(1, 20)).map(
    lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def rule(grow: float = 0.0, shape: Shape = "box") -> Rule:
    return Rule("face", PartSpec("a"), PartSpec("b"), grow, shape=shape)


def painted(areas: list[Area]) -> Mask:
    picture = np.zeros((H, W), dtype=bool)
    for area in areas:
        picture[area.box.slices] |= True if area.mask is None else area.mask
    return picture


@pytest.mark.parametrize(
    ("box", "grow", "expected"),
    [
        (Box(10, 10, 20, 30), 0, Box(10, 10, 20, 30)),
        (Box(10, 10, 20, 30), 0.15, Box(8, 7, 22, 33)),  # 1.5 becomes 2: never one pixel short
        (Box(50, 30, 60, 40), 0.5, Box(45, 25, W, H)),  # to the last row and column
        (Box(0, 0, 4, 4), 0.5, Box(0, 0, 6, 6)),
        (Box(58, 2, 90, 4), 0, Box(58, 2, W, 4)),
    ],
)
def test_a_box_grows_by_a_share_of_its_size(box: Box, grow: float, expected: Box) -> None:
    area = outline(Region(box, "face"), rule(grow), W, H)
    assert area is not None
    assert area.box == expected
    assert area.mask is None


def test_a_region_outside_the_frame_has_no_area() -> None:
    assert outline(Region(Box(70, 0, 80, 9), "face"), rule(), W, H) is None


@given(boxes, st.sampled_from([0.0, 0.15, 0.4]))
def test_the_ellipse_contains_every_pixel_of_the_box(box: Box, grow: float) -> None:
    round_, square = (outline(Region(box, "face"), rule(grow, shape), W, H) for shape in ("ellipse", "box"))
    assert (round_ is None) >= (square is None) or round_ is not None
    if square is not None:
        assert round_ is not None
        assert (painted([round_]) >= painted([square])).all()


def test_a_mask_grows_along_its_outline() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 5:15] = True
    area = outline(Region(Box(20, 10, 40, 30), "face", mask=mask), rule(0.5), W, H)
    assert area is not None
    assert area.mask is not None
    grown = painted([area])
    assert grown[13:27, 25:35].all()  # two pixels (0.5 x 0.2 x 20) above and below
    assert not grown[12, :].any()
    assert not grown[20, 22]


@pytest.mark.parametrize(("side", "why"), [(100, "a small kernel"), (400, "too large for a kernel: by distance")])
def test_a_mask_grows_equally_in_every_direction(side: int, why: str) -> None:
    mask = np.zeros((side, side), dtype=bool)
    mask[side // 2, side // 2] = True
    area = outline(Region(Box(0, 0, side, side), "face", mask=mask), rule(0.5), side, side)
    assert area is not None
    assert area.mask is not None
    radius = side // 10
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    assert area.mask[np.hypot(x, y) <= radius].all(), why
    assert not area.mask[np.hypot(x, y) > radius + 1].any(), why


def test_empty_borders_of_a_mask_do_not_count() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:30, 40:45] = True
    area = outline(Region(Box(0, 0, 80, 60), "face", mask=mask), rule(), W, H)
    assert area is not None
    assert area.box == Box(40, 20, 45, 30)
    assert outline(Region(Box(0, 0, 80, 60), "face", mask=np.zeros((60, 80), dtype=bool)), rule(0.5), W, H) is None


@given(st.lists(boxes, max_size=8))
def test_merging_keeps_the_pixels_and_leaves_no_overlap(some: list[Box]) -> None:
    areas = [area for box in some if (area := outline(Region(box, "face"), rule(), W, H))]
    merged = merge(areas)
    assert np.array_equal(painted(merged), painted(areas))
    assert sum(int(painted([area]).sum()) for area in merged) == int(painted(areas).sum())


def test_touching_boxes_stay_apart_and_overlapping_chains_are_joined() -> None:
    apart = [Area(Box(0, 0, 5, 5)), Area(Box(5, 0, 9, 5))]
    assert len(merge(apart)) == 2
    chain = [Area(Box(0, 0, 5, 5)), Area(Box(8, 0, 12, 5)), Area(Box(4, 0, 9, 5))]
    assert [area.box for area in merge(chain)] == [Box(0, 0, 12, 5)]


@given(st.lists(st.tuples(boxes, st.integers(1, 5)), min_size=1, max_size=8))
def test_a_merged_area_counts_at_least_the_overlaps_of_its_pixels(drawn: list[tuple[Box, int]]) -> None:
    kept = [(area, weight) for box, weight in drawn if (area := Area(box).clip(W, H)) is not None]
    deep, heavy = np.zeros((H, W), int), np.zeros((H, W), int)
    for area, weight in kept:
        deep[area.box.slices] += 1
        heavy[area.box.slices] += weight
    for area in merge([replace(area, objects=weight) for area, weight in kept]):
        mask = True if area.mask is None else area.mask
        assert (deep[area.box.slices] * mask).max() <= area.overlaps
        assert (heavy[area.box.slices] * mask).max() <= area.objects


def test_separate_areas_count_their_own_regions() -> None:
    boxes = {Box(0, 0, 5, 5): 3, Box(9, 0, 14, 5): 2, Box(12, 0, 20, 5): 2}
    found = merge([Area(box, objects=weight) for box, weight in boxes.items()])
    assert [(one.overlaps, one.objects) for one in found] == [(1, 3), (2, 4)]


@given(boxes, st.lists(boxes, max_size=4))
def test_subtracting_a_box_leaves_exactly_the_rest(box: Box, others: list[Box]) -> None:
    area = Area(box).clip(W, H)
    if area is None:
        return
    taken = [clipped for other in others if (clipped := Area(other).clip(W, H))]
    left = area.without(taken)
    expected = painted([area]) & ~painted(taken)
    assert np.array_equal(painted([left] if left else []), expected)
