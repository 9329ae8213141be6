"""What was done to one source, in values that hold no pixels."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from velum.errors import BadInput
from velum.region import Box, Found


@dataclass(frozen=True, slots=True)
class Hidden:
    """One region that was hidden: where it was found, and with which rule and technique it was hidden."""

    frame: int
    label: str
    box: Box
    score: float
    found: Found
    rule: int
    technique: str
    masked: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the region as JSON values."""
        return {
            "frame": self.frame, "label": self.label, "xyxy": list(self.box.xyxy), "score": round(self.score, 4),
            "found": self.found, "rule": self.rule, "technique": self.technique, "masked": self.masked,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Followed:
    """One thing that was hidden through a stretch of video; None as `track` where nothing was followed.

    `frames` counts the frames in which it was hidden, `found` how it was known in them.
    """

    track: int | None
    label: str
    rule: int
    technique: str
    first_frame: int
    last_frame: int
    frames: int
    found: Mapping[Found, int]
    best_score: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"found": dict(self.found), "best_score": round(self.best_score, 4)}


@dataclass(frozen=True, slots=True)
class Report:
    """The truth about one source: found, hidden, how strongly, by which model, and what to doubt."""

    source: str | None
    target: str | None
    format: str
    width: int
    height: int
    frames: int
    hidden: tuple[Hidden, ...]
    """Each region, in still pictures."""
    plan: str
    """Digest of the plan."""
    rules: tuple[str, ...]
    tracks: tuple[Followed, ...] = ()
    """Each thing, in videos."""
    models: tuple[Mapping[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time spent in each stage."""
    input_sha256: str | None = None
    output_sha256: str | None = None
    encoding: str = "re-encoded"
    warnings: tuple[str, ...] = ()
    version: str = ""
    check: Mapping[str, Any] | None = None
    """What the check of the finished file said, where the plan asks for one."""

    @property
    def labels(self) -> dict[str, int]:
        """How many things of each label were hidden: regions in pictures, tracks in videos."""
        return dict(Counter([region.label for region in self.hidden] + [track.label for track in self.tracks]))

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {
            "hidden": [region.to_json() for region in self.hidden],
            "tracks": [track.to_json() for track in self.tracks],
            "models": [dict(model) for model in self.models],
            "rules": list(self.rules),
            "seconds": {stage: round(spent, 6) for stage, spent in self.seconds.items()},
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the report of a video that `to_json` gave. Raises `BadInput` for anything else."""
        try:
            tracks = tuple(Followed(**track) for track in value["tracks"])
            lists = {name: tuple(value[name]) for name in ("rules", "models", "warnings")}
            return cls(**{**value, **lists, "tracks": tracks, "hidden": ()})
        except (TypeError, KeyError) as error:
            raise BadInput(f"the report cannot be read: {type(error).__name__}: {error}") from error
