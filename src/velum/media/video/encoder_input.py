"""Converts frames to an encoder's input, and gives its packets the time stamps of the source."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from velum.errors import BadPlan
from velum.frame import Frame
from velum.media.sources import StreamSink
from velum.media.video import alpha
from velum.media.video.encoder_settings import EncoderSettings, configure
from velum.media.video.encoders import open_encoder, tag_of
from velum.media.video.info import VideoFormat, VideoSource
from velum.media.video.output_format import PixelConverter
from velum.media.video.pixel_formats import native_of

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


def add_encoded_stream(container: "OutputContainer", settings: EncoderSettings, coding: VideoFormat) -> "VideoStream":
    """Add a video stream with an encoder to a container, and return it."""
    stream = cast("VideoStream", container.add_stream(settings.encoder, rate=settings.rate, options=settings.options))
    configure(stream.codec_context, settings, coding)
    if settings.codec in alpha.SIDE_ALPHA_CODECS and settings.layout.alpha:
        stream.metadata["alpha_mode"] = "1"
    tag = tag_of(settings.codec, container.format.name)
    if tag:
        stream.codec_context.codec_tag = tag
    open_encoder(stream.codec_context)
    return stream


def shift_packet(packet: "Packet[Any]", seconds: Fraction) -> None:
    """Add seconds to the time stamps of a packet, in place."""
    if not seconds:
        return
    ticks = round(seconds / Fraction(packet.time_base.numerator, packet.time_base.denominator))
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


class EncoderInput:
    """The input side of one encoder. It remembers the source's time stamp of each frame for the packet to come.

    No two frames fall on the same `tick` (in seconds) of the result's clock. Ticks are counted from the first frame
    with `from_first`, else from time 0.
    """

    def __init__(
        self, like: VideoSource, settings: EncoderSettings, target: Path | StreamSink, *,
        tick: Fraction | None = None, from_first: bool = False,
    ) -> None:  # fmt: skip
        self._tick, self._from_first = tick, from_first
        self._ticks: int | None = None
        self.delayed = 0
        self._coding, self._state, self._made, self._target = like.info.coding, like.state, settings, target
        self._fitter = PixelConverter(self._coding.layout, self._coding.colour, settings.fit)
        self._count = 0
        self._pending: dict[int, tuple[int, int]] = {}

    @property
    def pending_frames(self) -> int:
        """Number of frames whose packet the encoder has not returned yet."""
        return len(self._pending)

    def source_pts(self, time: Fraction) -> int:
        """Return the source's time stamp of a frame at `time` (seconds after the first frame)."""
        return self._state.origin + round(time / self._coding.time_base)

    def to_native(self, frame: Frame) -> "av.VideoFrame":
        """Return a frame as the encoder takes it: its pixel layout, and its time stamp in the encoder's time base.

        Raises `BadPlan` when the frame has another number of planes than the source.
        """
        coding, settings = self._coding, self._made
        if len(frame.planes) != len(coding.layout.roles):
            raise BadPlan(
                f"cannot write {self._target}: the video has {len(coding.layout.roles)} planes, "
                f"this frame has {len(frame.planes)}"
            )
        native = native_of(frame, coding.layout)
        stamp, duration = self._delay_to_next_tick(self.source_pts(cast("Fraction", frame.time))), native.duration
        native = self._fitter.fit(native)
        if self._fitter.cleared and settings.fit.cleared not in settings.warnings:
            settings.warnings.append(settings.fit.cleared)
        native.time_base = settings.time_base
        native.pts = self._count if settings.constant_rate else stamp
        native.pict_type = 0
        self._pending[native.pts] = (stamp, duration)
        self._count += 1
        return native

    def _delay_to_next_tick(self, stamp: int) -> int:
        """Return the time stamp, or that of the next tick where the result could not tell it from the frame before."""
        if self._tick is None:
            return stamp
        origin = self._state.origin if self._from_first else 0
        per_tick = self._tick / self._coding.time_base
        ticks = floor((stamp - origin) / per_tick + Fraction(1, 2))
        if self._ticks is not None and ticks <= self._ticks:
            ticks = self._ticks + 1
            stamp = origin + round(ticks * per_tick)
            self.delayed += 1
        self._ticks = ticks
        return stamp

    def with_source_times(self, packets: "Iterable[Packet[Any]]") -> "Iterator[Packet[Any]]":
        """Yield the encoder's packets with the time stamps and durations of the source."""
        bound = self._made.size_bound
        for packet in packets:
            if bound is not None:
                bound.count(packet)
            stamp, duration = self._pending.pop(packet.pts or 0, (None, 0))
            if self._made.constant_rate and stamp is not None:
                packet.pts = packet.dts = stamp
                packet.time_base = self._coding.time_base
            if duration:
                packet.duration = duration
            yield packet
