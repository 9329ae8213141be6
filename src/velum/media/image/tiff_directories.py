"""The directories of a TIFF: which of them are pictures of their own, and which are reduced copies of others.

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
"""Bytes of a value by type: those types that numbers and texts come in."""
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
"""Tags without which a picture is not what it is; one that cannot be read there is damage."""
_BYTES_OF_TYPE = {5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8} | _SIZES
_LONG_KINDS = {16: 4, 17: 9, 18: 13}
"""Types of 8 bytes, and those of 4 that say the same."""
_OF_THE_WHOLE = (274, 282, 283, 296, 34675)
"""Orientation, resolution and colour profile: written once, in the first directory, for its inner ones, too."""


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """One directory: where it is, the bytes of its entries by tag, where the next one is (0: nowhere)."""

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
        """Return the chain of directories; it ends where it comes back to itself or leaves the file."""
        return list(self._chain(self._int(8 if self.big else 4, self._wide)))

    def inside(self, directory: TiffDirectory) -> list[TiffDirectory]:
        """Return the directories inside one (SubIFDs)."""
        found = (self._directory(at) for at in self._numbers(directory, _SUB_DIRECTORIES)[:_MOST_INSIDE])
        return [one for one in found if one]

    def number(self, directory: TiffDirectory, tag: int) -> int | None:
        """Return the first number under a tag, or None."""
        return next(iter(self._numbers(directory, tag)), None)

    def text(self, directory: TiffDirectory, tag: int) -> str:
        """Return the text under a tag, "" where there is none."""
        return bytes(number & 0xFF for number in self._numbers(directory, tag)).decode("latin-1").strip("\0 ")

    def area(self, directory: TiffDirectory) -> int:
        """Return the pixels of a directory's picture, 0 where it has none."""
        return (self.number(directory, _WIDTH) or 0) * (self.number(directory, _HEIGHT) or 0)

    def is_reduced(self, directory: TiffDirectory) -> bool:
        """Tell whether a directory says of itself that it is a smaller copy of another picture of the file."""
        new = self.number(directory, _NEW_SUBFILE)
        return bool(new & _REDUCED) if new is not None else self.number(directory, _SUBFILE) == _OLD_REDUCED

    def has_lost(self, directory: TiffDirectory, *, structure: bool = False) -> bool:
        """Tell whether metadata of a directory, or its structure, lies outside the file.

        Readers stop at such metadata, before what they need.
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
        """Return the file with just the first of each pair as its pages.

        The second of a pair is the page that it lies in: what is said there of the whole is said of it.
        """
        made = bytearray(self._data)
        made += bytes(-len(made) % 8)
        # A BigTIFF becomes a plain one, which is what all readers know; within the limits its offsets fit.
        made[2:4] = (42).to_bytes(2, self._order)
        link = 4
        for page, parent in pages:
            entries = {tag: parent.entries[tag] for tag in _OF_THE_WHOLE if tag in parent.entries} | page.entries
            entries = {tag: entry for tag, entry in entries.items() if tag in _STRUCTURE or not self._is_outside(entry)}
            table = b"".join(self._plain_entry(entries[tag], made) for tag in sorted(entries))
            made[link : link + 4] = len(made).to_bytes(4, self._order)
            made += len(entries).to_bytes(2, self._order) + table
            link = len(made)
            made += bytes(4)
            made += bytes(-len(made) % 8)
        return bytes(made)

    def _plain_entry(self, entry: bytes, made: bytearray) -> bytes:
        """Return an entry as in a plain TIFF; values that had room in one of a BigTIFF are appended to the file."""
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
            start = len(made)
            made += content + bytes(-size % 8)
            content = start.to_bytes(4, self._order)
        head = entry[:2] + kind.to_bytes(2, self._order) + count.to_bytes(4, self._order)
        return head + content[:4].ljust(4, b"\0")

    def _chain(self, at: int) -> Iterator[TiffDirectory]:
        seen: set[int] = set()
        while at and at not in seen and len(seen) < _MOST_DIRECTORIES and (found := self._directory(at)):
            seen.add(at)
            yield found
            at = found.following

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
    """Return a TIFF with its full pictures as pages, and what to say of it; the same bytes where they are that already.

    A page that is a reduced copy of a picture inside it (SubIFDs) gives its place to that one; one that is a reduced
    copy of another page is left out.
    """
    tiff = Tiff(data)
    pages = tiff.pages()
    chosen: list[tuple[TiffDirectory, TiffDirectory]] = []
    inner = 0
    for page in pages:
        reduced = tiff.is_reduced(page) or not tiff.area(page)
        larger = [one for one in tiff.inside(page) if tiff.area(one) > (0 if reduced else tiff.area(page))]
        whole = [one for one in larger if not tiff.is_reduced(one)]
        if whole:
            chosen.append((max(whole, key=tiff.area), page))
            inner += 1
        elif not reduced:
            chosen.append((page, page))
    if not chosen:
        alone = any(tiff.area(page) for page in pages)
        return data, ("the file says that its picture is a reduced copy of one that it does not hold",) if alone else ()
    notes = ["the first picture is a thumbnail; the full one inside it was taken"] if inner else []
    if left := len(pages) - len(chosen):
        notes.append(f"reduced copies of other pages are left out: {left}")
    # Pillow 13 takes a BigTIFF of the other byte order for a plain one.
    if not notes and not data.startswith(b"MM\0+") and not any(tiff.has_lost(page) for page in pages):
        return data, ()
    return tiff.with_pages(chosen), tuple(notes)
