"""A detection in a finished file is a leak where something of the source is visible, but not on velum's own bars."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum import Engine, Limits, Plan
from velum.annotations import Annotations
from velum.errors import NotHidden
from velum.frame import Frame
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.region import Box, Mask, Region
from velum.spec import PartSpec
from velum.testing import FakeLocalizer
from velum.verify.leak_check import Check

pytestmark = pytest.mark.slow

SIZE = (320, 240)
WORD, OTHER = Box(40, 60, 200, 84), Box(40, 104, 200, 128)
LINE = Box(40, 180, 140, 204)
"""A third line, that no localizer of these tests finds unless it says so."""
PLAN = Plan((Rule("text", PartSpec("fake"), PartSpec("blacken"), grow=0),))

Sees = Callable[[Frame], Sequence[Region]]


def text(box: Box, mask: Mask | None = None) -> Region:
    return Region(box, "text", 0.9, mask)


def left_half(box: Box) -> Box:
    return Box(box.x0, box.y0, (box.x0 + box.x1) // 2, box.y1)


def page() -> Image.Image:
    """Return white paper with three lines of noise, as dense as print."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    rng = np.random.default_rng(0)
    for box in (WORD, OTHER, LINE):
        ink = rng.integers(0, 2, (box.height // 2, box.width // 2)).repeat(2, 0).repeat(2, 1) * 255
        pixels[box.slices] = ink[..., None]
    return Image.fromarray(pixels)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    page().save(path)
    return path


def is_source(frame: Frame) -> bool:
    return np.array_equal(frame.rgb(*SIZE), np.asarray(page()))


def config(sees: Sees) -> RuntimeConfig:
    return RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(sees, labels=frozenset({"text"}))}, offline=True)


def leaks(
    source: Path, hidden: Sequence[Box], in_source: Sequence[Box], in_file: Sequence[Region], *,
    closer: Sequence[Box] = (), against: bool = True, told: bool = True, technique: str = "blacken",
    suffix: str = ".png",
) -> list[tuple[str, Box | None]]:  # fmt: skip
    """Hide boxes, check by a localizer that finds `in_source` there and `in_file` in the file; return its leaks.

    `closer` are found by a look at a magnified part, wherever it is, in its own pixels.
    """

    def sees(frame: Frame) -> Sequence[Region]:
        if (frame.width, frame.height) != SIZE:
            return [text(box) for box in closer]
        return [text(box) for box in in_source] if is_source(frame) else in_file

    host = config(sees)
    plan = Plan((Rule("text", PartSpec("fake"), PartSpec(technique), grow=0),))
    regions = Annotations(*SIZE, {0: tuple(text(box) for box in hidden)})
    out = source.with_name(f"out{suffix}")
    with Engine(host=host) as engine:
        engine.hide(source, out, plan, regions=regions)
        result = Check(engine, host, Limits())(
            out, plan, against=source if against else None, regions=regions if told else None
        )
    return [(leak.kind, leak.box) for leak in result.leaks]


BOTH = WORD.join(OTHER)
ROUND = Box(36, 56, 204, 88)
"""A bar, and a little of what is around it."""


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("hidden", "in_source", "in_file", "shows"),
    [
        pytest.param([WORD], [WORD], [WORD], False, id="a bar alone"),
        pytest.param([WORD], [WORD], [ROUND], False, id="a bar and the paper around it"),
        pytest.param([WORD, OTHER], [WORD, OTHER], [BOTH], False, id="two bars and the paper between them"),
        pytest.param([WORD, OTHER], [WORD, OTHER], [Box(190, 50, 230, 140)], False, id="paper beside two bars"),
        pytest.param([left_half(WORD)], [WORD], [WORD], True, id="half of a word beside a bar"),
        pytest.param([Box(40, 60, 176, 84)], [WORD], [WORD], True, id="the last characters beside a bar"),
        pytest.param([Box(40, 60, 200, 72)], [WORD], [WORD], True, id="the lower half of a word below a bar"),
        pytest.param([WORD], [WORD, OTHER], [BOTH], True, id="a word that was left out, taken for one with a bar"),
        pytest.param([WORD], [WORD, OTHER], [Box(0, 40, 300, 230)], True, id="it lies in a large detection"),
        pytest.param([WORD], [WORD, OTHER], [OTHER], True, id="a word that was left out"),
        pytest.param([OTHER], [WORD], [WORD], True, id="a bar in the wrong place"),
    ],
)
def test_a_detection_counts_where_the_source_shows_something(
    source: Path, hidden: list[Box], in_source: list[Box], in_file: list[Box], shows: bool, suffix: str
) -> None:
    told = leaks(source, hidden, in_source, [text(box) for box in in_file], suffix=suffix)
    assert told == ([("seen", box) for box in in_file] if shows else [])


@pytest.mark.parametrize("technique", ["pixelate", "blur"])
def test_a_half_visible_word_is_a_leak_with_any_technique(source: Path, technique: str) -> None:
    assert leaks(source, [WORD], [WORD], [text(ROUND)], technique=technique) == []
    source.with_name("out.png").unlink()
    assert leaks(source, [left_half(WORD)], [WORD], [text(WORD)], technique=technique) == [("seen", WORD)]


def test_only_the_outline_of_a_detection_counts(source: Path) -> None:
    """A line at an angle has a box that covers much besides."""
    mask = np.zeros((BOTH.height, BOTH.width), bool)
    mask[:24] = True
    assert leaks(source, [WORD], [WORD, OTHER], [text(BOTH, mask)]) == []
    source.with_name("out.png").unlink()
    assert leaks(source, [WORD], [WORD, OTHER], [text(BOTH, mask[::-1].copy())]) == [("seen", BOTH)]


@pytest.mark.parametrize(("told", "against"), [(True, False), (False, True)])
@pytest.mark.parametrize(
    ("hidden", "in_file", "shows"),
    [
        pytest.param([WORD], ROUND, False, id="a bar alone"),
        pytest.param([Box(40, 60, 104, 84)], WORD, True, id="more than half of a word beside a bar"),
        pytest.param([WORD], OTHER, True, id="a word that was left out"),
    ],
)
def test_regions_or_the_source_alone_suffice_to_judge_a_detection(
    source: Path, hidden: list[Box], in_file: Box, shows: bool, told: bool, against: bool
) -> None:
    found = leaks(source, hidden, [WORD, OTHER], [text(in_file)], told=told, against=against)
    assert found == ([("seen", in_file)] if shows else [])


def test_without_regions_and_source_every_detection_is_a_leak(source: Path) -> None:
    assert leaks(source, [WORD], [WORD], [text(WORD)], told=False, against=False) == [("seen", WORD)]


@pytest.mark.parametrize(
    ("closer", "shows"),
    [
        pytest.param([Box(0, 0, 10_000, 10_000)], True, id="it finds something as large"),
        pytest.param([Box(0, 0, 8, 8)], False, id="it finds something elsewhere"),
        pytest.param([], False, id="it finds nothing"),
    ],
)
def test_a_detection_in_the_result_only_is_confirmed_by_a_closer_look_at_the_source(
    source: Path, closer: list[Box], shows: bool
) -> None:
    """Bars change what a network makes of all the rest: it may see what it has missed, or what is not there."""
    found = leaks(source, [WORD], [WORD], [text(LINE)], closer=closer)
    assert found == ([("seen", LINE)] if shows else [])


def test_a_region_that_is_not_hidden_excuses_nothing(source: Path) -> None:
    """Also where it is too small to be judged by its pixels."""
    small = Box(40, 180, 100, 190)
    regions = Annotations(*SIZE, {0: (text(small),)})
    host = config(lambda _: [text(small)])
    with Engine(host=host) as engine:
        result = Check(engine, host, Limits())(source, PLAN, against=source, regions=regions)
    assert [leak.kind for leak in result.leaks][-1:] == ["seen"]


@pytest.mark.parametrize("technique", ["blacken", "pixelate", "blur"])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_an_unhidden_region_is_a_leak_even_where_its_pixels_cannot_be_judged(
    source: Path, technique: str, slope: float
) -> None:
    """A thin line at an angle: most of its box is paper, and no block of the code lies wholly in it."""
    box = Box(40, 60, 200, 124)
    rows, columns = np.ogrid[: box.height, : box.width]
    mask: Mask = np.abs(rows - 12 - slope * columns) < 6
    line = text(box, mask)
    out = source.with_name("out.jpg")
    plan = Plan((Rule("text", PartSpec("fake"), PartSpec(technique), grow=0),))
    host = config(lambda _: [line])
    with Engine(host=host) as engine:
        check = Check(engine, host, Limits())
        given = Annotations(*SIZE, {0: (line, text(LINE))})
        for hidden, kinds in (((line, text(LINE)), []), ((text(LINE),), ["seen"])):
            engine.hide(source, out, plan, regions=Annotations(*SIZE, {0: hidden}), overwrite=True)
            told = {leak.kind for leak in check(out, plan, against=source, regions=given).leaks}
            assert told - {"weak"} == set(kinds)


def test_a_result_is_published_where_the_detector_takes_black_bars_for_text(source: Path) -> None:
    def sees(frame: Frame) -> Sequence[Region]:
        return [text(WORD), text(OTHER)] if is_source(frame) else [text(BOTH)]

    host = config(sees)
    out = source.with_name("out.png")
    with Engine(host=host) as engine:
        report = engine.hide(source, out, Plan(PLAN.rules, verify=True))
    assert report.check is not None
    assert report.check["passed"]
    assert out.is_file()


def test_no_result_is_published_with_a_half_visible_word(source: Path) -> None:
    turns = iter([[text(left_half(WORD))]])
    host = config(lambda _: next(turns, [text(WORD)]))
    out = source.with_name("out.png")
    with Engine(host=host) as engine, pytest.raises(NotHidden, match="a detector still finds text"):
        engine.hide(source, out, Plan(PLAN.rules, verify=True))
    assert not out.exists()
