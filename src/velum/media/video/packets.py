"""Packets of all streams on one continuous clock, and the time stamps of the frames that they announce.

The clock of a source may be reset midway, as in recordings that were joined end to end. Whether a packet is damaged,
and whether its stream has time stamps, shows only in the packets after it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from velum.errors import BadInput
from velum.media.sources import LiveSource
from velum.media.video.expected_pts import ShownPts
from velum.media.video.file_input import RESETTABLE_CLOCKS, SideStreams
from velum.media.video.info import TrackInfo, TrackSource
from velum.media.video.probe import to_fraction

if TYPE_CHECKING:
    from av.packet import Packet


_RATE = 90_000
"""Ticks per second of these formats' clocks; whole numbers, because every packet is checked."""

JUMP_SECONDS = 10
"""A larger jump ahead is a clock reset, not a pause; FFmpeg's tools use the same figure."""

_JUMP = JUMP_SECONDS * _RATE
_BACK = {True: _RATE // 10, False: _RATE}
"""Ticks by which a stream's time may go back without a clock reset, by whether its packets have a DTS."""


class PacketClock:
    """Puts the time stamps of packets, taken in file order, on one continuous clock.

    After a clock reset, time goes on where everything before it ended; all streams are shifted alike. The result is
    the same for every pass over a file, provided the clock sees the packets of all streams.
    """

    def __init__(self, format: str) -> None:
        self._active = format in RESETTABLE_CLOCKS
        self._ahead = [0]
        # By stream: the clock resets that it has passed, and its last packet's DTS (or PTS) on the continuous clock.
        self._epochs: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._end = self._now = 0

    @property
    def resets(self) -> int:
        """Number of clock resets so far."""
        return len(self._ahead) - 1

    def correct_times(self, packet: "Packet[Any]") -> bool:
        """Correct a packet's time stamps in place; return True when its stream's clock was reset just before it."""
        if not self._active or not packet.size or packet.time_base.denominator != _RATE:
            return False
        pts, dts = packet.pts, packet.dts
        stamp = pts if dts is None else dts
        if stamp is None:
            return False
        stream = packet.stream.index
        epoch = self._epochs.setdefault(stream, self.resets)
        last = self._last.setdefault(stream, stamp + self._ahead[epoch])
        least, shown = last - _BACK[dts is not None], stamp if pts is None else pts
        is_reset = self._is_other_clock(stamp + self._ahead[epoch], last, least)
        if is_reset:
            epoch = self._epochs[stream] = self._find_epoch(epoch, stamp, least, shown)
        ahead = self._ahead[epoch]
        self._last[stream] = self._now = stamp + ahead
        self._end = max(self._end, shown + ahead + (packet.duration or 0))
        if ahead:
            packet.pts = None if pts is None else pts + ahead
            packet.dts = None if dts is None else dts + ahead
        return is_reset

    def _is_other_clock(self, at: int, last: int, least: int) -> bool:
        """Tell whether a time cannot belong to the clock that the stream had so far, whose last time is `last`."""
        # A stream may pause for long, as subtitles do: then the others have gone on.
        return at < least or at > max(last, self._now) + _JUMP

    def _find_epoch(self, before: int, stamp: int, least: int, shown: int) -> int:
        """Return the epoch of a packet after `before`: one that another stream has reached, or a new one."""
        for epoch in range(self.resets, before, -1):
            at = stamp + self._ahead[epoch]
            if at >= least and abs(at - self._now) <= _JUMP:
                return epoch
        self._ahead.append(self._end - shown)
        return self.resets


_MAX_WAITING_PACKETS = 1000
_MAX_WAITING_BYTES = 64 << 20
"""Packets, and their bytes, that may wait for a first time stamp."""

_PACKETS_UNTIL_JOIN = 2
"""A join lies within this many packets of the stream after the marked packet, since parsers lag behind."""

IsJoin = Callable[[int, int, int], bool]
"""(stream id, start, end) -> whether two recordings were joined between the byte positions `start` and `end`."""


@dataclass(slots=True, eq=False)
class ClockedPacket:
    """A packet. `clock_reset`: its stream's clock was reset just before it; `damaged`: a part of it is missing."""

    packet: "Packet[Any]"
    clock_reset: bool
    damaged: bool
    doubtful: bool = False
    later: int = 0


def resolve_joins(
    packets: "Iterable[Packet[Any]]", clock: PacketClock, joined: IsJoin | None
) -> Iterator[ClockedPacket]:
    """Yield the packets on one continuous clock, and clear the damage mark of packets before a join.

    FFmpeg's demuxer of transport streams marks the last packet before a gap in the packet counters as damaged. Where
    the gap is the join of two recordings, nothing is missing; only later packets show that.
    """
    waiting: deque[ClockedPacket] = deque()
    for packet in packets:
        clock_reset = clock.correct_times(packet)
        for earlier in waiting:
            if earlier.doubtful and packet.size and earlier.packet.stream.index == packet.stream.index:
                _resolve_join(earlier, packet, joined, clock_reset=clock_reset)
        marked = packet.is_corrupt
        waiting.append(ClockedPacket(packet, clock_reset, marked, doubtful=marked and joined is not None))
        while waiting and not waiting[0].doubtful:
            yield waiting.popleft()
    yield from waiting


def _resolve_join(marked: ClockedPacket, packet: "Packet[Any]", joined: IsJoin | None, *, clock_reset: bool) -> None:
    marked.later += 1
    if clock_reset:
        marked.damaged = marked.doubtful = False
    elif marked.later == _PACKETS_UNTIL_JOIN:
        start, end = marked.packet.pos, packet.pos
        is_join = joined is not None and start is not None and end is not None and joined(packet.stream.id, start, end)
        marked.doubtful, marked.damaged = False, not is_join


def wait_for_first_pts(coming: Iterable[ClockedPacket], stream: int, succession: ShownPts) -> Iterator[ClockedPacket]:
    """Yield the packets; hold back the first ones until it is known whether any of `stream` has a time stamp."""
    waiting: list[ClockedPacket] = []
    is_dated = False
    size = 0
    for clocked in coming:
        if is_dated:
            yield clocked
            continue
        waiting.append(clocked)
        size += clocked.packet.size
        timed = clocked.packet.stream.index == stream and clocked.packet.pts is not None
        if timed or len(waiting) >= _MAX_WAITING_PACKETS or size >= _MAX_WAITING_BYTES:
            is_dated = True
            succession.begin(timed=timed)
            yield from waiting
            waiting.clear()
    if not is_dated:
        succession.begin(timed=False)
        yield from waiting


def is_hidden_packet(codec: str, packet: "Packet[Any]") -> bool:
    """Tell whether a packet decodes to no frame, by its format.

    Bit 4 of the first byte of a VP8 packet says whether its frame is shown (RFC 6386, 9.1). An MPEG-4 packet of a few
    bytes holds a frame that is not coded, as in packed streams (ISO/IEC 14496-2, vop_coded).
    """
    if codec == "vp8":
        return not bytes(packet)[0] & 0x10
    return codec == "mpeg4" and packet.size <= 8


def needs_every_stream(info: TrackInfo) -> bool:
    """Tell whether the clock has to see the packets of all streams to correct those of some.

    Packets of a live stream are corrected already, in the pass over its video.
    """
    return info.format in RESETTABLE_CLOCKS and not isinstance(info.source, LiveSource)


def clocked_packets(video: TrackSource, source: SideStreams, streams: Collection[int]) -> Iterator[ClockedPacket]:
    """Yield the packets of these streams. Of a live source, the iterator may go on after its end."""
    if not streams:
        return iter(())
    info = video.info
    if needs_every_stream(info):
        coming = resolve_joins(source.demux(), PacketClock(info.format), video.file.has_join)
        return (clocked for clocked in coming if clocked.packet.size and clocked.packet.stream.index in streams)
    packets = source.demux(*(stream for stream in source.streams if stream.index in streams))
    return map(_as_clocked, filter(lambda packet: packet.size, packets))


def _as_clocked(packet: "Packet[Any]") -> ClockedPacket:
    return ClockedPacket(packet, clock_reset=False, damaged=packet.is_corrupt)


def start_seconds(packet: "Packet[Any]") -> Fraction:
    """Return the time of a packet in seconds."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if stamp is None else stamp * to_fraction(packet.time_base)


def is_usable(video: TrackSource, clocked: ClockedPacket) -> bool:
    """Tell whether a packet of audio or subtitles is whole.

    Raises `BadInput` for an encrypted one, and for a damaged one unless damage is covered.
    """
    packet, source = clocked.packet, video.info.source
    if packet.has_sidedata("encryption_info"):
        raise BadInput(f"cannot read {source}: its audio is encrypted; decrypt it first")
    if clocked.damaged and not video.cover_damage:
        raise BadInput(
            f"cannot read {source}: its {packet.stream.type} is damaged at {float(start_seconds(packet)):.3f} s; "
            f"copy the file again, or leave such places out (on_damage = cover)"
        )
    return not clocked.damaged


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
