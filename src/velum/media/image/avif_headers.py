"""AVIF: how its picture is coded, followed through the file's boxes from the primary item or the colour track.

A file may hold further pictures (alpha, gain map, depth, thumbnails), each with a configuration of its own. Boxes:
ISO/IEC 14496-12; items: ISO/IEC 23008-12; `av1C`: AV1 Codec ISO Media File Format Binding, 2.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from velum.errors import BadInput
from velum.media.containers import VISUAL_ENTRY_BYTES, Part, iso_boxes

_SAMPLINGS = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0"}
Nclx = tuple[int, int, int]
"""Colour primaries, transfer characteristics, matrix coefficients (ITU-T H.273)."""


@dataclass(frozen=True, slots=True)
class Av1Picture:
    """Coding of an AVIF's picture: bits per sample, chroma sampling such as `4:2:0`, colour where the file says it."""

    depth: int
    chroma: str
    colour: Nclx | None


def avif(data: bytes, *, sequence: bool) -> Av1Picture:
    """Return the coding of the picture that decoders show: the primary item, of a `sequence` its colour track.

    Raises `BadInput` when it has no configuration.
    """
    top = {box.name: box for box in reversed(list(iso_boxes(data, 0, len(data), whole=True)))}
    moov, meta = top.get(b"moov"), top.get(b"meta")
    found: list[Part[bytes]] = []
    if moov and (sequence or data[8:12] == b"avis"):
        found = _of_colour_track(data, moov)
    if not found and meta:
        found = _of_primary_item(data, meta)
    names = {box.name: box for box in reversed(found)}
    if b"av1C" not in names:
        raise BadInput("the AVIF does not say how its primary picture is coded")
    flags = data[names[b"av1C"].content + 2]
    depth = 12 if flags & 0x60 == 0x60 else 10 if flags & 0x40 else 8
    chroma = "4:0:0" if flags & 0x10 else _SAMPLINGS.get((flags >> 3 & 1, flags >> 2 & 1), "4:4:4")
    return Av1Picture(depth, chroma, _nclx(data, found))


def _nclx(data: bytes, properties: list[Part[bytes]]) -> Nclx | None:
    for box in properties:
        if box.name == b"colr" and data[box.content : box.content + 4] == b"nclx" and box.end >= box.content + 10:
            first, second, third = (int.from_bytes(data[box.content + at : box.content + at + 2]) for at in (4, 6, 8))
            return first, second, third
    return None


def _of_colour_track(data: bytes, moov: Part[bytes]) -> list[Part[bytes]]:
    """Return the boxes of the sample entry of the first track that is no other track's auxiliary one."""
    for track in _children(data, moov, b"trak"):
        if any(_children(data, reference, b"auxl") for reference in _children(data, track, b"tref")):
            continue
        tables = [track]
        for name in (b"mdia", b"minf", b"stbl", b"stsd"):
            tables = [child for box in tables for child in _children(data, box, name)]
        for table in tables:
            for entry in iso_boxes(data, table.content + 8, table.end, whole=True):
                if entry.name == b"av01":
                    return list(iso_boxes(data, entry.content + VISUAL_ENTRY_BYTES, entry.end, whole=True))
    return []


def _of_primary_item(data: bytes, meta: Part[bytes]) -> list[Part[bytes]]:
    """Return the properties of the primary item; of a grid or another derived item also those of its first source."""
    inner = {box.name: box for box in reversed(list(iso_boxes(data, meta.content + 4, meta.end, whole=True)))}
    if b"pitm" not in inner or b"iprp" not in inner:
        return []
    primary = inner[b"pitm"]
    wide = 4 if data[primary.content] else 2
    item = int.from_bytes(data[primary.content + 4 : primary.content + 4 + wide])
    sources = _sources(data, inner[b"iref"]) if b"iref" in inner else {}
    properties = _properties(data, inner[b"iprp"])
    found: list[Part[bytes]] = []
    seen: set[int] = set()
    while item not in seen:
        seen.add(item)
        found += properties.get(item, ())
        if any(box.name == b"av1C" for box in found):
            break
        item = sources.get(item, item)
    return found


def _properties(data: bytes, iprp: Part[bytes]) -> Mapping[int, list[Part[bytes]]]:
    """Return the properties of each item (ISO/IEC 23008-12, 9.3)."""
    shared = [
        box
        for container in _children(data, iprp, b"ipco")
        for box in iso_boxes(data, container.content, container.end, whole=True)
    ]
    found: dict[int, list[Part[bytes]]] = {}
    for table in _children(data, iprp, b"ipma"):
        wide = 4 if data[table.content] else 2
        long = bool(data[table.content + 3] & 1)
        at = table.content + 8
        for _ in range(int.from_bytes(data[table.content + 4 : table.content + 8])):
            if at + wide >= table.end:
                break
            item, count = int.from_bytes(data[at : at + wide]), data[at + wide]
            at += wide + 1
            step = 2 if long else 1
            for _ in range(count):
                index = int.from_bytes(data[at : at + step]) & (0x7FFF if long else 0x7F)
                if 0 < index <= len(shared):
                    found.setdefault(item, []).append(shared[index - 1])
                at += step
    return found


def _sources(data: bytes, iref: Part[bytes]) -> Mapping[int, int]:
    """Return, for each derived item, the first one that it is made of (ISO/IEC 14496-12, 8.11.12)."""
    wide = 4 if data[iref.content] else 2
    return {
        int.from_bytes(data[box.content : box.content + wide]): int.from_bytes(
            data[box.content + wide + 2 : box.content + wide + 2 + wide]
        )
        for box in iso_boxes(data, iref.content + 4, iref.end, whole=True)
        if box.name == b"dimg"
    }


def _children(data: bytes, parent: Part[bytes], name: bytes) -> list[Part[bytes]]:
    return [box for box in iso_boxes(data, parent.content, parent.end, whole=True) if box.name == name]
