"""Boxes of ISO base media files (ISO/IEC 14496-12, QuickTime File Format): where each lies."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoxSpan:
    """One box: its four letters, and where it and its content begin and end in the file."""

    name: bytes
    start: int
    content: int
    end: int

    @property
    def quoted_name(self) -> str:
        """The name for messages."""
        return repr(self.name.decode("latin-1"))


def boxes(data: bytes, start: int, end: int) -> Iterator[BoxSpan]:
    """Yield the boxes between two positions; one that is longer than its place ends there."""
    while start + 8 <= end:
        size, name, head = number(data, start, 4), bytes(data[start + 4 : start + 8]), 8
        if size == 1:
            size, head = number(data, start + 8, 8), 16
        last = end if size < head else min(start + size, end)
        yield BoxSpan(name, start, min(start + head, last), last)
        start = last


def number(data: bytes, at: int, size: int) -> int:
    """Return an unsigned number of so many bytes."""
    return int.from_bytes(data[at : at + size])
