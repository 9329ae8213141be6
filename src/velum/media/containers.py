"""Walks the bytes of containers: JPEG segments, PNG and RIFF chunks, ISO boxes, EBML elements. Decodes nothing.

A walker yields the position of each part of a file, in order, and ends at the first bytes that are not a part. It
trusts no length: a part that is longer than its enclosing part is cut at the end of that, and `missing` is the number
of bytes that it lacks. Files are given as bytes, a memory map, or `FileBytes`.
"""

import io
import os
import re
from collections.abc import Iterator, Mapping
from mmap import mmap
from typing import BinaryIO, Final, Generic, NamedTuple, TypeVar

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
"""Markers of a JPEG that have no length (ISO/IEC 10918-1, table B.1), and 0, which is not a marker."""

_FILL = re.compile(rb"\xff+")
_END_OF_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In a scan, a byte of 255 is followed by 0 or is part of a restart marker; any other marker ends the scan."""

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
RIFF_HEAD_BYTES = 12
WEBP_FRAME_BYTES = 16
"""Bytes of a WebP's chunk ANMF before the chunks inside it (RFC 9649, 2.7.1.1)."""

VISUAL_ENTRY_BYTES = 78
"""Bytes of a visual sample entry of ISO files before the boxes inside it (ISO/IEC 14496-12, 12.1.3)."""

MATROSKA_SEGMENT, MATROSKA_TRACKS, MATROSKA_TRACK = 0x18538067, 0x1654AE6B, 0xAE
MATROSKA_TRACK_TYPE, MATROSKA_VIDEO = 0x83, 0xE0
"""Names of elements of Matroska (RFC 9559, 5.1.3 and 5.1.4)."""

_MOST_HEAD_BYTES: Final = 16

Name = TypeVar("Name", bytes, int)


class FileBytes:
    """The bytes of an open file, read slice by slice: for headers of files that are too large for memory."""

    def __init__(self, file: io.RawIOBase | BinaryIO) -> None:
        self._file = file

    def __getitem__(self, key: slice, /) -> bytes:
        """Return the bytes of a slice with a start and a stop."""
        self._file.seek(key.start)
        return self._file.read(key.stop - key.start) or b""


class DescriptorReader(io.RawIOBase):
    """Reads a shared descriptor at a position of its own, with other bytes at the offsets of `patches`."""

    def __init__(self, descriptor: int, patches: Mapping[int, bytes] | None = None) -> None:
        super().__init__()
        self._descriptor, self._position, self._patches = descriptor, 0, patches or {}

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it has positions."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read at the position into a buffer; return the number of bytes."""
        view = memoryview(buffer)  # type: ignore[arg-type]  # a buffer is any object with memory
        count = os.preadv(self._descriptor, [view], self._position)
        for offset, patch in self._patches.items():
            first, last = max(offset, self._position), min(offset + len(patch), self._position + count)
            if first < last:
                view[first - self._position : last - self._position] = patch[first - offset : last - offset]
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; return it."""
        base = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: os.fstat(self._descriptor).st_size,
        }[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


Sliceable = bytes | bytearray | memoryview | mmap | FileBytes
"""What gives bytes for a slice of offsets; fewer where the slice goes beyond the end."""


class Part(NamedTuple, Generic[Name]):
    """One part of a file: where it starts, where its content starts, where its content ends.

    `name` is the four letters of a box or chunk, the second byte of a JPEG's marker, or the number of an element.
    """

    name: Name
    start: int
    content: int
    end: int
    missing: int = 0
    """Number of bytes that the part lacks behind `end`."""

    @property
    def quoted_name(self) -> str:
        """The name for messages."""
        return repr(self.name.decode("latin-1")) if isinstance(self.name, bytes) else f"{self.name:#x}"


def jpeg_segments(data: bytes, at: int = 2) -> Iterator[Part[int]]:
    """Yield the segments of a JPEG from an offset, up to and with the next start of scan (ISO/IEC 10918-1, B.1.1.4).

    Bytes of 255 that fill the space before a marker belong to no segment. Ends before a marker without a length.
    """
    while fill := _FILL.match(data, at):
        start, marker = fill.end() - 1, data[fill.end() : fill.end() + 1]
        content = start + 4
        if not marker or marker[0] in _ALONE or content > len(data):
            return
        stop = content - 2 + max(int.from_bytes(data[content - 2 : content]), 2)
        end = min(stop, len(data))
        yield Part(marker[0], start, content, end, stop - end)
        if marker[0] == SOS:
            return
        at = end


def end_of_scan(data: bytes, at: int) -> int:
    """Return the offset of the marker that ends the scan of a JPEG at an offset; the end of the file without one."""
    marker = _END_OF_SCAN.search(data, at)
    return marker.start() if marker else len(data)


def png_chunks(data: bytes) -> Iterator[Part[bytes]]:
    """Yield the chunks of a PNG up to IEND (PNG, third edition, 5.3). A checksum of 4 bytes follows each content."""
    at = len(PNG_HEAD)
    while at + 12 <= len(data):
        content = at + 8
        name, stop = data[at + 4 : content], content + int.from_bytes(data[at : at + 4])
        end = min(stop, len(data))
        yield Part(name, at, content, end, stop - end)
        if name == b"IEND":
            return
        at = stop + 4


def riff_chunks(data: Sliceable, at: int, end: int) -> Iterator[Part[bytes]]:
    """Yield the chunks of a RIFF file (AVI, WebP) between two offsets; the next one starts at an even distance."""
    while at + 8 <= end:
        head = bytes(data[at : at + 8])
        size = int.from_bytes(head[4:8], "little")
        last = min(at + 8 + size, end)
        yield Part(head[:4], at, at + 8, last, at + 8 + size - last)
        at += 8 + size + size % 2


def iso_boxes(data: Sliceable, at: int, end: int, *, whole: bool = False) -> Iterator[Part[bytes]]:
    """Yield the boxes of an MP4, a MOV, an AVIF or a JPEG 2000 between two offsets (ISO/IEC 14496-12, 4.2).

    A box whose size is 0 or impossible reaches up to `end`. With `whole`, ends at the first one that is impossible or
    incomplete.
    """
    while at + 8 <= end:
        head = bytes(data[at : at + _MOST_HEAD_BYTES])
        size, header = int.from_bytes(head[:4]), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16]), 16
        stop = end if size < header else at + size
        last = min(stop, end)
        if whole and (0 < size < header or stop > end or at + header > end):
            return
        yield Part(head[4:8], at, min(at + header, last), last, stop - last)
        at = last


def ebml_elements(data: Sliceable, at: int, end: int, *, whole: bool = False) -> Iterator[Part[int]]:
    """Yield the elements of an MKV or a WebM between two offsets (RFC 8794, 4 to 6).

    With `whole`, ends at the first one that is incomplete or whose size is unknown.
    """
    while head := ebml_head(data, at, end):
        name, content, size = head
        stop = end if size is None else content + size
        last = min(stop, end)
        if whole and (size is None or stop > end):
            return
        yield Part(name, at, content, last, stop - last)
        at = last


def ebml_head(data: Sliceable, at: int, end: int) -> tuple[int, int, int | None] | None:
    """Return id, start of the content and size of the EBML element at an offset; None where no element starts there.

    The size is None where the file does not state it, as in live recordings.
    """
    head = bytes(data[at : min(at + _MOST_HEAD_BYTES, end)])
    id_bytes = 9 - head[0].bit_length() if head else 9
    size_bytes = 9 - head[id_bytes].bit_length() if id_bytes < len(head) else 9
    if id_bytes > 8 or size_bytes > 8 or id_bytes + size_bytes > len(head):
        return None
    most = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes]) & most
    return int.from_bytes(head[:id_bytes]), at + id_bytes + size_bytes, None if size == most else size


def ebml_number(data: Sliceable, at: int) -> int | None:
    """Return the number of variable length at an offset, without the mark of its length; None where there is none."""
    head = bytes(data[at : at + 8])
    length = 9 - head[0].bit_length() if head else 9
    return int.from_bytes(head[:length]) & ((1 << 7 * length) - 1) if length <= 8 else None


def ebml_element(name: int, content: bytes, least: int = 1) -> bytes:
    """Return an EBML element (RFC 8794, 4 to 6); its size is coded in `least` bytes or more."""
    length = least
    while len(content) >= (1 << 7 * length) - 1:
        length += 1
    size = ((1 << 7 * length) | len(content)).to_bytes(length)
    return name.to_bytes((name.bit_length() + 7) // 8) + size + content


def number_at(data: Sliceable, at: int, size: int) -> int:
    """Return an unsigned big-endian number of so many bytes."""
    return int.from_bytes(bytes(data[at : at + size]))
