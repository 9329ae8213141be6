"""From what was seen to tables: shares by label and size, by tag, by frame and by track."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from velum.evaluation.values import SIZE_CLASSES, LabelledVideo, Observations, Rate, TruthOutcome, size_class

COVERED = (0.5, 0.9)
"""Shares of a thing that must be hidden for it to count as hidden; both are told."""


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """What became of the things of one kind."""

    label: str
    kind: str
    """A size, a tag such as `pose = left`, or `all`."""
    found: Rate
    hidden: tuple[Rate, ...]
    """For each of `COVERED`, how many are hidden so far."""
    covered: float
    """Share of a thing that is hidden, on average."""

    @classmethod
    def of(cls, label: str, kind: str, seen: Sequence[TruthOutcome]) -> "MetricsRow":
        """Return the row for these things; there must be one at least."""
        total = len(seen)
        found = Rate(sum(one.score is not None for one in seen), total)
        hidden = tuple(Rate(sum(one.covered >= level for one in seen), total) for level in COVERED)
        return cls(label, kind, found, hidden, sum(one.covered for one in seen) / total)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
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
    """How long one thing of a video is exposed, in its labelled frames.

    `longest_seconds` is from the first frame of its longest exposed stretch to the end of the last one.
    """

    file: str
    track: str
    label: str
    frames: int
    exposed: int
    longest_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def by_size(seen: Iterable[TruthOutcome]) -> list[MetricsRow]:
    """Return for each label a row for all of it and one for each class of size that occurs."""
    rows = []
    for label, ones in _grouped(seen, lambda one: one.label):
        rows.append(MetricsRow.of(label, "all", ones))
        sizes = dict(_grouped(ones, lambda one: size_class(one.height)))
        rows += [MetricsRow.of(label, size, sizes[size]) for size in SIZE_CLASSES if size in sizes]
    return rows


def by_tag(seen: Iterable[TruthOutcome]) -> list[MetricsRow]:
    """Return for each label a row for each tag and value that the truth gives."""
    tagged: dict[tuple[str, str], list[TruthOutcome]] = defaultdict(list)
    for one in seen:
        for name, value in one.tags.items():
            tagged[one.label, f"{name} = {value}"].append(one)
    return [MetricsRow.of(label, tag, ones) for (label, tag), ones in sorted(tagged.items())]


def precision(observed: Observations) -> dict[str, Rate]:
    """Return by label how many finds are right, of those in frames in which everything of it is labelled."""
    right, wrong = Counter[str](), Counter[str]()
    for one in observed.seen:
        right[one.label] += one.judged and one.score is not None
    for false in observed.wrong:
        wrong[false.label] += 1
    labels = sorted({one.label for one in observed.seen if one.judged} | wrong.keys())
    return {label: Rate(right[label], right[label] + wrong[label]) for label in labels}


def frames(observed: Observations) -> Rate:
    """Return in how many labelled frames of videos that show something anything is exposed."""
    videos = {one.file for one in observed.watched}
    by_frame: dict[tuple[str, int], bool] = defaultdict(bool)
    for one in observed.seen:
        if one.file in videos:
            by_frame[one.file, one.frame] |= one.exposed
    return Rate(sum(by_frame.values()), len(by_frame))


def tracks(observed: Observations) -> list[TrackExposure]:
    """Return the tracks of the truth's videos, those that are exposed longest first."""
    watched = {one.file: one for one in observed.watched}
    of_track = _grouped(
        (one for one in observed.seen if one.track is not None and one.file in watched),
        lambda one: (one.file, one.track, one.label),
    )
    found = [_track(key, ones, watched[key[0]]) for key, ones in of_track]
    return sorted(found, key=lambda track: (-track.longest_seconds, -track.exposed, track.file, track.track))


def _track(key: tuple[str, str, str], seen: Sequence[TruthOutcome], video: LabelledVideo) -> TrackExposure:
    ordered = sorted(seen, key=lambda one: one.frame)
    stretches = [list(ones) for exposed, ones in groupby(ordered, lambda one: one.exposed) if exposed]
    longest = max((ones[-1].frame - ones[0].frame + 1 for ones in stretches), default=0)
    exposed = sum(map(len, stretches))
    return TrackExposure(key[0], key[1], key[2], len(ordered), exposed, round(float(longest / video.fps), 3))


def _grouped(seen: Iterable[TruthOutcome], key: Any) -> Iterator[tuple[Any, list[TruthOutcome]]]:
    groups: Mapping[Any, list[TruthOutcome]] = defaultdict(list)
    for one in seen:
        groups[key(one)].append(one)
    yield from sorted(groups.items())
