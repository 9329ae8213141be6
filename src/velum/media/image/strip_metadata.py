"""Removal of metadata, thumbnails, previews and comments from an image file without decoding it.

Detectors on other machines get such files: they need the image, and must not get the rest.
"""

from collections.abc import Iterator

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP_JFIF, _APP_ICC, _APP_ADOBE = 0xE0, 0xE2, 0xEE
_NEEDED_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"IDAT", b"IEND"}
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def bare(data: bytes, format: str) -> bytes | None:
    """Return the file with only the image and its colour space; None where removing parts is not enough for that.

    Parts: segments of ISO/IEC 10918-1 B.1.1.3 (JPEG), chunks of ISO/IEC 15948 clause 5 (PNG) and of the WebP container
    specification (RFC 9649). A BMP holds nothing else.
    """
    match format:
        case "JPEG":
            return _jpeg(data)
        case "PNG":
            return _png(data)
        case "WEBP":
            return data if data[12:16] in {b"VP8 ", b"VP8L"} and _riff_ends(data) else None
        case "BMP":
            return data
    return None


def _jpeg(data: bytes) -> bytes | None:
    parts, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xFF:  # a fill byte before a marker
            at += 1
            continue
        if kind == _SOS:
            return b"".join([*parts, memoryview(data)[at:]]) if _ends_there(data) else None
        if size < 2 or _SOI <= kind <= _EOI:
            return None
        if _is_needed(kind, data[at + 4 : at + 2 + size]):
            parts.append(data[at : at + 2 + size])
        at += 2 + size
    return None


def _is_needed(kind: int, body: bytes) -> bool:
    if kind == _APP_JFIF:
        return body.startswith(b"JFIF\0") and body[12:14] == b"\0\0"  # no thumbnail
    if kind == _APP_ICC:
        return body.startswith(b"ICC_PROFILE\0")
    return kind == _APP_ADOBE or not (0xE0 <= kind <= 0xEF or kind == _COM)


def _ends_there(data: bytes) -> bool:
    """Tell whether the file ends with its image: phones append videos and further images."""
    return data.endswith(b"\xff\xd9") and data.count(b"\xff\xd8\xff", 2) == 0


def _png(data: bytes) -> bytes | None:
    parts = [_PNG_HEAD]
    for kind, chunk in _chunks(data):
        if kind in _NEEDED_CHUNKS:
            parts.append(chunk)
        if kind == b"IEND":
            return b"".join(parts)
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG_HEAD)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def _riff_ends(data: bytes) -> bool:
    """Tell whether the file holds only its first chunk; chunks are padded to an even length."""
    size = int.from_bytes(data[16:20], "little")
    return len(data) <= 20 + size + size % 2
