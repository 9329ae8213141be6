"""Puts packets of audio and subtitles on the same clock as the video."""

from collections.abc import Collection, Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from velum.media.sources import LiveSource
from velum.media.video.clock import PacketClock
from velum.media.video.file_input import RESETTABLE_CLOCKS, SideStreams
from velum.media.video.info import VideoInfo, VideoSource
from velum.media.video.packets import ClockedPacket, resolve_joins
from velum.media.video.probe import to_fraction

if TYPE_CHECKING:
    from av.packet import Packet


def needs_every_stream(info: VideoInfo) -> bool:
    """Tell whether the clock has to see the packets of all streams to correct those of some.

    Packets of a live stream are corrected already, in the pass over its video.
    """
    return info.format in RESETTABLE_CLOCKS and not isinstance(info.source, LiveSource)


def clocked_packets(video: VideoSource, source: SideStreams, wanted: Collection[int]) -> Iterator[ClockedPacket]:
    """Yield the packets of these streams. Of a live source, the iterator may go on after its end."""
    if not wanted:
        return iter(())
    info = video.info
    if needs_every_stream(info):
        coming = resolve_joins(source.demux(), PacketClock(info.format), video.file.has_join)
        return (clocked for clocked in coming if clocked.packet.size and clocked.packet.stream.index in wanted)
    packets = source.demux(*(stream for stream in source.streams if stream.index in wanted))
    return map(_as_clocked, filter(lambda packet: packet.size, packets))


def _as_clocked(packet: "Packet[Any]") -> ClockedPacket:
    return ClockedPacket(packet, clock_reset=False, damaged=packet.is_corrupt)


class AudioPtsOrder:
    """Makes time stamps of audio and subtitles complete, and those of audio increasing, for the result's container.

    Only MKV and WebM can hold two packets at the same time. `untimed` counts packets before the first time stamp.
    """

    def __init__(self, format: str) -> None:
        self._apart = Fraction(0 if format in {"MKV", "WEBM"} else 1, 1000)
        self._ends: dict[int, tuple[int, int]] = {}
        self.untimed_packets = 0

    def correct_times(self, packet: "Packet[Any]") -> bool:
        """Correct a packet's time stamps in place; return False for a packet before its stream's first time stamp."""
        index = packet.stream.index
        last, end = self._ends.get(index, (None, None))
        at = packet.pts if packet.dts is None else packet.dts
        if at is None and end is None:
            self.untimed_packets += 1
            return False
        least = None if last is None else last + ceil(self._apart / to_fraction(packet.time_base))
        early = at is not None and least is not None and at < least and packet.stream.type == "audio"
        if at is None or early:
            at = max(end or 0, least or 0) if at is None else least or 0
            packet.pts, packet.dts = max(packet.pts or at, at), at
        self._ends[index] = at, at + (packet.duration or 0)
        return True
