"""Bound on the cost of decoding an image file, from a few of its bytes and in bounded time, before a library reads it.

A file is light when reading and writing it takes time in proportion to its bytes and pixels, and it has few of both.
All others are decoded in a process that can be ended, as are formats in which few bytes can cause much work: several
images, tiles, layers, directories that refer to each other.
"""

import re
import struct
from collections.abc import Iterator

MOST_PIXELS = 64_000_000
"""Most pixels of a light image: about a second for a decoder."""

MOST_SCANNED = 400_000_000
"""Most pixels times scans of a light JPEG."""

MOST_WEBP_PIXELS = 8_000_000
"""Most pixels of a light WebP: lossless encoding takes about a second per megapixel."""

MOST_SCANS, MOST_SEGMENTS, MOST_CHUNKS, MOST_SIDE_BYTES = 24, 1000, 20_000, 1 << 20
"""Most scans, segments and chunks, and most bytes of other chunks than the image's, of a light file."""

_SOS, _SCAN, _START, _END = 0xDA, b"\xff\xda", b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
_FRAMES = {0xC0, 0xC1, 0xC2}
_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length (ISO/IEC 10918-1, table B.1)."""

_PICTURE_CHUNKS = {b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"IEND"}


def is_light(data: bytes, format: str) -> bool:
    """Tell whether an image file of that format is light. A file that cannot be parsed is not."""
    try:
        match format:
            case "JPEG":
                return _is_light_jpeg(data)
            case "PNG":
                return _is_light_png(data)
            case "BMP":
                return _is_light_bmp(data)
            case "WEBP":
                return _is_light_webp(data)
    except (struct.error, IndexError):
        return False
    return False


def scans_of(data: bytes, most: int) -> int:
    """Return the number of scans of the first image of a JPEG; `most` + 1 where it has more than `most`.

    In a scan a byte of 255 is followed by 0, by a restart marker, or by the marker that ends it.
    """
    if (bound := data.count(_SCAN)) <= most:  # nearly always; thumbnails count, too
        return bound
    scans, at = 0, 2
    while scans <= most and (mark := _MARKER.search(data, at)) and mark[0] != _END:
        scans += mark[0] == _SCAN
        at = mark.end() if mark[0] == _START else mark.end() + int.from_bytes(data[mark.end() : mark.end() + 2])
    return scans


def _is_light_jpeg(data: bytes) -> bool:
    scans = data.count(_SCAN)  # an upper bound
    pixels, side, at = 0, 0, 2
    for _ in range(MOST_SEGMENTS):
        mark, kind, size = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF or kind == 0xFF or kind in _ALONE:
            return False
        if kind in _FRAMES:
            bits, height, width = struct.unpack_from(">BHH", data, at + 4)
            if bits != 8 or pixels:
                return False
            pixels = width * height
        if kind == _SOS:
            light = 0 < pixels <= MOST_PIXELS and scans <= MOST_SCANS and pixels * scans <= MOST_SCANNED
            return light and side <= MOST_SIDE_BYTES * 16
        side += size
        at += 2 + size
    return False


def _is_light_png(data: bytes) -> bool:
    at, side, seen = 8, 0, 0
    width, height = struct.unpack_from(">II", data, 16)
    while at + 12 <= len(data) and seen < MOST_CHUNKS:
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            return False
        if kind not in _PICTURE_CHUNKS:
            side += size
        if kind == b"IEND":
            return 0 < width * height <= MOST_PIXELS and side <= MOST_SIDE_BYTES
        at, seen = at + 12 + size, seen + 1
    return False


def _is_light_bmp(data: bytes) -> bool:
    """Tell whether a BMP is light: a header of 40 bytes or more, and samples that are not run-length coded."""
    if struct.unpack_from("<I", data, 14)[0] < 40:
        return False
    width, height = struct.unpack_from("<ii", data, 18)
    return 0 < abs(width * height) <= MOST_PIXELS and struct.unpack_from("<I", data, 30)[0] in {0, 3}


def _is_light_webp(data: bytes) -> bool:
    side, sizes = 0, []
    for number, (kind, body, size) in enumerate(_riff(data)):
        if number >= MOST_SEGMENTS or kind in {b"ANIM", b"ANMF"}:
            return False
        match kind:
            case b"VP8X":
                width, height = (
                    int.from_bytes(data[body + 4 + start : body + 7 + start], "little") for start in (0, 3)
                )
                sizes.append((width + 1) * (height + 1))
            case b"VP8 ":
                width, height = struct.unpack_from("<HH", data, body + 6)
                sizes.append((width & 0x3FFF) * (height & 0x3FFF))
            case b"VP8L":
                packed = int.from_bytes(data[body + 1 : body + 5], "little")
                sizes.append(((packed & 0x3FFF) + 1) * ((packed >> 14 & 0x3FFF) + 1))
            case b"ALPH":
                pass
            case _:
                side += size
    return bool(sizes) and max(sizes) <= MOST_WEBP_PIXELS and side <= MOST_SIDE_BYTES


def _riff(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset of the content and its size of each chunk of a WebP (RFC 9649, section 2.3)."""
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, size
        at += 8 + size + size % 2
