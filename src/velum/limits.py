"""Limits of what velum accepts, as plain values. They are checked where data enters, and again while it streams."""

from dataclasses import dataclass, fields

from velum.errors import BadPlan, LimitExceeded

WAITED_SECONDS = 120
"""Default of `work_seconds` for requests to a service, where somebody waits; jobs may take longer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the sources and plans that are accepted."""

    bytes: int = 2 << 30
    """Size of one source file, in bytes."""
    pixels: int = 200_000_000
    """Width times height of one frame."""
    frames: int = 10_000
    """Frames or pages of one image."""
    video_frames: int = 10_000_000
    """Frames of one video. They are never in memory together."""
    seconds: int = 24 * 3600
    """Length of one video, in seconds."""
    regions: int = 10_000
    """Regions in one frame."""
    image_pixels: int = 10_000_000_000
    """Width times height times frames of one image."""
    scans: int = 100
    """Scans of one progressive JPEG. Each decodes the whole image, even if it has only 50 bytes."""
    rules: int = 1000
    """Rules of one plan."""
    localizers: int = 16
    """Localizers of one plan. The same localizer with other options counts again: it is loaded and run separately."""
    work_seconds: int = 24 * 3600
    """Seconds of processing for one image: processor time, and the time of localizers.

    In a service, the same limit holds for the decoding of each frame of a video, and for following an object in one.
    """
    members: int = 20_000
    """Members of an archive or a document, with those of archives in it."""
    unpacked_bytes: int = 16 << 30
    """Bytes of all members of an archive or a document, unpacked."""
    unpacked_ratio: int = 200
    """Unpacked bytes of a member for each packed one, where it has more than 16 MiB."""
    nesting: int = 4
    """Archives and documents around one another, with the source itself."""
    elements: int = 300_000
    """Attributes, items of sequences and fragments of one DICOM file. Each costs about a kilobyte and 50 µs."""

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
