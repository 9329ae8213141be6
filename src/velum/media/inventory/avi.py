"""Inventory of an AVI: finds chunks that players do not need (OpenDML AVI file format extensions 1.02)."""

from collections.abc import Iterator
from itertools import takewhile

from velum.media.containers import riff_chunks
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
    for riff in takewhile(lambda chunk: chunk.name == b"RIFF", riff_chunks(data, 0, len(data))):
        yield from _chunks(data, riff.content + 4, riff.end, streams)
        at = riff.end + riff.end % 2
    if at < len(data):
        yield Surplus("bytes behind the end of the video", at, len(data) - at)


def _chunks(data: bytes, at: int, end: int, streams: list[int]) -> Iterator[Surplus]:
    for chunk in riff_chunks(data, at, end):
        size = chunk.end - chunk.start
        if chunk.name == b"LIST":
            kind = bytes(data[chunk.content : chunk.content + 4])
            if kind in _LISTS:
                streams[0] += kind == b"strl"
                yield from _chunks(data, chunk.content + 4, chunk.end, streams)
            elif kind == b"INFO":
                yield from _words(data, chunk.content + 4, chunk.end)
            else:
                yield Surplus(f"list {kind.decode('latin-1')!r}", chunk.start, size)
        elif chunk.name in {b"JUNK", b"junk", b"PAD "}:
            start = min(chunk.content + _RESERVED, chunk.end)
            yield from nonzero_padding(data, start, chunk.end, "a chunk for padding")
        elif chunk.name in _HEADERS:
            if size + chunk.missing > _LARGEST_HEADER + 8 and chunk.name != b"indx":
                yield Surplus(f"a long chunk {chunk.quoted_name}", chunk.start, size)
        elif chunk.name not in _INDEXES and not _is_sample(chunk.name, streams[0]):
            yield Surplus(f"chunk {chunk.quoted_name}", chunk.start, size)


def _words(data: bytes, at: int, end: int) -> Iterator[Surplus]:
    for word in riff_chunks(data, at, end):
        if word.name != b"ISFT":
            yield Surplus(f"words under {word.quoted_name}", word.start, word.end - word.content, kind="metadata")


def _is_sample(name: bytes, streams: int) -> bool:
    """Tell whether a chunk holds samples, or an index of samples, of a stream that the header declares."""
    if name[:2] == b"ix":
        return name[2:].isdigit() and int(name[2:]) < streams
    return name[:2].isdigit() and int(name[:2]) < streams and name[2:] in _CODES
