"""Smart rendering.

Finds the closed groups of pictures in which nothing is hidden, copies them, and encodes the others.
"""

import io
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import av
from av.codec.context import CodecContext

from velum.errors import OutputFailed
from velum.media.segment import GopStart
from velum.media.sources import LiveSource
from velum.media.video.bitstream import FilteredPacket, PacketFilter, packet_filter_for
from velum.media.video.containers import CONTAINERS
from velum.media.video.encoder_settings import EncoderSettings, configure
from velum.media.video.encoder_threads import open_encoder
from velum.media.video.file_input import RESETTABLE_CLOCKS, Demuxer, translate_read_errors
from velum.media.video.info import VideoSource
from velum.media.video.packets import JUMP_SECONDS

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream


_BLOCK = 16
"""A codec pads width and height by fewer samples than this, to have whole blocks."""

_MAX_DELAYED_PACKETS = 32
"""Packets at the start that may lack a DTS: more than any codec delays."""


@dataclass(frozen=True, slots=True)
class ClosedGops:
    """Where the closed GOPs of a video start: frame number and time stamp of each first frame.

    `frames` is the number of frames of the video, `header` the codec header for its copied packets.
    """

    starts: "array[int]"
    pts: "array[int]"
    frames: int
    header: bytes
    first_dts: int
    """Decoding time stamp of the first packet."""

    def start_before(self, frame: int) -> GopStart:
        """Return the start of the group that a frame of the video is in."""
        return self._start(self.group_of(frame))

    def start_after(self, frame: int) -> GopStart:
        """Return the first start of a group at or after a frame; the end of the video where there is none."""
        return self._start(bisect_left(self.starts, frame))

    def _start(self, group: int) -> GopStart:
        is_end = group == len(self.starts)
        return GopStart(self.frames, None) if is_end else GopStart(self.starts[group], self.pts[group])

    def group_of(self, frame: int) -> int:
        """Return the index of the group that a frame is in."""
        return bisect_right(self.starts, frame) - 1

    def group_end(self, group: int) -> int:
        """Return the number of the frame after the last one of a group."""
        return self.starts[group + 1] if group + 1 < len(self.starts) else self.frames


@dataclass(frozen=True, slots=True)
class CopyPacket:
    """A packet of the source, filtered for copying, with its time stamps in units of the source."""

    filtered: FilteredPacket
    pts: int
    dts: int
    key: bool


@dataclass(slots=True)
class _Survey:
    """The groups found so far, while the packets are read."""

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    frames: int = 0
    latest: int | None = None
    decoded: int | None = None
    furthest: int | None = None
    """Largest step of the DTS that is no clock reset; None where the format has no resets."""
    _near: set[int] = field(default_factory=set)

    def add(self, sent: CopyPacket) -> str:
        """Add the next packet; return why the stream cannot be copied, empty where it can."""
        if sent.filtered.starts_closed_gop and (self.latest is None or sent.pts > self.latest):
            self.starts.append(self.frames)
            self.pts.append(sent.pts)
        if not self.starts:
            return "it does not begin with a closed group of pictures"
        while len(self.starts) > 1 and sent.pts < self.pts[-1]:
            self.starts.pop()  # a frame of this group is shown before its key frame
            self.pts.pop()
        self.frames += 1
        self.latest = sent.pts if self.latest is None else max(self.latest, sent.pts)
        last, self.decoded = self.decoded, sent.dts
        if last is not None and (sent.dts <= last or sent.pts in self._near):
            return "time stamps of its packets repeat or are out of order"
        if last is not None and self.furthest is not None and sent.dts > last + self.furthest:
            return "its clock is reset midway"
        # No later packet has a PTS before this DTS, so earlier time stamps cannot be repeated any more.
        self._near = {pts for pts in self._near if pts > sent.dts} | {sent.pts}
        return ""


def find_closed_gops(video: VideoSource) -> ClosedGops | str:
    """Find the closed GOPs of a video by reading all its packets; or return why its packets cannot be copied."""
    info = video.info
    if reason := _reason_against_copying(video):
        return reason
    found, header, decoded = _Survey(), b"", 0
    if info.format in RESETTABLE_CLOCKS:
        found.furthest = int(JUMP_SECONDS / info.coding.time_base)
    with open_copy_packets(video) as (packet_filter, coming):
        if packet_filter is None:
            return f"velum cannot copy packets of {info.coding.codec}"
        for sent in coming:
            if sent is None:
                return "some of its packets are damaged, hidden or without a time stamp"
            if reason := sent.filtered.reason_against_copy or found.add(sent):
                return reason
            if found.frames == 1:
                header, decoded = packet_filter.header, sent.dts
    return ClosedGops(found.starts, found.pts, found.frames, header, decoded)


@contextmanager
def open_copy_packets(video: VideoSource) -> Iterator[tuple[PacketFilter | None, Iterator[CopyPacket | None]]]:
    """Give the packet filter of a video's codec, and the filtered packets; None for a packet that cannot be copied."""
    info = video.info
    with video.file.open(video.limits) as container, translate_read_errors(info.source):
        stream = next(timed for timed in container.streams.video if timed.index == info.coding.stream)
        packet_filter = packet_filter_for(info.coding.codec, stream.codec_context.extradata or b"")
        yield (
            packet_filter,
            (_to_copy_packet(packet_filter, *timed) for timed in _with_dts(container.demux(stream)) if packet_filter),
        )


def _with_dts(coming: "Iterator[Packet[Any]]") -> "Iterator[tuple[Packet[Any], int | None]]":
    """Yield each packet with its DTS; the first packets of Matroska have none, and get one."""
    waiting: list[Packet[Any]] = []
    began = False
    for packet in coming:
        if not packet.size:
            continue
        if packet.dts is None and not began and len(waiting) < _MAX_DELAYED_PACKETS:
            waiting.append(packet)
            continue
        if not began and packet.dts is not None:
            yield from ((early, packet.dts - len(waiting) + i) for i, early in enumerate(waiting))
            waiting, began = [], True
        yield packet, packet.dts
    yield from ((early, None) for early in waiting)


def _to_copy_packet(packet_filter: PacketFilter, packet: "Packet[Any]", dts: int | None) -> CopyPacket | None:
    changed = packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change")
    if packet.pts is None or dts is None or dts > packet.pts or packet.is_discard or packet.is_corrupt or changed:
        return None
    return CopyPacket(packet_filter.filter(bytes(packet)), packet.pts, dts, packet.is_keyframe)


def _reason_against_copying(video: VideoSource) -> str:
    coding = video.info.coding
    if coding.field_order > 1:
        return "it is interlaced"
    if coding.colour.mastering or coding.colour.light:
        return "its HDR metadata is in messages of the stream, which are not copied"
    if video.cover_damage:
        return "damaged frames are to be covered"
    with video.file.open(video.limits) as container, translate_read_errors(video.info.source):
        stream = next(candidate for candidate in container.streams.video if candidate.index == coding.stream)
        context, first = stream.codec_context, _first_frame(container, stream)
        if first is None:
            return "its first frame cannot be decoded"
        if first.format.name.replace("yuvj", "yuv") != coding.layout.name:
            return f"its pixels of format {first.format.name} have to be converted"
        stored = coding.stored_width, coding.stored_height
        beyond = max(context.coded_width - stored[0], context.coded_height - stored[1])
        if (context.width, context.height) != stored or beyond >= _BLOCK:
            return "its packets hold more of each frame than is shown"
    return ""


def _first_frame(container: Demuxer, stream: "VideoStream") -> av.VideoFrame | None:
    try:
        return next((frame for packet in container.demux(stream) for frame in packet.decode()), None)
    except av.FFmpegError:
        return None


_TARGETS = ("MP4", "MOV", "MKV", "WEBM", "TS")
_IN_BAND = {"h264": "avc3", "hevc": "hev1"}
"""Codec tags in MP4 for streams whose parameter sets may change midway (ISO/IEC 14496-15, 5.3.4 and 8.3.4)."""


def plan_smart_render(
    video: VideoSource, made: EncoderSettings, touched: Container[int], format: str
) -> "SmartRenderer | str":
    """Return a renderer that copies the groups without a frame of `touched`; or why every frame must be encoded."""
    info = video.info
    if isinstance(info.source, LiveSource):
        return "a live stream can be read only once"
    if format not in _TARGETS or info.format not in _TARGETS:
        return f"velum cannot copy packets from {info.format} to {format}"
    if made.codec != info.coding.codec or made.layout != info.coding.layout:
        return f"{info.coding.codec} is written as {made.codec}, {made.layout.name}"
    groups = find_closed_gops(video)
    if isinstance(groups, str):
        return groups
    if format == "TS" and groups.first_dts < 0:
        return "TS cannot hold packets with a decoding time before 0"
    bounds = [*groups.starts, groups.frames]
    copied = [not any(frame in touched for frame in range(*bound)) for bound in pairwise(bounds)]
    if not any(copied):
        return f"each of its {len(copied)} closed groups of pictures holds something to hide"
    return SmartRenderer(video, made, groups, copied)


class SmartRenderer:
    """Takes the place of an encoder: takes each frame of a video in turn, returns copied or encoded packets."""

    def __init__(self, video: VideoSource, made: EncoderSettings, groups: ClosedGops, copied: list[bool]) -> None:
        self._video, self._info, self._made, self._groups, self._copied = video, video.info, made, groups, copied
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
        made = self._encoder.encode(frame)
        if last:
            made += self._encoder.encode(None)
            self._encoder = None
        for packet in made:
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
        sent = next(self._packets, None)
        if sent is None:
            raise self._misfit("a packet is missing")
        return sent

    def _copy(self, sent: CopyPacket) -> "Packet[Any]":
        return self._put(sent.filtered.data, sent.pts, sent, key=sent.key)

    def _put(self, data: bytes, pts: int, sent: CopyPacket, *, key: bool) -> "Packet[Any]":
        packet: Packet[Any] = av.Packet(data)
        packet.stream, packet.time_base = self._stream, self._info.coding.time_base
        packet.pts, packet.dts, packet.is_keyframe = pts, sent.dts, key
        return packet

    def _misfit(self, reason: str) -> OutputFailed:
        return OutputFailed(
            f"cannot copy groups of pictures of {self._info.source}: {reason}; nothing was published; leave out smart"
        )
