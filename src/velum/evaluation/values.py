"""What an evaluation says: plain frozen values, without a pixel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from velum.evaluation.ground_truth.values import Xyxy
from velum.region import Box

EXPOSED = 0.5
"""Share of a thing below which it is taken for exposed when less of it is hidden."""

SIZES = (16, 32, 64, 128)
"""Where classes of size begin, in pixels of height."""

_Z = 1.959963984540054
"""Quantile of the normal distribution between which and its negative 95 % lie."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of how many, and the 95 % interval in which the true share lies: Wilson's score interval (1927)."""

    hits: int
    total: int

    @property
    def share(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound; 0 and 1 of nothing."""
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
        """Return it as JSON values."""
        share = None if self.share is None else round(self.share, 4)
        return {"hits": self.hits, "total": self.total, "share": share, "interval": _rounded(self.interval)}


@dataclass(frozen=True, slots=True)
class TruthOutcome:
    """What became of one labelled thing.

    `score` is that of the find that is it, None where nothing was found; `covered` the share of it that is hidden.
    `judged`: all of its label is labelled in its frame, so that more finds there are wrong.
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
    def exposed(self) -> bool:
        """Whether less than half of it is hidden."""
        return self.covered < EXPOSED


@dataclass(frozen=True, slots=True)
class FalsePositive:
    """One find where nothing of its label is, though everything of it is labelled there."""

    file: str
    frame: int
    label: str
    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """One video of the truth: its labelled frames, and frames a second, to tell how long something is exposed."""

    file: str
    frames: tuple[int, ...]
    fps: Fraction


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that was seen when a plan was held against truth."""

    seen: tuple[TruthOutcome, ...]
    wrong: tuple[FalsePositive, ...]
    watched: tuple[LabelledVideo, ...]
    files: int
    frames: int
    models: tuple[Mapping[str, str], ...]
    left_out: tuple[str, ...] = ()
    """Files that could not be looked at, each with the reason."""
    not_asked: Mapping[str, int] = field(default_factory=dict)
    """How many things were labelled for which the plan has no rule, by label."""


def size_class(height: float) -> str:
    """Return the class of a thing of that height in pixels."""
    above = [low for low in SIZES if low <= height]
    if not above:
        return f"under {SIZES[0]} px"
    if len(above) == len(SIZES):
        return f"{SIZES[-1]} px and more"
    return f"{above[-1]} to {SIZES[len(above)] - 1} px"


SIZE_CLASSES = tuple(size_class(side) for side in (1, *SIZES))


def _rounded(values: tuple[float, float]) -> list[float]:
    return [round(value, 4) for value in values]
