"""Inventory of MP4 and MOV: finds boxes that players do not need, and bytes of `mdat` that belong to no sample.

Boxes: ISO/IEC 14496-12 and -15, QuickTime File Format. Samples are found by their tables, and in fragments by `trun`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from velum.media.containers import VISUAL_ENTRY_BYTES, Part, iso_boxes, number_at
from velum.media.inventory.surplus import Surplus, gaps, is_ordinary_uuid, nonzero_padding
from velum.media.projection import V1, of_xml, says_alone, to_xml

_PARENTS = {
    b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf", b"mfra", b"tapt", b"gmhd",
    b"tref",
}  # fmt: skip
_LEAVES = {
    b"ftyp", b"styp", b"mdat", b"wide", b"mvhd", b"tkhd", b"elst", b"mdhd", b"hdlr", b"vmhd", b"smhd", b"nmhd", b"sthd",
    b"hmhd", b"dref", b"stsd", b"stts", b"ctts", b"cslg", b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"stss", b"stsh",
    b"sdtp", b"sbgp", b"sgpd", b"subs", b"stps", b"mehd", b"trex", b"mfhd", b"tfhd", b"tfdt", b"trun", b"tfra", b"mfro",
    b"sidx", b"clef", b"prof", b"enof", b"gmin", b"text", b"tmcd", b"iods", b"load", b"code", b"elng", b"kind", b"chap",
    b"hint", b"cdsc", b"sync", b"subt", b"btrt", b"pdin",
}  # fmt: skip
_ENTRIES = {
    b"avcC", b"hvcC", b"av1C", b"vpcC", b"esds", b"colr", b"pasp", b"clap", b"btrt", b"fiel", b"mdcv", b"clli", b"SmDm",
    b"CoLL", b"chan", b"wave", b"dOps", b"dfLa", b"dac3", b"dec3", b"gama", b"chnl", b"damr", b"glbl", b"jp2h", b"FTAB",
    b"ftab", b"srat", b"st3d", b"sv3d", b"alac", b"ddts", b"udts", b"dac4", b"amve", b"ccst", b"d263", b"dvcC", b"dvvC",
    b"lhvC", b"vexu", b"hfov", b"free", b"SA3D", b"txtC", b"vttC", b"vlab", b"mime", b"ACLR", b"ARES", b"APRG", b"ISO ",
}  # fmt: skip
_LARGEST_ENTRY, _LARGEST_UNIT = 16 << 10, 1 << 10
_ENCODER = b"\xa9too"


@dataclass(slots=True)
class _Movie:
    data: bytes
    tables: list[dict[bytes, Part[bytes]]] = field(default_factory=list)
    defaults: dict[int, int] = field(default_factory=dict)
    """Default sample size in fragments, by track."""
    spans: list[tuple[int, int]] = field(default_factory=list)


def movie(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of an MP4 or MOV, as a memory map or bytes, that no player needs."""
    whole = _Movie(data)
    top = list(iso_boxes(data, 0, len(data)))
    for box in top:
        yield from _box(whole, box)
    for table in whole.tables:
        whole.spans += _chunks(data, table)
    for box in top:
        if box.name == b"mdat":
            inside = [(max(a, box.content), min(b, box.end)) for a, b in whole.spans if a < box.end and b > box.content]
            yield from gaps(data, inside, "bytes that belong to no sample", box.content, box.end)
    if top and top[-1].end < len(data):
        yield Surplus("bytes after the last box", top[-1].end, len(data) - top[-1].end)


def _box(whole: _Movie, box: Part[bytes]) -> Iterator[Surplus]:
    data = whole.data
    if box.name in _PARENTS:
        if box.name == b"stbl":
            whole.tables.append({child.name: child for child in iso_boxes(data, box.content, box.end)})
        if box.name == b"moof":
            _fragment(whole, box)
        for child in iso_boxes(data, box.content, box.end):
            yield from _box(whole, child)
    elif box.name in {b"free", b"skip"}:
        yield from nonzero_padding(data, box.content, box.end, f"box {box.quoted_name}")
    elif box.name == b"udta":
        yield from _words(data, box)
    elif box.name == b"meta":
        yield from _list(data, box)
    elif box.name == b"uuid":
        yield from _extension(data, box)
    elif box.name not in _LEAVES:
        if any(data[box.content : box.end]):
            yield Surplus(f"box {box.quoted_name}", box.start, box.end - box.start)
    elif box.name == b"stsd":
        yield from _descriptions(data, box)
    elif box.name == b"trex":
        whole.defaults[number_at(data, box.content + 4, 4)] = number_at(data, box.content + 16, 4)


def _extension(data: bytes, box: Part[bytes]) -> Iterator[Surplus]:
    text = bytes(data[box.content : min(box.end, box.content + _LARGEST_ENTRY)])
    spherical = of_xml(text) if text.startswith(V1) else None
    if spherical is None or to_xml(spherical) != text:
        yield Surplus("box 'uuid'", box.start, box.end - box.start, ordinary=is_ordinary_uuid(text))


def _words(data: bytes, box: Part[bytes]) -> Iterator[Surplus]:
    for child in iso_boxes(data, box.content, box.end):
        if child.name == b"meta":
            yield from _list(data, child)
        elif child.name not in {_ENCODER, b"\xa9swr", b"\xa9enc", b"\0\0\0\0"} and any(data[child.content : child.end]):
            yield Surplus(f"text under {child.quoted_name}", child.start, child.end - child.start, kind="metadata")


def _list(data: bytes, box: Part[bytes]) -> Iterator[Surplus]:
    # In MP4 a version of four bytes comes first, in MOV it does not.
    head = 0 if bytes(data[box.content + 4 : box.content + 8]) == b"hdlr" else 4
    for child in iso_boxes(data, box.content + head, box.end):
        if child.name in {b"free", b"skip"}:
            yield from nonzero_padding(data, child.content, child.end, f"box {child.quoted_name}")
        elif child.name == b"ilst":
            for word in iso_boxes(data, child.content, child.end):
                if word.name != _ENCODER:
                    yield Surplus(f"text under {word.quoted_name}", word.start, word.end - word.start, kind="metadata")
        elif child.name not in {b"hdlr", b"keys"}:
            yield Surplus(f"box {child.quoted_name}", child.start, child.end - child.start)


def _descriptions(data: bytes, box: Part[bytes]) -> Iterator[Surplus]:
    for entry in iso_boxes(data, box.content + 8, box.end):
        if entry.end - entry.start > _LARGEST_ENTRY:
            yield Surplus(f"a long description of samples, {entry.quoted_name}", entry.start, entry.end - entry.start)
            continue
        start = entry.content + VISUAL_ENTRY_BYTES
        if not _is_visual(data, entry):
            continue
        for child in iso_boxes(data, start, entry.end):
            if child.name in {b"st3d", b"sv3d"} and not says_alone(data, child.start, child.end):
                yield Surplus(f"box {child.quoted_name}", child.start, child.end - child.start, ordinary=True)
            elif child.name not in _ENTRIES and any(data[child.start : child.end]):
                yield Surplus(f"box {child.quoted_name}", child.start, child.end - child.start)
            elif child.name == b"avcC":
                yield from _parameters(child, _end_of_avc(data, child))
            elif child.name == b"free":
                yield from nonzero_padding(data, child.content, child.end, f"box {child.quoted_name}")


def _is_visual(data: bytes, entry: Part[bytes]) -> bool:
    """Tell whether a sample entry is that of a video: it has a colour depth and no colour table (12.1.3)."""
    end = entry.content + VISUAL_ENTRY_BYTES
    return (
        end <= entry.end and bytes(data[end - 2 : end]) == b"\xff\xff" and number_at(data, entry.content + 40, 2) == 1
    )


def _end_of_avc(data: bytes, box: Part[bytes]) -> int:
    """Return the offset behind the parameter sets of H.264 (ISO/IEC 14496-15, 5.3.3)."""
    at = box.content + 5
    for mask in (31, 255):
        count, at = data[at] & mask if at < box.end else 0, at + 1
        for _ in range(count):
            at += 2 + number_at(data, at, 2)
    return at + 4  # depth and sampling, where the profile asks for them


def _parameters(box: Part[bytes], end: int) -> Iterator[Surplus]:
    if box.end > end:
        yield Surplus(f"bytes at the end of box {box.quoted_name}", end, box.end - end)
    if box.end - box.start > 2 * _LARGEST_UNIT:
        yield Surplus(f"a long box {box.quoted_name}", box.start, box.end - box.start)


def _chunks(data: bytes, table: dict[bytes, Part[bytes]]) -> list[tuple[int, int]]:
    """Return start and end of each chunk of a track's samples."""
    places, sizes, runs = table.get(b"stco") or table.get(b"co64"), table.get(b"stsz"), table.get(b"stsc")
    if places is None or runs is None:
        return []
    offsets = _array(data, places, ">u8" if places.name == b"co64" else ">u4", 8).astype(np.int64)
    first = _array(data, runs, ">u4", 8, columns=3).reshape(-1, 3).astype(np.int64)
    if not len(first) or not len(offsets):
        return []
    lengths = np.diff(np.append(first[:, 0] - 1, len(offsets)))
    samples = np.repeat(first[:, 1], np.maximum(lengths, 0))[: len(offsets)]
    total = _sizes(data, sizes, table.get(b"stz2"), int(samples.sum()))
    ends = np.concatenate(([0], np.cumsum(total)))
    last = np.minimum(np.cumsum(samples), len(total))
    before = np.concatenate(([0], last[:-1]))
    chunk_sizes = ends[last] - ends[before]
    return [(int(start), int(start + size)) for start, size in zip(offsets, chunk_sizes, strict=False)]


def _sizes(data: bytes, box: Part[bytes] | None, compact: Part[bytes] | None, count: int) -> npt.NDArray[np.int64]:
    if box is not None:
        same = number_at(data, box.content + 4, 4)
        if same:
            return np.full(count, same, np.int64)
        return _array(data, box, ">u4", 12).astype(np.int64)
    if compact is not None:
        bits = data[compact.content + 7]
        raw = np.frombuffer(bytes(data[compact.content + 12 : compact.end]), np.uint8)
        if bits == 16:
            return raw.view(">u2").astype(np.int64)
        return (raw if bits == 8 else np.stack([raw >> 4, raw & 15], 1).ravel()).astype(np.int64)
    return np.zeros(0, np.int64)


def _array(data: bytes, box: Part[bytes], kind: str, head: int, columns: int = 1) -> npt.NDArray[np.unsignedinteger]:
    count = number_at(data, box.content + head - 4, 4) * columns
    wide = np.dtype(kind).itemsize
    start = box.content + head
    count = min(count, (box.end - start) // wide)
    return np.frombuffer(bytes(data[start : start + count * wide]), kind)


def _fragment(whole: _Movie, moof: Part[bytes]) -> None:
    data = whole.data
    behind = moof.start
    for traf in iso_boxes(data, moof.content, moof.end):
        if traf.name != b"traf":
            continue
        inside = list(iso_boxes(data, traf.content, traf.end))
        base, size = moof.start, 0
        for child in inside:
            if child.name == b"tfhd":
                base, size = _header(whole, child, moof.start, behind)
            elif child.name == b"trun":
                behind = _run(whole, child, base, behind, size)


def _header(whole: _Movie, box: Part[bytes], start: int, behind: int) -> tuple[int, int]:
    data, flags, at = whole.data, number_at(whole.data, box.content + 1, 3), box.content + 8
    track = number_at(data, box.content + 4, 4)
    base = start if flags & 0x020000 or behind == start else behind
    size = whole.defaults.get(track, 0)
    if flags & 1:
        base, at = number_at(data, at, 8), at + 8
    at += 4 * bool(flags & 2) + 4 * bool(flags & 8)
    if flags & 16:
        size = number_at(data, at, 4)
    return base, size


def _run(whole: _Movie, box: Part[bytes], base: int, behind: int, size: int) -> int:
    data, flags, at = whole.data, number_at(whole.data, box.content + 1, 3), box.content + 8
    count = number_at(data, box.content + 4, 4)
    start = behind
    if flags & 1:
        start, at = base + int.from_bytes(data[at : at + 4], signed=True), at + 4
    at += 4 * bool(flags & 4)
    words = [bool(flags & 0x100), bool(flags & 0x200), bool(flags & 0x400), bool(flags & 0x800)]
    if words[1]:
        step = sum(words)
        table = np.frombuffer(bytes(data[at : at + 4 * step * count]), ">u4")
        total = int(table[int(words[0]) :: step].astype(np.int64).sum())
    else:
        total = size * count
    whole.spans.append((start, start + total))
    return start + total
