"""Inventory of MPEG program streams: finds packets of no stream, and data in padding (ISO/IEC 13818-1, 2.5)."""

from collections.abc import Iterator

from velum.media.inventory.surplus import Surplus

_PREFIX = b"\0\0\1"
_END, _PACK, _SYSTEM, _MAP, _PRIVATE_1, _PADDING, _PRIVATE_2 = 0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF
_STREAMS = {_SYSTEM, _MAP, _PRIVATE_1, *range(0xC0, 0xF0), 0xFD}


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
        yield Surplus("packets for padding that hold something", 0, padded)
    if private:
        yield Surplus("packets of a private stream", 0, private, ordinary=True)
