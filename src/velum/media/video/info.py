"""What is known of a video: `VideoInfo` before its frames are read, and `VideoSource`, which holds it open.

Metadata of HDR is kept as FFmpeg's side data, and given to encoders as text.
"""

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from velum.frame import Orientation
from velum.limits import Limits
from velum.media.projection import Spherical
from velum.media.sources import LiveSource
from velum.media.video.file_input import VideoInput
from velum.media.video.pixel_formats import PixelLayout

_UPRIGHT = Orientation()


@dataclass(frozen=True, slots=True)
class Colour:
    """How samples map to colours: the code points of ITU-T H.273, which every container and codec uses."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False
    range_stated: bool = False
    mastering: bytes = b""
    """FFmpeg's `AVMasteringDisplayMetadata`, empty when there is none."""
    light: bytes = b""
    """FFmpeg's `AVContentLightMetadata`, empty when there is none."""


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """How the frames of a video are coded; the result is coded like it as far as possible."""

    stream: int
    """Index of the stream in its file."""
    codec: str
    native: str
    """FFmpeg's name of the pixel format that the decoder returns."""
    layout: PixelLayout
    stored_width: int
    stored_height: int
    time_base: Fraction
    rate: Fraction
    colour: Colour
    aspect: Fraction | None = None
    """Width of one sample divided by its height."""
    matrix: tuple[int, ...] = ()
    """FFmpeg's display matrix: nine numbers, empty when there is none."""
    orientation: Orientation = _UPRIGHT
    field_order: int = 0
    """FFmpeg's `AVFieldOrder`; above 1 for interlaced video."""
    spherical: Spherical | None = None
    """Projection of a 360-degree video; None for flat frames, and for a projection that velum cannot write."""
    sliced: bool = False
    """True for H.264 with several slices in a picture."""
    reordered: bool = True
    """Whether frames may be stored in another order than they are shown in."""


@dataclass(frozen=True, slots=True)
class SideStream:
    """An audio or subtitle stream; `codec` is None where FFmpeg knows no decoder."""

    index: int
    kind: str
    codec: str | None


@dataclass(slots=True)
class ReadState:
    """Progress of the reader. A writer publishes only a video that was read to its end."""

    frames: int = 0
    finished: bool = False
    origin: int = 0
    """Time stamp of the first frame, in units of the stream; times of frames count from it."""
    warnings: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Reset the state: the source is read from its start."""
        self.frames, self.finished = 0, False
        self.warnings.clear()


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """Properties of a video. `width` and `height` are those of the upright frames, in pixels."""

    format: str
    """`AVI`, `MKV`, `MOV`, `MP4`, `MPEG`, `TS` or `WEBM`; of a camera `RTSP`, `RTSPS` or `DEVICE`."""
    width: int
    height: int
    frames: int | None
    """Number of frames in the file's index; None where the index does not state it."""
    fps: Fraction
    """Average frames per second."""
    duration_seconds: float | None
    source: Path | LiveSource
    coding: VideoFormat
    tracks: tuple[SideStream, ...]
    notes: tuple[str, ...]
    """Warnings about the source, for the report."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of the planes of one frame."""
        return self.coding.layout.bytes_of(self.width, self.height)


class TrackSource(Protocol):
    """An open file or stream with audio tracks: a `VideoSource`, or a sound file."""

    @property
    def info(self) -> "TrackInfo":
        """Its format, and where it comes from."""
        ...

    @property
    def file(self) -> VideoInput:
        """Its bytes."""
        ...

    @property
    def limits(self) -> Limits:
        """Limits of what is accepted."""
        ...

    @property
    def cover_damage(self) -> bool:
        """True when what cannot be decoded becomes silence."""
        ...


class TrackInfo(Protocol):
    """Properties that videos and sound files have in common."""

    @property
    def format(self) -> str:
        """Format of the container."""
        ...

    @property
    def source(self) -> Path | LiveSource:
        """Where it comes from."""
        ...

    @property
    def tracks(self) -> tuple[SideStream, ...]:
        """Its audio and subtitle tracks."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class VideoSource:
    """An open video: its properties, its bytes, and the progress of its reader.

    A reader creates it and keeps `state` up to date; a writer of a video like this one gets it as an argument.
    """

    info: VideoInfo
    file: VideoInput
    limits: Limits
    cover_damage: bool = False
    """True when frames that cannot be decoded come as black ones."""
    state: ReadState = field(default_factory=ReadState)


_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")


def mastering(data: bytes) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]] | None:
    """Return (red x, red y, green x, ..., white y) and (lowest, highest luminance in cd/m2), or None.

    `data` is libavutil's `AVMasteringDisplayMetadata`: three primaries, white point, two luminances, two flags.
    """
    if len(data) != _MASTERING.size:
        return None
    *pairs, has_primaries, has_luminance = _MASTERING.unpack(data)
    ratios = [Fraction(num, den) if den else Fraction(0) for num, den in zip(pairs[::2], pairs[1::2], strict=True)]
    return (tuple(ratios[:8]), tuple(ratios[8:])) if has_primaries and has_luminance else None


def mastering_units(data: bytes) -> str | None:
    """Return the mastering display as x264 and x265 take it: in units of 0.00002 (chromaticity) and 0.0001 cd/m2."""
    units = mastering(data)
    if units is None:
        return None
    (rx, ry, gx, gy, bx, by, wx, wy), (low, high) = (
        [round(part * 50_000) for part in units[0]], [round(part * 10_000) for part in units[1]],
    )  # fmt: skip
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"


def mastering_decimals(data: bytes) -> str | None:
    """Return the mastering display as SVT-AV1 takes it: decimal numbers, luminance in cd/m2."""
    units = mastering(data)
    if units is None:
        return None
    rx, ry, gx, gy, bx, by, wx, wy = (f"{float(part):.5f}" for part in units[0])
    low, high = (f"{float(part):.4f}" for part in units[1])
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"


def content_light(data: bytes) -> str | None:
    """Return MaxCLL and MaxFALL (brightest pixel, and mean of the brightest frame, in cd/m2) as `1000,400`."""
    if len(data) != _LIGHT.size:
        return None
    brightest, mean = _LIGHT.unpack(data)
    return f"{brightest},{mean}"
