"""Writes the projection into a finished video: FFmpeg's muxers can do it, but PyAV cannot pass it to them.

In MP4 and MOV the index grows, and everything behind it moves; in Matroska it replaces padding that FFmpeg leaves.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from velum.media.inventory.boxes import BoxSpan, boxes, number
from velum.media.spherical import (
    PROJECTION,
    STEREO_MODE,
    Spherical,
    begin,
    element,
    spans,
    to_boxes,
    to_elements,
    to_xml,
)

_ENTRY_HEAD = 78
_TOP = {b"ftyp", b"free", b"wide", b"mdat", b"moov"}
_BOXES_AFTER = {b"pasp", b"clap", b"colr", b"btrt", b"fiel", b"gama", b"mdcv", b"clli"}
"""Boxes of a sample entry that come after those of a projection."""

_LARGEST_INDEX: Final = 256 << 20
_HEAD_BYTES: Final = 1 << 20
_STEP: Final = 8 << 20

_SEGMENT, _SEEK_HEAD, _TRACKS, _CLUSTER, _VOID, _CRC = 0x18538067, 0x114D9B74, 0x1654AE6B, 0x1F43B675, 0xEC, 0xBF
_SEEK, _POSITION, _TRACK, _KIND, _VIDEO = 0x4DBB, 0x53AC, 0xAE, 0x83, 0xE0

_Span = tuple[int, int, int, int]


def embed_projection(path: Path, format: str, found: Spherical) -> bool:
    """Write the projection into a muxed video; return False, and change nothing, where the format has no room for it.

    Raises `OSError`.
    """
    known: dict[str, Callable[[int, Spherical], bool]] = {
        "MP4": _into_movie, "MOV": _into_movie, "3GP": _into_movie, "MKV": _into_matroska, "WEBM": _into_matroska,
    }  # fmt: skip
    if format not in known:
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        return known[format](descriptor, found)
    finally:
        os.close(descriptor)


def _into_movie(file: int, found: Spherical) -> bool:
    size = os.fstat(file).st_size
    top = list(_top(file, size))
    indexes = [box for box in top if box.name == b"moov"]
    if len(indexes) != 1 or any(box.name not in _TOP for box in top):
        return False
    start, end = indexes[0].start, indexes[0].end
    if end - start > _LARGEST_INDEX:
        return False
    data = bytearray(os.pread(file, end - start, start))
    additions = _additions(data, found)
    growth = sum(len(made) for made, _, _ in additions)
    if not additions or not _move_chunks(data, end, growth):
        return False
    for made, _, parents in additions:
        for parent in parents:
            grown = number(data, parent.start, 4) + len(made)  # type: ignore[arg-type]
            data[parent.start : parent.start + 4] = grown.to_bytes(4)
    for made, at, _ in sorted(additions, key=lambda box: box[1], reverse=True):
        data[at:at] = made
    for at in reversed(range(end, size, _STEP)):
        _write(file, os.pread(file, min(_STEP, size - at), at), at + growth)
    _write(file, data, start)
    return True


def _top(file: int, size: int) -> Iterator[BoxSpan]:
    start = 0
    while start + 8 <= size:
        head = os.pread(file, 16, start)
        length, content = int.from_bytes(head[:4]), start + 8
        if length == 1:
            length, content = int.from_bytes(head[8:]), start + 16
        end = min(start + length, size) if length >= content - start else size
        yield BoxSpan(head[4:8], start, content, end)
        start = end


def _additions(data: bytearray, found: Spherical) -> list[tuple[bytes, int, list[BoxSpan]]]:
    """Return (box bytes, position, enclosing boxes) of each box to add to an index; empty where none can be added."""
    for chain in _box_paths(data, b"moov", b"trak", b"mdia", b"hdlr"):
        if data[chain[3].content + 8 : chain[3].content + 12] != b"vide":
            continue
        made: list[tuple[bytes, int, list[BoxSpan]]] = []
        if found.boxed:
            for table in _box_paths(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
                if table[1] == chain[1]:
                    entries = boxes(data, table[5].content + 8, table[5].end)  # type: ignore[arg-type]
                    made += [(to_boxes(found), _insert_position(data, entry), [*table, entry]) for entry in entries]
        if found.xml:
            text = to_xml(found)
            made.append(((8 + len(text)).to_bytes(4) + b"uuid" + text, chain[1].end, chain[:2]))
        return made
    return []


def _box_paths(data: bytearray, *names: bytes, start: int = 0, end: int | None = None) -> Iterator[list[BoxSpan]]:
    """Yield each chain of boxes at a path of names, from the outermost to the innermost box."""
    for box in boxes(data, start, len(data) if end is None else end):  # type: ignore[arg-type]
        if box.name == names[0]:
            inner = _box_paths(data, *names[1:], start=box.content, end=box.end) if len(names) > 1 else [[]]
            for rest in inner:
                yield [box, *rest]


def _insert_position(data: bytearray, entry: BoxSpan) -> int:
    at = entry.content + _ENTRY_HEAD
    for box in boxes(data, at, entry.end):  # type: ignore[arg-type]
        if box.name in _BOXES_AFTER:
            break
        at = box.end
    return at


def _move_chunks(data: bytearray, end: int, growth: int) -> bool:
    """Add `growth` to the offsets of chunks behind `end`, in place; return False where an offset would not fit."""
    for name, width in ((b"stco", 4), (b"co64", 8)):
        for *_, table in _box_paths(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", name):
            last = min(table.end, table.content + 8 + width * number(data, table.content + 4, 4))  # type: ignore[arg-type]
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


def _into_matroska(file: int, found: Spherical) -> bool:
    data = os.pread(file, _HEAD_BYTES, 0)
    header = next(spans(data, 0, len(data)), None)
    segment = begin(data, header[3], len(data)) if header else None
    if segment is None or segment[0] != _SEGMENT:
        return False
    parts = _before_pictures(data, segment[1])
    names = [name for name, *_ in parts]
    if any(names.count(name) != 1 for name in (_SEEK_HEAD, _VOID, _TRACKS)):
        return False
    seek, void, tracks = (parts[names.index(name)] for name in (_SEEK_HEAD, _VOID, _TRACKS))
    made = _tracks_with_projection(data, tracks, to_elements(found))
    if made is None or not seek[3] <= void[1] < tracks[1]:
        return False
    growth = len(made) - (tracks[3] - tracks[1])
    padding = _padding_element(void[3] - void[1] - growth)
    if padding is None:
        return False
    moved = range(void[3] - segment[1], tracks[3] - segment[1])
    _write(file, padding + data[void[3] : tracks[1]] + made, void[1])
    _write(file, _move_seek_entries(data, seek, moved, growth), seek[1])
    return True


def _before_pictures(data: bytes, at: int) -> list[_Span]:
    found: list[_Span] = []
    for part in spans(data, at, len(data)):
        if part[0] == _CLUSTER:
            break
        found.append(part)
    return found


def _padding_element(size: int) -> bytes | None:
    """Return a padding element of `size` bytes; None where no element can have that size."""
    if size == 0:
        return b""
    lengths = (element(_VOID, bytes(size - 1 - length), length) for length in range(1, min(size, 9)))
    return next((made for made in lengths if len(made) == size), None)


def _tracks_with_projection(data: bytes, tracks: _Span, projection: bytes) -> bytes | None:
    """Return the element Tracks with `projection` added to the video track; None where it has a projection already."""
    body, done = b"", False
    for part in spans(data, tracks[2], tracks[3]):
        name, start, content, end = part
        inside = {child[0]: child for child in spans(data, content, end)} if name == _TRACK else {}
        if done or _VIDEO not in inside or data[inside[_KIND][2] : inside[_KIND][3]] != b"\1":
            body += data[start:end] if name != _CRC else b""
            continue
        _, first, held, last = inside[_VIDEO]
        if {child[0] for child in spans(data, held, last)} & {PROJECTION, STEREO_MODE}:
            return None
        video = _rebuild_element(inside[_VIDEO], data[held:last] + projection)
        body, done = body + _rebuild_element(part, data[content:first] + video + data[last:end]), True
    return _rebuild_element(tracks, _with_checksum(data, tracks, body)) if done else None


def _rebuild_element(like: _Span, content: bytes) -> bytes:
    name, start, first, _ = like
    return element(name, content, first - start - len(element(name, b"")) + 1)


def _with_checksum(data: bytes, like: _Span, body: bytes) -> bytes:
    """Return the content of an element with a new checksum, if the old one had any (RFC 8794, 11.3.1)."""
    first = next(spans(data, like[2], like[3]), None)
    return (element(_CRC, zlib.crc32(body).to_bytes(4, "little")) if first and first[0] == _CRC else b"") + body


def _move_seek_entries(data: bytes, seek: _Span, moved: range, growth: int) -> bytes:
    """Return the element SeekHead, of the same size, with positions in `moved` reduced by `growth` bytes."""
    whole = bytearray(data[seek[1] : seek[3]])
    body = seek[2]
    for name, _, content, end in spans(data, seek[2], seek[3]):
        body = end if name == _CRC else body
        for inner, _, at, last in spans(data, content, end) if name == _SEEK else ():
            place = int.from_bytes(data[at:last])
            if inner == _POSITION and place in moved:
                whole[at - seek[1] : last - seek[1]] = (place - growth).to_bytes(last - at)
    return _rebuild_element(seek, _with_checksum(data, seek, bytes(whole[body - seek[1] :])))
