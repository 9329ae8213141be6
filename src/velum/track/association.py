"""Association: which detection of a frame belongs to which track of the frames before."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import lap
import numpy as np
import numpy.typing as npt

from velum.region import ious
from velum.track.float_boxes import FloatBox, area, centre, shift
from velum.track.template_matcher import TemplateMatcher
from velum.track.window import Detection

Matrix = npt.NDArray[np.float64]
Pairs = list[tuple[int, int]]

MEMORY = 9
"""Detections from which velocity and growth are estimated."""

LEAST_IOU = 0.3
"""IoU of expected and detected box from which they count as one object (SORT, Bewley et al. 2016)."""

REACH, REACH_LOST, REACH_MOST = 0.5, 0.5, 4.0
"""How far, in sides of the box, a detection may lie from where it is expected: in the next frame, more for each frame
since the object was last recognised, and at most."""

LARGEST_RATIO = 3.0
"""Boxes whose areas differ by more than this factor do not show one object."""

FASTEST_GROWTH = 1.03
"""Factor by which the sides of a box grow per frame at most."""

FORBIDDEN = 1e6


@dataclass(slots=True, eq=False)
class Track:
    """One object through time. Frames are counted from the first one of the video."""

    track_id: int
    last: Detection
    """The latest detection."""
    matcher: TemplateMatcher | None = None
    """Tracks the object by its appearance since then, once there was a frame without a detection."""
    matched_frame: int = 0
    """The frame that the matcher has come to."""
    duplicate_frames: int = 0
    """Number of frames for which another track has shown the same object."""
    detections: deque[Detection] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def __post_init__(self) -> None:
        self.detections.append(self.last)

    @property
    def label(self) -> str:
        """Label of the object."""
        return self.last.region.label

    def add(self, detection: Detection) -> None:
        """Continue the track with a detection."""
        self.last, self.matcher, self.duplicate_frames = detection, None, 0
        self.detections.append(detection)

    def expected_box(self, at: int) -> FloatBox:
        """Return where the object should be in frame `at`, by its appearance, or else by its velocity."""
        if self.matcher is not None:
            edges, steps, velocity = self.matcher.edges, at - self.matched_frame, self.matcher.velocity
        else:
            edges, steps, velocity = self.last.edges, at - self.last.frame, self.velocity
        dx, dy = velocity or (0.0, 0.0)
        return shift(edges, dx * steps, dy * steps)

    @property
    def velocity(self) -> tuple[float, float] | None:
        """Pixels per frame (x, y); None after a single detection.

        Median of the slopes between detections that lie half of the memory apart: as with Theil and Sen (1950, 1968),
        one wrong box does not turn it, at a fraction of their pairs.
        """
        pairs = self._pairs()
        if not pairs:
            return None
        moved = [(centre(a.edges), centre(b.edges), b.frame - a.frame) for a, b in pairs]
        return median((b[0] - a[0]) / n for a, b, n in moved), median((b[1] - a[1]) / n for a, b, n in moved)

    @property
    def growth(self) -> float:
        """Factor by which the sides grow per frame; 1 when they shrink, since a guess must not become smaller."""
        if len(self.detections) < MEMORY // 2:
            return 1.0
        slopes = [math.log(area(b.edges) / area(a.edges)) / (b.frame - a.frame) / 2 for a, b in self._pairs()]
        return min(max(math.exp(median(slopes)), 1.0), FASTEST_GROWTH)

    def _pairs(self) -> list[tuple[Detection, Detection]]:
        """Return pairs of detections, the earlier one first, that lie half of the memory apart."""
        detections = list(self.detections)
        return list(zip(detections, detections[max(1, len(detections) // 2) :], strict=False))


def pair_overlapping(expected: Sequence[FloatBox], detected: Sequence[FloatBox]) -> Pairs:
    """Pair expected with detected boxes that overlap well. Return pairs of indices (expected, detected)."""
    if not expected or not detected:
        return []
    a, b = np.array(expected), np.array(detected)
    overlap = ious(a, b)
    cost = 1 - overlap + 0.1 * np.abs(np.log(_ratios(a, b)))
    return _assign(np.where(overlap >= LEAST_IOU, cost, FORBIDDEN))


def pair_near(expected: Sequence[FloatBox], lost: Sequence[int], detected: Sequence[FloatBox]) -> Pairs:
    """Pair expected with detected boxes by their distance, for objects that are small, fast or were out of sight.

    `lost[i]` is the number of frames since object i was last recognised. Returns pairs of indices (expected, detected).
    """
    if not expected or not detected:
        return []
    a, b = np.array(expected), np.array(detected)
    middles_a, middles_b = (a[:, :2] + a[:, 2:]) / 2, (b[:, :2] + b[:, 2:]) / 2
    sides = np.sqrt(np.sqrt(_areas(a)[:, None] * _areas(b)[None, :]))
    distance = np.linalg.norm(middles_a[:, None] - middles_b[None, :], axis=2) / sides
    ratio = _ratios(a, b)
    reach = np.minimum(REACH + REACH_LOST * np.array(lost), REACH_MOST)[:, None]
    allowed = (distance <= reach) & (ratio <= LARGEST_RATIO) & (ratio >= 1 / LARGEST_RATIO)
    return _assign(np.where(allowed, distance + 0.5 * np.abs(np.log(ratio)), FORBIDDEN))


def _assign(cost: Matrix) -> Pairs:
    """Return the pairs (row, column) with the least sum of costs, none of them forbidden."""
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=FORBIDDEN / 2)
    return [(row, int(column)) for row, column in enumerate(column_of) if column >= 0]


def _ratios(a: Matrix, b: Matrix) -> Matrix:
    ratios: Matrix = _areas(a)[:, None] / _areas(b)[None, :]
    return ratios


def _areas(a: Matrix) -> Matrix:
    areas: Matrix = np.prod(a[:, 2:] - a[:, :2], axis=1)
    return areas
