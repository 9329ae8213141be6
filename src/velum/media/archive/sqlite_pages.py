"""Pages of SQLite files (https://www.sqlite.org/fileformat2.html): what deleted rows have left in them."""

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from velum.errors import BadInput

_HEADER_BYTES = 100
_INNER, _LEAF = 5, 13
"""Kinds of pages of a table: those with page numbers, and those with rows."""

_MOST_DEPTH = 20
"""Most pages above a row; a table of SQLite's largest file has fewer."""


def find_remains(path: Path, roots: Sequence[int]) -> Iterator[str]:
    """Yield in words what a file has beside the rows of the tables that begin at the pages `roots`.

    Raises `BadInput` where the pages are damaged.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            pages = _Pages(data)
            yield from pages.find_surplus()
            if any(pages.has_remains(root) for root in (1, *roots)):
                yield "bytes of rows that were deleted"
        except (IndexError, struct.error) as error:
            raise BadInput("a page of it is damaged") from error


class _Pages:
    """The pages of a file. Each may be visited once: damaged ones may lead in a circle."""

    def __init__(self, data: mmap.mmap) -> None:
        (size,) = struct.unpack_from(">H", data, 16)
        self._data, self._size = data, 65536 if size == 1 else max(size, 512)
        self._reserved = data[20]
        self._usable = self._size - self._reserved
        self._left = len(data) // self._size

    def find_surplus(self) -> Iterator[str]:
        """Yield in words what lies behind the last page and in the part of pages that SQLite does not use."""
        (pages,) = struct.unpack_from(">I", self._data, 28)
        if len(self._data) > pages * self._size > 0:
            yield "bytes behind its last page"
        if self._reserved:
            yield "bytes at the end of pages that SQLite does not use"

    def has_remains(self, number: int, depth: int = 0) -> bool:
        """Tell whether the pages of a table have bytes beside its rows."""
        if depth > _MOST_DEPTH:
            raise BadInput("a page of it is damaged")
        page, head = self._page(number), _HEADER_BYTES if number == 1 else 0
        kind, free, cells, start = struct.unpack_from(">BHHH", page, head)
        if kind not in {_INNER, _LEAF}:
            raise BadInput("a page of it is damaged")
        pointers = head + (12 if kind == _INNER else 8)
        places = struct.unpack_from(f">{cells}H", page, pointers)
        if kind == _INNER:
            children = [struct.unpack_from(">I", page, place)[0] for place in places]
            children += struct.unpack_from(">I", page, head + 8)
            return any(self.has_remains(child, depth + 1) for child in children)
        unused = page[pointers + 2 * cells : start or 65536]
        return any(unused) or self._has_freed(page, free) or any(self._has_tail(page, place) for place in places)

    def _page(self, number: int) -> bytes:
        self._left -= 1
        start = (number - 1) * self._size
        if self._left < -1 or number < 1 or start + self._size > len(self._data):
            raise BadInput("a page of it is damaged")
        return self._data[start : start + self._usable]

    def _has_freed(self, page: bytes, place: int) -> bool:
        """Tell whether the parts of a page that are free again still have bytes of rows."""
        while place:
            following, size = struct.unpack_from(">HH", page, place)
            if any(page[place + 4 : place + size]):
                return True
            if following and following <= place:
                raise BadInput("a page of it is damaged")
            place = following
        return False

    def _has_tail(self, page: bytes, place: int) -> bool:
        """Tell whether bytes follow a row in the last of the pages that only it fills."""
        size, place = _number(page, place)
        _, place = _number(page, place)
        local = self._local_bytes(size)
        if local == size:
            return False
        (following,) = struct.unpack_from(">I", page, place + local)
        rest = size - local
        while rest > 0:
            page = self._page(following)
            (following,) = struct.unpack_from(">I", page)
            rest -= self._usable - 4
        return any(page[rest:]) if rest else False

    def _local_bytes(self, size: int) -> int:
        """Return how many bytes of a row lie in the table's own page (section 1.6 of the format)."""
        if size <= self._usable - 35:
            return size
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (self._usable - 4)
        return local if local <= self._usable - 35 else least


def _number(page: bytes, place: int) -> tuple[int, int]:
    """Return a number of 1 to 9 bytes, and the place behind it."""
    value = 0
    for offset in range(8):
        byte = page[place + offset]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + offset + 1
    return value << 8 | page[place + 8], place + 9
