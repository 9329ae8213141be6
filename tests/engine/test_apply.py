"""Hiding areas of a frame."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from velum.engine.apply import paint
from velum.engine.prepare import PreparedPlan, PreparedRule
from velum.errors import PluginFault
from velum.frame import Frame, Orientation, Plane, Role
from velum.plan import Plan, Rule
from velum.plugins import Patch, Technique
from velum.region import Box, Region
from velum.spec import PartSpec
from velum.techniques.blacken import Blacken
from velum.techniques.blur import Blur
from velum.techniques.pixelate import Pixelate


@dataclass(eq=False)
class Counting:
    """Adds one to every sample, so that work done twice shows."""

    sizes: list[tuple[int, int]] = field(default_factory=list)
    destroys: ClassVar[bool] = False
    labels: ClassVar[None] = None

    def hide(self, patch: Patch) -> None:
        self.sizes.append((patch.width, patch.height))
        for plane in patch.planes:
            plane.pixels[...] += 1


class Broken:
    destroys = True
    labels = None

    def hide(self, patch: Patch) -> None:
        raise RuntimeError("out of paint")


def grey(width: int = 60, height: int = 40) -> Frame:
    return Frame.of(Plane(np.full((height, width), 100, np.uint8), Role.GREY))


def work(*techniques: Technique) -> PreparedPlan:
    rules = tuple(Rule("face", PartSpec("a"), PartSpec("b"), grow=0) for _ in techniques)
    return PreparedPlan(Plan(rules), tuple(map(PreparedRule, rules, techniques)))


def faces(*boxes: Box) -> list[Region]:
    return [Region(box, "face") for box in boxes]


def test_overlapping_regions_are_processed_once_as_one() -> None:
    frame, technique = grey(), Counting()
    paint(frame, [faces(Box(5, 5, 20, 20), Box(15, 10, 30, 25), Box(40, 0, 50, 10))], work(technique))
    values, counts = np.unique(frame.planes[0].pixels, return_counts=True)
    assert values.tolist() == [100, 101]
    assert counts[1] == 15 * 15 * 2 - 5 * 10 + 100
    assert sorted(technique.sizes) == [(10, 10), (25, 20)]


def test_rules_that_share_a_technique_share_its_areas() -> None:
    frame, technique = grey(), Counting()
    paint(frame, [faces(Box(0, 0, 10, 10)), faces(Box(0, 0, 10, 10))], work(technique, technique))
    assert frame.planes[0].pixels.max() == 101


def test_between_techniques_the_destroying_one_wins_whatever_the_order() -> None:
    frame = grey()
    paint(frame, [faces(Box(0, 0, 40, 40)), faces(Box(10, 10, 20, 20))], work(Counting(), Blacken()))
    pixels = frame.planes[0].pixels
    assert (pixels[10:20, 10:20] == 0).all()
    assert (pixels == 101).sum() == 40 * 40 - 100


def test_between_equal_techniques_the_earlier_rule_wins_and_no_sample_is_processed_twice() -> None:
    frame, first, second = grey(), Counting(), Counting()
    paint(frame, [faces(Box(0, 0, 20, 20)), faces(Box(10, 10, 30, 30))], work(first, second))
    assert frame.planes[0].pixels.max() == 101
    assert second.sizes == [(20, 20)]


@pytest.mark.parametrize("technique", [Blacken(), Blur(), Pixelate()])
def test_a_region_at_the_edge_is_hidden_to_the_last_row_and_column(technique: Technique) -> None:
    random = np.random.default_rng(0)
    frame = Frame.of(Plane(random.integers(0, 256, (40, 60, 3), dtype=np.uint8), Role.RGB))
    before = frame.planes[0].pixels.copy()
    paint(frame, [faces(Box(45, 25, 75, 55))], work(technique))
    changed = (frame.planes[0].pixels != before).any(axis=2)
    assert changed[-1, 45:].mean() > 0.9
    assert changed[25:, -1].mean() > 0.9
    assert not changed[:25].any()
    assert not changed[:, :45].any()


@pytest.mark.parametrize("value", range(1, 9))
def test_regions_are_in_pixels_of_the_upright_frame(value: int) -> None:
    orientation = Orientation.from_exif(value)
    columns, rows = orientation.stored_size(60, 40)
    frame = Frame.of(Plane(np.full((rows, columns, 3), 9, np.uint8), Role.RGB), orientation=orientation)
    mask = np.tri(10, 20, dtype=bool)
    paint(frame, [[Region(Box(30, 5, 50, 15), "face", mask=mask)]], work(Blacken()))
    upright = orientation.upright(frame.planes[0].pixels)
    assert np.array_equal(upright[5:15, 30:50, 0] == 0, mask)
    assert (upright == 0).all(axis=2).sum() == mask.sum()


def test_every_chroma_sample_that_a_hidden_pixel_touches_is_hidden() -> None:
    luma = Plane(np.full((5, 7), 200, np.uint8), Role.LUMA, limited=True)
    chroma = [Plane(np.full((3, 4), 7, np.uint8), Role.CHROMA, 2, 2, limited=True) for _ in range(2)]
    paint(Frame((luma, *chroma), 7, 5), [faces(Box(1, 1, 3, 3), Box(6, 4, 7, 5))], work(Blacken()))
    assert (luma.pixels == 16).sum() == 5
    assert np.argwhere(chroma[0].pixels == 128).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 3]]


def test_a_failing_technique_is_named() -> None:
    with pytest.raises(PluginFault, match="Broken.*out of paint"):
        paint(grey(), [faces(Box(0, 0, 5, 5))], work(Broken()))


def test_excluded_areas_are_never_hidden() -> None:
    frame = grey()
    kept = [Region(Box(10, 10, 20, 20), "zone"), Region(Box(30, 0, 40, 10), "zone", mask=np.tri(10, dtype=bool))]
    paint(frame, [faces(Box(0, 0, 60, 40))], work(Blacken()), kept)
    assert (frame.planes[0].pixels[10:20, 10:20] == 100).all()
    assert (frame.planes[0].pixels == 100).sum() == 100 + 55
