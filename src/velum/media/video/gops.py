"""The closed groups of pictures of a video: stretches that can be decoded without any other."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import av

from velum.media.segment import GopStart
from velum.media.video.bitstream import FilteredPacket, PacketFilter, packet_filter_for
from velum.media.video.clock import JUMP_SECONDS
from velum.media.video.file_input import RESETTABLE_CLOCKS, Demuxer, translate_read_errors
from velum.media.video.info import VideoSource

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_BLOCK = 16
"""Samples at the edges that a codec adds to have whole blocks are fewer than these."""

_MAX_DELAYED_PACKETS = 32
"""Packets at the start that may lack the time of their decoding: more than any codec keeps back."""


@dataclass(frozen=True, slots=True)
class ClosedGops:
    """Where closed groups start, by number of the frame and by time stamp. `frames` counts those of the video."""

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
        """Return the number of the group that a frame is in."""
        return bisect_right(self.starts, frame) - 1

    def group_end(self, group: int) -> int:
        """Return the number of the frame after a group's last one."""
        return self.starts[group + 1] if group + 1 < len(self.starts) else self.frames


@dataclass(frozen=True, slots=True)
class CopyPacket:
    """A packet of the source as it may be copied."""

    filtered: FilteredPacket
    pts: int
    dts: int
    key: bool


@dataclass(slots=True)
class _Survey:
    """What is known of the groups while the packets are looked through."""

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    pts: "array[int]" = field(default_factory=lambda: array("q"))
    frames: int = 0
    latest: int | None = None
    decoded: int | None = None
    furthest: int | None = None
    """How far ahead a packet may be decoded before it is of another clock; None where there is only one."""
    _near: set[int] = field(default_factory=set)

    def add(self, sent: CopyPacket) -> str:
        """Count a packet; return why its stream cannot be copied, empty when nothing speaks against it."""
        if sent.filtered.starts_closed_gop and (self.latest is None or sent.pts > self.latest):
            self.starts.append(self.frames)
            self.pts.append(sent.pts)
        if not self.starts:
            return "it does not begin with a closed group of pictures"
        while len(self.starts) > 1 and sent.pts < self.pts[-1]:
            self.starts.pop()  # a picture of this group is shown before its key frame
            self.pts.pop()
        self.frames += 1
        self.latest = sent.pts if self.latest is None else max(self.latest, sent.pts)
        last, self.decoded = self.decoded, sent.dts
        if last is not None and (sent.dts <= last or sent.pts in self._near):
            return "the time stamps of its packets repeat or are out of order"
        if last is not None and self.furthest is not None and sent.dts > last + self.furthest:
            return "its clock is set anew on the way"
        # No later packet can be shown before it is decoded: what lies before is not repeated any more.
        self._near = {pts for pts in self._near if pts > sent.dts} | {sent.pts}
        return ""


def find_closed_gops(video: VideoSource) -> ClosedGops | str:
    """Return the closed groups of a video, from its packets; or why its packets cannot be copied."""
    info = video.info
    if reason := _reason_against_copying(video):
        return reason
    found, header, decoded = _Survey(), b"", 0
    if info.format in RESETTABLE_CLOCKS:
        found.furthest = int(JUMP_SECONDS / info.coding.time_base)
    with open_copy_packets(video) as (packet_filter, coming):
        if packet_filter is None:
            return f"packets of {info.coding.codec} are not copied"
        for sent in coming:
            if sent is None:
                return "some of its packets are damaged, not shown or have no time stamp"
            if reason := sent.filtered.reason_against_copy or found.add(sent):
                return reason
            if found.frames == 1:
                header, decoded = packet_filter.header, sent.dts
    return ClosedGops(found.starts, found.pts, found.frames, header, decoded)


@contextmanager
def open_copy_packets(video: VideoSource) -> Iterator[tuple[PacketFilter | None, Iterator[CopyPacket | None]]]:
    """Give how the packets of the video's pictures are written, and the packets; None for one that cannot be copied."""
    info = video.info
    with video.file.open(video.limits) as container, translate_read_errors(info.source):
        stream = next(timed for timed in container.streams.video if timed.index == info.coding.stream)
        packet_filter = packet_filter_for(info.coding.codec, stream.codec_context.extradata or b"")
        yield (
            packet_filter,
            (_to_copy_packet(packet_filter, *timed) for timed in _with_dts(container.demux(stream)) if packet_filter),
        )


def _with_dts(coming: "Iterator[Packet[Any]]") -> "Iterator[tuple[Packet[Any], int | None]]":
    """Yield the packets with the time of their decoding, which the first ones of Matroska lack."""
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
        return "its pictures are interlaced"
    if coding.colour.mastering or coding.colour.light:
        return "its HDR metadata lies in messages, which are not copied"
    if video.cover_damage:
        return "damaged frames are to be covered"
    with video.file.open(video.limits) as container, translate_read_errors(video.info.source):
        stream = next(candidate for candidate in container.streams.video if candidate.index == coding.stream)
        context, first = stream.codec_context, _first_frame(container, stream)
        if first is None:
            return "its first picture cannot be decoded"
        if first.format.name.replace("yuvj", "yuv") != coding.layout.name:
            return f"samples of kind {first.format.name} are not kept"
        stored = coding.stored_width, coding.stored_height
        beyond = max(context.coded_width - stored[0], context.coded_height - stored[1])
        if (context.width, context.height) != stored or beyond >= _BLOCK:
            return "its packets hold more of the pictures than is shown"
    return ""


def _first_frame(container: Demuxer, stream: "VideoStream") -> av.VideoFrame | None:
    try:
        return next((frame for packet in container.demux(stream) for frame in packet.decode()), None)
    except av.FFmpegError:
        return None
