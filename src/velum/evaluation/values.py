"""Observations of an evaluation: plain frozen values without pixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from velum.evaluation.ground_truth.values import Xyxy
from velum.region import Box

EXPOSED = 0.5
"""An object is exposed when a smaller share of it is hidden."""

SIZES = (16, 32, 64, 128)
"""Lower bounds of the size classes, in pixels of height."""

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate `hits / total` with its 95 % confidence interval (Wilson's score interval, 1927)."""

    hits: int
    total: int

    @property
    def share(self) -> float | None:
        """The share from 0 to 1; None when the total is 0."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound of the share; 0 and 1 when the total is 0."""
        if not self.total:
            return 0.0, 1.0
        share, square = self.hits / self.total, _Z * _Z / self.total
        middle = share + square / 2
        reach = _Z * math.sqrt(share * (1 - share) / self.total + square / (4 * self.total))
        # At none and at all of them rounding would leave a trace of the bound that is exact.
        low = 0.0 if not self.hits else (middle - reach) / (1 + square)
        high = 1.0 if self.hits == self.total else (middle + reach) / (1 + square)
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        share = None if self.share is None else round(self.share, 4)
        return {"hits": self.hits, "total": self.total, "share": share, "interval": _round_interval(self.interval)}


@dataclass(frozen=True, slots=True)
class TruthOutcome:
    """Whether one labelled object was found and hidden.

    `score`: score of the matched detection, None when the object was missed. `covered`: hidden share, 0 to 1. `judged`:
    its label is labelled completely, so that unmatched detections are false.
    """

    file: str
    frame: int
    label: str
    xyxy: Xyxy
    score: float | None
    covered: float
    judged: bool = False
    track: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def height(self) -> float:
        """Pixels from the upper to the lower edge."""
        return self.xyxy[3] - self.xyxy[1]

    @property
    def is_exposed(self) -> bool:
        """Whether less than half of the object is hidden."""
        return self.covered < EXPOSED


@dataclass(frozen=True, slots=True)
class FalsePositive:
    """A detection without an object, of a label that is labelled completely."""

    file: str
    frame: int
    label: str
    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """A labelled video: its labelled frames and its frame rate, from which exposure times follow."""

    file: str
    frames: tuple[int, ...]
    fps: Fraction


@dataclass(frozen=True, slots=True)
class Observations:
    """All observations of an evaluation."""

    outcomes: tuple[TruthOutcome, ...]
    wrong: tuple[FalsePositive, ...]
    videos: tuple[LabelledVideo, ...]
    files: int
    frames: int
    models: tuple[Mapping[str, str], ...]
    left_out: tuple[str, ...] = ()
    """Files that could not be evaluated, each with the reason."""
    not_asked: Mapping[str, int] = field(default_factory=dict)
    """Number of labelled objects by label for which the plan has no rule."""


def size_class(height: float) -> str:
    """Return the size class of an object of this height in pixels."""
    above = [low for low in SIZES if low <= height]
    if not above:
        return f"under {SIZES[0]} px"
    if len(above) == len(SIZES):
        return f"{SIZES[-1]} px and more"
    return f"{above[-1]} to {SIZES[len(above)] - 1} px"


SIZE_CLASSES = tuple(size_class(side) for side in (1, *SIZES))


def _round_interval(values: tuple[float, float]) -> list[float]:
    return [round(value, 4) for value in values]
