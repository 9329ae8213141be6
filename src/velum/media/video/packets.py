"""Packets with facts that only later packets reveal: whether they are damaged, and whether time stamps follow."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from velum.media.video.clock import PacketClock
from velum.media.video.expected_pts import ShownPts

if TYPE_CHECKING:
    from av.packet import Packet

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
        known = joined is not None and start is not None and end is not None and joined(packet.stream.id, start, end)
        marked.doubtful, marked.damaged = False, not known


def wait_for_first_pts(coming: Iterable[ClockedPacket], stream: int, succession: ShownPts) -> Iterator[ClockedPacket]:
    """Yield the packets; hold back the first ones until it is known whether any of `stream` has a time stamp."""
    waiting: list[ClockedPacket] = []
    known = False
    size = 0
    for clocked in coming:
        if known:
            yield clocked
            continue
        waiting.append(clocked)
        size += clocked.packet.size
        timed = clocked.packet.stream.index == stream and clocked.packet.pts is not None
        if timed or len(waiting) >= _MAX_WAITING_PACKETS or size >= _MAX_WAITING_BYTES:
            known = True
            succession.begin(timed=timed)
            yield from waiting
            waiting.clear()
    if not known:
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
