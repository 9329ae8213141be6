"""The closed groups of pictures of a video: stretches that can be decoded without any other."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import av

from velum.media.video.bitstream import FilteredPacket, Syntax, syntax_of
from velum.media.video.clock import JUMP_SECONDS
from velum.media.video.file_input import SET_ANEW, Demuxed, translated
from velum.media.video.info import VideoSource

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_BLOCK = 16
"""Samples at the edges that a codec adds to have whole blocks are fewer than these."""

_MOST_DELAYED = 32
"""Packets at the start that may lack the time of their decoding: more than any codec keeps back."""


@dataclass(frozen=True, slots=True)
class ClosedGops:
    """Where closed groups start, by number of the frame and by time stamp. `frames` counts those of the video."""

    starts: "array[int]"
    stamps: "array[int]"
    frames: int
    header: bytes
    decoded: int
    """When the first packet is to be decoded."""

    def of(self, frame: int) -> int:
        """Return the number of the group that a frame is in."""
        return bisect_right(self.starts, frame) - 1

    def end(self, group: int) -> int:
        """Return the number of the frame after a group's last one."""
        return self.starts[group + 1] if group + 1 < len(self.starts) else self.frames


@dataclass(frozen=True, slots=True)
class CopyPacket:
    """A packet of the source as it may be copied."""

    piece: FilteredPacket
    pts: int
    dts: int
    key: bool


@dataclass(slots=True)
class _Survey:
    """What is known of the groups while the packets are looked through."""

    starts: "array[int]" = field(default_factory=lambda: array("q"))
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    frames: int = 0
    latest: int | None = None
    decoded: int | None = None
    furthest: int | None = None
    """How far ahead a packet may be decoded before it is of another clock; None where there is only one."""
    _near: set[int] = field(default_factory=set)

    def add(self, sent: CopyPacket) -> str:
        """Count a packet; return why its stream cannot be copied, empty when nothing speaks against it."""
        if sent.piece.closed and (self.latest is None or sent.pts > self.latest):
            self.starts.append(self.frames)
            self.stamps.append(sent.pts)
        if not self.starts:
            return "it does not begin with a closed group of pictures"
        while len(self.starts) > 1 and sent.pts < self.stamps[-1]:
            self.starts.pop()  # a picture of this group is shown before its key frame
            self.stamps.pop()
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


def survey(video: VideoSource) -> ClosedGops | str:
    """Return the closed groups of a video, from its packets; or why its packets cannot be copied."""
    info = video.info
    if reason := _unsuited(video):
        return reason
    found, header, decoded = _Survey(), b"", 0
    if info.format in SET_ANEW:
        found.furthest = int(JUMP_SECONDS / info.coding.time_base)
    with packets(video) as (syntax, coming):
        if syntax is None:
            return f"packets of {info.coding.codec} are not copied"
        for sent in coming:
            if sent is None:
                return "some of its packets are damaged, not shown or have no time stamp"
            if reason := sent.piece.doubt or found.add(sent):
                return reason
            if found.frames == 1:
                header, decoded = syntax.header, sent.dts
    return ClosedGops(found.starts, found.stamps, found.frames, header, decoded)


@contextmanager
def packets(video: VideoSource) -> Iterator[tuple[Syntax | None, Iterator[CopyPacket | None]]]:
    """Give how the packets of the video's pictures are written, and the packets; None for one that cannot be copied."""
    info = video.info
    with video.file.open(video.limits) as container, translated(info.source):
        stream = next(one for one in container.streams.video if one.index == info.coding.stream)
        syntax = syntax_of(info.coding.codec, stream.codec_context.extradata or b"")
        yield syntax, (_sent(syntax, *one) for one in _timed(container.demux(stream)) if syntax)


def _timed(coming: "Iterator[Packet[Any]]") -> "Iterator[tuple[Packet[Any], int | None]]":
    """Yield the packets with the time of their decoding, which the first ones of Matroska lack."""
    waiting: list[Packet[Any]] = []
    began = False
    for packet in coming:
        if not packet.size:
            continue
        if packet.dts is None and not began and len(waiting) < _MOST_DELAYED:
            waiting.append(packet)
            continue
        if not began and packet.dts is not None:
            yield from ((one, packet.dts - len(waiting) + i) for i, one in enumerate(waiting))
            waiting, began = [], True
        yield packet, packet.dts
    yield from ((one, None) for one in waiting)


def _sent(syntax: Syntax, packet: "Packet[Any]", dts: int | None) -> CopyPacket | None:
    changed = packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change")
    if packet.pts is None or dts is None or dts > packet.pts or packet.is_discard or packet.is_corrupt or changed:
        return None
    return CopyPacket(syntax.take(bytes(packet)), packet.pts, dts, packet.is_keyframe)


def _unsuited(video: VideoSource) -> str:
    coding = video.info.coding
    if coding.field_order > 1:
        return "its pictures are interlaced"
    if coding.colour.mastering or coding.colour.light:
        return "its HDR metadata lies in messages, which are not copied"
    if video.cover_damage:
        return "damaged frames are to be covered"
    with video.file.open(video.limits) as container, translated(video.info.source):
        stream = next(one for one in container.streams.video if one.index == coding.stream)
        context, first = stream.codec_context, _first(container, stream)
        if first is None:
            return "its first picture cannot be decoded"
        if first.format.name.replace("yuvj", "yuv") != coding.layout.name:
            return f"samples of kind {first.format.name} are not kept"
        stored = coding.stored_width, coding.stored_height
        beyond = max(context.coded_width - stored[0], context.coded_height - stored[1])
        if (context.width, context.height) != stored or beyond >= _BLOCK:
            return "its packets hold more of the pictures than is shown"
    return ""


def _first(container: Demuxed, stream: "VideoStream") -> av.VideoFrame | None:
    try:
        return next((frame for packet in container.demux(stream) for frame in packet.decode()), None)
    except av.FFmpegError:
        return None
