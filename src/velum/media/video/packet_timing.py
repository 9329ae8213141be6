"""Packets of sound and subtitles, on the clock that the pictures next to them are on."""

from collections.abc import Collection, Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from velum.media.sources import LiveSource
from velum.media.video.clock import PacketClock
from velum.media.video.file_input import SET_ANEW, SideStreams
from velum.media.video.info import VideoInfo, VideoSource
from velum.media.video.packets import ClockedPacket, settled
from velum.media.video.probe import fraction

if TYPE_CHECKING:
    from av.packet import Packet


def together(info: VideoInfo) -> bool:
    """Tell whether the packets of all streams must be seen to know the times of some.

    Those of a stream that comes once have been put right when the pictures were.
    """
    return info.format in SET_ANEW and not isinstance(info.source, LiveSource)


def along(video: VideoSource, source: SideStreams, wanted: Collection[int]) -> Iterator[ClockedPacket]:
    """Yield the packets of these streams. Of a source that comes once there may be more after the iterator's end."""
    if not wanted:
        return iter(())
    info = video.info
    if together(info):
        coming = settled(source.demux(), PacketClock(info.format), video.file.joined)
        return (one for one in coming if one.packet.size and one.packet.stream.index in wanted)
    packets = source.demux(*(stream for stream in source.streams if stream.index in wanted))
    return map(_alone, filter(lambda packet: packet.size, packets))


def _alone(packet: "Packet[Any]") -> ClockedPacket:
    return ClockedPacket(packet, anew=False, damaged=packet.is_corrupt)


class AudioPtsOrder:
    """The time stamps of sound as they are written: there are some, and they do not go back.

    Only some containers can hold two packets of one time.
    """

    def __init__(self, format: str) -> None:
        self._apart = Fraction(0 if format in {"MKV", "WEBM"} else 1, 1000)
        self._ends: dict[int, tuple[int, int]] = {}
        self.untimed = 0

    def put_right(self, packet: "Packet[Any]") -> bool:
        """Change the packet's time stamps where that must be; return False for one before the first that has any."""
        index = packet.stream.index
        last, end = self._ends.get(index, (None, None))
        at = packet.pts if packet.dts is None else packet.dts
        if at is None and end is None:
            self.untimed += 1
            return False
        least = None if last is None else last + ceil(self._apart / fraction(packet.time_base))
        early = at is not None and least is not None and at < least and packet.stream.type == "audio"
        if at is None or early:
            at = max(end or 0, least or 0) if at is None else least or 0
            packet.pts, packet.dts = max(packet.pts or at, at), at
        self._ends[index] = at, at + (packet.duration or 0)
        return True
