"""Limits of what velum accepts, as plain values: checked where data enters, and again while streaming."""

from dataclasses import dataclass, fields

from velum.errors import BadPlan, LimitExceeded

WAITED_SECONDS = 120
"""`work_seconds` of services while somebody waits, where the operator says nothing; jobs may take longer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest source that is accepted."""

    bytes: int = 2 << 30
    """Size of one source file, in bytes."""
    pixels: int = 200_000_000
    """Width times height of one frame."""
    frames: int = 10_000
    """Frames or pages of one image."""
    video_frames: int = 10_000_000
    """Frames of one video: they are never in memory together."""
    seconds: int = 24 * 3600
    """Length of one video."""
    regions: int = 10_000
    """Regions in one frame."""
    image_pixels: int = 10_000_000_000
    """Width times height times frames of one image."""
    scans: int = 100
    """Scans of one JPEG: each goes over the whole image, though it may take 50 bytes of the file."""
    rules: int = 1000
    """Rules of one plan."""
    localizers: int = 16
    """Localizers of one plan. One with other options is another one, which is loaded and run on its own."""
    work_seconds: int = 24 * 3600
    """How long one image may be worked on: processor time, and the time that localizers take.

    A process that decodes for a service may use as much for each frame of a video, and to follow an object in one.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise BadPlan(f"limit {field.name} is {value!r}; it must be a whole number of at least 1")

    def check(self, limit: str, value: int, what: str) -> None:
        """Raise `LimitExceeded` when `value` is above the limit of that name; `what` names the thing measured."""
        allowed: int = getattr(self, limit)
        if value > allowed:
            raise LimitExceeded(limit, value, allowed, what)
