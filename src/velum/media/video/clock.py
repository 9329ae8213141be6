"""One clock for sources whose own is set anew on the way, such as recordings that were joined end to end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from velum.media.video.file_input import RESETTABLE_CLOCKS

if TYPE_CHECKING:
    from av.packet import Packet

_RATE = 90_000
"""Ticks a second, in which these formats count; whole numbers, since each packet is looked at."""

JUMP_SECONDS = 10
"""What is further ahead than this is another clock, not a pause; FFmpeg's tools take the same figure."""

_JUMP = JUMP_SECONDS * _RATE
_BACK = {True: _RATE // 10, False: _RATE}
"""How far packets of one stream may lie out of order without another clock: in the order of decoding, or of display."""


@dataclass(slots=True)
class _Stream:
    epoch: int
    last: int
    """When its last packet was decoded, by the one clock."""


class PacketClock:
    """Puts the time stamps of packets, in the order of the file, on one clock that never goes back.

    What follows where a clock is set anew begins where everything before it has ended; all streams move alike. It is
    the same for each reading of a file in which the packets of all streams are seen.
    """

    def __init__(self, format: str) -> None:
        self._active = format in RESETTABLE_CLOCKS
        self._ahead = [0]
        self._streams: dict[int, _Stream] = {}
        self._end = self._now = 0

    @property
    def resets(self) -> int:
        """How often the clock was set anew so far."""
        return len(self._ahead) - 1

    def correct_times(self, packet: "Packet[Any]") -> bool:
        """Change the packet's time stamps; return whether the clock was set anew just before it, for its stream."""
        if not self._active or not packet.size or packet.time_base.denominator != _RATE:
            return False
        pts, dts = packet.pts, packet.dts
        stamp = pts if dts is None else dts
        if stamp is None:
            return False
        stream = self._streams.get(packet.stream.index)
        if stream is None:
            stream = self._streams[packet.stream.index] = _Stream(self.resets, stamp + self._ahead[-1])
        least, shown = stream.last - _BACK[dts is not None], stamp if pts is None else pts
        anew = self._is_other(stream, stamp, least)
        if anew:
            stream.epoch = self._piece_of(stream, stamp, least, shown)
        ahead = self._ahead[stream.epoch]
        stream.last = self._now = stamp + ahead
        self._end = max(self._end, shown + ahead + (packet.duration or 0))
        if ahead:
            packet.pts = None if pts is None else pts + ahead
            packet.dts = None if dts is None else dts + ahead
        return anew

    def _is_other(self, stream: _Stream, stamp: int, least: int) -> bool:
        """Tell whether a time cannot be of the clock that the stream had."""
        at = stamp + self._ahead[stream.epoch]
        # A stream may pause for long, as subtitles do: then the others have gone on.
        return at < least or at > max(stream.last, self._now) + _JUMP

    def _piece_of(self, stream: _Stream, stamp: int, least: int, shown: int) -> int:
        """Return the piece that a packet belongs to: one that another stream has come to before, or a new one."""
        for piece in range(self.resets, stream.epoch, -1):
            at = stamp + self._ahead[piece]
            if at >= least and abs(at - self._now) <= _JUMP:
                return piece
        self._ahead.append(self._end - shown)
        return self.resets
