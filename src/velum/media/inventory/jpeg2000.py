"""Inventory of a JPEG 2000: finds boxes and markers that decoders do not need (ISO/IEC 15444-1, annexes A and I)."""

import io
from collections.abc import Iterator

from PIL import Image, Jpeg2KImagePlugin

from velum.media.containers import iso_boxes
from velum.media.inventory.surplus import Surplus, reads_tail

_BOXES = {b"jP  ", b"ftyp", b"jp2h", b"jp2c"}
_IN_HEADER = {b"ihdr", b"colr", b"bpcc", b"pclr", b"cmap", b"cdef", b"res "}
_SOC, _SOT, _SOD, _EOC, _COM = 0x4F, 0x90, 0x93, 0xD9, 0x64
_MARKERS = {0x51, 0x52, 0x53, 0x5C, 0x5D, 0x5E, 0x5F, 0x55, 0x57, 0x58, 0x60, 0x61, 0x50, 0x63}
_ENCODERS = (b"\0\1Created by OpenJPEG", b"\0\1Kakadu", b"\0\1Created by")


def jpeg2000(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a JPEG 2000 that no decoder needs."""
    if data.startswith(b"\xff\x4f"):
        yield from _codestream(data, 0, len(data))
        return
    yield from _boxes(data, 0, len(data), _BOXES)


def _boxes(data: bytes, at: int, end: int, needed: set[bytes]) -> Iterator[Surplus]:
    for box in iso_boxes(data, at, end):
        if box.name not in needed:
            yield Surplus(f"box {box.quoted_name}", box.start, box.end - box.start)
        elif box.name == b"jp2h":
            yield from _boxes(data, box.content, box.end, _IN_HEADER)
        elif box.name == b"jp2c":
            yield from _codestream(data, box.content, box.end)
        at = box.end
    if at < end:
        yield Surplus("bytes after the end of the image", at, end - at)


def _codestream(data: bytes, at: int, end: int) -> Iterator[Surplus]:
    at += 2
    while at + 4 <= end and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == _EOC:
            break
        if marker == _SOT:
            yield from _tile_part(data, at, end)
            length = int.from_bytes(data[at + 6 : at + 10])
            at = min(at + length, end) if length else end - 2
            continue
        yield from _marker(marker, at, data[at + 4 : at + 2 + size])
        at += 2 + size
    if end - at > 2:
        yield Surplus("bytes after the end of the image", at + 2, end - at - 2)


def _marker(marker: int, at: int, body: bytes) -> Iterator[Surplus]:
    if marker == _COM:
        if not body.startswith(_ENCODERS) or len(body) > 80:
            yield Surplus("text under 'comment'", at, len(body), kind="metadata")
    elif marker not in _MARKERS:
        yield Surplus(f"marker 0xFF{marker:02X}", at, len(body))


def _tile_part(data: bytes, at: int, end: int) -> Iterator[Surplus]:
    length = int.from_bytes(data[at + 6 : at + 10])
    last = min(at + length, end) if length else end - 2
    position = at + 2 + int.from_bytes(data[at + 2 : at + 4])
    while position + 4 <= last and data[position] == 0xFF and data[position + 1] != _SOD:
        size = int.from_bytes(data[position + 2 : position + 4])
        yield from _marker(data[position + 1], position, data[position + 4 : position + 2 + size])
        position += 2 + size
    if not reads_tail(data, position + 2, last, _decode):
        yield Surplus("bytes that decoders skip after the coded samples", position + 2, last - position - 2)


def _decode(data: bytes) -> bytes | None:
    try:
        with Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(data)) as image:
            return image.tobytes()
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError):
        return None
