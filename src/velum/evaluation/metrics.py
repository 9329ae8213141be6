"""Metrics of an evaluation: rates by label and size, by tag, by frame and by track."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from velum.evaluation.values import SIZE_CLASSES, LabelledVideo, Observations, Rate, TruthOutcome, size_class

COVERED = (0.5, 0.9)
"""Hidden shares from which an object counts as hidden; both are reported."""


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
        found = Rate(sum(outcome.score is not None for outcome in outcomes), total)
        hidden = tuple(Rate(sum(outcome.covered >= level for outcome in outcomes), total) for level in COVERED)
        return cls(label, kind, found, hidden, sum(outcome.covered for outcome in outcomes) / total)

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
    videos = {outcome.file for outcome in observed.videos}
    by_frame: dict[tuple[str, int], bool] = defaultdict(bool)
    for outcome in observed.outcomes:
        if outcome.file in videos:
            by_frame[outcome.file, outcome.frame] |= outcome.is_exposed
    return Rate(sum(by_frame.values()), len(by_frame))


def tracks(observed: Observations) -> list[TrackExposure]:
    """Return the exposure of each labelled track, the longest first."""
    videos = {outcome.file: outcome for outcome in observed.videos}
    of_track = _group_by(
        (outcome for outcome in observed.outcomes if outcome.track is not None and outcome.file in videos),
        lambda outcome: (outcome.file, outcome.track, outcome.label),
    )
    found = [_track(key, group, videos[key[0]]) for key, group in of_track]
    return sorted(found, key=lambda track: (-track.longest_seconds, -track.exposed, track.file, track.track))


def _track(key: tuple[str, str, str], outcomes: Sequence[TruthOutcome], video: LabelledVideo) -> TrackExposure:
    ordered = sorted(outcomes, key=lambda outcome: outcome.frame)
    stretches = [list(group) for exposed, group in groupby(ordered, lambda outcome: outcome.is_exposed) if exposed]
    longest = max((group[-1].frame - group[0].frame + 1 for group in stretches), default=0)
    exposed = sum(map(len, stretches))
    return TrackExposure(key[0], key[1], key[2], len(ordered), exposed, round(float(longest / video.fps), 3))


def _group_by(outcomes: Iterable[TruthOutcome], key: Any) -> Iterator[tuple[Any, list[TruthOutcome]]]:
    groups: Mapping[Any, list[TruthOutcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome)
    yield from sorted(groups.items())
