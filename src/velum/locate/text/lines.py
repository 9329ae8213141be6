"""Geometry of lines of text: reading direction, parts, rows and outlines."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from velum.frame import Frame, Rgb
from velum.locate.output_formats import Floats
from velum.locate.text.recognize import LINE_HEIGHT, LONGEST, RecognizedText, TextRecognizer
from velum.region import Box, Mask

SURE = 0.95
"""Score of a reading from which the line is not turned to see whether it reads better the other way."""

SQUARE = 1.5
"""Aspect up to which a line may as well be read across its longer side."""

GAP = 2.5
"""Heights of a line between two parts of it: the groups of a number stand apart."""

MARGIN = 0.4
"""Widths of a character that a match is widened by: a reader knows the place of a character only so well."""


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


def read(frame: Frame, corners: Floats, reader: TextRecognizer) -> TextLine:
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


def rows(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Return the lines in rows: those that continue each other in one, in the order of reading."""
    found: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: float(line.corners[0] @ line.along)):
        before = [row for row in found if _continues(row[-1], line)]
        if before:
            min(before, key=lambda row: _gap(row[-1], line)).append(line)
        else:
            found.append([line])
    return found


def outline(corners: Floats, frame: Frame) -> tuple[Box, Mask | None] | None:
    """Return box and mask of all pixels that the corners' rectangle touches; None when it lies beyond the picture."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = Box.around(*map(float, (low[0], low[1], high[0], high[1])))
    seen = box.clip(frame.width, frame.height)
    if seen is None:
        return None
    canvas = np.zeros((box.height, box.width), np.uint8)
    # The polygon's edge is drawn too, so that a pixel it only touches is in: pixels' middles are at a half.
    points = np.rint((corners - (box.x0 + 0.5, box.y0 + 0.5)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1, shift=4)
    mask = canvas[seen.move(-box.x0, -box.y0).slices].astype(np.bool_)
    if not mask.any() or mask.mean() > 0.95:
        return seen, None
    return seen, mask


def _continues(one: TextLine, other: TextLine) -> bool:
    """Tell whether `other` goes on where `one` ends: as high, in the same direction, level with it and near."""
    low, high = sorted((one.height, other.height))
    if high > 1.7 * low or float(one.along @ other.along) < 0.97:
        return False
    middle, start = (line.corners[[a, b]].mean(axis=0) for line, a, b in ((one, 1, 2), (other, 0, 3)))
    up = np.array([-one.along[1], one.along[0]])
    return abs(float((start - middle) @ up)) < low / 2 and -high < _gap(one, other) < GAP * high


def _gap(one: TextLine, other: TextLine) -> float:
    end, start = one.corners[[1, 2]].mean(axis=0), other.corners[[0, 3]].mean(axis=0)
    return float((start - end) @ one.along)


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
