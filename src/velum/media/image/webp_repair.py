"""Repair of WebPs whose metadata is truncated, or whose RIFF size is wrong, although the image is complete.

Chunks: WebP container specification (RFC 9649), 2.7.
"""

from collections.abc import Iterator
from itertools import takewhile

from velum.media.containers import RIFF_HEAD_BYTES, Part, riff_chunks

_SHOWN = {b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"}
_METADATA = {b"EXIF": 0x08, b"XMP ": 0x04}
"""Chunks of metadata, and the flag that announces each (2.7.1)."""


def repair_webp(data: bytes) -> bytes:
    """Return a WebP of complete chunks; `data` itself where it needs no repair or a chunk of the image is truncated."""
    length, chunks = int.from_bytes(data[4:8], "little"), list(_chunks(data))
    end = _padded_end(chunks[-1]) if chunks else 0
    if not chunks or (length + 8 == len(data) == end) or (length + 8 == end <= len(data)):
        return data
    if any(chunk.name in _SHOWN and _padded_end(chunk) > len(data) for chunk in chunks):
        return data
    kept = [
        (chunk.name, data[chunk.start : chunk.end])
        for chunk in chunks
        if not chunk.missing and (chunk.name in _SHOWN or chunk.name in _METADATA)
    ]
    lost = sum(flag for name, flag in _METADATA.items() if name not in {found for found, _ in kept})
    body = b"".join(_clear_missing_flags(name, chunk, lost) + b"\0" * (len(chunk) % 2) for name, chunk in kept)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _clear_missing_flags(name: bytes, chunk: bytes, lost: int) -> bytes:
    """Return the chunk `VP8X` without the flags of metadata chunks that were left out; other chunks unchanged."""
    return chunk[:8] + bytes((chunk[8] & ~lost,)) + chunk[9:] if name == b"VP8X" and len(chunk) > 8 else chunk


def _chunks(data: bytes) -> Iterator[Part[bytes]]:
    known = _SHOWN | _METADATA.keys()
    chunks = riff_chunks(data, RIFF_HEAD_BYTES, len(data))
    return takewhile(lambda chunk: chunk.name in known or chunk.name.isalnum(), chunks)


def _padded_end(chunk: Part[bytes]) -> int:
    """Return the offset behind a chunk and its padding, which may be behind the end of the file."""
    end = chunk.end + chunk.missing
    return end + (end - chunk.content) % 2
