"""Inventory of a BMP: finds bytes outside header, palette and rows of samples (Windows GDI, BITMAPV5HEADER)."""

from collections.abc import Iterator

from velum.media.inventory.surplus import Surplus, nonzero_padding

_FILE_HEADER = 14
_PLAIN, _RLE8, _RLE4, _MASKS, _ALPHA_MASKS = 0, 1, 2, 3, 6


def bmp(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a BMP that no decoder needs."""
    first, header = _number(data, 10), _number(data, 14)
    old = header == 12
    columns, rows = (
        (_number(data, 18, 2), _number(data, 20, 2)) if old else (_number(data, 18), _signed_number(data, 22))
    )
    bits, compression = (_number(data, 24, 2), _PLAIN) if old else (_number(data, 28, 2), _number(data, 30))
    colours = 0 if bits > 8 else (0 if old else _number(data, 46)) or 1 << bits
    masks = {_MASKS: 12, _ALPHA_MASKS: 16}.get(compression, 0) if header == 40 else 0
    end = _FILE_HEADER + header + masks + colours * (3 if old else 4)
    yield from nonzero_padding(data, end, first, "bytes between the colours and the samples")
    if compression in {_RLE8, _RLE4}:
        last = _end_of_runs(data, first)
    else:
        used, stride = -(-columns * bits // 8), -(-columns * bits // 32) * 4
        last = first + stride * abs(rows)
        if stride > used and any(any(data[at + used : at + stride]) for at in range(first, last, stride)):
            yield Surplus("bytes at the ends of rows", first, (stride - used) * abs(rows))
    if len(data) > last:
        yield from nonzero_padding(data, last, len(data), "bytes after the end of the image")


def _end_of_runs(data: bytes, at: int) -> int:
    """Return the offset behind the runs of a compressed BMP: a pair 0, 1 ends them."""
    bits = _number(data, 28, 2)
    while at + 2 <= len(data):
        count, value = data[at], data[at + 1]
        at += 2
        if count == 0 and value == 1:
            return at
        if count == 0 and value == 2:
            at += 2
        elif count == 0 and value > 2:
            size = value if bits == 8 else -(-value // 2)
            at += size + size % 2
    return len(data)


def _number(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _signed_number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little", signed=True)
