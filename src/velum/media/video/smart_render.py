"""Smart rendering: copies the closed groups of pictures in which nothing is hidden, and encodes the others."""

import io
from collections.abc import Container, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import av
from av.codec.context import CodecContext

from velum.errors import OutputFailed
from velum.media.sources import LiveSource
from velum.media.video.containers import CONTAINERS
from velum.media.video.encoder_settings import EncoderSettings, configure
from velum.media.video.encoders import open_encoder
from velum.media.video.gops import ClosedGops, CopyPacket, find_closed_gops, open_copy_packets
from velum.media.video.info import VideoSource

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream


_TARGETS = ("MP4", "MOV", "MKV", "WEBM", "TS")
_IN_BAND = {"h264": "avc3", "hevc": "hev1"}
"""Codec tags in MP4 for streams whose parameter sets may change midway (ISO/IEC 14496-15, 5.3.4 and 8.3.4)."""


def plan_smart_render(
    video: VideoSource, settings: EncoderSettings, touched: Container[int], format: str
) -> "SmartRenderer | str":
    """Return a renderer that copies the groups without a frame of `touched`; or why every frame must be encoded."""
    info = video.info
    if isinstance(info.source, LiveSource):
        return "a live stream can be read only once"
    if format not in _TARGETS or info.format not in _TARGETS:
        return f"velum cannot copy packets from {info.format} to {format}"
    if settings.codec != info.coding.codec or settings.layout != info.coding.layout:
        return f"{info.coding.codec} is written as {settings.codec}, {settings.layout.name}"
    groups = find_closed_gops(video)
    if isinstance(groups, str):
        return groups
    if format == "TS" and groups.first_dts < 0:
        return "TS cannot hold packets with a decoding time before 0"
    bounds = [*groups.starts, groups.frames]
    copied = [not any(frame in touched for frame in range(*bound)) for bound in pairwise(bounds)]
    if not any(copied):
        return f"each of its {len(copied)} closed groups of pictures holds something to hide"
    return SmartRenderer(video, settings, groups, copied)


class SmartRenderer:
    """Takes the place of an encoder: takes each frame of a video in turn, returns copied or encoded packets."""

    def __init__(self, video: VideoSource, settings: EncoderSettings, groups: ClosedGops, copied: list[bool]) -> None:
        self._video, self._info, self._made, self._groups, self._copied = video, video.info, settings, groups, copied
        self._frame = 0
        self._encoder: VideoCodecContext | None = None
        self._stack = ExitStack()

    @property
    def encoding(self) -> str:
        """How the frames were written, for the report."""
        bounds = pairwise([*self._groups.starts, self._groups.frames])
        count = sum(end - start for (start, end), copied in zip(bounds, self._copied, strict=True) if copied)
        rest = f"; the rest {self._made.encoding}" if count < self._groups.frames else ""
        return f"smart: {count} of {self._groups.frames} frames copied{rest}"

    def add_to(self, target: "OutputContainer", format: str) -> "VideoStream":
        """Add the video stream of the packets to a container, and return it."""
        _, self._packets = self._stack.enter_context(open_copy_packets(self._video))
        with av.open(io.BytesIO(), "w", format="matroska") as scratch:
            like = scratch.add_stream(self._made.encoder)
            # A stream made from a template is never opened for encoding: its header is the one set here.
            stream = cast("VideoStream", target.add_stream_from_template(like, opaque=True))
        configure(stream.codec_context, self._made, self._info.coding)
        stream.codec_context.extradata = self._groups.header or None
        if CONTAINERS[format].muxer in {"mp4", "mov"} and self._made.codec in _IN_BAND:
            stream.codec_context.codec_tag = _IN_BAND[self._made.codec]
        self._stream = stream
        return stream

    def encode(self, frame: av.VideoFrame | None, *, resized: bool = False) -> "Iterator[Packet[Any]]":
        """Yield the packets that are ready after this frame; None ends the video.

        `resized` says that the frame has another size in the source than the first frame. Raises `OutputFailed` when
        frames and packets of the source do not match.
        """
        if frame is None:
            if self._frame != self._groups.frames:
                raise self._misfit(
                    f"the source has {self._groups.frames} packets, but {self._frame} frames were decoded"
                )
            return
        group = self._groups.group_of(self._frame)
        first = self._frame == self._groups.starts[group]
        if first and frame.pts != self._groups.pts[group]:
            raise self._misfit(f"frame {self._frame} has the time stamp {frame.pts}")
        if first and resized:
            self._copied[group] = False
        if self._copied[group] and resized:
            raise self._misfit(f"frame {self._frame} has another size than those before it")
        self._frame += 1
        last = self._frame == self._groups.group_end(group)
        if not self._copied[group]:
            yield from self._encode_frame(frame, last=last and all(self._copied[group + 1 : group + 2]))
        elif last:
            # Only now is it known that every frame of the group can be decoded.
            for _ in range(self._groups.starts[group], self._frame):
                yield self._copy(self._next())

    def close(self) -> None:
        """Close the source."""
        self._stack.close()

    def _encode_frame(self, frame: av.VideoFrame, *, last: bool) -> "Iterator[Packet[Any]]":
        if self._encoder is None:
            self._encoder = self._open_encoder()
        packets = self._encoder.encode(frame)
        if last:
            packets += self._encoder.encode(None)
            self._encoder = None
        for packet in packets:
            if self._made.size_bound is not None:
                self._made.size_bound.note_quality(packet)
            yield self._put(bytes(packet), cast("int", packet.pts), self._next(), key=packet.is_keyframe)

    def _open_encoder(self) -> "VideoCodecContext":
        """Return an encoder for one run of groups. A new one begins with a key frame and ends with nothing pending.

        Without B-frames, packets come in the order of their time stamps, so the i-th packet of a run can take the DTS
        of the source's i-th packet.
        """
        context = cast("VideoCodecContext", CodecContext.create(self._made.encoder, "w"))
        context.framerate = self._made.rate
        configure(context, self._made, self._info.coding)
        context.options = dict(self._made.options) | {"flags": "+cgop"}
        if self._made.codec in _IN_BAND:
            context.options |= {"bf": "0"}
        open_encoder(context)
        return context

    def _next(self) -> CopyPacket:
        packet = next(self._packets, None)
        if packet is None:
            raise self._misfit("a packet is missing")
        return packet

    def _copy(self, packet: CopyPacket) -> "Packet[Any]":
        return self._put(packet.filtered.data, packet.pts, packet, key=packet.key)

    def _put(self, data: bytes, pts: int, copied: CopyPacket, *, key: bool) -> "Packet[Any]":
        packet: Packet[Any] = av.Packet(data)
        packet.stream, packet.time_base = self._stream, self._info.coding.time_base
        packet.pts, packet.dts, packet.is_keyframe = pts, copied.dts, key
        return packet

    def _misfit(self, reason: str) -> OutputFailed:
        return OutputFailed(
            f"cannot copy groups of pictures of {self._info.source}: {reason}; nothing was published; leave out smart"
        )
