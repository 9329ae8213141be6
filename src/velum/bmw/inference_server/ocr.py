"""Text recognition for the OCR calls, where its extra is installed."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from velum.engine.part_cache import PartCache
from velum.frame import Frame
from velum.locate.output_formats import Floats
from velum.locate.text import detect
from velum.locate.text.recognize import RapidRecognizer, TextRecognizer
from velum.plugins import Localizer, RuntimeConfig
from velum.region import Box, Region
from velum.spec import PartSpec

SAME = 0.5
"""Least overlap, as a share of the smaller box, from which two lines are the same."""


@dataclass(frozen=True, slots=True)
class OcrLine:
    """One recognized line: text, box, and score from 0 to 1."""

    text: str
    box: Box
    score: float


class Ocr:
    """Detects and recognizes lines of text. `detector` and `recognizer` create the models on first use."""

    def __init__(self, detector: Callable[[], Localizer], recognizer: Callable[[], TextRecognizer]) -> None:
        self._make_detector, self._make_recognizer = detector, recognizer
        self._lock = threading.Lock()
        self._models: tuple[Localizer, TextRecognizer] | None = None

    @classmethod
    def of(cls, parts: PartCache, host: RuntimeConfig) -> Self:
        """Return an instance with velum's own models; `parts` owns the detector."""
        return cls(lambda: parts.localizer(PartSpec("text")), lambda: RapidRecognizer(host))

    def read(self, frame: Frame, areas: Sequence[Region] | None = None) -> list[OcrLine]:
        """Return the lines in an upright frame; with `areas`, those whose center lies in one of them.

        Raises `Unavailable` when the extra is not installed, and `PluginFault` when recognition fails.
        """
        detector, recognizer = self._ready()
        (lines_found,) = detector.locate([frame])
        regions = [
            line for line in lines_found if areas is None or any(_center_inside(line.box, area.box) for area in areas)
        ]
        read = [(line.box, detect.read_line(frame, _corners(line), recognizer).reading) for line in regions]
        return _drop_duplicates(
            [OcrLine(reading.text, box, round(reading.score, 4)) for box, reading in read if reading.text]
        )

    def _ready(self) -> tuple[Localizer, TextRecognizer]:
        with self._lock:
            if self._models is None:
                # Create the recognizer first: it downloads nothing, and without it detection is useless.
                recognizer = self._make_recognizer()
                self._models = self._make_detector(), recognizer
            return self._models


def _drop_duplicates(read: Sequence[OcrLine]) -> list[OcrLine]:
    """Drop lines that lie mostly in another one with more text.

    Text is detected at several scales, and a line detected twice is harmless where it is only hidden.
    """
    lines: list[OcrLine] = []
    for line in sorted(read, key=lambda line: -len(line.text) * line.score):
        if not any(_overlap_share(line.box, other.box) > SAME for other in lines):
            lines.append(line)
    return [line for line in read if line in lines]


def _overlap_share(box: Box, other: Box) -> float:
    """Return the share of the smaller box that lies in the other."""
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return max(width, 0) * max(height, 0) / min(box.width * box.height, other.width * other.height)


def _center_inside(line: Box, area: Box) -> bool:
    x, y = (line.x0 + line.x1) // 2, (line.y0 + line.y1) // 2
    return area.x0 <= x < area.x1 and area.y0 <= y < area.y1


def _corners(line: Region) -> Floats:
    """Return the corners of a line's rectangle along its text, from its mask where it is rotated; (4, 2), pixels."""
    box = line.box
    if line.mask is None:
        return np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)], np.float32)
    rows, columns = np.nonzero(line.mask)
    points = np.stack((columns, rows), axis=1).astype(np.float32) + 0.5
    corners = cv2.boxPoints(cv2.minAreaRect(points)) + np.array([box.x0, box.y0])
    # The first edge is the longer one: text runs along it.
    first, second = (float(np.linalg.norm(corners[i + 1] - corners[i])) for i in (0, 1))
    along: Floats = np.roll(corners, 0 if first >= second else -1, axis=0).astype(np.float32)
    return along
