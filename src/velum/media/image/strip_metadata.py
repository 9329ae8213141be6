"""Image files without their metadata: for detectors on other machines, and for results in which nothing was hidden.

They need the image, and must not get metadata, thumbnails, previews, comments and bytes behind its end.
"""

from velum.media.containers import (
    EOI,
    PNG_HEAD,
    RIFF_HEAD_BYTES,
    SOS,
    end_of_scan,
    jpeg_segments,
    png_chunks,
    riff_chunks,
)
from velum.media.inventory import image_surplus

_COM, _END = 0xFE, bytes((0xFF, EOI))

_APP_JFIF, _APP_ICC, _APP_ADOBE = 0xE0, 0xE2, 0xEE

_NEEDED_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"IDAT", b"IEND"}


def strip_metadata(data: bytes, format: str) -> bytes | None:
    """Return the file with only the image and its colour space; None where removing parts is not enough for that.

    Parts: segments of ISO/IEC 10918-1 B.1.1.3 (JPEG), chunks of ISO/IEC 15948 clause 5 (PNG) and of the WebP container
    specification (RFC 9649). A BMP holds nothing else.
    """
    match format:
        case "JPEG":
            return _strip_jpeg(data)
        case "PNG":
            return _strip_png(data)
        case "WEBP":
            return data if data[12:16] in {b"VP8 ", b"VP8L"} and _has_one_chunk(data) else None
        case "BMP":
            return data
    return None


def strip_everything(data: bytes, format: str) -> bytes | None:
    """Return the file as `strip_metadata` does; None where it would still hold bytes that no decoder needs."""
    stripped = strip_metadata(data, format)
    if stripped is None or not all(surplus.ordinary for surplus in image_surplus(stripped, format)):
        return None
    return stripped


def _strip_jpeg(data: bytes) -> bytes | None:
    parts, at = [data[:2]], 2
    while segments := list(jpeg_segments(data, at)):
        for marker, start, content, end, missing in segments:
            if missing:
                return None
            if _is_needed(marker, data[content:end]):
                parts.append(data[start:end])
        if segments[-1].name != SOS:
            return None
        scan = segments[-1].end
        at = end_of_scan(data, scan)
        parts.append(data[scan:at])
    return b"".join([*parts, _END]) if at > 2 and data.startswith(_END, at) else None


def _is_needed(kind: int, body: bytes) -> bool:
    if kind == _APP_JFIF:
        return body.startswith(b"JFIF\0") and body[12:14] == b"\0\0"  # no thumbnail
    if kind == _APP_ICC:
        return body.startswith(b"ICC_PROFILE\0")
    return kind == _APP_ADOBE or not (0xE0 <= kind <= 0xEF or kind == _COM)


def _strip_png(data: bytes) -> bytes | None:
    parts = [PNG_HEAD]
    for chunk in png_chunks(data):
        if chunk.name in _NEEDED_CHUNKS:
            parts.append(data[chunk.start : chunk.end + 4])
        if chunk.name == b"IEND":
            return b"".join(parts)
    return None


def _has_one_chunk(data: bytes) -> bool:
    """Tell whether a WebP holds only its first chunk; chunks are padded to an even length."""
    first = next(riff_chunks(data, RIFF_HEAD_BYTES, len(data)), None)
    return first is not None and len(data) <= first.end + (first.end - first.content) % 2
