"""Packets as they come, each with what only those after it tell: whether it is damaged, and whether stamps follow."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from velum.media.video.clock import PacketClock
from velum.media.video.expected_pts import ShownPts

if TYPE_CHECKING:
    from av.packet import Packet

_MOST_HELD = 1000
_MOST_HELD_BYTES = 64 << 20
"""What may wait for a first time stamp."""

_NEAR = 2
"""Packets of a stream after a marked one among which a join lies, if it is one: parsers are that much behind."""

Joined = Callable[[int, int, int], bool]
"""Tells of a stream's number and two places in the file whether recordings were joined between them."""


@dataclass(slots=True, eq=False)
class ClockedPacket:
    """A packet. `anew`: the clock was set anew just before it; `damaged`: something of it is missing."""

    packet: "Packet[Any]"
    anew: bool
    damaged: bool
    doubtful: bool = False
    later: int = 0


def settled(packets: "Iterable[Packet[Any]]", clock: PacketClock, joined: Joined | None) -> Iterator[ClockedPacket]:
    """Yield the packets on one clock.

    Demuxers of transport streams mark the last packet before a gap in the count of packets as damaged. Where that gap
    is a join of two recordings nothing is missing; this shows in what comes next.
    """
    waiting: deque[ClockedPacket] = deque()
    for packet in packets:
        anew = clock.put_right(packet)
        for one in waiting:
            if one.doubtful and packet.size and one.packet.stream.index == packet.stream.index:
                _settle(one, packet, joined, anew=anew)
        marked = packet.is_corrupt
        waiting.append(ClockedPacket(packet, anew, marked, doubtful=marked and joined is not None))
        while waiting and not waiting[0].doubtful:
            yield waiting.popleft()
    yield from waiting


def _settle(one: ClockedPacket, packet: "Packet[Any]", joined: Joined | None, *, anew: bool) -> None:
    one.later += 1
    if anew:
        one.damaged = one.doubtful = False
    elif one.later == _NEAR:
        start, end = one.packet.pos, packet.pos
        known = joined is not None and start is not None and end is not None and joined(packet.stream.id, start, end)
        one.doubtful, one.damaged = False, not known


def stamped(coming: Iterable[ClockedPacket], stream: int, succession: ShownPts) -> Iterator[ClockedPacket]:
    """Yield the packets, the first ones of a stream when it is known whether any of them has a time stamp."""
    waiting: list[ClockedPacket] = []
    known = False
    size = 0
    for one in coming:
        if known:
            yield one
            continue
        waiting.append(one)
        size += one.packet.size
        timed = one.packet.stream.index == stream and one.packet.pts is not None
        if timed or len(waiting) >= _MOST_HELD or size >= _MOST_HELD_BYTES:
            known = True
            succession.begin(timed=timed)
            yield from waiting
            waiting.clear()
    if not known:
        succession.begin(timed=False)
        yield from waiting


def shows_nothing(codec: str, packet: "Packet[Any]") -> bool:
    """Tell whether a packet is one that by its format gives no picture.

    A VP8 frame says in bit 4 of its first byte whether it is shown (RFC 6386, 9.1). An MPEG-4 packet of a few bytes
    holds a picture that is not coded, as in packed streams (ISO/IEC 14496-2, vop_coded).
    """
    if codec == "vp8":
        return not bytes(packet)[0] & 0x10
    return codec == "mpeg4" and packet.size <= 8
