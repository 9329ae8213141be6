"""Packets as they come, each with what only those after it tell: whether it is damaged, and whether stamps follow."""

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
"""What may wait for a first time stamp."""

_PACKETS_UNTIL_JOIN = 2
"""Packets of a stream after a marked one among which a join lies, if it is one: parsers are that much behind."""

IsJoin = Callable[[int, int, int], bool]
"""Tells of a stream's number and two places in the file whether recordings were joined between them."""


@dataclass(slots=True, eq=False)
class ClockedPacket:
    """A packet. `clock_reset`: the clock was set clock_reset just before it; `damaged`: something of it is missing."""

    packet: "Packet[Any]"
    clock_reset: bool
    damaged: bool
    doubtful: bool = False
    later: int = 0


def resolve_joins(
    packets: "Iterable[Packet[Any]]", clock: PacketClock, joined: IsJoin | None
) -> Iterator[ClockedPacket]:
    """Yield the packets on one clock.

    Demuxers of transport streams mark the last packet before a gap in the count of packets as damaged. Where that gap
    is a join of two recordings nothing is missing; this shows in what comes next.
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
    """Yield the packets, the first ones of a stream when it is known whether any of them has a time stamp."""
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
    """Tell whether a packet is one that by its format gives no picture.

    A VP8 frame says in bit 4 of its first byte whether it is shown (RFC 6386, 9.1). An MPEG-4 packet of a few bytes
    holds a picture that is not coded, as in packed streams (ISO/IEC 14496-2, vop_coded).
    """
    if codec == "vp8":
        return not bytes(packet)[0] & 0x10
    return codec == "mpeg4" and packet.size <= 8
