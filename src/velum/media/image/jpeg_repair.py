"""JPEG: files whose metadata stops a decoder, and files that lack nothing but the mark of their end.

Segments and scans: ITU-T T.81, annex B. Whether all of the picture is there is seen by decoding it with different bytes
behind its last one: where a sample is missing, they make it.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import JpegImagePlugin

from velum.errors import BadInput

_EOI = b"\xff\xd9"
_SOF_OF_DCT = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_SOI, _SOS, _APP2, _APP13 = 0xD8, 0xDA, 0xE2, 0xED
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""A marker that ends a scan: a byte of 255 in the samples is followed by 0, and restart markers belong to them."""
_LEAST = {(0xE0, b"JFIF"): 14, (0xEE, b"Adob"): 12}
"""Bytes that a segment of that kind has at least; libjpeg passes over shorter ones."""
_FILLERS = (b"", b"\xaa" * 512, b"\x55" * 512)
_COEFFICIENTS = 64

_FILMS = (b"ftyp", b"MotionPhoto_Data")
_BEHIND = re.compile(rb"\0.{3}ftyp[\x20-\x7e]{4}|\0{2}.{2}.{2}\0{2}MotionPhoto_Data", re.DOTALL)
"""How the film behind a motion photo begins: as an MP4, or with the name that Samsung gives it."""
_LONGEST_BEHIND = 24
TWO_BEGINNINGS = "the file has its first mark more than once"
NO_END = "the file has no end mark; all of the picture is there"


@dataclass(slots=True)
class _Scans:
    """What the scans of a file hold: bits missing of each component's coefficients, and where the last one ends."""

    missing: dict[int, list[int | None]] = field(default_factory=dict)
    begin: int = 0
    """Where the samples of the first scan begin."""
    end: int = 0
    ended: bool = False

    @property
    def complete(self) -> bool:
        return bool(self.missing) and all(bits == 0 for one in self.missing.values() for bits in one)


def without_malformed_segments(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the file without application segments that stop Pillow, and what to say of it.

    Those are too short for what they say they are; those of Photoshop are parsed without care, and hold nothing needed.
    """
    begun = data
    while begun[2:4] == begun[:2]:
        begun = begun[2:]
    bad: list[tuple[int, int]] = []
    notes: tuple[str, ...] = () if len(begun) == len(data) else (TWO_BEGINNINGS,)
    data, profile = begun, False
    for kind, start, end in _segments(data):
        body = data[start + 4 : start + 18]
        short_profile = kind == _APP2 and body.startswith(b"ICC_PROFILE\0") and end - start < 4 + 14
        least = _LEAST.get((kind, body[:4]), 0)
        if short_profile or kind == _APP13 or end - start < 4 + least:
            bad.append((start, end))
            profile |= short_profile
    if not bad:
        return data, notes
    kept, at = [], 0
    for start, end in bad:
        kept.append(data[at:start])
        at = end
    notes += ("the colour profile cannot be read and is left out",) if profile else ()
    return b"".join([*kept, data[at:]]), notes


def with_end(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a JPEG with its end mark, and what to say where it had none.

    Raises `BadInput` when more is missing than the mark. The file must be one that Pillow opens, within the limits.
    """
    if data.endswith(_EOI) and not any(name in data for name in _FILMS):
        return data, ()
    scans = _scans(data)
    if not scans.end:
        return data, ()
    if behind := _BEHIND.search(data, scans.begin, scans.end + _LONGEST_BEHIND):
        data = data[: behind.start()]
        scans = _scans(data)
    if scans.ended:
        return data, ()
    body = data[: scans.end].rstrip(b"\xff")
    if not scans.complete or not _is_whole(body):
        raise BadInput("it is truncated: its samples end before the picture does; copy the file again")
    return body + _EOI, (NO_END,)


def _is_whole(body: bytes) -> bool:
    """Tell whether the picture is the same whatever follows its last byte."""
    first, *others = (_decoded(body + filler + _EOI) for filler in _FILLERS)
    return all(np.array_equal(first, other) for other in others)


def _decoded(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        return np.asarray(image)


def _scans(data: bytes) -> _Scans:
    found, at = _Scans(), 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if kind == 0xFF:  # a fill byte before a marker
            at += 1
            continue
        body = data[at + 4 : at + 2 + size]
        if kind in _SOF_OF_DCT and len(body) >= 6:
            found.missing = {name: [None] * _COEFFICIENTS for name in body[6 : 6 + 3 * body[5] : 3]}
        at += 2 + max(size, 2)
        if kind != _SOS:
            continue
        _count(found, body)
        found.begin = found.begin or at
        marker = _MARKER.search(data, at)
        found.end = marker.start() if marker else len(data)
        if marker is None or marker[0][-1] == _EOI[1]:
            found.ended = marker is not None
            break
        if data[marker.start() + 1] == _SOI:
            break
        at = marker.start()
    return found


def _count(found: _Scans, body: bytes) -> None:
    """Note which bits of which coefficients a scan header promises (B.2.3)."""
    if not body or len(body) < 1 + 2 * body[0] + 3:
        return
    first, last, bits = body[1 + 2 * body[0] :][:3]
    for name in body[1 : 1 + 2 * body[0] : 2]:
        for place in range(first, min(last, _COEFFICIENTS - 1) + 1):
            if name in found.missing:
                found.missing[name][place] = bits & 0x0F


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment before the samples."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SOS:
        if data[at + 1] == 0xFF:
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if end < at + 4 or end > len(data):
            return
        yield data[at + 1], at, end
        at = end
