"""Repair of WebPs whose metadata is truncated, or whose RIFF size is wrong, although the image is complete.

Chunks: WebP container specification (RFC 9649), 2.7.
"""

from collections.abc import Iterator

_SHOWN = {b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"}
_METADATA = {b"EXIF": 0x08, b"XMP ": 0x04}
"""Chunks of metadata, and the flag that announces each (2.7.1)."""


def repair_webp(data: bytes) -> bytes:
    """Return a WebP of complete chunks; `data` itself where it needs no repair or a chunk of the image is truncated."""
    length, chunks = int.from_bytes(data[4:8], "little"), list(_chunks(data))
    end = chunks[-1][2] if chunks else 0
    if not chunks or (length + 8 == len(data) == end) or (length + 8 == end <= len(data)):
        return data
    if any(name in _SHOWN and stop > len(data) for name, _, stop in chunks):
        return data
    kept = [
        (name, data[start : start + 8 + _size(data, start)])
        for name, start, _ in chunks
        if start + 8 + _size(data, start) <= len(data) and (name in _SHOWN or name in _METADATA)
    ]
    lost = sum(flag for name, flag in _METADATA.items() if name not in {found for found, _ in kept})
    body = b"".join(_clear_missing_flags(name, chunk, lost) + b"\0" * (len(chunk) % 2) for name, chunk in kept)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _clear_missing_flags(name: bytes, chunk: bytes, lost: int) -> bytes:
    """Return the chunk `VP8X` without the flags of metadata chunks that were left out; other chunks unchanged."""
    return chunk[:8] + bytes((chunk[8] & ~lost,)) + chunk[9:] if name == b"VP8X" and len(chunk) > 8 else chunk


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end, padding included, of each chunk; the last may end behind the end of the file."""
    at = 12
    while at + 8 <= len(data):
        name = data[at : at + 4]
        if name not in _SHOWN and name not in _METADATA and not name.isalnum():
            return
        size = _size(data, at)
        yield name, at, at + 8 + size + size % 2
        at += 8 + size + size % 2


def _size(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 4 : at + 8], "little")
