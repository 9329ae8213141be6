"""Results of a check: plain frozen values without pixels."""

from dataclasses import dataclass, field
from typing import Any, Literal

from velum.region import Box

Kind = Literal[
    "seen", "weak", "picture", "colour", "metadata", "place", "audio", "subtitles", "stream", "rest", "frames",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing in a finished file that could identify somebody.

    Kinds: `seen`, a detector sees somebody; `weak`, a region is not hidden as the plan says; `frames`, frames are
    missing or too many; `colour`, what was not hidden differs from the source; `picture`, transparent pixels became
    visible. The others name metadata or streams that should have been removed.
    """

    kind: Kind
    message: str
    frame: int | None = None
    box: Box | None = None
    label: str | None = None
    score: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "kind": self.kind, "message": self.message, "frame": self.frame,
            "xyxy": None if self.box is None else list(self.box.xyxy), "label": self.label,
            "score": None if self.score is None else round(self.score, 4),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The leaks of one file, the detectors that searched, and notes on what could not be checked."""

    file: str
    sha256: str | None
    frames: int
    leaks: tuple[Leak, ...]
    detectors: tuple[str, ...] = ()
    regions: int = 0
    """Number of regions verified by their pixels."""
    notes: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether the check found no leak."""
        return not self.leaks

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "format": "velum-check/1", "file": self.file, "sha256": self.sha256, "frames": self.frames,
            "passed": self.is_clean, "leaks": [leak.to_json() for leak in self.leaks],
            "detectors": list(self.detectors), "regions_verified": self.regions, "notes": list(self.notes),
        }  # fmt: skip
