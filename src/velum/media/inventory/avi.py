"""Inventory of an AVI: finds chunks that players do not need (OpenDML AVI file format extensions 1.02)."""

from collections.abc import Iterator

from velum.media.inventory.surplus import Surplus, nonzero_padding

_HEADERS = {b"avih", b"strh", b"strf", b"vprp", b"dmlh", b"indx"}
_INDEXES = {b"idx1"}
_LISTS = {b"hdrl", b"strl", b"movi", b"odml", b"rec "}
_CODES = {b"db", b"dc", b"wb", b"pc", b"tx", b"sb"}
_LARGEST_HEADER = 8192
_RESERVED = 24
"""Bytes at the start of padding that FFmpeg fills: the head of an index that it may write there later."""


def avi(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of an AVI, as a memory map or bytes, that no player needs."""
    at, streams = 0, [0]
    while at + 12 <= len(data) and data[at : at + 4] == b"RIFF":
        end = min(at + 8 + _size(data, at), len(data))
        yield from _chunks(data, at + 12, end, streams)
        at = end + end % 2
    if at < len(data):
        yield Surplus("bytes behind the end of the video", at, len(data) - at)


def _chunks(data: bytes, at: int, end: int, streams: list[int]) -> Iterator[Surplus]:
    while at + 8 <= end:
        name, size = bytes(data[at : at + 4]), _size(data, at)
        last = min(at + 8 + size, end)
        if name == b"LIST":
            kind = bytes(data[at + 8 : at + 12])
            if kind in _LISTS:
                streams[0] += kind == b"strl"
                yield from _chunks(data, at + 12, last, streams)
            elif kind == b"INFO":
                yield from _words(data, at + 12, last)
            else:
                yield Surplus(f"list {kind.decode('latin-1')!r}", at, last - at)
        elif name in {b"JUNK", b"junk", b"PAD "}:
            yield from nonzero_padding(data, min(at + 8 + _RESERVED, last), last, "a chunk for padding")
        elif name in _HEADERS:
            if size > _LARGEST_HEADER and name != b"indx":
                yield Surplus(f"a long chunk {name.decode('latin-1')!r}", at, last - at)
        elif name not in _INDEXES and not _is_sample(name, streams[0]):
            yield Surplus(f"chunk {name.decode('latin-1')!r}", at, last - at)
        at += 8 + size + size % 2


def _words(data: bytes, at: int, end: int) -> Iterator[Surplus]:
    while at + 8 <= end:
        name, size = bytes(data[at : at + 4]), _size(data, at)
        if name != b"ISFT":
            yield Surplus(f"words under {name.decode('latin-1')!r}", at, size, kind="metadata")
        at += 8 + size + size % 2


def _is_sample(name: bytes, streams: int) -> bool:
    """Tell whether a chunk holds samples, or an index of samples, of a stream that the header declares."""
    if name[:2] == b"ix":
        return name[2:].isdigit() and int(name[2:]) < streams
    return name[:2].isdigit() and int(name[:2]) < streams and name[2:] in _CODES


def _size(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 4 : at + 8], "little")
