"""Observations of an evaluation, and the metrics of them: rates by label and size, by tag, by frame and by track."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any

from velum.evaluation.ground_truth.values import Xyxy
from velum.region import SIZE_CLASSES, Box, size_class

COVERED = (0.5, 0.9)
"""Hidden shares from which an object counts as hidden; both are reported."""

EXPOSED = 0.5
"""An object counts as exposed when less than this share of it is hidden."""

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
        # With no hit, or only hits, one bound is exact; rounding would move it.
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
class Observations:
    """All observations of an evaluation."""

    outcomes: tuple[TruthOutcome, ...]
    wrong: tuple[FalsePositive, ...]
    videos: Mapping[str, Fraction]
    """Frame rate of each labelled video, by file."""
    files: int
    frames: int
    models: tuple[Mapping[str, str], ...]
    left_out: tuple[str, ...] = ()
    """Files that could not be evaluated, each with the reason."""
    not_asked: Mapping[str, int] = field(default_factory=dict)
    """Number of labelled objects by label for which the plan has no rule."""


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """Rates of the objects of one label and kind."""

    label: str
    kind: str
    """A size, a tag such as `pose = left`, or `all`."""
    found: Rate
    hidden: tuple[Rate, ...]
    """For each share of `COVERED`, how many objects are hidden as much."""
    covered: float
    """Mean hidden share of the objects."""

    @classmethod
    def of(cls, label: str, kind: str, outcomes: Sequence[TruthOutcome]) -> "MetricsRow":
        """Return the row of at least one outcome."""
        total = len(outcomes)
        found_rate = Rate(sum(outcome.score is not None for outcome in outcomes), total)
        hidden = tuple(Rate(sum(outcome.covered >= level for outcome in outcomes), total) for level in COVERED)
        return cls(label, kind, found_rate, hidden, sum(outcome.covered for outcome in outcomes) / total)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        hidden = {
            f"hidden_{level:.0%}".replace("%", ""): rate.to_json()
            for level, rate in zip(COVERED, self.hidden, strict=True)
        }
        return {
            "label": self.label, "kind": self.kind, "found": self.found.to_json(), **hidden,
            "mean_covered": round(self.covered, 4),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrackExposure:
    """How long the object of one track is exposed, in its labelled frames.

    `longest_seconds`: duration of its longest run of exposed frames.
    """

    file: str
    track: str
    label: str
    frames: int
    exposed: int
    longest_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def by_size(outcomes: Iterable[TruthOutcome]) -> list[MetricsRow]:
    """Return for each label a row for all objects and one for each size class that occurs."""
    rows = []
    for label, group in _group_by(outcomes, lambda outcome: outcome.label):
        rows.append(MetricsRow.of(label, "all", group))
        sizes = dict(_group_by(group, lambda outcome: size_class(outcome.height)))
        rows += [MetricsRow.of(label, size, sizes[size]) for size in SIZE_CLASSES if size in sizes]
    return rows


def by_tag(outcomes: Iterable[TruthOutcome]) -> list[MetricsRow]:
    """Return for each label a row for each tag and value in the truth."""
    tagged: dict[tuple[str, str], list[TruthOutcome]] = defaultdict(list)
    for outcome in outcomes:
        for name, value in outcome.tags.items():
            tagged[outcome.label, f"{name} = {value}"].append(outcome)
    return [MetricsRow.of(label, tag, group) for (label, tag), group in sorted(tagged.items())]


def precision(observed: Observations) -> dict[str, Rate]:
    """Return the precision by label, over frames in which the label is labelled completely."""
    right, wrong = Counter[str](), Counter[str]()
    for outcome in observed.outcomes:
        right[outcome.label] += outcome.judged and outcome.score is not None
    for false in observed.wrong:
        wrong[false.label] += 1
    labels = sorted({outcome.label for outcome in observed.outcomes if outcome.judged} | wrong.keys())
    return {label: Rate(right[label], right[label] + wrong[label]) for label in labels}


def frames(observed: Observations) -> Rate:
    """Return the rate of labelled video frames with objects in which at least one is exposed."""
    by_frame: dict[tuple[str, int], bool] = defaultdict(bool)
    for outcome in observed.outcomes:
        if outcome.file in observed.videos:
            by_frame[outcome.file, outcome.frame] |= outcome.is_exposed
    return Rate(sum(by_frame.values()), len(by_frame))


def tracks(observed: Observations) -> list[TrackExposure]:
    """Return the exposure of each labelled track, the longest first."""
    of_track = _group_by(
        (outcome for outcome in observed.outcomes if outcome.track is not None and outcome.file in observed.videos),
        lambda outcome: (outcome.file, outcome.track, outcome.label),
    )
    summaries = [_track(key, group, observed.videos[key[0]]) for key, group in of_track]
    return sorted(summaries, key=lambda track: (-track.longest_seconds, -track.exposed, track.file, track.track))


def _track(key: tuple[str, str, str], outcomes: Sequence[TruthOutcome], fps: Fraction) -> TrackExposure:
    ordered = sorted(outcomes, key=lambda outcome: outcome.frame)
    stretches = [list(group) for exposed, group in groupby(ordered, lambda outcome: outcome.is_exposed) if exposed]
    longest = max((group[-1].frame - group[0].frame + 1 for group in stretches), default=0)
    exposed = sum(map(len, stretches))
    return TrackExposure(key[0], key[1], key[2], len(ordered), exposed, round(float(longest / fps), 3))


def _group_by(outcomes: Iterable[TruthOutcome], key: Any) -> Iterator[tuple[Any, list[TruthOutcome]]]:
    groups: Mapping[Any, list[TruthOutcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome)
    yield from sorted(groups.items())


def _round_interval(values: tuple[float, float]) -> list[float]:
    return [round(value, 4) for value in values]
