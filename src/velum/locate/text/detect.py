"""Detect lines of text in an image, and select the parts that match."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from velum.frame import Frame
from velum.locate import pii
from velum.locate.class_maps import Mapper
from velum.locate.output_formats import Floats, db
from velum.locate.text import lines
from velum.locate.text.lines import TextLine
from velum.locate.text.recognize import TextRecognizer
from velum.region import Region

DOUBTFUL = 0.9
"""A number whose check digits are wrong is hidden all the same when a character of it was read with less certainty."""

CORE = 0.8
"""Share of a line's rectangle, both ways, that holds the text; the rest is the room that a kernel is grown by."""

COVERED = 0.9
"""Share of a line's core from which a finer pass has already found it. Coarser passes give larger rectangles."""

Scored = tuple[Floats, float]
"""Corners (4, 2) of a rectangle of any angle, in pixels of the picture, and a score."""


@dataclass(frozen=True, slots=True)
class TextFilter:
    """Selects parts of the text: of the kinds, of the pattern, or read with a score below `unsure`."""

    reader: TextRecognizer
    kinds: frozenset[str]
    pattern: re.Pattern[str] | None
    unsure: float

    def filter_lines(self, frame: Frame, found: Sequence[Scored]) -> Iterator[Scored]:
        """Yield the wanted parts of the lines. Raises `PluginFault` when the reader fails."""
        read = [lines.read(frame, corners, self.reader) for corners, _ in found]
        yield from ((line.corners, line.reading.score) for line in read if line.reading.score < self.unsure)
        for row in lines.rows([line for line in read if line.reading.text]):
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
    """Finds lines of text; `wanted` says which parts of them to return, None: all."""

    mapper: Mapper
    threshold: float
    wanted: TextFilter | None

    def find(self, frame: Frame) -> list[Region]:
        """Return the regions, clipped to the picture. Raises `PluginFault` when a network fails."""
        found: Sequence[Scored] = list(self._lines(frame))
        if self.wanted is not None:
            found = list(self.wanted.filter_lines(frame, found))
        outlines = [(lines.outline(corners, frame), score) for corners, score in found]
        return [Region(one[0], "text", min(1.0, score), one[1]) for one, score in outlines if one is not None]

    def _lines(self, frame: Frame) -> Iterator[Scored]:
        """Yield the lines of all passes, the finest first, without those that a finer pass has covered."""
        maps = self.mapper.maps(frame)
        # As large as the finest map: there, marking and comparing costs least that is exact enough.
        seen: db.TextMap = np.zeros(maps[0].shape[1:], np.uint8)
        to_picture = np.array([frame.width / seen.shape[1], frame.height / seen.shape[0]], np.float32)
        for one in maps:
            to_finest = np.array([seen.shape[1] / one.shape[2], seen.shape[0] / one.shape[1]], np.float32)
            corners, scores = db.lines(one[0], self.threshold)
            for placed, score in zip(corners * to_finest, scores.tolist(), strict=True):
                if _is_new(placed, seen):
                    yield placed * to_picture, score


def _is_new(corners: Floats, seen: db.TextMap) -> bool:
    """Tell whether the rectangle's core is new in `seen`, and mark the rectangle there."""
    middle = corners.mean(axis=0)
    x, y, width, height = cv2.boundingRect(corners)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, seen.shape[1]), min(y + height, seen.shape[0])
    if x0 >= x1 or y0 >= y1:
        return False
    place = seen[y0:y1, x0:x1]
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
    """Tell whether a character of the match was read with so little certainty that its check digits prove nothing."""
    sure = [certainty for line in row for certainty in (*line.reading.sure, 1.0)]
    return min(sure[match.start : match.end]) < DOUBTFUL
