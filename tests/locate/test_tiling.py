"""Tiles cover every pixel, and every object lies completely in some tile."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.locate.output_formats import Detections, Family, Input, no_detections
from velum.locate.tiling import LAST, OVERLAP, TilePass, passes


def decode(outputs: object, input_wh: tuple[int, int], threshold: float) -> Detections:
    return no_detections()


FAMILY = Family(decode)
SIDES = st.integers(1, 300) | st.integers(300, 5000) | st.integers(5000, 65_535)
SCALES = st.sampled_from([0.1, 0.5, 0.73, 1.0, 1.6, 2.0])
FORMS = st.sampled_from([Input(), Input(stride=8), Input(fit="stretch"), Input(size_wh=(640, 480))])


def plan(
    width: int, height: int, scale: float = 1.0, tile: int = 896, form: Input | None = None
) -> tuple[TilePass, ...]:
    return passes(width, height, scale, tile * tile, FAMILY, form or Input())


@given(SIDES, SIDES, SCALES, st.sampled_from([256, 640, 896]), FORMS)
def test_tiles_cover_the_image_and_are_no_larger_than_allowed(
    width: int, height: int, scale: float, tile: int, form: Input
) -> None:
    if width * height * scale > 100_000_000:
        height = max(1, int(100_000_000 / scale / width))
    for one in plan(width, height, scale, tile, form):
        columns, rows = (
            {(t.fit.box.x0, t.fit.box.x1) for t in one.tiles},
            {(t.fit.box.y0, t.fit.box.y1) for t in one.tiles},
        )
        assert len(one.tiles) == len(columns) * len(rows)
        for spans, side in ((sorted(columns), width), (sorted(rows), height)):
            assert spans[0][0] == 0
            assert spans[-1][1] == side
            assert all(after[0] < before[1] for before, after in pairwise(spans))
        for look in one.tiles:
            size = look.fit.input_wh
            assert size == form.size_wh if form.size_wh else size[0] * size[1] <= tile * tile
            assert all(0 < content <= whole for content, whole in zip(look.fit.content_wh, size, strict=True))
            box = look.fit.box
            assert look.inner == (box.x0 > 0, box.y0 > 0, box.x1 < width, box.y1 < height)


def test_an_image_slightly_larger_than_a_tile_is_split() -> None:
    assert [len(one.tiles) for one in plan(249, 257, 1.0, 256, Input(stride=8))] == [2, 1]


@given(st.integers(200, 9000), st.integers(200, 9000), SCALES, st.sampled_from([256, 640, 896]), st.data())
def test_an_object_up_to_the_overlap_lies_completely_in_some_tile(
    width: int, height: int, scale: float, tile: int, data: st.DataObject
) -> None:
    first = plan(width, height, scale, tile)[0]
    side = OVERLAP / scale
    x0 = data.draw(st.floats(0, max(0.0, width - side)))
    y0 = data.draw(st.floats(0, max(0.0, height - side)))
    x1, y1 = min(width, x0 + side), min(height, y0 + side)
    boxes = [look.fit.box for look in first.tiles]
    assert any(b.x0 <= x0 and b.y0 <= y0 and x1 <= b.x1 and y1 <= b.y1 for b in boxes)


@given(SIDES, SIDES, SCALES)
def test_the_last_pass_is_the_whole_image(width: int, height: int, scale: float) -> None:
    found = plan(width, min(height, 100_000_000 // width), scale, 896)
    assert len(found[-1].tiles) == 1
    assert max(found[-1].tiles[0].fit.content_wh) <= LAST
    assert found[-1].largest == math.inf
    assert found[0].smallest == 0
    assert all(one.smallest == FAMILY.smallest_side for one in found[1:])
    assert all(one.largest == FAMILY.largest_side for one in found[:-1])
    # What is too large for one pass is at least as large in the next as that one reports.
    assert FAMILY.smallest_side < FAMILY.largest_side / 4
    assert FAMILY.smallest_side < OVERLAP / 4


@pytest.mark.parametrize(
    ("size", "tiles", "most", "why"),
    [
        ((1, 1), [1], math.inf, "one pixel"),
        ((200, 150), [1], 1.5, "as small as the last pass"),
        ((640, 768), [1, 1, 1], 1.34, "one look and two small ones"),
        ((1024, 768), [1, 1, 1], 1.34, "the largest usual size of one look"),
        ((1920, 1080), [3, 1, 1, 1], 1.46, "Full HD"),
        ((3840, 2160), [14, 3, 1, 1, 1], 1.62, "4K"),
    ],
)
def test_the_number_of_tiles_and_pixels_is_bounded(
    size: tuple[int, int], tiles: list[int], most: float, why: str
) -> None:
    found = plan(*size)
    assert [len(one.tiles) for one in found] == tiles, why
    pixels = sum(int(np.prod(look.fit.input_wh)) for one in found for look in one.tiles)
    assert pixels <= most * size[0] * size[1], why
