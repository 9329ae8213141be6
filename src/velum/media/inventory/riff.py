"""Inventory of a WebP (RFC 9649) and an AVI (OpenDML AVI 1.02).

Finds chunks that decoders do not need, and data after samples.
"""

import io
from collections.abc import Iterator
from itertools import takewhile

from PIL import Image, WebPImagePlugin

from velum.media.containers import RIFF_HEAD_BYTES, WEBP_FRAME_BYTES, Part, riff_chunks
from velum.media.inventory.surplus import Surplus, nonzero_padding, profile_surplus, reads_tail
from velum.media.inventory.tiff import exif
from velum.media.projection import is_projection_alone

_SIZES = {b"VP8X": 10, b"ANIM": 6}
_PICTURES = {b"VP8 ", b"VP8L", b"ALPH"}
_OFTEN = _PICTURES | {b"ANMF"}


def webp(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a WebP that no decoder needs."""
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    yield from _chunks(data, RIFF_HEAD_BYTES, end, inside=False)
    if len(data) > end:
        yield Surplus("bytes after the end of the image", end, len(data) - end)


def _chunks(data: bytes, at: int, end: int, *, inside: bool) -> Iterator[Surplus]:
    seen: set[bytes] = set()
    for chunk in riff_chunks(data, at, end):
        if chunk.name in seen and (inside or chunk.name not in _OFTEN - _PICTURES):
            yield Surplus(f"a second chunk {chunk.quoted_name}", chunk.content, chunk.end - chunk.content)
        elif chunk.name == b"ANMF" and not inside:
            yield from _chunks(data, chunk.content + WEBP_FRAME_BYTES, chunk.end, inside=True)
        else:
            yield from _surplus_of_chunk(data, chunk)
        seen.add(chunk.name)
        at = chunk.end + (chunk.end - chunk.content) % 2
    yield from nonzero_padding(data, at, end, "bytes after the chunks")


def _surplus_of_chunk(data: bytes, chunk: Part[bytes]) -> Iterator[Surplus]:
    name, start, end = chunk.name, chunk.content, chunk.end
    body = data[start:end]
    if name in _PICTURES:
        if not reads_tail(data, start, end, _decode):
            yield Surplus("bytes that decoders skip after the coded samples", start, end - start)
    elif name in _SIZES:
        if len(body) > _SIZES[name]:
            yield Surplus(
                f"bytes at the end of chunk {chunk.quoted_name}", start + _SIZES[name], len(body) - _SIZES[name]
            )
    elif name == b"ICCP":
        yield from profile_surplus(body, start)
    elif name == b"EXIF":
        yield from exif(body.removeprefix(b"Exif\0\0"), start)
    elif name == b"XMP ":
        if not is_projection_alone(body):
            yield Surplus("text under 'xmp'", start, len(body), kind="metadata")
    else:
        yield Surplus(f"chunk {chunk.quoted_name}", start, len(body), ordinary=name == b"C2PA")


def _decode(data: bytes) -> bytes | None:
    try:
        with WebPImagePlugin.WebPImageFile(io.BytesIO(data)) as image:
            frames = bytearray()
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                frames += image.tobytes()
            return bytes(frames)
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError):
        return None


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
        yield from _avi_chunks(data, riff.content + 4, riff.end, streams)
        at = riff.end + riff.end % 2
    if at < len(data):
        yield Surplus("bytes after the end of the video", at, len(data) - at)


def _avi_chunks(data: bytes, at: int, end: int, streams: list[int]) -> Iterator[Surplus]:
    for chunk in riff_chunks(data, at, end):
        size = chunk.end - chunk.start
        if chunk.name == b"LIST":
            kind = bytes(data[chunk.content : chunk.content + 4])
            if kind in _LISTS:
                streams[0] += kind == b"strl"
                yield from _avi_chunks(data, chunk.content + 4, chunk.end, streams)
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
            yield Surplus(f"text under {word.quoted_name}", word.start, word.end - word.content, kind="metadata")


def _is_sample(name: bytes, streams: int) -> bool:
    """Tell whether a chunk holds samples, or an index of samples, of a stream that the header declares."""
    if name[:2] == b"ix":
        return name[2:].isdigit() and int(name[2:]) < streams
    return name[:2].isdigit() and int(name[:2]) < streams and name[2:] in _CODES
