"""One clock for sources whose own is set anew on the way, such as recordings that were joined end to end."""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from velum.media.video.probe import fraction
from velum.media.video.source import SET_ANEW

if TYPE_CHECKING:
    from av.packet import Packet

JUMP_SECONDS = Fraction(10)
"""What is further ahead than this is another clock, not a pause; FFmpeg's tools take the same figure."""

_BACK_SECONDS = {True: Fraction(1, 10), False: Fraction(1)}
"""How far packets of one stream may lie out of order without another clock: in the order of decoding, or of display."""


@dataclass(slots=True)
class _Stream:
    piece: int
    last: Fraction
    """When its last packet was decoded, by the one clock."""


class Clock:
    """Puts the time stamps of packets, in the order of the file, on one clock that never goes back.

    What follows where a clock is set anew begins where everything before it has ended; all streams move alike. It is
    the same for each reading of a file in which the packets of all streams are seen.
    """

    def __init__(self, format: str) -> None:
        self._active = format in SET_ANEW
        self._ahead = [Fraction(0)]
        self._streams: dict[int, _Stream] = {}
        self._end = self._now = Fraction(0)

    @property
    def settings(self) -> int:
        """How often the clock was set anew so far."""
        return len(self._ahead) - 1

    def put_right(self, packet: "Packet[Any]") -> bool:
        """Change the packet's time stamps; return whether the clock was set anew just before it, for its stream."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if not self._active or not packet.size or stamp is None:
            return False
        base = fraction(packet.time_base)
        shown = (stamp if packet.pts is None else packet.pts) * base
        stream = self._streams.setdefault(packet.stream.index, _Stream(self.settings, stamp * base + self._ahead[-1]))
        least = stream.last - _BACK_SECONDS[packet.dts is not None]
        anew = self._is_other(stream, stamp * base, least)
        if anew:
            stream.piece = self._piece_of(stream, stamp * base, least, shown)
        ahead = self._ahead[stream.piece]
        stream.last = self._now = stamp * base + ahead
        self._end = max(self._end, shown + ahead + (packet.duration or 0) * base)
        ticks = round(ahead / base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return anew

    def _is_other(self, stream: _Stream, seconds: Fraction, least: Fraction) -> bool:
        """Tell whether a time cannot be of the clock that the stream had."""
        at = seconds + self._ahead[stream.piece]
        # A stream may pause for long, as subtitles do: then the others have gone on.
        return at < least or at > max(stream.last, self._now) + JUMP_SECONDS

    def _piece_of(self, stream: _Stream, seconds: Fraction, least: Fraction, shown: Fraction) -> int:
        """Return the piece that a packet belongs to: one that another stream has come to before, or a new one."""
        for piece in range(self.settings, stream.piece, -1):
            at = seconds + self._ahead[piece]
            if at >= least and abs(at - self._now) <= JUMP_SECONDS:
                return piece
        self._ahead.append(self._end - shown)
        return self.settings
