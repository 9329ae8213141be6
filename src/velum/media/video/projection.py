"""Whether a video says how it is projected, as those of 360-degree cameras do."""

import io
import re

_SPHERICAL_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_BOXES = re.compile(rb"sv3d|st3d|" + re.escape(_SPHERICAL_V1))
"""Spherical Video V2 and V1: boxes of a sample entry, and one of a track."""

_PROJECTION = re.compile(rb"\x76\x70[\x81-\xff\x01-\x7f][\x00-\xff]{0,7}?\x76\x71[\x81-\x84]")
"""RFC 9559, 5.1.4.1.28.41: the element Projection, which begins with its type."""

_MOST_BYTES = 64 << 20
_MATROSKA_HEAD_BYTES = 1 << 18
NOTE = (
    "it is a 360-degree or stereoscopic video: how it is projected was not carried over, so players show it flat; "
    "put that note back with the tool of its camera or a metadata injector"
)


def is_projected(file: io.RawIOBase, size: int, format: str) -> bool:
    """Tell whether a video file of `size` bytes states a projection or an arrangement of two views."""
    if format in {"MKV", "WEBM"}:
        file.seek(0)
        return _PROJECTION.search(file.read(_MATROSKA_HEAD_BYTES) or b"") is not None
    if format not in {"MP4", "MOV", "3GP"}:
        return False
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16) or b""
        length = int.from_bytes(head[:4])
        length = int.from_bytes(head[8:16]) if length == 1 else length or size - start
        if head[4:8] in {b"moov", b"uuid"}:
            file.seek(start)
            if _BOXES.search(file.read(min(length, _MOST_BYTES)) or b""):
                return True
        start += max(length, 8)
    return False
