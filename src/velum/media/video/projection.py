"""Reads the projection of 360-degree and stereoscopic videos from MP4, MOV, 3GP, MKV and WebM."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace

from velum.media.image.avif_headers import IsoBox, boxes
from velum.media.spherical import STEREO_MODE, V1, Spherical, begin, elements, of_boxes, of_elements, of_xml, spans

_BOXES = re.compile(rb"sv3d|st3d|" + re.escape(V1))
_V2 = {b"sv3d", b"st3d"}
_ENTRY_HEAD = 78
"""Bytes of a visual sample entry before its boxes (ISO/IEC 14496-12, 12.1.3)."""

_PROJECTION = re.compile(
    rb"\x76\x70[\x81-\xff\x01-\x7f][\x00-\xff]{0,7}?\x76\x71(\x81|\x82.|\x84...)[\x01-\xff]", re.DOTALL
)
"""RFC 9559, 5.1.4.1.28.41: the element Projection, which begins with its type; type 0 means flat frames."""

_SEGMENT, _TRACKS, _TRACK, _KIND, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0xE0
_MOST_BYTES = 64 << 20
_MATROSKA_HEAD_BYTES = 1 << 18
PROJECTION_DROPPED = (
    "it is a 360-degree or stereoscopic video, but its projection could not be written, so players show it flat; "
    "add the projection with the camera's tool or a metadata injector"
)


def is_projected(file: io.RawIOBase, size: int, format: str) -> bool:
    """Tell whether a video file of `size` bytes states a projection or an arrangement of two views."""
    if format in {"MKV", "WEBM"}:
        head = _head(file)
        return any(dict(elements(_video_element(head))).get(STEREO_MODE, b"")) or _PROJECTION.search(head) is not None
    return any(_BOXES.search(data) for data in _index_boxes(file, size, format))


def spherical(file: io.RawIOBase, size: int, format: str, track: int) -> Spherical | None:
    """Return the projection of a track, by its number in MP4, MOV and 3GP; in MKV and WebM of the first video track.

    None where the file has none, or one that velum does not know in full.
    """
    if format in {"MKV", "WEBM"}:
        return of_elements(_video_element(_head(file)))
    for data in _index_boxes(file, size, format):
        for trak in _find_boxes(data, 0, len(data), b"moov", b"trak"):
            heads = list(_find_boxes(data, trak.start, trak.end, b"tkhd"))
            if heads and _number(data, heads[0]) == track:
                return _track_projection(data, trak)
    return None


def _head(file: io.RawIOBase) -> bytes:
    file.seek(0)
    return file.read(_MATROSKA_HEAD_BYTES) or b""


def _index_boxes(file: io.RawIOBase, size: int, format: str) -> Iterator[bytes]:
    """Yield the top-level boxes that may hold a projection: `moov` and `uuid`."""
    start = 0
    while start + 8 <= size and format in {"MP4", "MOV", "3GP"}:
        file.seek(start)
        head = file.read(16) or b""
        length = int.from_bytes(head[:4])
        length = int.from_bytes(head[8:16]) if length == 1 else length or size - start
        if head[4:8] in {b"moov", b"uuid"}:
            file.seek(start)
            yield file.read(min(length, _MOST_BYTES)) or b""
        start += max(length, 8)


def _find_boxes(data: bytes, start: int, end: int, *names: bytes) -> Iterator[IsoBox]:
    """Yield all boxes at a path of box names."""
    for box in boxes(data, start, end):
        if box.name == names[0]:
            if len(names) == 1:
                yield box
            else:
                yield from _find_boxes(data, box.start, box.end, *names[1:])


def _number(data: bytes, head: IsoBox) -> int:
    """Return the track number in a `tkhd` box (ISO/IEC 14496-12, 8.3.2)."""
    at = head.start + (20 if data[head.start] else 12)
    return int.from_bytes(data[at : at + 4])


def _track_projection(data: bytes, trak: IsoBox) -> Spherical | None:
    words = [
        data[box.start + len(V1) : box.end] for box in _find_boxes(data, trak.start, trak.end, b"uuid")
        if data.startswith(V1, box.start)
    ]  # fmt: skip
    first = of_xml(words[0]) if words else None
    second: Spherical | None = None
    for table in _find_boxes(data, trak.start, trak.end, b"mdia", b"minf", b"stbl", b"stsd"):
        for entry in boxes(data, table.start + 8, table.end):
            inside = entry.start + _ENTRY_HEAD, entry.end
            if any(box.name in _V2 for box in boxes(data, *inside)):
                second = of_boxes(data, *inside)
                if second is None:  # V2 counts where the two differ
                    return None
                break
    if first is None or second is None:
        return second or first
    flat = not second.kind
    return replace(
        second, xml=first.xml, kind=first.kind if flat else second.kind, values=first.values if flat else second.values
    )


def _video_element(data: bytes) -> bytes:
    """Return the content of the element Video of the first video track of an MKV or WebM; empty where it has none."""
    header = next(spans(data, 0, len(data)), None)
    segment = begin(data, header[3], len(data)) if header else None
    if segment is None or segment[0] != _SEGMENT:
        return b""
    for tracks, _, start, end in spans(data, segment[1], len(data)):
        for name, content in elements(data[start:end]) if tracks == _TRACKS else ():
            inside = dict(elements(content)) if name == _TRACK else {}
            if inside.get(_KIND) == b"\1":
                return inside.get(_VIDEO, b"")
    return b""
