"""Segments of a video that workers process apart from each other: plain values, which are sent to the workers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from velum.errors import BadInput

SEGMENT_SECONDS = 60.0
"""Default length of a segment. A failing machine loses at most this much work, and correcting a region repeats at least
this much. Shorter segments cost more, since neighbours overlap."""


@dataclass(frozen=True, slots=True)
class GopStart:
    """The start of a closed group of pictures: index of its first frame, and its time stamp in the source's time base.

    `pts` is None at the end of the video.
    """

    frame: int
    pts: int | None


@dataclass(frozen=True, slots=True)
class Segment:
    """The frames from `first` up to, not including, `end`. To track objects, a worker reads those of `read` to `stop`.

    It is segment `index` of `count` of the source with this `sha256`, whose first frame has the time stamp `origin`.
    `format` is that of the result.
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
        """Number of frames from `first` to `end`."""
        return self.end.frame - self.first.frame

    def to_json(self) -> dict[str, Any]:
        """Return the segment as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the segment of values that `to_json` made. Raises `BadInput` for other values."""
        try:
            marks = {name: GopStart(**value[name]) for name in ("read", "first", "end", "stop")}
            return cls(**{**value, **marks})
        except (TypeError, KeyError) as error:
            raise BadInput(f"cannot read segment {value!r}: {error}; give one that Segment.to_json made") from error
