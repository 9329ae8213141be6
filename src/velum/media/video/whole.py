"""Whether a file is as long as its own structure says; demuxers often end a truncated one without a word."""

import io
import re
from collections.abc import Iterator
from itertools import islice

_HEADER = 16
_EBML_SEGMENT = 0x18538067
_EBML_UNKNOWN = {(1 << 7 * length) - 1 for length in range(1, 9)}
_MOST_PARTS = 100_000
"""Parts looked at: a file may be made of tiny ones to keep us busy."""
_LARGEST_INDEX = 256 << 20
_HANDLER = re.compile(rb"hdlr.{8}auxv", re.DOTALL)
_ALPHA = b"auxiliary:alpha", b"hevc:2015:auxid:1"
"""How such a track says what it is (ISO/IEC 23008-12, 6.5.8)."""

TS_PACKETS = (188, 192, 204)
"""Bytes of a packet of a transport stream: bare, with a time stamp (M2TS), with error correction (DVB)."""


def missing(file: io.RawIOBase, size: int, format: str) -> str | None:
    """Return how a file of `size` bytes is shorter than it says, in words; None when nothing speaks for that."""
    match format:
        case "MP4" | "MOV":
            end = _end(_boxes(file, size))
        case "MKV" | "WEBM":
            end = _end(_elements(file, size))
        case "AVI":
            end = _end(_riffs(file, size))
        case "TS":
            whole = any(size % packet == 0 for packet in TS_PACKETS)
            return None if whole else f"its {size:,} bytes are no whole number of packets"
        case _:
            return None
    return f"it has {size:,} bytes of {end:,}" if end > size else None


def _end(parts: Iterator[tuple[int, int]]) -> int:
    return max((start + length for start, length in islice(parts, _MOST_PARTS)), default=0)


def _read(file: io.RawIOBase, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count) or b""


def _boxes(file: io.RawIOBase, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of each box of the file (ISO/IEC 14496-12, 4.2)."""
    start = 0
    while start + 8 <= size:
        head = _read(file, start, _HEADER)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length == 0 or not head[4:8].isascii():  # up to the end, or bytes that belong to no box
            return
        yield start, length
        start += max(length, 8)


def alpha_track(file: io.RawIOBase, size: int) -> bool:
    """Tell whether a track of an MP4 or MOV is the transparency of another one (ISO/IEC 14496-12, 12.1.1 and 12.1.5).

    Other auxiliary tracks, such as the depth that telephones record, change nothing of what is seen.
    """
    for start, length in islice(_boxes(file, size), _MOST_PARTS):
        head = _read(file, start, _HEADER)
        if head[4:8] == b"moov" and length <= _LARGEST_INDEX:
            index = _read(file, start, length)
            tracks = index.split(b"trak")[1:]
            return any(_HANDLER.search(track) and any(name in track for name in _ALPHA) for track in tracks)
    return False


def _elements(file: io.RawIOBase, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of the elements that make up the file (RFC 8794, 4 to 6)."""
    start = 0
    while start + 2 <= size:
        head = _read(file, start, _HEADER)
        name, name_length = _number(head, marked=True)
        length, length_length = _number(head[name_length:], marked=False)
        if not name_length or not length_length or length in _EBML_UNKNOWN:  # live recordings do not know
            return
        whole = name_length + length_length + length
        yield start, whole
        if name == _EBML_SEGMENT:
            return
        start += whole


def _number(data: bytes, *, marked: bool) -> tuple[int, int]:
    """Return a variable-size number and its bytes, (0, 0) when there is none; `marked`: with its length marker."""
    length = 9 - data[0].bit_length() if data and data[0] else 0
    if not length or len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length])
    return (value if marked else value & ((1 << 7 * length) - 1)), length


def _riffs(file: io.RawIOBase, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of each RIFF chunk (OpenDML AVI 1.02: files over 1 GB have several)."""
    start = 0
    while start + 8 <= size:
        head = _read(file, start, 8)
        if head[:4] != b"RIFF":
            return
        length = int.from_bytes(head[4:8], "little")
        if not length:  # a recorder that was switched off
            return
        # The last chunk may lack its padding byte.
        yield start, 8 + length
        start += 8 + length + length % 2
