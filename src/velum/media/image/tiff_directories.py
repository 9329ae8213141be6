"""The directories (IFDs) of a TIFF: which of them are images, and which are reduced copies of another image.

TIFF 6.0 (`NewSubfileType`, `SubIFDs` of its first supplement) and BigTIFF, whose numbers have 8 bytes. No length in the
file is trusted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

_MOST_DIRECTORIES, _MOST_ENTRIES, _MOST_INSIDE = 20_000, 4096, 64
_WIDTH, _HEIGHT, _NEW_SUBFILE, _SUBFILE, _SUB_DIRECTORIES = 256, 257, 254, 255, 330
_REDUCED = 1
_OLD_REDUCED = 2
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 13: 4, 16: 8, 18: 8}
"""Bytes of a value by type, of the types for integers and texts."""
_STRUCTURE = {
    *range(254, 267),
    273,
    274,
    *range(277, 280),
    284,
    292,
    293,
    317,
    *range(320, 326),
    *range(330, 348),
    *range(512, 533),
}
"""Tags that decoding needs: a file in which one of them cannot be read is damaged."""
_BYTES_OF_TYPE = {5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8} | _SIZES
_LONG_KINDS = {16: 4, 17: 9, 18: 13}
"""Types of 8 bytes, and the equivalent types of 4."""
_OF_THE_WHOLE = (274, 282, 283, 296, 34675)
"""Orientation, resolution and colour profile: a page has them for the directories inside it, too."""


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """One directory: its offset, the bytes of its entries by tag, the offset of the next directory (0: none)."""

    at: int
    entries: dict[int, bytes]
    following: int


class Tiff:
    """A TIFF or BigTIFF file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
        self.big = data[2:4] in {b"+\0", b"\0+"}
        self._wide = 8 if self.big else 4

    def pages(self) -> list[TiffDirectory]:
        """Return the chain of directories, up to one that was seen before or lies outside the file."""
        return list(self._chain(self._int(8 if self.big else 4, self._wide)))

    def inside(self, directory: TiffDirectory) -> list[TiffDirectory]:
        """Return the directories inside a page (SubIFDs)."""
        directories = (self._directory(at) for at in self._numbers(directory, _SUB_DIRECTORIES)[:_MOST_INSIDE])
        return [inner for inner in directories if inner]

    def number(self, directory: TiffDirectory, tag: int) -> int | None:
        """Return the first number under a tag, None where there is none."""
        return next(iter(self._numbers(directory, tag)), None)

    def text(self, directory: TiffDirectory, tag: int) -> str:
        """Return the text under a tag, "" where there is none."""
        return bytes(number & 0xFF for number in self._numbers(directory, tag)).decode("latin-1").strip("\0 ")

    def area(self, directory: TiffDirectory) -> int:
        """Return the number of pixels of a directory's image, 0 where it has none."""
        return (self.number(directory, _WIDTH) or 0) * (self.number(directory, _HEIGHT) or 0)

    def is_reduced(self, directory: TiffDirectory) -> bool:
        """Tell whether a directory is marked as a reduced copy of another image of the file."""
        new = self.number(directory, _NEW_SUBFILE)
        return bool(new & _REDUCED) if new is not None else self.number(directory, _SUBFILE) == _OLD_REDUCED

    def has_lost(self, directory: TiffDirectory, *, structure: bool = False) -> bool:
        """Tell whether values of metadata, or with `structure` of tags that decoding needs, lie outside the file.

        Decoders fail at such metadata although they do not need it.
        """
        return any(
            (tag in _STRUCTURE) == structure and self._is_outside(entry) for tag, entry in directory.entries.items()
        )

    def _is_outside(self, entry: bytes) -> bool:
        size = _BYTES_OF_TYPE.get(int.from_bytes(entry[2:4], self._order), 0)
        size *= int.from_bytes(entry[4 : 4 + self._wide], self._order)
        start = int.from_bytes(entry[4 + self._wide :], self._order)
        return size > self._wide and start + size > len(self._data)

    def with_pages(self, pages: list[tuple[TiffDirectory, TiffDirectory]]) -> bytes:
        """Return the file with the first directory of each pair as its pages.

        The second of a pair is the page that the first lies in; its orientation, resolution and profile are copied.
        """
        result = bytearray(self._data)
        result += bytes(-len(result) % 8)
        # A BigTIFF becomes a TIFF, which all decoders read; within the limits its offsets fit.
        result[2:4] = (42).to_bytes(2, self._order)
        link = 4
        for page, parent in pages:
            entries = {tag: parent.entries[tag] for tag in _OF_THE_WHOLE if tag in parent.entries} | page.entries
            entries = {tag: entry for tag, entry in entries.items() if tag in _STRUCTURE or not self._is_outside(entry)}
            table = b"".join(self._plain_entry(entries[tag], result) for tag in sorted(entries))
            result[link : link + 4] = len(result).to_bytes(4, self._order)
            result += len(entries).to_bytes(2, self._order) + table
            link = len(result)
            result += bytes(4)
            result += bytes(-len(result) % 8)
        return bytes(result)

    def _plain_entry(self, entry: bytes, result: bytearray) -> bytes:
        """Return an entry as in a TIFF; a value that only fits into an entry of a BigTIFF is appended to the file."""
        if not self.big:
            return entry
        kind, count = int.from_bytes(entry[2:4], self._order), int.from_bytes(entry[4:12], self._order)
        size = count * _BYTES_OF_TYPE.get(kind, 1)
        start = int.from_bytes(entry[12:], self._order)
        content = entry[12 : 12 + size] if size <= 8 else self._data[start : start + size]
        if kind in _LONG_KINDS:
            dtype = np.dtype(np.uint64).newbyteorder(self._order)
            content = np.frombuffer(content, dtype).astype(np.dtype(np.uint32).newbyteorder(self._order)).tobytes()
            kind, size = _LONG_KINDS[kind], len(content)
        if size > 4:
            start = len(result)
            result += content + bytes(-size % 8)
            content = start.to_bytes(4, self._order)
        head = entry[:2] + kind.to_bytes(2, self._order) + count.to_bytes(4, self._order)
        return head + content[:4].ljust(4, b"\0")

    def _chain(self, at: int) -> Iterator[TiffDirectory]:
        seen: set[int] = set()
        while at and at not in seen and len(seen) < _MOST_DIRECTORIES and (directory := self._directory(at)):
            seen.add(at)
            yield directory
            at = directory.following

    def _directory(self, at: int) -> TiffDirectory | None:
        counting, step = (8, 20) if self.big else (2, 12)
        if at < 8 or at + counting > len(self._data):
            return None
        count = self._int(at, counting)
        start, end = at + counting, at + counting + count * step
        if count > _MOST_ENTRIES or end > len(self._data):
            return None
        raw = [self._data[place : place + step] for place in range(start, end, step)]
        return TiffDirectory(
            at, {int.from_bytes(entry[:2], self._order): entry for entry in raw}, self._int(end, self._wide)
        )

    def _numbers(self, directory: TiffDirectory, tag: int) -> list[int]:
        entry = directory.entries.get(tag, b"")
        size = _SIZES.get(int.from_bytes(entry[2:4], self._order))
        if size is None:
            return []
        count = int.from_bytes(entry[4 : 4 + self._wide], self._order)
        place = entry[4 + self._wide :]
        if count * size > len(place):
            start = int.from_bytes(place, self._order)
            place = self._data[start : start + min(count, _MOST_ENTRIES) * size]
        return [
            int.from_bytes(place[at : at + size], self._order)
            for at in range(0, min(count * size, len(place) - size + 1), size)
        ]

    def _int(self, at: int, size: int) -> int:
        return int.from_bytes(self._data[at : at + size], self._order)


def full_pictures(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a TIFF with its full images as pages, and notes for the report; `data` itself where it has them already.

    A page that is a reduced copy of an image inside it (SubIFDs) is replaced by that image; a reduced copy of another
    page is left out.
    """
    tiff = Tiff(data)
    pages = tiff.pages()
    chosen: list[tuple[TiffDirectory, TiffDirectory]] = []
    inner = 0
    for page in pages:
        reduced = tiff.is_reduced(page) or not tiff.area(page)
        larger = [inside for inside in tiff.inside(page) if tiff.area(inside) > (0 if reduced else tiff.area(page))]
        whole = [inside for inside in larger if not tiff.is_reduced(inside)]
        if whole:
            chosen.append((max(whole, key=tiff.area), page))
            inner += 1
        elif not reduced:
            chosen.append((page, page))
    if not chosen:
        alone = any(tiff.area(page) for page in pages)
        note = "the image is marked as a reduced copy, but the file does not hold the full image"
        return data, (note,) if alone else ()
    notes = ["the first image is a thumbnail; the full image inside it was read"] if inner else []
    if remaining := len(pages) - len(chosen):
        notes.append(f"reduced copies of other pages are left out: {remaining}")
    # Pillow 13 reads a big-endian BigTIFF as if it were a TIFF.
    if not notes and not data.startswith(b"MM\0+") and not any(tiff.has_lost(page) for page in pages):
        return data, ()
    return tiff.with_pages(chosen), tuple(notes)
