"""Repair of JPEGs that decoders refuse although the image is complete: malformed metadata, no end-of-image marker.

Segments and scans: ITU-T T.81, annex B. To find out whether the image is complete, it is decoded with different bytes
appended: where samples are missing, the decoder makes them of these bytes, and the results differ.
"""

import io
import re
from dataclasses import dataclass, field

import numpy as np
from PIL import JpegImagePlugin

from velum.errors import BadInput
from velum.media.containers import SOS, end_of_scan, jpeg_segments

_EOI, _SOI = b"\xff\xd9", b"\xff\xd8\xff"
_INDEX = b"MPF\0"
_PICTURES_OF_A_STREAM = 3
"""So many pictures, one right behind the other, are a video. A camera adds a preview or two."""
_SOF_OF_DCT = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_APP2, _APP13 = 0xE2, 0xED
_LEAST_BYTES = {(0xE0, b"JFIF"): 14, (0xEE, b"Adob"): 12}
"""Least size of a segment, by marker and first bytes; libjpeg skips shorter ones."""
_FILLERS = (b"", b"\xaa" * 512, b"\x55" * 512)
_COEFFICIENTS = 64

_FILMS = (b"ftyp", b"MotionPhoto_Data")
_FILM_START = re.compile(rb"\0.{3}ftyp[\x20-\x7e]{4}|\0{2}.{2}.{2}\0{2}MotionPhoto_Data", re.DOTALL)
"""Start of the video appended to a motion photo: an MP4, or the trailer that Samsung writes."""
_FILM_START_BYTES = 24
TWO_BEGINNINGS = "the file has its start mark more than once"
NO_END = "the file has no end mark; the image is complete"


@dataclass(slots=True)
class _Scans:
    """Facts about the scans of a file."""

    missing: dict[int, list[int | None]] = field(default_factory=dict)
    """By component id, the bits that no scan has coded yet of each of 64 coefficients; None before the first scan."""
    begin: int = 0
    """Offset of the first scan's samples."""
    end: int = 0
    """Offset behind the last scan's samples."""
    ended: bool = False
    """Whether an end-of-image marker follows the last scan."""

    @property
    def complete(self) -> bool:
        return bool(self.missing) and all(bits == 0 for component in self.missing.values() for bits in component)


def without_malformed_segments(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the file without application segments at which Pillow fails, and notes for the report.

    These segments are shorter than their kind requires, or of Photoshop: Pillow does not check the lengths in those,
    and they hold nothing that decoding needs.
    """
    whole = data
    while whole[2:4] == whole[:2]:
        whole = whole[2:]
    bad: list[tuple[int, int]] = []
    notes: tuple[str, ...] = () if len(whole) == len(data) else (TWO_BEGINNINGS,)
    data, profile = whole, False
    for kind, start, content, end, missing in jpeg_segments(data):
        if kind == SOS or missing:
            break
        body = data[content : content + 14]
        short_profile = kind == _APP2 and body.startswith(b"ICC_PROFILE\0") and end - start < 4 + 14
        least = _LEAST_BYTES.get((kind, body[:4]), 0)
        if short_profile or kind == _APP13 or end - start < 4 + least:
            bad.append((start, end))
            profile |= short_profile
    if not bad:
        return data, notes
    parts, at = [], 0
    for start, end in bad:
        parts.append(data[at:start])
        at = end
    notes += ("the colour profile cannot be read and is left out",) if profile else ()
    return b"".join([*parts, data[at:]]), notes


def with_end(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a JPEG with its end-of-image marker, and a note for the report where that had to be added.

    Raises `BadInput` when samples are missing, too. Pillow must be able to open the file, and its size be checked.
    """
    if data.endswith(_EOI) and not any(name in data for name in _FILMS):
        return data, ()
    scans = _scans(data)
    if not scans.end:
        return data, ()
    if behind := _FILM_START.search(data, scans.begin, scans.end + _FILM_START_BYTES):
        data = data[: behind.start()]
        scans = _scans(data)
    if scans.ended:
        return data, ()
    body = data[: scans.end].rstrip(b"\xff")
    if not scans.complete or not _is_whole(body):
        raise BadInput("it is truncated: its samples end before the end of the image; copy the file again")
    return body + _EOI, (NO_END,)


def further_picture_notes(data: bytes) -> tuple[str, ...]:
    """Return a note for the report when more JPEGs lie behind the first one, without an index (CIPA DC-007) of them.

    Raises `BadInput` for a stream of pictures, which is a video without a container.
    """
    head = list(jpeg_segments(data))
    if not head or data.rfind(_SOI) < head[-1].end or any(_INDEX in data[part.start : part.end] for part in head):
        return ()
    if data.count(_EOI + _SOI, head[-1].end) + 1 >= _PICTURES_OF_A_STREAM:
        raise BadInput(
            "it is a stream of JPEG pictures; put it into a container and hide in that: ffmpeg -i FILE -c copy FILE.avi"
        )
    return ("the file also holds another JPEG behind the first one, which was left out",)


def _is_whole(body: bytes) -> bool:
    """Tell whether the decoded image is the same whatever bytes are appended."""
    first, *others = (_decode(body + filler + _EOI) for filler in _FILLERS)
    return all(np.array_equal(first, other) for other in others)


def _decode(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        return np.asarray(image)


def _scans(data: bytes) -> _Scans:
    scans, at = _Scans(), 2
    while segments := list(jpeg_segments(data, at)):
        for marker, _, content, end, _ in segments:
            if marker in _SOF_OF_DCT and end - content >= 6:
                components = data[content + 6 : content + 6 + 3 * data[content + 5] : 3]
                scans.missing = {name: [None] * _COEFFICIENTS for name in components}
        if segments[-1].name != SOS:
            break
        _count_bits(scans, data[segments[-1].content : segments[-1].end])
        scans.begin = scans.begin or segments[-1].end
        at = scans.end = end_of_scan(data, segments[-1].end)
    scans.ended = data.startswith(_EOI, scans.end)
    return scans


def _count_bits(scans: _Scans, body: bytes) -> None:
    """Record in `found.missing` which bits of which coefficients a scan header announces (B.2.3)."""
    if not body or len(body) < 1 + 2 * body[0] + 3:
        return
    first, last, bits = body[1 + 2 * body[0] :][:3]
    for name in body[1 : 1 + 2 * body[0] : 2]:
        for place in range(first, min(last, _COEFFICIENTS - 1) + 1):
            if name in scans.missing:
                scans.missing[name][place] = bits & 0x0F
