"""Detect lines of text in an image, read them, and select the parts that match."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from velum.frame import Frame, Rgb
from velum.locate import pii
from velum.locate.class_maps import Mapper
from velum.locate.output_formats import Floats, db
from velum.locate.text.recognize import LINE_HEIGHT, LONGEST, RecognizedText, TextRecognizer
from velum.region import Box, Mask, Region

SURE = 0.95
"""Score from which a line is not also read upside down to see whether that gives a better score."""

SQUARE = 1.5
"""Ratio of length to height up to which the direction of reading may also be across the longer side."""

GAP = 2.5
"""Largest gap between two parts of one line, in heights of the line: the groups of a number stand apart."""

MARGIN = 0.4
"""How far a match is widened on each side, in widths of a character: recognition places characters only so exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class TextLine:
    """Recognized text and its corners (4, 2) in pixels, clockwise from top left in reading direction."""

    reading: RecognizedText
    corners: Floats

    @property
    def along(self) -> Floats:
        """Unit vector in the direction of reading."""
        step: Floats = self.corners[1] - self.corners[0]
        return step / max(float(np.linalg.norm(step)), 1e-6)

    @property
    def height(self) -> float:
        """Height of the line."""
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))

    def part(self, first: int, last: int) -> Floats:
        """Return the corners of the characters from `first` to before `last`."""
        middles = self.reading.middles
        width = (middles[-1] - middles[0]) / max(len(middles) - 1, 1) or 1.0
        low = (middles[first - 1] + middles[first]) / 2 if first else middles[0] - width
        high = (middles[last - 1] + middles[last]) / 2 if last < len(middles) else middles[-1] + width
        start, end = max(0.0, low - MARGIN * width), min(1.0, high + MARGIN * width)
        left, right = self.corners[[0, 3]], self.corners[[1, 2]]
        (top0, bottom0), (top1, bottom1) = (left + (right - left) * share for share in (start, end))
        return np.stack((top0, top1, bottom1, bottom0))


def read_line(frame: Frame, corners: Floats, reader: TextRecognizer) -> TextLine:
    """Read a line of text in the orientation that gives the best score."""
    across, down = (float(np.linalg.norm(corners[i] - corners[0])) for i in (1, 3))
    turns = (0, 2) if across >= SQUARE * down else (0, 2, 1, 3)
    lines = []
    for turn in turns:
        turned = np.roll(corners, -turn, axis=0)
        lines.append(TextLine(reader.read(_cut(frame, turned)), turned))
        if lines[-1].reading.score >= SURE:
            break
    return max(lines, key=lambda line: line.reading.score)


def rows_of(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Group the lines into rows: lines that continue each other form one row, in reading order."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: float(line.corners[0] @ line.along)):
        before = [row for row in rows if _continues(row[-1], line)]
        if before:
            min(before, key=lambda row: _gap(row[-1], line)).append(line)
        else:
            rows.append([line])
    return rows


def outline_of(corners: Floats, frame: Frame) -> tuple[Box, Mask | None] | None:
    """Return box and mask of all pixels that the rectangle touches; None when it lies outside the image."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = Box.around(*map(float, (low[0], low[1], high[0], high[1])))
    visible = box.clip(frame.width, frame.height)
    if visible is None:
        return None
    canvas = np.zeros((box.height, box.width), np.uint8)
    # Drawing the polygon's edge as well includes the pixels that it only touches; centres of pixels are at .5.
    points = np.rint((corners - (box.x0 + 0.5, box.y0 + 0.5)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1, shift=4)
    mask = canvas[visible.move(-box.x0, -box.y0).slices].astype(np.bool_)
    if not mask.any() or mask.mean() > 0.95:
        return visible, None
    return visible, mask


def _continues(first: TextLine, second: TextLine) -> bool:
    """Tell whether `second` continues `first`: near its end, level with it, and of the same height and direction."""
    low, high = sorted((first.height, second.height))
    if high > 1.7 * low or float(first.along @ second.along) < 0.97:
        return False
    middle, start = (line.corners[[a, b]].mean(axis=0) for line, a, b in ((first, 1, 2), (second, 0, 3)))
    up = np.array([-first.along[1], first.along[0]])
    return abs(float((start - middle) @ up)) < low / 2 and -high < _gap(first, second) < GAP * high


def _gap(first: TextLine, second: TextLine) -> float:
    end, start = first.corners[[1, 2]].mean(axis=0), second.corners[[0, 3]].mean(axis=0)
    return float((start - end) @ first.along)


def _cut(frame: Frame, corners: Floats) -> Rgb:
    """Return the line as a level image of `LINE_HEIGHT` rows."""
    across, down = (max(1.0, float(np.linalg.norm(corners[i] - corners[0]))) for i in (1, 3))
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = Box.around(*map(float, (low[0], low[1], high[0], high[1]))).pad(1, 1).clip(frame.width, frame.height)
    if box is None:
        return np.zeros((LINE_HEIGHT, LINE_HEIGHT, 3), np.uint8)
    scale = min(1.0, LINE_HEIGHT / down)
    size_wh = max(1, round(box.width * scale)), max(1, round(box.height * scale))
    view = frame.rgb(*size_wh, box)
    width = min(LONGEST, max(LINE_HEIGHT // 2, round(across / down * LINE_HEIGHT)))
    source = (corners[[0, 1, 3]] - (box.x0, box.y0)) * (size_wh[0] / box.width, size_wh[1] / box.height) - 0.5
    target = np.array([[0, 0], [width, 0], [0, LINE_HEIGHT]], np.float32) - np.float32(0.5)
    turn = cv2.getAffineTransform(source.astype(np.float32), target)
    level = cv2.warpAffine(view, turn, (width, LINE_HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(level, np.uint8)


DOUBTFUL = 0.9
"""A number with wrong check digits is hidden, too, when one of its characters was read with a score below this."""

CORE = 0.8
"""Share of the width and height of a line's rectangle that holds the text; the rest is margin added to the kernel."""

COVERED = 0.9
"""Share of a line's core that finer passes must have covered for the line to be dropped as already found. Coarser
passes give larger rectangles."""

Scored = tuple[Floats, float]
"""Corners (4, 2) of a rectangle of any angle, in image pixels, and a score."""


@dataclass(frozen=True, slots=True)
class LineShape:
    """The shape that a line of text must have to be taken for an object of `label`, and how the object exceeds it.

    `aspects` are the least and the largest width of a line in its heights. The object reaches beyond the line by the
    share `along` of its width at either end, and by the share `across` of its height above and below.
    """

    label: str
    aspects: tuple[float, float]
    along: float
    across: float

    def fits(self, corners: Floats) -> bool:
        """Tell whether a line with these corners has the shape."""
        across, down = (float(np.linalg.norm(corners[i] - corners[0])) for i in (1, 3))
        return self.aspects[0] * down <= across <= self.aspects[1] * down

    def box(self, corners: Floats, frame: Frame) -> Box | None:
        """Return the upright box around the object, clipped to the picture; None when it lies beyond."""
        middle, along, across = corners.mean(axis=0), corners[1] - corners[0], corners[3] - corners[0]
        reach = np.abs(along) * (0.5 + self.along) + np.abs(across) * (0.5 + self.across)
        return Box.around(*map(float, (*(middle - reach), *(middle + reach)))).clip(frame.width, frame.height)


@dataclass(frozen=True, slots=True)
class TextFilter:
    """Selects the parts of the text that match a kind or the pattern, or that were read with a score below `unsure`."""

    reader: TextRecognizer
    kinds: frozenset[str]
    pattern: re.Pattern[str] | None
    unsure: float

    def filter_lines(self, frame: Frame, lines: Sequence[Scored]) -> Iterator[Scored]:
        """Yield the wanted parts of the lines. Raises `PluginFault` when the reader fails."""
        read = [read_line(frame, corners, self.reader) for corners, _ in lines]
        yield from ((line.corners, line.reading.score) for line in read if line.reading.score < self.unsure)
        for row in rows_of([line for line in read if line.reading.text]):
            yield from self._parts(row)

    def _parts(self, row: Sequence[TextLine]) -> Iterator[Scored]:
        """Yield the parts of a row that match; a match across two lines gives one part in each."""
        text = " ".join(line.reading.text for line in row)
        for match in pii.find(text, self.kinds, self.pattern):
            start = 0
            for line in row:
                first, last = max(match.start - start, 0), min(match.end - start, len(line.reading.text))
                start += len(line.reading.text) + 1
                if first < last and (match.checked or _is_doubtful(row, match)):
                    yield line.part(first, last), min(line.reading.sure[first:last])


@dataclass(frozen=True, slots=True)
class TextDetector:
    """Finds lines of text and returns the parts that `wanted` selects; None: all lines.

    With `shape`, it returns only objects with such lines on them, as upright boxes.
    """

    mapper: Mapper
    threshold: float
    wanted: TextFilter | None
    shape: LineShape | None = None

    def find(self, frame: Frame) -> list[Region]:
        """Return the regions, clipped to the image. Raises `PluginFault` when a network fails."""
        lines: Sequence[Scored] = list(self._lines(frame))
        if self.shape is not None:
            return list(_objects(lines, self.shape, frame))
        if self.wanted is not None:
            lines = list(self.wanted.filter_lines(frame, lines))
        outlines = [(outline_of(corners, frame), score) for corners, score in lines]
        return [
            Region(outline[0], "text", min(1.0, score), outline[1])
            for outline, score in outlines
            if outline is not None
        ]

    def _lines(self, frame: Frame) -> Iterator[Scored]:
        """Yield the lines of all passes, the finest first, without lines that a finer pass has covered."""
        maps = self.mapper.maps(frame)
        # The resolution of the finest map: exact enough, and cheap to mark and to compare.
        covered: db.TextMap = np.zeros(maps[0].shape[1:], np.uint8)
        to_picture = np.array([frame.width / covered.shape[1], frame.height / covered.shape[0]], np.float32)
        for text_map in maps:
            to_finest = np.array(
                [covered.shape[1] / text_map.shape[2], covered.shape[0] / text_map.shape[1]], np.float32
            )
            corners, scores = db.lines(text_map[0], self.threshold)
            for placed, score in zip(corners * to_finest, scores.tolist(), strict=True):
                if _is_new(placed, covered):
                    yield placed * to_picture, score


def _objects(lines: Iterable[Scored], shape: LineShape, frame: Frame) -> Iterator[Region]:
    for corners, score in lines:
        box = shape.box(corners, frame) if shape.fits(corners) else None
        if box is not None:
            yield Region(box, shape.label, min(1.0, score))


def _is_new(corners: Floats, covered: db.TextMap) -> bool:
    """Tell whether the rectangle's core is new in `covered`, and mark the rectangle there."""
    middle = corners.mean(axis=0)
    x, y, width, height = cv2.boundingRect(corners)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, covered.shape[1]), min(y + height, covered.shape[0])
    if x0 >= x1 or y0 >= y1:
        return False
    place = covered[y0:y1, x0:x1]
    core, whole = (
        cv2.fillPoly(
            np.zeros_like(place), [np.rint(middle + (corners - middle) * share - (x0, y0)).astype(np.int32)], 1
        )
        for share in (CORE, 1)
    )
    fresh = bool(np.count_nonzero(place[core > 0]) < COVERED * np.count_nonzero(core))
    np.maximum(place, whole, out=place)
    return fresh


def _is_doubtful(row: Sequence[TextLine], match: pii.Match) -> bool:
    """Tell whether a character of the match was read so uncertainly that wrong check digits prove nothing."""
    sure = [certainty for line in row for certainty in (*line.reading.sure, 1.0)]
    return min(sure[match.start : match.end]) < DOUBTFUL
