"""Lines of text become regions; where text is read, only lines that match do."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from velum.errors import BadPlan
from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.class_maps import Mapper
from velum.locate.output_formats import Floats, Tensors
from velum.locate.output_formats.db import FAMILY
from velum.locate.pii import compile_pattern, parse_kinds
from velum.locate.text import SHAPES, Text
from velum.locate.text.detect import LineShape, TextDetector, TextFilter, TextLine, outline_of, read_line, rows_of
from velum.locate.text.recognize import RecognizedText
from velum.plugins import RuntimeConfig
from velum.region import Mask, Region


@dataclass(frozen=True)
class Kernels:
    """A network that finds a kernel where the picture is red."""

    precision: str = "f32"
    runtime: str = "fake"

    def infer(self, rgb: Rgb) -> Tensors:
        return {"out": (rgb[..., 0] / np.float32(255))[None]}

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        return map(self.infer, pictures)


@dataclass
class Told:
    """A reader that says the same of every line, or one thing after the other, and keeps what it was shown."""

    answers: Sequence[RecognizedText]
    seen: list[Rgb] = field(default_factory=list)

    @property
    def description(self) -> dict[str, str]:
        return {"reader": "told"}

    def read(self, line: Rgb) -> RecognizedText:
        self.seen.append(line)
        return self.answers[(len(self.seen) - 1) % len(self.answers)]


def says(text: str, sure: float = 1.0) -> RecognizedText:
    """Return a reading whose characters are all of one width."""
    return RecognizedText(text, tuple((i + 0.5) / len(text) for i in range(len(text))), (sure,) * len(text))


def level(x: float, y: float, width: float, height: float) -> Floats:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float32)


def turned(corners: Floats, degrees: float) -> Floats:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.asarray((corners - 200) @ np.array([[cos, sin], [-sin, cos]]) + 200, np.float32)


def frame(*kernels: Floats, width: int = 400, height: int = 400) -> Frame:
    rgb = np.zeros((height, width, 3), np.uint8)
    for corners in kernels:
        cv2.fillPoly(rgb, [np.rint(corners).astype(np.int32)], (255, 0, 0))
    return Frame.of(Plane(rgb, Role.RGB))


def finder(wanted: TextFilter | None = None, scale: float = 1.0, shape: LineShape | None = None) -> TextDetector:
    return TextDetector(Mapper(Kernels(), FAMILY, FAMILY.input, 1, (0,), scale, 256 * 256, 1 << 24), 0.3, wanted, shape)


def whole(regions: Sequence[Region], shape: tuple[int, int] = (400, 400)) -> Mask:
    mask = np.zeros(shape, np.bool_)
    for region in regions:
        mask[region.box.slices] |= True if region.mask is None else region.mask
    return mask


@pytest.mark.parametrize("degrees", [0, 5, -30, 45, 90, 135])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_all_text_is_found_along_its_own_direction(degrees: float, scale: float) -> None:
    line = turned(level(100, 190, 200, 20), degrees)
    picture = frame(line)
    mask = whole(finder(scale=scale).find(picture))
    truth = picture.planes[0].pixels[..., 0] > 0
    assert mask[truth].all()
    assert mask.sum() < 4 * truth.sum(), "the line and room around it, not the box around a slanted line"


def test_parallel_slanted_lines_are_all_kept() -> None:
    lines = [turned(level(100, y, 200, 12), 40) for y in (140, 180, 220)] + [turned(level(180, 255, 30, 12), 40)]
    picture = frame(*lines)
    found = finder().find(picture)
    assert whole(found)[picture.planes[0].pixels[..., 0] > 0].all()
    assert len(found) >= 4, "a short line lies in the box of a long one"


def test_tiles_of_several_scales_give_a_line_once() -> None:
    assert len(finder().find(frame(level(100, 190, 200, 30)))) == 1


def test_a_line_across_several_tiles_is_found_as_one() -> None:
    found = finder().find(frame(level(20, 190, 1500, 20), width=1600))
    assert len(found) == 1
    assert found[0].box.width > 1500


def test_only_the_match_is_hidden() -> None:
    text = "mail me@example.com now"
    picture = frame(level(20, 190, 360, 20))
    everything = whole(finder().find(picture))
    found = finder(TextFilter(Told([says(text)]), parse_kinds("email"), None, 0)).find(picture)
    assert len(found) == 1
    columns = np.flatnonzero(everything.any(axis=0))
    per_character = len(columns) / len(text)
    start, end = (columns[0] + per_character * text.index(part) for part in ("me@", " now"))
    assert start - 1.5 * per_character < found[0].box.x0 <= start
    assert end <= found[0].box.x1 < end + 1.5 * per_character


def test_a_match_across_parts_of_a_line_is_hidden_completely() -> None:
    parts = ["IBAN DE89", "3704 0044", "0532 0130 00"]
    places = [level(x, 190, 80, 16) for x in (20, 150, 280)]
    by_place = sorted(finder().find(frame(*places)), key=lambda region: region.box.x0)
    assert len(by_place) == 3

    @dataclass(frozen=True)
    class ByPlace:
        """Reads the part whose marker, a shade of green, lies in it."""

        description = Told([]).description

        def read(self, line: Rgb) -> RecognizedText:
            return says(parts[int(line[24, line.shape[1] // 2, 1]) // 60])

    picture = frame(*places)
    for index, place in enumerate(places):
        x, y = place.mean(axis=0).astype(int)
        picture.planes[0].pixels[y - 8 : y + 8, x - 20 : x + 20, 1] = 60 * index + 20
    regions = finder(TextFilter(ByPlace(), parse_kinds("iban"), None, 0)).find(picture)
    found = sorted(regions, key=lambda region: region.box.x0)
    assert len(found) == 3
    assert found[0].box.x0 > by_place[0].box.x0 + 20, "IBAN, the word, is not hidden"
    assert [one.box.x1 for one in found] == [one.box.x1 for one in by_place]
    assert [one.box.x0 for one in found[1:]] == [one.box.x0 for one in by_place[1:]]


@pytest.mark.parametrize(
    ("text", "sure", "unsure", "count"),
    [
        ("4111 1111 1111 1111", 1.0, 0.0, 1),
        ("4111 1111 1111 1112", 1.0, 0.0, 0),  # check digits contradict what was surely read
        ("4111 1111 1111 1112", 0.8, 0.0, 1),  # and prove nothing when it was not
        ("nothing of note", 0.6, 0.0, 0),
        ("nothing of note", 0.6, 0.7, 1),  # hidden since it was read so badly
        ("", 0.0, 0.1, 1),  # could not be read at all
    ],
)
def test_a_line_that_cannot_be_read_for_sure_is_hidden(text: str, sure: float, unsure: float, count: int) -> None:
    wanted = TextFilter(
        Told([says(text, sure)] if text else [RecognizedText("", (), ())]), parse_kinds("card"), None, unsure
    )
    assert len(finder(wanted).find(frame(level(40, 190, 300, 20)))) == count


def test_a_line_that_matches_the_regex_is_hidden() -> None:
    wanted = TextFilter(Told([says("Dear Anna Muster")]), frozenset(), compile_pattern("anna"), 0)
    assert len(finder(wanted).find(frame(level(40, 190, 300, 20)))) == 1


@pytest.mark.parametrize(
    ("width", "scores", "turn"),
    [
        (300, [0.99], 0),
        (300, [0.5, 0.99], 180),  # read again upside down
        (300, [0.6, 0.5], 0),
        (30, [0.5, 0.4, 0.3, 0.99], 270),  # a square may be read across
    ],
)
def test_a_line_is_read_in_the_orientation_that_reads_best(width: int, scores: list[float], turn: int) -> None:
    corners = level(40, 190, width, 24)
    reader = Told([says("word", score) for score in scores])
    line = read_line(frame(corners), corners, reader)
    assert len(reader.seen) == len(scores)
    direction = round(math.degrees(math.atan2(line.along[1], line.along[0]))) % 360
    assert direction == turn


@pytest.mark.parametrize("degrees", [0, 30, 90, 180])
def test_the_recognizer_gets_lines_level(degrees: float) -> None:
    corners = turned(level(80, 188, 240, 24), degrees)
    rgb = np.zeros((400, 400, 3), np.uint8)
    half = turned(level(80, 188, 120, 24), degrees)  # the first half of the line
    cv2.fillPoly(rgb, [np.rint(half).astype(np.int32)], (255, 255, 255))
    reader = Told([says("word")])
    read_line(Frame.of(Plane(rgb, Role.RGB)), corners, reader)
    shown = reader.seen[0]
    assert shown.shape == (48, 480, 3)
    assert shown[6:42, 10:225].mean() > 240
    assert shown[6:42, 255:].mean() < 15


@pytest.mark.parametrize(
    ("second", "joined"),
    [
        (level(170, 100, 90, 20), True),  # a gap
        (level(165, 104, 90, 20), True),  # not quite level
        (level(260, 100, 90, 20), False),  # too far
        (level(170, 125, 90, 20), False),  # the next line
        (level(170, 80, 90, 60), False),  # larger type
        (turned(level(170, 100, 90, 20), 30), False),  # another direction
    ],
)
def test_lines_side_by_side_form_a_row(second: Floats, joined: bool) -> None:
    lines = [TextLine(says("one"), level(40, 100, 110, 20)), TextLine(says("two"), second)]
    assert len(rows_of(lines)) == (1 if joined else 2)
    upside_down = [TextLine(line.reading, turned(line.corners, 180)) for line in lines]
    assert len(rows_of(upside_down)) == (1 if joined else 2)


def test_the_outline_of_a_line_is_clipped_to_the_image() -> None:
    picture = frame()
    assert outline_of(level(-50, -50, 20, 20), picture) is None
    clipped = outline_of(level(-10, 390, 50, 50), picture)
    assert clipped is not None
    assert clipped[0].xyxy == (0, 390, 40, 400)
    assert clipped[1] is None
    slanted = outline_of(turned(level(100, 190, 200, 20), 45), picture)
    assert slanted is not None
    assert slanted[1] is not None
    assert slanted[1].mean() < 0.4


@pytest.mark.parametrize("degrees", [0, -12, 90])
@pytest.mark.parametrize(
    ("size", "is_plate"),
    [((120, 24), True), ((80, 30), True), ((370, 14), False), ((40, 34), False)],
    ids=["European", "American", "a sentence", "a sign"],
)
def test_text_in_the_shape_of_a_plate_is_the_plate(size: tuple[int, int], is_plate: bool, degrees: float) -> None:
    """The kernel of a line is smaller than the line, by what `UNCLIP` adds again, and the plate is larger than it."""
    line = turned(level(200 - size[0] / 2, 200 - size[1] / 2, *size), degrees)
    found = finder(shape=SHAPES["plate"]).find(frame(line))
    assert [region.label for region in found] == ["license_plate"] * is_plate
    for region in found:
        assert region.mask is None
        low, high = line.min(axis=0), line.max(axis=0)
        reach = np.array([low - region.box.xyxy[:2], region.box.xyxy[2:] - high]).min(axis=0)
        assert (reach >= np.array([0.2, 0.2]) * min(size)).all(), "the plate, not its characters alone"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "email|ssn"}, "names ssn"),
        ({"regex": "["}, "regex"),
        ({"min_side": 2}, "min_side of text is 2; it must be from 8"),
        ({"unsure": 2.0}, "unsure"),
        ({"name": "centerface"}, "finds boxes"),
        ({"shape": "plate", "match": "email"}, "text takes shape='plate' or what to read"),
        ({"shape": "plate", "regex": "A"}, "not both; leave one of them out"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Text(RuntimeConfig(offline=True), **options)  # type: ignore[arg-type] # wrong on purpose
