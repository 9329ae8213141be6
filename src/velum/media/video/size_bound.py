"""The bound `size = "like-source"`: the video of the result takes no more bytes than that of the source."""

import math
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from velum.errors import BadPlan
from velum.media.sources import LiveSource
from velum.media.video.file_input import translate_read_errors
from velum.media.video.info import VideoSource
from velum.plan import Video

if TYPE_CHECKING:
    from av.packet import Packet

TOLERANCE = 1.1
"""The report warns of a result larger than this many times its source: encoders keep a bound only nearly."""

_BUFFERED = Fraction(1, 5)
_LEAST_BUFFER, _MOST_BUFFER = Fraction(1), Fraction(10)
"""Least and most seconds for which the rate may be exceeded; between them it is a share of the duration."""

_USED = Fraction(3, 5)
"""Share of the buffer that is used at the end of a video; measured with x264, x265 and libvpx."""

_LEAST_RATE = 8_000
"""Least rate in bits per second; encoders treat lower values as no bound."""

_QUALITY = struct.Struct("<I")
"""Start of FFmpeg's `AV_PKT_DATA_QUALITY_STATS`: the quantiser of a frame, times `FF_QP2LAMBDA`."""
_QUANTISER_STEP = 118


@dataclass(frozen=True, slots=True)
class SourceSize:
    """Size and duration of the packets of a source's video."""

    bytes: int
    seconds: Fraction

    @property
    def encoder_options(self) -> dict[str, str]:
        """Options of FFmpeg's encoders, in bits: a rate and a buffer that make the result no larger than the source.

        An encoder writes at most its rate times the duration, plus the used part of the buffer.
        """
        buffered = min(max(self.seconds * _BUFFERED, _LEAST_BUFFER), _MOST_BUFFER)
        rate = max(_LEAST_RATE, int(8 * self.bytes / (self.seconds + buffered * _USED)))
        return {"maxrate": str(rate), "bufsize": str(int(rate * buffered))}


def source_size(video: VideoSource, options: Video) -> SourceSize | None:
    """Return the size of a source's video for the bound in a plan; None for a plan without a bound.

    It reads all packets of the file. Raises `BadPlan` for a live source, `BadInput` for a file that cannot be read.
    """
    info = video.info
    if options.size is None:
        return None
    if isinstance(info.source, LiveSource):
        raise BadPlan(
            f"{info.source} comes once, so its size is not known before; leave out size, or save it to a file first"
        )
    total, first, last = 0, math.inf, -math.inf
    with video.file.open(video.limits) as container, translate_read_errors(info.source):
        stream = next(item for item in container.streams.video if item.index == info.coding.stream)
        for packet in container.demux(stream):
            if packet.is_discard or not packet.size:
                continue
            total += packet.size
            if packet.pts is not None:
                first, last = min(first, packet.pts), max(last, packet.pts)
    shown = int(last - first) * info.coding.time_base if last > first else Fraction(0)
    return SourceSize(total, shown + 1 / info.coding.rate)


@dataclass(slots=True)
class SizeBound:
    """A bound on the size of a result, and how well it was kept. `finest` is the quantiser without a bound."""

    source: SourceSize
    encoder: str
    possible: bool
    """False where velum cannot bound the encoder's rate."""
    crf: int | None
    finest: int
    coarsest: int
    written: int = 0
    quantisers: list[int] = field(default_factory=list)
    """Quantisers of the frames that were encoded more coarsely than without a bound."""
    frames: int = 0

    def count(self, packet: "Packet[Any]") -> None:
        """Count a packet of the result."""
        self.written += packet.size
        self.frames += 1
        self.note_quality(packet)

    def note_quality(self, packet: "Packet[Any]") -> None:
        """Record the quantiser of a frame, where its packet states it, as packets fresh from an encoder do."""
        if packet.has_sidedata("quality_stats"):
            (value,) = _QUALITY.unpack_from(bytes(packet.get_sidedata("quality_stats")))
            if round(value / _QUANTISER_STEP) > self.finest:
                self.quantisers.append(round(value / _QUANTISER_STEP))

    def quality_warnings(self, frames: str = "frames") -> list[str]:
        """Return the warnings about reduced quality; `frames` names the frames that were written."""
        if not self.quantisers:
            return []
        mean = sum(self.quantisers) / len(self.quantisers)
        text = (
            f"to stay as small as the source, {len(self.quantisers)} of {self.frames} {frames} were encoded more "
            f"coarsely than crf {self.crf} asks for: at quantiser {mean:.0f} on average, {max(self.quantisers)} at most"
        )
        return [text]

    def size_warnings(self) -> list[str]:
        """Return the warnings about a finished result that is larger than its source."""
        if self.written <= TOLERANCE * self.source.bytes:
            return []
        ratio = f"{self.written / max(1, self.source.bytes):.2f}"
        reason = (
            f"quality is not lowered beyond quantiser {self.coarsest}; a codec that compresses more (--codec hevc), or "
            "a slower --preset, makes it smaller"
            if self.possible
            else f"the size of {self.encoder} cannot be bounded; --codec h264, hevc, vp9 and av1 can"
        )
        return [f"the video takes {ratio} times as many bytes as the source's, although size is like-source: {reason}"]
