"""Bound on the cost of decoding an image file, from a few of its bytes and in bounded time, before a library reads it.

A file is light when reading and writing it takes time in proportion to its bytes and pixels, and it has few of both.
All others are decoded in a process that can be ended, as are formats in which few bytes can cause much work: several
images, tiles, layers, directories that refer to each other.
"""

import re
import struct
from itertools import islice

from velum.media.containers import RIFF_HEAD_BYTES, SOS, jpeg_segments, png_chunks, riff_chunks

MOST_PIXELS = 64_000_000
"""Most pixels of a light image: about a second for a decoder."""

MOST_SCANNED = 400_000_000
"""Most pixels times scans of a light JPEG."""

MOST_WEBP_PIXELS = 8_000_000
"""Most pixels of a light WebP: lossless encoding takes about a second per megapixel."""

MOST_SCANS, MOST_SEGMENTS, MOST_CHUNKS, MOST_SIDE_BYTES = 24, 1000, 20_000, 1 << 20
"""Most scans, segments and chunks of a light file, and most bytes of chunks that are not part of the image."""

_SCAN, _START, _END = b"\xff\xda", b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
_FRAMES = {0xC0, 0xC1, 0xC2}
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
    for kind, start, content, end, missing in islice(jpeg_segments(data), MOST_SEGMENTS):
        if missing or start != at:  # fill bytes
            return False
        if kind in _FRAMES:
            bits, height, width = struct.unpack_from(">BHH", data, content)
            if bits != 8 or pixels:
                return False
            pixels = width * height
        if kind == SOS:
            light = 0 < pixels <= MOST_PIXELS and scans <= MOST_SCANS and pixels * scans <= MOST_SCANNED
            return light and side <= MOST_SIDE_BYTES * 16
        side += end - content
        at = end
    return False


def _is_light_png(data: bytes) -> bool:
    side = 0
    width, height = struct.unpack_from(">II", data, 16)
    for chunk in islice(png_chunks(data), MOST_CHUNKS):
        if chunk.name == b"acTL":
            return False
        if chunk.name not in _PICTURE_CHUNKS:
            side += chunk.end - chunk.content
        if chunk.name == b"IEND":
            return 0 < width * height <= MOST_PIXELS and side <= MOST_SIDE_BYTES
    return False


def _is_light_bmp(data: bytes) -> bool:
    """Tell whether a BMP is light: a header of 40 bytes or more, and samples that are not run-length coded."""
    if struct.unpack_from("<I", data, 14)[0] < 40:
        return False
    width, height = struct.unpack_from("<ii", data, 18)
    return 0 < abs(width * height) <= MOST_PIXELS and struct.unpack_from("<I", data, 30)[0] in {0, 3}


def _is_light_webp(data: bytes) -> bool:
    side, sizes = 0, []
    chunks = riff_chunks(data, RIFF_HEAD_BYTES, len(data))
    for number, (kind, _, body, end, missing) in enumerate(chunks):
        if missing or number >= MOST_SEGMENTS or kind in {b"ANIM", b"ANMF"}:
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
                side += end - body
    return bool(sizes) and max(sizes) <= MOST_WEBP_PIXELS and side <= MOST_SIDE_BYTES
