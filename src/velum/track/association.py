"""Which of the things found in this frame is which of those known from the frames before."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import lap
import numpy as np
import numpy.typing as npt

from velum.track.float_boxes import FloatBox, area, centre, shift
from velum.track.template_matcher import TemplateMatcher
from velum.track.window import Detection

Matrix = npt.NDArray[np.float64]
Pairs = list[tuple[int, int]]

MEMORY = 9
"""Finds from which the speed is estimated."""

LEAST_IOU = 0.3
"""Overlap of expected and found box from which they are taken for the same thing (SORT, Bewley et al. 2016)."""

REACH, REACH_LOST, REACH_MOST = 0.5, 0.5, 4.0
"""How far, in sides of the box, a find may lie from where it is expected: to begin with, more for each frame since the
thing was last recognised, and at most."""

LARGEST_RATIO = 3.0
"""Boxes of which one has so many times the other's area are not the same thing."""

FASTEST_GROWTH = 1.03
"""Of the sides, per frame."""

FORBIDDEN = 1e6


@dataclass(slots=True, eq=False)
class Track:
    """One thing through time. Places are counted in frames since the beginning."""

    number: int
    last: Detection
    """The latest find."""
    chase: TemplateMatcher | None = None
    """How it is followed since, once a frame went by without a find."""
    chased: int = 0
    """Where the chase is."""
    taken: int = 0
    """Frames for which another track has shown the same thing."""
    finds: deque[Detection] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def __post_init__(self) -> None:
        self.finds.append(self.last)

    @property
    def label(self) -> str:
        """What it is."""
        return self.last.region.label

    def see(self, find: Detection) -> None:
        """Note that it was found again."""
        self.last, self.chase, self.taken = find, None, 0
        self.finds.append(find)

    def expected_box(self, at: int) -> FloatBox:
        """Return where it should be, from how it is followed or else from how it moved."""
        if self.chase is not None:
            edges, steps, velocity = self.chase.edges, at - self.chased, self.chase.velocity
        else:
            edges, steps, velocity = self.last.edges, at - self.last.place, self.velocity
        dx, dy = velocity or (0.0, 0.0)
        return shift(edges, dx * steps, dy * steps)

    @property
    def velocity(self) -> tuple[float, float] | None:
        """Pixels per frame; None while it was found only once.

        Median of the slopes between finds that lie half of the memory apart: as Theil and Sen (1950, 1968) do, one
        wrong box does not turn it, at a fraction of their pairs.
        """
        spans = self._spans()
        if not spans:
            return None
        moved = [(centre(a.edges), centre(b.edges), b.place - a.place) for a, b in spans]
        return median((b[0] - a[0]) / n for a, b, n in moved), median((b[1] - a[1]) / n for a, b, n in moved)

    @property
    def growth(self) -> float:
        """By which factor the sides grow per frame; 1 when they shrink, for what is unsure must not get smaller."""
        if len(self.finds) < MEMORY // 2:
            return 1.0
        slopes = [math.log(area(b.edges) / area(a.edges)) / (b.place - a.place) / 2 for a, b in self._spans()]
        return min(max(math.exp(median(slopes)), 1.0), FASTEST_GROWTH)

    def _spans(self) -> list[tuple[Detection, Detection]]:
        finds = list(self.finds)
        return list(zip(finds, finds[max(1, len(finds) // 2) :], strict=False))


def pair_overlapping(expected: Sequence[FloatBox], found: Sequence[FloatBox]) -> Pairs:
    """Return which expected box is which found one, as pairs of indices, where they overlap well."""
    if not expected or not found:
        return []
    a, b = np.array(expected), np.array(found)
    overlap = _ious(a, b)
    cost = 1 - overlap + 0.1 * np.abs(np.log(_ratios(a, b)))
    return _assign(np.where(overlap >= LEAST_IOU, cost, FORBIDDEN))


def pair_near(expected: Sequence[FloatBox], lost: Sequence[int], found: Sequence[FloatBox]) -> Pairs:
    """Return which expected box is which found one by their distance, for what is small, fast or was out of sight.

    `lost` says for each expected box how many frames ago the thing was last recognised.
    """
    if not expected or not found:
        return []
    a, b = np.array(expected), np.array(found)
    middles_a, middles_b = (a[:, :2] + a[:, 2:]) / 2, (b[:, :2] + b[:, 2:]) / 2
    sides = np.sqrt(np.sqrt(_areas(a)[:, None] * _areas(b)[None, :]))
    distance = np.linalg.norm(middles_a[:, None] - middles_b[None, :], axis=2) / sides
    ratio = _ratios(a, b)
    reach = np.minimum(REACH + REACH_LOST * np.array(lost), REACH_MOST)[:, None]
    allowed = (distance <= reach) & (ratio <= LARGEST_RATIO) & (ratio >= 1 / LARGEST_RATIO)
    return _assign(np.where(allowed, distance + 0.5 * np.abs(np.log(ratio)), FORBIDDEN))


def _assign(cost: Matrix) -> Pairs:
    """Return the pairs of least cost in all, none of them forbidden."""
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=FORBIDDEN / 2)
    return [(row, int(column)) for row, column in enumerate(column_of) if column >= 0]


def _ious(a: Matrix, b: Matrix) -> Matrix:
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = np.prod(np.maximum(sides, 0), axis=2)
    overlap: Matrix = both / (_areas(a)[:, None] + _areas(b)[None, :] - both)
    return overlap


def _ratios(a: Matrix, b: Matrix) -> Matrix:
    ratios: Matrix = _areas(a)[:, None] / _areas(b)[None, :]
    return ratios


def _areas(a: Matrix) -> Matrix:
    areas: Matrix = np.prod(a[:, 2:] - a[:, :2], axis=1)
    return areas
