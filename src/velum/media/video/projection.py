"""Reads the projection of 360-degree and stereoscopic videos from a file."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace

from velum.media.containers import (
    MATROSKA_SEGMENT,
    MATROSKA_TRACK,
    MATROSKA_TRACK_TYPE,
    MATROSKA_TRACKS,
    MATROSKA_VIDEO,
    VISUAL_ENTRY_BYTES,
    FileBytes,
    Part,
    ebml_elements,
    ebml_head,
    iso_boxes,
    number_at,
)
from velum.media.projection import (
    STEREO_MODE,
    V1,
    Spherical,
    element_contents,
    of_boxes,
    of_elements,
    of_xml,
)

_BOXES = re.compile(rb"sv3d|st3d|" + re.escape(V1))
_V2 = {b"sv3d", b"st3d"}

_PROJECTION = re.compile(
    rb"\x76\x70[\x81-\xff\x01-\x7f][\x00-\xff]{0,7}?\x76\x71(\x81|\x82.|\x84...)[\x01-\xff]", re.DOTALL
)
"""RFC 9559, 5.1.4.1.28.41: the element Projection, which begins with its type; type 0 means flat frames."""

_MOST_BYTES = 64 << 20
_MATROSKA_HEAD_BYTES = 1 << 18


def is_projected(file: io.RawIOBase, size: int, format: str) -> bool:
    """Tell whether a video file of `size` bytes states a projection or an arrangement of two views."""
    if format in {"MKV", "WEBM"}:
        head = _head(file)
        return any(element_contents(_video_element(head)).get(STEREO_MODE, b"")) or _PROJECTION.search(head) is not None
    return any(_BOXES.search(data) for data in _index_boxes(file, size, format))


def spherical(file: io.RawIOBase, size: int, format: str, track: int) -> Spherical | None:
    """Return the projection of a track, by its number in MP4, MOV and 3GP; in MKV and WebM of the first video track.

    None where the file has none, or one that velum does not know in full.
    """
    if format in {"MKV", "WEBM"}:
        return of_elements(_video_element(_head(file)))
    for data in _index_boxes(file, size, format):
        for trak in _find_boxes(data, 0, len(data), b"moov", b"trak"):
            heads = list(_find_boxes(data, trak.content, trak.end, b"tkhd"))
            if heads and _number(data, heads[0]) == track:
                return _track_projection(data, trak)
    return None


def _head(file: io.RawIOBase) -> bytes:
    file.seek(0)
    return file.read(_MATROSKA_HEAD_BYTES) or b""


def _index_boxes(file: io.RawIOBase, size: int, format: str) -> Iterator[bytes]:
    """Yield the top-level boxes that may hold a projection: `moov` and `uuid`."""
    data = FileBytes(file)
    for box in iso_boxes(data, 0, size if format in {"MP4", "MOV", "3GP"} else 0):
        if box.name in {b"moov", b"uuid"}:
            yield data[box.start : min(box.end, box.start + _MOST_BYTES)]


def _find_boxes(data: bytes, start: int, end: int, *names: bytes) -> Iterator[Part[bytes]]:
    """Yield all boxes at a path of box names."""
    for box in iso_boxes(data, start, end, whole=True):
        if box.name == names[0]:
            if len(names) == 1:
                yield box
            else:
                yield from _find_boxes(data, box.content, box.end, *names[1:])


def _number(data: bytes, head: Part[bytes]) -> int:
    """Return the track number in a `tkhd` box (ISO/IEC 14496-12, 8.3.2)."""
    at = head.content + (20 if data[head.content] else 12)
    return number_at(data, at, 4)


def _track_projection(data: bytes, trak: Part[bytes]) -> Spherical | None:
    words = [
        data[box.content + len(V1) : box.end] for box in _find_boxes(data, trak.content, trak.end, b"uuid")
        if data.startswith(V1, box.content)
    ]  # fmt: skip
    first = of_xml(words[0]) if words else None
    second: Spherical | None = None
    for table in _find_boxes(data, trak.content, trak.end, b"mdia", b"minf", b"stbl", b"stsd"):
        for entry in iso_boxes(data, table.content + 8, table.end, whole=True):
            inside = entry.content + VISUAL_ENTRY_BYTES, entry.end
            if any(box.name in _V2 for box in iso_boxes(data, *inside, whole=True)):
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
    header = next(ebml_elements(data, 0, len(data), whole=True), None)
    segment = ebml_head(data, header.end, len(data)) if header else None
    if segment is None or segment[0] != MATROSKA_SEGMENT:
        return b""
    for part in ebml_elements(data, segment[1], len(data), whole=True):
        tracks = data[part.content : part.end] if part.name == MATROSKA_TRACKS else b""
        for track in ebml_elements(tracks, 0, len(tracks), whole=True):
            inside = element_contents(tracks[track.content : track.end]) if track.name == MATROSKA_TRACK else {}
            if inside.get(MATROSKA_TRACK_TYPE) == b"\1":
                return inside.get(MATROSKA_VIDEO, b"")
    return b""
