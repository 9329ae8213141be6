"""Closed groups of pictures of a video, and the packets of them that can be copied unchanged."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import av

from velum.media.segment import GopStart
from velum.media.video.bitstream import FilteredPacket, PacketFilter, packet_filter_for
from velum.media.video.file_input import RESETTABLE_CLOCKS, Demuxer, translate_read_errors
from velum.media.video.info import VideoSource
from velum.media.video.packets import JUMP_SECONDS

if TYPE_CHECKING:
    from av.packet import Packet
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

    def add(self, packet: CopyPacket) -> str:
        """Add the next packet; return why the stream cannot be copied, empty where it can."""
        if packet.filtered.starts_closed_gop and (self.latest is None or packet.pts > self.latest):
            self.starts.append(self.frames)
            self.pts.append(packet.pts)
        if not self.starts:
            return "it does not begin with a closed group of pictures"
        while len(self.starts) > 1 and packet.pts < self.pts[-1]:
            self.starts.pop()  # a frame of this group is shown before its key frame
            self.pts.pop()
        self.frames += 1
        self.latest = packet.pts if self.latest is None else max(self.latest, packet.pts)
        last, self.decoded = self.decoded, packet.dts
        if last is not None and (packet.dts <= last or packet.pts in self._near):
            return "time stamps of its packets repeat or are out of order"
        if last is not None and self.furthest is not None and packet.dts > last + self.furthest:
            return "its clock is reset midway"
        # No later packet has a PTS before this DTS, so earlier time stamps cannot be repeated any more.
        self._near = {pts for pts in self._near if pts > packet.dts} | {packet.pts}
        return ""


def find_closed_gops(video: VideoSource) -> ClosedGops | str:
    """Find the closed GOPs of a video by reading all its packets; or return why its packets cannot be copied."""
    info = video.info
    if reason := _reason_against_copying(video):
        return reason
    survey, header, decoded = _Survey(), b"", 0
    if info.format in RESETTABLE_CLOCKS:
        survey.furthest = int(JUMP_SECONDS / info.coding.time_base)
    with open_copy_packets(video) as (packet_filter, coming):
        if packet_filter is None:
            return f"velum cannot copy packets of {info.coding.codec}"
        for packet in coming:
            if packet is None:
                return "some of its packets are damaged, hidden or without a time stamp"
            if reason := packet.filtered.reason_against_copy or survey.add(packet):
                return reason
            if survey.frames == 1:
                header, decoded = packet_filter.header, packet.dts
    return ClosedGops(survey.starts, survey.pts, survey.frames, header, decoded)


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
