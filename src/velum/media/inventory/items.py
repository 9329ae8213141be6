"""Inventory of AVIF and HEIF: finds items that the primary one does not need, and bytes that belong to no item.

Boxes: ISO/IEC 14496-12, 8.11; ISO/IEC 23008-12; AV1 Image File Format 1.1.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from PIL import AvifImagePlugin, Image

from velum.media.containers import Part, iso_boxes, number_at
from velum.media.inventory.surplus import Surplus, gaps, is_ordinary_uuid, nonzero_padding, profile_surplus, reads_tail
from velum.media.inventory.tiff import exif
from velum.media.projection import is_projection_alone

_TOP = {b"ftyp", b"meta", b"mdat", b"moov"}
_META = {b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp", b"iref", b"idat", b"dinf", b"grpl"}
_PROPERTIES = {
    b"ispe", b"pixi", b"av1C", b"hvcC", b"colr", b"auxC", b"irot", b"imir", b"pasp", b"clap", b"clli", b"mdcv", b"a1op",
    b"lsel", b"a1lx", b"cclv", b"amve", b"rloc", b"reve", b"ndwt", b"free",
}  # fmt: skip
_BELONG = {b"auxl", b"dimg", b"prem", b"cdsc"}
"""References by which an item belongs to another: alpha, tiles, metadata. A thumbnail counts as a further image."""
_LARGEST_PROPERTY = 4096
_IN_IDAT = 1


@dataclass(slots=True)
class _Meta:
    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    idat: tuple[int, int] = (0, 0)


def items(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of an AVIF or a HEIF that do not belong to the image that it shows."""
    top = list(iso_boxes(data, 0, len(data)))
    moving = any(box.name == b"moov" for box in top)
    spans: list[tuple[int, int]] = []
    for box in top:
        if box.name == b"meta":
            meta = _Meta()
            yield from _meta(data, box, meta)
            yield from _unrelated_items(meta)
            spans += [span for extents in meta.extents.values() for span in extents]
            yield from _content(data, meta)
        elif box.name in {b"free", b"skip"}:
            yield from nonzero_padding(data, box.content, box.end, f"box {box.quoted_name}")
        elif box.name not in _TOP:
            ordinary = box.name == b"uuid" and is_ordinary_uuid(data[box.content : box.end])
            yield Surplus(f"box {box.quoted_name}", box.start, box.end - box.start, ordinary=ordinary)
    if not moving:
        for box in top:
            if box.name == b"mdat":
                inside = [(max(a, box.content), b) for a, b in spans if a < box.end and b > box.content]
                yield from gaps(data, inside, "bytes that belong to no item", box.content, box.end)


def _meta(data: bytes, box: Part[bytes], meta: _Meta) -> Iterator[Surplus]:
    inside = list(iso_boxes(data, box.content + 4, box.end))
    for child in inside:
        if child.name == b"idat":
            meta.idat = (child.content, child.end)
    for child in inside:
        match child.name:
            case b"pitm":
                meta.primary = number_at(data, child.content + 4, 4 if data[child.content] else 2)
            case b"iinf":
                yield from _kinds(data, child, meta)
            case b"iloc":
                _extents(data, child, meta)
            case b"iref":
                _references(data, child, meta)
            case b"iprp":
                yield from _properties(data, child)
            case b"free" | b"skip":
                yield from nonzero_padding(data, child.content, child.end, f"box {child.quoted_name}")
            case _ if child.name not in _META:
                yield Surplus(f"box {child.quoted_name}", child.start, child.end - child.start)
    if meta.idat[1]:
        start, end = meta.idat
        spans = [span for extents in meta.extents.values() for span in extents if start <= span[0] < end]
        yield from gaps(data, spans, "bytes that belong to no item", start, end)


def _kinds(data: bytes, box: Part[bytes], meta: _Meta) -> Iterator[Surplus]:
    head = 6 if data[box.content] == 0 else 8
    for child in iso_boxes(data, box.content + head, box.end):
        wide = 4 if data[child.content] == 3 else 2
        at = child.content + 4
        meta.kinds[number_at(data, at, wide)] = bytes(data[at + wide + 2 : at + wide + 6])
        if child.end - at > 80:
            yield Surplus("a long name of an item", at, child.end - at)


def _extents(data: bytes, box: Part[bytes], meta: _Meta) -> None:
    version, at = data[box.content], box.content + 4
    offset_size, length_size = data[at] >> 4, data[at] & 15
    base_size, index_size = data[at + 1] >> 4, data[at + 1] & 15 if version else 0
    wide = 4 if version == 2 else 2
    count, at = number_at(data, at + 2, wide), at + 2 + wide
    for _ in range(count):
        if at + wide > box.end:
            return
        item, at = number_at(data, at, wide), at + wide
        method = number_at(data, at, 2) & 15 if version else 0
        at += 4 if version else 2
        base, at = number_at(data, at, base_size), at + base_size
        parts, at = number_at(data, at, 2), at + 2
        origin = meta.idat[0] if method == _IN_IDAT else 0
        for _ in range(parts):
            at += index_size
            start, length = number_at(data, at, offset_size), number_at(data, at + offset_size, length_size)
            at += offset_size + length_size
            begin = origin + base + start
            meta.extents.setdefault(item, []).append((begin, begin + length if length else len(data)))


def _references(data: bytes, box: Part[bytes], meta: _Meta) -> None:
    wide = 4 if data[box.content] else 2
    for child in iso_boxes(data, box.content + 4, box.end):
        at = child.content
        count = number_at(data, at + wide, 2)
        listed = range(at + wide + 2, min(at + wide + 2 + count * wide, child.end), wide)
        meta.references.append(
            (child.name, number_at(data, at, wide), tuple(number_at(data, position, wide) for position in listed))
        )


def _properties(data: bytes, box: Part[bytes]) -> Iterator[Surplus]:
    for group in iso_boxes(data, box.content, box.end):
        if group.name != b"ipco":
            continue
        for child in iso_boxes(data, group.content, group.end):
            if child.name == b"colr" and bytes(data[child.content : child.content + 4]) in {b"prof", b"rICC"}:
                yield from profile_surplus(bytes(data[child.content + 4 : child.end]), child.content + 4)
            elif child.name not in _PROPERTIES or child.end - child.start > _LARGEST_PROPERTY:
                yield Surplus(f"property {child.quoted_name}", child.start, child.end - child.start)


def _unrelated_items(meta: _Meta) -> Iterator[Surplus]:
    """Yield the items that do not belong to the primary one, and its thumbnails."""
    related = {meta.primary}
    for _ in meta.references:
        for kind, item, others in meta.references:
            if kind == b"dimg" and item in related:
                related.update(others)
            elif kind in _BELONG and related & set(others):
                related.add(item)
    for item in meta.kinds.keys() - related:
        start, end = meta.extents.get(item, [(0, 0)])[0]
        small = any(kind == b"thmb" and referrer == item for kind, referrer, _ in meta.references)
        description = "a thumbnail" if small else f"an item {meta.kinds[item].decode('latin-1')!r} that no image needs"
        yield Surplus(description, start, end - start, kind="picture" if small else "rest")


def _content(data: bytes, meta: _Meta) -> Iterator[Surplus]:
    for item, kind in meta.kinds.items():
        for start, end in meta.extents.get(item, []):
            if kind == b"Exif":
                skip = 4 + number_at(data, start, 4)
                yield from exif(data[start + skip : end], start + skip)
            elif kind == b"mime":
                if not is_projection_alone(data[start:end]):
                    yield Surplus("text under 'xmp'", start, end - start, kind="metadata")
            elif kind == b"av01":
                yield from _units(data, start, end)


_OBUS: Mapping[int, str] = {5: "metadata", 8: "tile list", 15: "padding"}
"""Types of units (AV1, 6.2.2) that decoders do not need; types 9 to 14 are not defined."""


def _units(data: bytes, start: int, end: int) -> Iterator[Surplus]:
    at = start
    while at < end:
        kind, extended, sized = data[at] >> 3 & 15, data[at] & 4, data[at] & 2
        position = at + 1 + bool(extended)
        size = end - position
        if sized:
            size, position = _leb128(data, position)
        if kind in _OBUS or 9 <= kind <= 14 or kind == 0:
            yield Surplus(f"a unit of AV1 of type {_OBUS.get(kind, kind)}", at, position + size - at)
        at = position + size
    if not reads_tail(data, start, end, _decode):
        yield Surplus("bytes that decoders skip after the coded samples", start, end - start)


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        value |= (data[at] & 127) << 7 * place
        at += 1
        if not data[at - 1] & 128 or at >= len(data):
            break
    return value, at


def _decode(data: bytes) -> bytes | None:
    try:
        with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as image:
            return image.tobytes()
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError):
        return None
