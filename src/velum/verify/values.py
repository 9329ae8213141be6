"""What a check says: plain frozen values, without a pixel."""

from dataclasses import dataclass, field
from typing import Any, Literal

from velum.region import Box

Kind = Literal[
    "seen", "weak", "picture", "colour", "metadata", "place", "audio", "subtitles", "stream", "rest", "frames",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that a stranger could make use of.

    `seen`: another detector sees it in the finished file; `weak`: a region was named, but not hidden as the plan says;
    `frames`: the file has not the pictures that it should have; `colour`: what was not hidden differs from its source.
    The others are what lies beside the pictures.
    """

    kind: Kind
    message: str
    frame: int | None = None
    box: Box | None = None
    label: str | None = None
    score: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "kind": self.kind, "message": self.message, "frame": self.frame,
            "xyxy": None if self.box is None else list(self.box.xyxy), "label": self.label,
            "score": None if self.score is None else round(self.score, 4),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one file, how it was looked for, and what could not be looked for."""

    file: str
    sha256: str | None
    frames: int
    leaks: tuple[Leak, ...]
    detectors: tuple[str, ...] = ()
    regions: int = 0
    """How many were verified by their pixels."""
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.leaks

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": "velum-check/1", "file": self.file, "sha256": self.sha256, "frames": self.frames,
            "passed": self.passed, "leaks": [leak.to_json() for leak in self.leaks],
            "detectors": list(self.detectors), "regions_verified": self.regions, "notes": list(self.notes),
        }  # fmt: skip
