"""One continuous clock for sources whose clock is reset midway, such as recordings that were joined end to end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from velum.media.video.file_input import RESETTABLE_CLOCKS

if TYPE_CHECKING:
    from av.packet import Packet

_RATE = 90_000
"""Ticks per second of these formats' clocks; whole numbers, because every packet is checked."""

JUMP_SECONDS = 10
"""A larger jump ahead is a clock reset, not a pause; FFmpeg's tools use the same figure."""

_JUMP = JUMP_SECONDS * _RATE
_BACK = {True: _RATE // 10, False: _RATE}
"""Ticks by which a stream's time may go back without a clock reset, by whether its packets have a DTS."""


@dataclass(slots=True)
class _Stream:
    """Where one stream is: its epoch (number of clock resets that it has passed), and its latest time."""

    epoch: int
    last: int
    """DTS of its last packet (PTS where it has none), on the continuous clock."""


class PacketClock:
    """Puts the time stamps of packets, taken in file order, on one continuous clock.

    After a clock reset, time goes on where everything before it ended; all streams are shifted alike. The result is
    the same for every pass over a file, provided the clock sees the packets of all streams.
    """

    def __init__(self, format: str) -> None:
        self._active = format in RESETTABLE_CLOCKS
        self._ahead = [0]
        self._streams: dict[int, _Stream] = {}
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
        stream = self._streams.get(packet.stream.index)
        if stream is None:
            stream = self._streams[packet.stream.index] = _Stream(self.resets, stamp + self._ahead[-1])
        least, shown = stream.last - _BACK[dts is not None], stamp if pts is None else pts
        is_reset = self._is_other_clock(stream, stamp, least)
        if is_reset:
            stream.epoch = self._find_epoch(stream, stamp, least, shown)
        ahead = self._ahead[stream.epoch]
        stream.last = self._now = stamp + ahead
        self._end = max(self._end, shown + ahead + (packet.duration or 0))
        if ahead:
            packet.pts = None if pts is None else pts + ahead
            packet.dts = None if dts is None else dts + ahead
        return is_reset

    def _is_other_clock(self, stream: _Stream, stamp: int, least: int) -> bool:
        """Tell whether a time stamp cannot belong to the clock that the stream had so far."""
        at = stamp + self._ahead[stream.epoch]
        # A stream may pause for long, as subtitles do: then the others have gone on.
        return at < least or at > max(stream.last, self._now) + _JUMP

    def _find_epoch(self, stream: _Stream, stamp: int, least: int, shown: int) -> int:
        """Return the epoch of a packet: one that another stream has reached before, or a new one."""
        for epoch in range(self.resets, stream.epoch, -1):
            at = stamp + self._ahead[epoch]
            if at >= least and abs(at - self._now) <= _JUMP:
                return epoch
        self._ahead.append(self._end - shown)
        return self.resets
