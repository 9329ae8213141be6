"""Reports: what was hidden in one source, in values that hold no pixels."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from velum.errors import BadInput
from velum.region import Box, Origin, Points, points_from_json
from velum.spec import finite, whole


def say_count(number: int, one: str, several: str) -> str:
    """Return a number with the words that follow it: those for 1, or those for any other number.

    >>> say_count(1, "frame was", "frames were"), say_count(2, "frame was", "frames were")
    ('1 frame was', '2 frames were')
    """
    return f"{number} {one if number == 1 else several}"


def say_kinds(counts: Mapping[str, int], most: int = 5) -> str:
    """Return how many there are of each kind, the most frequent kinds first.

    >>> say_kinds({".txt": 1, ".m4a": 2, "pipe": 1}, most=2)
    '2 .m4a, 1 .txt, 1 of other kinds'
    """
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    several = [f"{count} {kind}" for kind, count in ordered[:most]]
    others = sum(count for _, count in ordered[most:])
    return ", ".join([*several, f"{others} of other kinds"] if others else several)


@dataclass(frozen=True, slots=True)
class HiddenRegion:
    """One region that was hidden, with the index of its rule and the technique."""

    frame: int
    label: str
    box: Box
    score: float
    found: Origin
    rule: int
    technique: str
    masked: bool = False
    points: Points | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the region as JSON values."""
        points = {} if self.points is None else {"points": [[round(x, 2), round(y, 2)] for x, y in self.points]}
        return points | {
            "frame": self.frame, "label": self.label, "xyxy": list(self.box.xyxy), "score": round(self.score, 4),
            "found": self.found, "rule": self.rule, "technique": self.technique, "masked": self.masked,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the region of `to_json`. Raises `BadInput`, `TypeError` or the like for others."""
        fields = {name: entry for name, entry in value.items() if name not in {"xyxy", "points"}}
        return cls(**fields, box=Box(*map(int, value["xyxy"])), points=points_from_json(value.get("points")))


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """The hidden regions of one track; `track` is None where tracking is off.

    `frames` is the number of frames in which a region was hidden, `found` counts them by the region's origin.
    """

    track: int | None
    label: str
    rule: int
    technique: str
    first_frame: int
    last_frame: int
    frames: int
    found: Mapping[Origin, int]
    best_score: float
    largest_side: int | None = None
    """Pixels of the shorter side of the box in the frame where that is largest; None in reports of older versions."""

    def to_json(self) -> dict[str, Any]:
        """Return the track as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"found": dict(self.found), "best_score": round(self.best_score, 4)}


_LISTS = ("members", "sound")
"""Fields of a report that its JSON has only where they are not empty."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was hidden in one source: where, by which rule, model and technique, and what to doubt of it."""

    source: str | None
    target: str | None
    format: str
    width: int
    height: int
    frames: int
    hidden: tuple[HiddenRegion, ...]
    """Every hidden region; empty for videos."""
    plan: str
    """Digest of the plan."""
    rules: tuple[str, ...]
    tracks: tuple[TrackSummary, ...] = ()
    """Every track with hidden regions; empty for images."""
    models: tuple[Mapping[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""
    input_sha256: str | None = None
    output_sha256: str | None = None
    encoding: str = "re-encoded"
    warnings: tuple[str, ...] = ()
    version: str = ""
    check: Mapping[str, Any] | None = None
    """Result of the check of the finished file, where the plan asks for one."""
    members: tuple[Mapping[str, Any], ...] = ()
    """Each member of an archive or a document, with what was done to it; frames are counted through all of them."""
    people: Mapping[str, Any] | None = None
    """Whom the plan knows, and what was decided for each face or track, where it has people. No embeddings."""
    sound: tuple[Mapping[str, Any], ...] = ()
    """What was done to each audio track that was not copied, with the muted spans in seconds."""
    transcript: Mapping[str, Any] | None = None
    """Where the redacted transcript is, and how much of each kind it has no longer, where words were muted."""

    @property
    def labels(self) -> dict[str, int]:
        """Number of objects hidden of each label: regions in images, tracks in videos."""
        return dict(Counter([region.label for region in self.hidden] + [track.label for track in self.tracks]))

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        more = {} if self.transcript is None else {"transcript": dict(self.transcript)}
        values = {name: getattr(self, name) for name in self.__slots__ if name not in (*_LISTS, "transcript")}
        lists = {name: [dict(entry) for entry in getattr(self, name)] for name in _LISTS if getattr(self, name)}
        return (
            values
            | lists
            | more
            | {
                "hidden": [region.to_json() for region in self.hidden],
                "tracks": [track.to_json() for track in self.tracks],
                "models": [dict(model) for model in self.models],
                "rules": list(self.rules),
                "seconds": {stage: round(spent, 6) for stage, spent in self.seconds.items()},
                "warnings": list(self.warnings),
            }
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the report of `to_json`. Raises `BadInput` for anything else."""
        try:
            tracks = tuple(TrackSummary(**track) for track in value["tracks"])
            hidden = tuple(map(HiddenRegion.from_json, value["hidden"]))
            lists = {name: tuple(value[name]) for name in ("rules", "models", "warnings")}
            lists |= {name: tuple(value.get(name, ())) for name in _LISTS}
            report = cls(**{**value, **lists, "tracks": tracks, "hidden": hidden})
        except (AttributeError, TypeError, KeyError, ValueError, OverflowError) as error:
            raise BadInput(f"the report cannot be read: {type(error).__name__}: {error}") from error
        if wrong := _wrong_field(report):
            raise BadInput(f"the report cannot be read: {wrong} is not what velum hide --json writes there")
        return report


def _wrong_field(report: Report) -> str | None:
    """Return the name of a field whose value is of the wrong type or range, None when there is none."""
    texts = (report.format, report.plan, report.encoding, report.version, *report.rules, *report.warnings)
    entries: tuple[HiddenRegion | TrackSummary, ...] = (*report.hidden, *report.tracks)
    right = {
        "text": all(isinstance(text, str) for text in texts),
        "size": all(whole(size) and size >= 0 for size in (report.width, report.height, report.frames)),
        "label": all(isinstance(entry.label, str) and isinstance(entry.technique, str) for entry in entries),
        "sha256": all(digest is None or _is_sha256(digest) for digest in (report.input_sha256, report.output_sha256)),
        "people": report.people is None or isinstance(report.people, Mapping),
        "members": all(isinstance(member, Mapping) for member in report.members),
        "sound": all(isinstance(track, Mapping) for track in report.sound),
        "transcript": report.transcript is None or isinstance(report.transcript, Mapping),
        "models": all(isinstance(model, Mapping) for model in report.models),
        "seconds": isinstance(report.seconds, Mapping) and all(map(finite, report.seconds.values())),
        "found": all(isinstance(region.found, str) for region in report.hidden)
        and all(isinstance(track.found, Mapping) and all(map(whole, track.found.values())) for track in report.tracks),
        "side": all(track.largest_side is None or whole(track.largest_side) for track in report.tracks),
        "score": all(finite(region.score) for region in report.hidden)
        and all(finite(track.best_score) for track in report.tracks),
    }
    return next((name for name, is_right in right.items() if not is_right), None)


def _is_sha256(digest: object) -> bool:
    return isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None
