"""Inventory of TIFF and EXIF blocks: finds bytes outside directories, their values, and the samples they point at.

Numbers are those of TIFF 6.0, its supplements, BigTIFF and Exif 3.0.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from velum.media.inventory.surplus import Surplus, gaps, nonzero_padding, profile_surplus

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_POINTERS = {34665, 34853, 40965}
_SUB_IFDS = 330
_OFFSETS, _COUNTS = {273: 279, 324: 325, 513: 514}, {279, 325, 514}
_WIDTH, _LENGTH, _COMPRESSION, _STRIP_ROWS, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 259, 278, 322, 323
_BITS, _CHANNELS, _PLANAR = 258, 277, 284
_MOST = 1 << 16
_DEFLATE = {8, 32946}
_PROFILE = 34675


@dataclass(slots=True)
class _Walk:
    data: bytes
    order: str
    big: bool
    spans: list[tuple[int, int]] = field(default_factory=list)
    pages: list[dict[int, tuple[int, ...]]] = field(default_factory=list)
    blocks: list[tuple[dict[int, tuple[int, ...]], int, int]] = field(default_factory=list)
    profiles: list[bytes] = field(default_factory=list)
    entries: set[bytes] = field(default_factory=set)
    """The raw entries of all directories."""
    seen: set[int] = field(default_factory=set)

    def whole(self, at: int, size: int) -> int:
        """Return the unsigned number in `size` bytes."""
        return int.from_bytes(self.data[at : at + size], "little" if self.order == "<" else "big")

    def directories(self, at: int, *, page: bool = True) -> None:
        """Walk a chain of directories; `page` tells whether they may hold samples."""
        while at and at not in self.seen and at + 2 <= len(self.data) and len(self.seen) < _MOST:
            self.seen.add(at)
            at = self._directory(at, page=page)

    def _directory(self, at: int, *, page: bool) -> int:
        count, head, entry, link = (self.whole(at, 8), 8, 20, 8) if self.big else (self.whole(at, 2), 2, 12, 4)
        count = min(count, (len(self.data) - at) // entry)
        end = at + head + count * entry + link
        self.spans.append((at, end))
        tags: dict[int, tuple[int, ...]] = {}
        for start in range(at + head, at + head + count * entry, entry):
            self._value(start, tags)
            self.entries.add(self.data[start : start + entry])
        for tag in _POINTERS & tags.keys():
            self.directories(tags[tag][0], page=False)
        for sub in tags.get(_SUB_IFDS, ()):
            self.directories(sub, page=page)
        if page:
            self.pages.append(tags)
        for offsets, counts in _OFFSETS.items():
            for start, size in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
                self.spans.append((start, start + size))
                self.blocks.append((tags, start, size))
        return self.whole(end - link, link)

    def _value(self, at: int, tags: dict[int, tuple[int, ...]]) -> None:
        tag, kind, wide = self.whole(at, 2), self.whole(at + 2, 2), 8 if self.big else 4
        count, step = self.whole(at + 4, wide), _SIZES.get(kind, 1)
        size, offset = count * step, at + 4 + wide
        if size > wide:
            offset = self.whole(offset, wide)
            self.spans.append((offset, offset + size))
        if tag == _PROFILE:
            self.profiles.append(self.data[offset : offset + size])
        if kind in {1, 3, 4, 13, 16, 18} and count <= _MOST * 16 and offset + size <= len(self.data):
            tags[tag] = tuple(self.whole(offset + step * number, step) for number in range(count))


def walk_directories(data: bytes) -> _Walk | None:
    """Walk all directories of a TIFF or an EXIF block; None when the data does not begin as one."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    walk = _Walk(data, order, big=struct.unpack(f"{order}H", data[2:4])[0] == 43)
    walk.spans.append((0, 16 if walk.big else 8))
    walk.directories(walk.whole(8, 8) if walk.big else walk.whole(4, 4))
    return walk


def exif(block: bytes, offset: int = 0) -> Iterator[Surplus]:
    """Yield the bytes of an EXIF block, which starts with its byte order, that no directory points at.

    `offset` is that of the block in the file.
    """
    walk = walk_directories(block)
    if walk is None:
        yield Surplus("EXIF that cannot be read", offset, len(block))
        return
    for gap in gaps(block, walk.spans, "bytes in the EXIF that no tag points at"):
        yield Surplus(gap.description, offset + gap.offset, gap.size)


def tiff(data: bytes) -> Iterator[Surplus]:
    """Yield the bytes of a TIFF that no directory points at, and those behind the samples of strips and tiles."""
    walk = walk_directories(data)
    if walk is None:
        return
    for gap in gaps(data, walk.spans, "bytes that no directory points at"):
        # Writers of several pages leave the head of each page's own file behind.
        gap_bytes = data[gap.offset : gap.offset + gap.size]
        if not _is_head(gap_bytes) and not _is_superseded(gap_bytes, walk):
            yield gap
    for icc in walk.profiles:
        yield from profile_surplus(icc, data.find(icc))
    for tags, start, size in walk.blocks:
        if needed := _sample_bytes(data[start : start + size], tags):
            yield from nonzero_padding(data, start + needed, start + size, "bytes after the samples of a strip")


def _is_head(gap: bytes) -> bool:
    """Tell whether a gap is only the header of a TIFF: byte order, magic number, and one offset."""
    content = gap.strip(b"\0")
    return len(content) <= 8 and content.startswith((b"II*", b"MM\0*"))


def _is_superseded(gap: bytes, walk: _Walk) -> bool:
    """Tell whether a gap is an old directory that was rewritten elsewhere with more entries, as signers do.

    All its entries are in a directory that is in use, so it holds no further data.
    """
    head, entry, link = (8, 20, 8) if walk.big else (2, 12, 4)
    count = int.from_bytes(gap[:head], "little" if walk.order == "<" else "big")
    if not count or len(gap) != head + count * entry + link:
        return False
    return all(gap[at : at + entry] in walk.entries for at in range(head, head + count * entry, entry))


def _sample_bytes(block: bytes, tags: dict[int, tuple[int, ...]]) -> int | None:
    """Return how many bytes of a strip or tile its samples take; None where only a decoder knows."""
    compression = tags.get(_COMPRESSION, (1,))[0]
    if compression in _DEFLATE:
        inflate = zlib.decompressobj()
        try:
            inflate.decompress(block)
        except zlib.error:
            return None
        return len(block) - len(inflate.unused_data)
    if compression == 1:
        return _uncompressed_bytes(tags)
    return None


def _uncompressed_bytes(tags: dict[int, tuple[int, ...]]) -> int | None:
    if _TILE_WIDTH in tags:
        columns, rows = tags[_TILE_WIDTH][0], tags.get(_TILE_LENGTH, (0,))[0]
    else:
        columns, height = tags.get(_WIDTH, (0,))[0], tags.get(_LENGTH, (0,))[0]
        rows = min(tags.get(_STRIP_ROWS, (height,))[0], height)
    bits = tags.get(_BITS, (1,))
    together = sum(bits) if tags.get(_PLANAR, (1,))[0] == 1 else bits[0]
    if len(bits) == 1 and tags.get(_PLANAR, (1,))[0] == 1:
        together *= tags.get(_CHANNELS, (1,))[0]
    return rows * -(-columns * together // 8) or None
