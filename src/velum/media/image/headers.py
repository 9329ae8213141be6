"""Facts about the coding of a file that Pillow does not report, read from its bytes.

Each function takes a whole file that Pillow could open, and trusts no length in it. An AVIF may have further images
(alpha, gain map, depth, thumbnails), each with its own configuration, so the reader starts at the primary item or the
colour track. Boxes: ISO/IEC 14496-12; items: ISO/IEC 23008-12; `av1C`: AV1 in ISO Media File Format, 2.3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import JpegImagePlugin

from velum.errors import BadInput
from velum.media.containers import (
    RIFF_HEAD_BYTES,
    VISUAL_ENTRY_BYTES,
    WEBP_FRAME_BYTES,
    Part,
    iso_boxes,
    png_chunks,
    riff_chunks,
)
from velum.media.image.info import Jpeg

_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_GIF_TRAILER = b"\x3b"
_COLOUR_CHUNKS = {b"cHRM", b"cICP", b"gAMA", b"sRGB"}


def jpeg(image: JpegImagePlugin.JpegImageFile, data: bytes) -> Jpeg:
    """Return the coding of an opened JPEG, whose file is `data`."""
    tables = [tuple(image.quantization[component[3]]) for component in image.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    sampling = _SAMPLINGS.get(JpegImagePlugin.get_sampling(image)) if image.mode == "RGB" else None
    # libjpeg goes by JFIF's marker, then Adobe's, then the components' names (jdapimin.c, default_decompress_parms).
    named = [component[0] for component in image.layer] == [*b"RGB"]
    rgb = image.info.get("adobe_transform") == 0 if "adobe" in image.info else named
    rgb = rgb and image.mode == "RGB" and "jfif" not in image.info
    return Jpeg(tuple(tables), sampling, bool(image.info.get("progressive")), rgb, data)


@dataclass(frozen=True, slots=True)
class Png:
    """Facts from the chunks of a PNG. `colour`: the chunks (name, content) that define the colour space."""

    depth: int
    colour_type: int
    transparent: bool
    colour: tuple[tuple[bytes, bytes], ...]
    exif: bytes


def png(data: bytes) -> Png:
    """Return the facts from the chunks of a PNG (PNG, third edition, 11)."""
    chunks = {
        part.name: data[part.content : part.end] for part in png_chunks(data) if part.name not in {b"IDAT", b"fdAT"}
    }
    header = chunks.get(b"IHDR", b"").ljust(13, b"\0")
    colour = tuple((name, chunks[name]) for name in sorted(_COLOUR_CHUNKS & chunks.keys()))
    return Png(header[8], header[9], b"tRNS" in chunks, colour, chunks.get(b"eXIf", b""))


def webp_lossless(data: bytes) -> bool:
    """Tell whether every frame of a WebP is coded as VP8L (WebP container specification)."""
    kinds = set(_webp_chunks(data, RIFF_HEAD_BYTES, len(data)))
    return b"VP8L" in kinds and b"VP8 " not in kinds


def _webp_chunks(data: bytes, at: int, end: int) -> Iterator[bytes]:
    """Yield the names of chunks, also of those inside frames."""
    for chunk in riff_chunks(data, at, end):
        if chunk.name == b"ANMF":
            yield from _webp_chunks(data, chunk.content + WEBP_FRAME_BYTES, chunk.end)
        else:
            yield chunk.name


def jpeg2000_bits(data: bytes) -> set[int]:
    """Return the bits per sample of a JPEG 2000's components, negative for signed ones (ISO/IEC 15444-1, A.5.1 SIZ)."""
    start = _codestream(data)
    count = int.from_bytes(data[start + 40 : start + 42])
    sizes = data[start + 42 : start + 42 + 3 * count : 3]
    return {-((size & 0x7F) + 1) if size & 0x80 else (size & 0x7F) + 1 for size in sizes}


def jpeg2000_lossless(data: bytes) -> bool:
    """Tell whether a JPEG 2000 is coded with the reversible transformation (ISO/IEC 15444-1, A.6.1 COD)."""
    cod = data.find(b"\xff\x52", _codestream(data))
    return cod >= 0 and data[cod + 13 : cod + 14] == b"\x01"


def jpeg2000_has_profile(data: bytes) -> bool:
    """Tell whether a colour specification box, with method 2, holds an ICC profile (ISO/IEC 15444-1, I.5.3.3)."""
    return b"colr\x02" in data[: max(_codestream(data), 0)]


def _codestream(data: bytes) -> int:
    """Return the offset of the codestream in a JPEG 2000: of its markers SOC and SIZ; -1 without them."""
    return data.find(b"\xff\x4f\xff\x51")


def gif_frames(data: bytes, name: str) -> int:
    """Return the number of frames in a GIF (GIF89a). Raises `BadInput` when the file ends before its trailer."""
    frames, end = _gif_end(data)
    if data[end : end + 1] == _GIF_TRAILER:
        return frames
    raise BadInput(f"{name} is truncated or damaged: the GIF has no end after frame {frames}; copy the file again")


def gif_with_end(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a GIF with its trailer, and a note for the report where that was added."""
    frames, end = _gif_end(data)
    if not frames or end != len(data):
        return data, ()
    missing = "" if frames == 1 else "; further frames may be missing"
    return data + _GIF_TRAILER, (f"the file has no end mark; its last frame is complete{missing}",)


def _gif_end(data: bytes) -> tuple[int, int]:
    """Return the number of frames, and the offset where blocks end: at the trailer, the file's end, or damage."""
    at, frames = 13 + _gif_table(data[10:11]), 0
    while at < len(data):
        match data[at]:
            case 0x21:
                at = _gif_skip(data, at + 2)
            case 0x2C:
                frames += 1
                at = _gif_skip(data, at + 11 + _gif_table(data[at + 9 : at + 10]))
            case _:
                break
    return frames, at


def _gif_table(flags: Sequence[int]) -> int:
    """Return the size in bytes of the colour table that a byte of flags announces."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _gif_skip(data: bytes, at: int) -> int:
    """Return the offset behind a chain of sub-blocks."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


_AV1_SAMPLINGS = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0"}
Nclx = tuple[int, int, int]
"""Colour primaries, transfer characteristics, matrix coefficients (ITU-T H.273)."""


@dataclass(frozen=True, slots=True)
class Av1Picture:
    """Coding of an AVIF's image: bits per sample, chroma sampling such as `4:2:0`, and the colour, where stated."""

    depth: int
    chroma: str
    colour: Nclx | None


def avif(data: bytes, *, sequence: bool) -> Av1Picture:
    """Return the coding of the image that decoders show: the primary item, or for a `sequence` the colour track.

    Raises `BadInput` when it has no configuration.
    """
    top = {box.name: box for box in reversed(list(iso_boxes(data, 0, len(data), whole=True)))}
    moov, meta = top.get(b"moov"), top.get(b"meta")
    properties: list[Part[bytes]] = []
    if moov and (sequence or data[8:12] == b"avis"):
        properties = _of_colour_track(data, moov)
    if not properties and meta:
        properties = _of_primary_item(data, meta)
    names = {box.name: box for box in reversed(properties)}
    if b"av1C" not in names:
        raise BadInput("the AVIF does not state how its primary image is coded; convert it with another program")
    flags = data[names[b"av1C"].content + 2]
    depth = 12 if flags & 0x60 == 0x60 else 10 if flags & 0x40 else 8
    chroma = "4:0:0" if flags & 0x10 else _AV1_SAMPLINGS.get((flags >> 3 & 1, flags >> 2 & 1), "4:4:4")
    return Av1Picture(depth, chroma, _nclx(data, properties))


def _nclx(data: bytes, properties: list[Part[bytes]]) -> Nclx | None:
    for box in properties:
        if box.name == b"colr" and data[box.content : box.content + 4] == b"nclx" and box.end >= box.content + 10:
            first, second, third = (int.from_bytes(data[box.content + at : box.content + at + 2]) for at in (4, 6, 8))
            return first, second, third
    return None


def _of_colour_track(data: bytes, moov: Part[bytes]) -> list[Part[bytes]]:
    """Return the boxes of the sample entry of the first track that is not an auxiliary track."""
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
    item_properties: list[Part[bytes]] = []
    seen: set[int] = set()
    while item not in seen:
        seen.add(item)
        item_properties += properties.get(item, ())
        if any(box.name == b"av1C" for box in item_properties):
            break
        item = sources.get(item, item)
    return item_properties


def _properties(data: bytes, iprp: Part[bytes]) -> Mapping[int, list[Part[bytes]]]:
    """Return the properties of each item (ISO/IEC 23008-12, 9.3)."""
    shared = [
        box
        for container in _children(data, iprp, b"ipco")
        for box in iso_boxes(data, container.content, container.end, whole=True)
    ]
    by_item: dict[int, list[Part[bytes]]] = {}
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
                    by_item.setdefault(item, []).append(shared[index - 1])
                at += step
    return by_item


def _sources(data: bytes, iref: Part[bytes]) -> Mapping[int, int]:
    """Return, for each derived item, the first of its source items (ISO/IEC 14496-12, 8.11.12)."""
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
