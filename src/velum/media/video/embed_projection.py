"""Writes the projection of 360-degree and stereoscopic videos into a finished file.

FFmpeg's muxers can write it, but PyAV cannot pass it to them. In MP4, MOV and 3GP the index grows, and everything
behind it moves; in MKV and WebM it replaces padding that FFmpeg leaves.
"""

import io
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from velum.media.containers import (
    MATROSKA_SEGMENT,
    MATROSKA_TRACK,
    MATROSKA_TRACK_TYPE,
    MATROSKA_TRACKS,
    MATROSKA_VIDEO,
    VISUAL_ENTRY_BYTES,
    FileBytes,
    Part,
    ebml_element,
    ebml_elements,
    ebml_head,
    iso_boxes,
    number_at,
)
from velum.media.projection import PROJECTION, STEREO_MODE, Spherical, to_boxes, to_elements, to_xml

PROJECTION_DROPPED = (
    "it is a 360-degree or stereoscopic video, but its projection could not be written, so players show it flat; "
    "add the projection with the camera's tool or a metadata injector"
)

_TOP = {b"ftyp", b"free", b"wide", b"mdat", b"moov"}

_BOXES_AFTER = {b"pasp", b"clap", b"colr", b"btrt", b"fiel", b"gama", b"mdcv", b"clli"}
"""Boxes of a sample entry that come after those of a projection."""

_LARGEST_INDEX: Final = 256 << 20

_HEAD_BYTES: Final = 1 << 20

_STEP: Final = 8 << 20

_SEEK_HEAD, _CLUSTER, _VOID, _CRC = 0x114D9B74, 0x1F43B675, 0xEC, 0xBF

_SEEK, _POSITION = 0x4DBB, 0x53AC


def embed_projection(path: Path, format: str, spherical: Spherical) -> bool:
    """Write the projection into a muxed video; return False, and change nothing, where the format has no room for it.

    Raises `OSError`.
    """
    writers: dict[str, Callable[[int, Spherical], bool]] = {
        "MP4": _into_movie, "MOV": _into_movie, "3GP": _into_movie, "MKV": _into_matroska, "WEBM": _into_matroska,
    }  # fmt: skip
    if format not in writers:
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        return writers[format](descriptor, spherical)
    finally:
        os.close(descriptor)


def _into_movie(file: int, spherical: Spherical) -> bool:
    size = os.fstat(file).st_size
    top = list(iso_boxes(FileBytes(io.FileIO(file, closefd=False)), 0, size))
    indexes = [box for box in top if box.name == b"moov"]
    if len(indexes) != 1 or any(box.name not in _TOP for box in top):
        return False
    start, end = indexes[0].start, indexes[0].end
    if end - start > _LARGEST_INDEX:
        return False
    data = bytearray(os.pread(file, end - start, start))
    additions = _additions(data, spherical)
    growth = sum(len(boxes) for boxes, _, _ in additions)
    if not additions or not _move_chunks(data, end, growth):
        return False
    for boxes, _, parents in additions:
        for parent in parents:
            grown = number_at(data, parent.start, 4) + len(boxes)
            data[parent.start : parent.start + 4] = grown.to_bytes(4)
    for boxes, at, _ in sorted(additions, key=lambda box: box[1], reverse=True):
        data[at:at] = boxes
    for at in reversed(range(end, size, _STEP)):
        _write(file, os.pread(file, min(_STEP, size - at), at), at + growth)
    _write(file, data, start)
    return True


def _additions(data: bytearray, spherical: Spherical) -> list[tuple[bytes, int, list[Part[bytes]]]]:
    """Return (box bytes, position, enclosing boxes) of each box to add to an index; empty where none can be added."""
    for chain in _box_paths(data, b"moov", b"trak", b"mdia", b"hdlr"):
        if data[chain[3].content + 8 : chain[3].content + 12] != b"vide":
            continue
        additions: list[tuple[bytes, int, list[Part[bytes]]]] = []
        if spherical.boxed:
            for table in _box_paths(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
                if table[1] == chain[1]:
                    entries = iso_boxes(data, table[5].content + 8, table[5].end)
                    additions += [
                        (to_boxes(spherical), _insert_position(data, entry), [*table, entry]) for entry in entries
                    ]
        if spherical.xml:
            text = to_xml(spherical)
            additions.append(((8 + len(text)).to_bytes(4) + b"uuid" + text, chain[1].end, chain[:2]))
        return additions
    return []


def _box_paths(data: bytearray, *names: bytes, start: int = 0, end: int | None = None) -> Iterator[list[Part[bytes]]]:
    """Yield each chain of boxes at a path of names, from the outermost to the innermost box."""
    for box in iso_boxes(data, start, len(data) if end is None else end):
        if box.name == names[0]:
            inner = _box_paths(data, *names[1:], start=box.content, end=box.end) if len(names) > 1 else [[]]
            for rest in inner:
                yield [box, *rest]


def _insert_position(data: bytearray, entry: Part[bytes]) -> int:
    at = entry.content + VISUAL_ENTRY_BYTES
    for box in iso_boxes(data, at, entry.end):
        if box.name in _BOXES_AFTER:
            break
        at = box.end
    return at


def _move_chunks(data: bytearray, end: int, growth: int) -> bool:
    """Add `growth` to the offsets of chunks behind `end`, in place; return False where an offset would not fit."""
    for name, width in ((b"stco", 4), (b"co64", 8)):
        for *_, table in _box_paths(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", name):
            last = min(table.end, table.content + 8 + width * number_at(data, table.content + 4, 4))
            for at in range(table.content + 8, last - width + 1, width):
                place = int.from_bytes(data[at : at + width])
                place += growth if place >= end else 0
                if place >= 1 << 8 * width:
                    return False
                data[at : at + width] = place.to_bytes(width)
    return True


def _write(file: int, data: bytes | bytearray, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written


def _into_matroska(file: int, spherical: Spherical) -> bool:
    data = os.pread(file, _HEAD_BYTES, 0)
    header = next(ebml_elements(data, 0, len(data), whole=True), None)
    segment = ebml_head(data, header.end, len(data)) if header else None
    if segment is None or segment[0] != MATROSKA_SEGMENT:
        return False
    parts = _before_pictures(data, segment[1])
    names = [part.name for part in parts]
    if any(names.count(name) != 1 for name in (_SEEK_HEAD, _VOID, MATROSKA_TRACKS)):
        return False
    seek, void, tracks = (parts[names.index(name)] for name in (_SEEK_HEAD, _VOID, MATROSKA_TRACKS))
    changed_tracks = _tracks_with_projection(data, tracks, to_elements(spherical))
    if changed_tracks is None or not seek.end <= void.start < tracks.start:
        return False
    growth = len(changed_tracks) - (tracks.end - tracks.start)
    padding = _padding_element(void.end - void.start - growth)
    if padding is None:
        return False
    moved = range(void.end - segment[1], tracks.end - segment[1])
    _write(file, padding + data[void.end : tracks.start] + changed_tracks, void.start)
    _write(file, _move_seek_entries(data, seek, moved, growth), seek.start)
    return True


def _before_pictures(data: bytes, at: int) -> list[Part[int]]:
    parts: list[Part[int]] = []
    for part in ebml_elements(data, at, len(data), whole=True):
        if part.name == _CLUSTER:
            break
        parts.append(part)
    return parts


def _padding_element(size: int) -> bytes | None:
    """Return a padding element of `size` bytes; None where no element can have that size."""
    if size == 0:
        return b""
    lengths = (ebml_element(_VOID, bytes(size - 1 - length), length) for length in range(1, min(size, 9)))
    return next((element for element in lengths if len(element) == size), None)


def _tracks_with_projection(data: bytes, tracks: Part[int], projection: bytes) -> bytes | None:
    """Return the element Tracks with `projection` added to the video track; None where it has a projection already."""
    body, done = b"", False
    for part in ebml_elements(data, tracks.content, tracks.end, whole=True):
        children = ebml_elements(data, part.content, part.end, whole=True) if part.name == MATROSKA_TRACK else ()
        inside = {child.name: child for child in children}
        kind = inside.get(MATROSKA_TRACK_TYPE)
        if done or MATROSKA_VIDEO not in inside or kind is None or data[kind.content : kind.end] != b"\1":
            body += data[part.start : part.end] if part.name != _CRC else b""
            continue
        old = inside[MATROSKA_VIDEO]
        if {child.name for child in ebml_elements(data, old.content, old.end, whole=True)} & {PROJECTION, STEREO_MODE}:
            return None
        video = _rebuild_element(old, data[old.content : old.end] + projection)
        track = data[part.content : old.start] + video + data[old.end : part.end]
        body, done = body + _rebuild_element(part, track), True
    return _rebuild_element(tracks, _with_checksum(data, tracks, body)) if done else None


def _rebuild_element(like: Part[int], content: bytes) -> bytes:
    return ebml_element(like.name, content, like.content - like.start - len(ebml_element(like.name, b"")) + 1)


def _with_checksum(data: bytes, like: Part[int], body: bytes) -> bytes:
    """Return the content of an element with a new checksum, if the old one had any (RFC 8794, 11.3.1)."""
    first = next(ebml_elements(data, like.content, like.end, whole=True), None)
    return (ebml_element(_CRC, zlib.crc32(body).to_bytes(4, "little")) if first and first.name == _CRC else b"") + body


def _move_seek_entries(data: bytes, seek: Part[int], moved: range, growth: int) -> bytes:
    """Return the element SeekHead, of the same size, with positions in `moved` reduced by `growth` bytes."""
    whole = bytearray(data[seek.start : seek.end])
    body = seek.content
    for part in ebml_elements(data, seek.content, seek.end, whole=True):
        body = part.end if part.name == _CRC else body
        for inner in ebml_elements(data, part.content, part.end, whole=True) if part.name == _SEEK else ():
            place = int.from_bytes(data[inner.content : inner.end])
            if inner.name == _POSITION and place in moved:
                moved_to = (place - growth).to_bytes(inner.end - inner.content)
                whole[inner.content - seek.start : inner.end - seek.start] = moved_to
    return _rebuild_element(seek, _with_checksum(data, seek, bytes(whole[body - seek.start :])))
