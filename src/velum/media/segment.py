"""Stretches of a video that are worked on apart: plain values, so that they can be sent to whoever makes them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from velum.errors import BadInput

SPAN_SECONDS = 60.0
"""What is lost at most of a long video when a machine fails, and made anew at least when one region is corrected.
Shorter ones cost more, since neighbours overlap."""


@dataclass(frozen=True, slots=True)
class GopStart:
    """The start of a closed group of pictures: number of its first frame, and its time stamp in the source's units.

    The end of the video has no time stamp.
    """

    frame: int
    pts: int | None


@dataclass(frozen=True, slots=True)
class Segment:
    """The frames from `first` up to, not including, `end`; to know what to hide in them, those of `read` to `stop`.

    `index` of `count` spans of the source with this `sha256`, whose first picture has the time stamp `origin`. `format`
    is that of the result.
    """

    index: int
    count: int
    read: GopStart
    first: GopStart
    end: GopStart
    stop: GopStart
    origin: int
    frames_total: int
    format: str
    sha256: str

    @property
    def frames(self) -> int:
        """How many frames are its own."""
        return self.end.frame - self.first.frame

    def to_json(self) -> dict[str, Any]:
        """Return the span as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the span of `to_json`. Raises `BadInput` for anything else."""
        try:
            marks = {name: GopStart(**value[name]) for name in ("read", "first", "end", "stop")}
            return cls(**{**value, **marks})
        except (TypeError, KeyError) as error:
            raise BadInput(f"span {value!r} is not one that a video was cut into: {error}") from error
