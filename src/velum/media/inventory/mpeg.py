"""Inventory of MPEG transport and program streams: finds packets of no stream, and data in padding.

ISO/IEC 13818-1, 2.4 (transport) and 2.5 (program).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from velum.media.inventory.surplus import Surplus

_SYNC, _PACKET, _NULL = 0x47, 188, 0x1FFF
_TABLES = range(0x20)
"""Packet identifiers of tables: programs, conditional access, service information of DVB (EN 300 468)."""

_PREFIX = b"\0\0\1"
_END, _PACK, _SYSTEM, _MAP, _PRIVATE_1, _PADDING, _PRIVATE_2 = 0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF
_STREAMS = {_SYSTEM, _MAP, _PRIVATE_1, *range(0xC0, 0xF0), 0xFD}


@dataclass(slots=True)
class _Walk:
    data: bytes
    known: set[int] = field(default_factory=lambda: set(_TABLES))
    maps: set[int] = field(default_factory=set)
    stray_starts: dict[str, int] = field(default_factory=dict)
    """Offset of the first bytes that no player needs, by kind."""
    stray_sizes: Counter[str] = field(default_factory=Counter)
    """Total number of these bytes, by kind."""

    def note(self, description: str, at: int, size: int) -> None:
        """Add bytes that no player needs to those of the same kind."""
        self.stray_starts.setdefault(description, at)
        self.stray_sizes[description] += size

    def tables(self, packets: range) -> None:
        """Read all tables in advance, since they may come after the packets of the streams that they name."""
        for table_ids in (self._programs, self._streams):
            for at in packets:
                identifier, start = self.packet(at)
                if self.data[at + 1] & 0x40 and start < at + _PACKET:
                    section = self.data[start + 1 + self.data[start] : at + _PACKET]
                    table_ids(identifier, section)

    def _programs(self, identifier: int, section: bytes) -> None:
        if identifier == 0 and section[:1] == b"\0":
            end = 3 + (int.from_bytes(section[1:3]) & 0xFFF) - 4
            for at in range(8, min(end, len(section) - 3), 4):
                self.maps.add(int.from_bytes(section[at + 2 : at + 4]) & _NULL)
            self.known |= self.maps

    def _streams(self, identifier: int, section: bytes) -> None:
        if identifier not in self.maps or section[:1] != b"\2":
            return
        end = 3 + (int.from_bytes(section[1:3]) & 0xFFF) - 4
        self.known.add(int.from_bytes(section[8:10]) & _NULL)
        at = 12 + (int.from_bytes(section[10:12]) & 0xFFF)
        while at + 5 <= min(end, len(section)):
            self.known.add(int.from_bytes(section[at + 1 : at + 3]) & _NULL)
            at += 5 + (int.from_bytes(section[at + 3 : at + 5]) & 0xFFF)

    def packet(self, at: int) -> tuple[int, int]:
        """Return the identifier of a packet, and the offset of its payload."""
        control, start = self.data[at + 3] >> 4 & 3, at + 4
        if control & 2:
            start += 1 + self.data[at + 4]
        return int.from_bytes(self.data[at + 1 : at + 3]) & _NULL, start if control & 1 else at + _PACKET

    def content(self, at: int) -> None:
        """Add the bytes of a packet that no player needs."""
        identifier, _ = self.packet(at)
        if identifier == _NULL:
            if set(self.data[at + 4 : at + _PACKET]) - {0, 0xFF}:
                self.note("padding packets that are not empty", at, _PACKET)
        elif identifier not in self.known:
            self.note(f"packets of stream {identifier:#x}, which no table names", at, _PACKET)
        if self.data[at + 3] & 0x20 and self.data[at + 4]:
            self._adaptation(at + 5, min(at + 5 + self.data[at + 4], at + _PACKET))

    def _adaptation(self, at: int, end: int) -> None:
        flags, position = self.data[at], at + 1
        position += 6 * bool(flags & 16) + 6 * bool(flags & 8) + bool(flags & 4)
        if flags & 2 and position < end:
            self.note("private bytes besides the packets", position, self.data[position])
            position += 1 + self.data[position]
        if not flags & 1 and set(self.data[position:end]) - {0xFF, 0}:
            self.note("stuffing that is not empty", position, end - position)


def transport(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a TS or M2TS, as a memory map or bytes, that no player needs."""
    step = _PACKET if data[0] == _SYNC and data[_PACKET : _PACKET + 1] in {b"\x47", b""} else _PACKET + 4
    first = step - _PACKET
    packets = range(first, len(data) - _PACKET + 1, step)
    whole = _Walk(data)
    good = range(first, next((at for at in packets if data[at] != _SYNC), packets.stop), step)
    whole.tables(good)
    for at in good:
        whole.content(at)
    end = good[-1] + _PACKET if good else 0
    if end < len(data):
        yield Surplus("bytes that are not packets", end, len(data) - end)
    for description, start in whole.stray_starts.items():
        yield Surplus(description, start, whole.stray_sizes[description], ordinary=description.startswith("private"))


def program(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of an MPEG program stream, as a memory map or bytes, that no player needs."""
    at, padded, private = 0, 0, 0
    while at + 6 <= len(data):
        if data[at : at + 3] != _PREFIX:
            following = data.find(_PREFIX + bytes([_PACK]), at)
            end = len(data) if following < 0 else following
            if any(data[at:end]):
                yield Surplus("bytes between two packets", at, end - at)
            at = end
            continue
        kind, size = data[at + 3], int.from_bytes(data[at + 4 : at + 6])
        if kind == _END:
            at += 4
        elif kind == _PACK:
            # The last byte of the head counts those that stuff it; the head of MPEG-1 is shorter.
            at += 14 + (data[at + 13] & 7) if data[at + 4] >> 6 == 1 and at + 13 < len(data) else 12
        else:
            if kind == _PADDING:
                padded += size if set(data[at + 6 : at + 6 + size]) - {0, 0xFF} - {0x0F} else 0
            elif kind == _PRIVATE_2:
                private += size if any(data[at + 6 : at + 6 + size]) else 0
            elif kind not in _STREAMS:
                yield Surplus(f"packet of kind {kind:#x}", at, 6 + size)
            at += 6 + size
    if padded:
        yield Surplus("padding packets that are not empty", 0, padded)
    if private:
        yield Surplus("packets of a private stream", 0, private, ordinary=True)
