"""Inventory of a WebP: finds chunks that do not affect the image, and data behind the samples (RFC 9649)."""

import io
from collections.abc import Iterator

from PIL import Image, WebPImagePlugin

from velum.media.containers import RIFF_HEAD_BYTES, WEBP_FRAME_BYTES, Part, riff_chunks
from velum.media.inventory.icc import profile_surplus
from velum.media.inventory.surplus import Surplus, nonzero_padding, reads_tail
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
        yield Surplus("bytes behind the end of the picture", end, len(data) - end)


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
    yield from nonzero_padding(data, at, end, "bytes behind the chunks")


def _surplus_of_chunk(data: bytes, chunk: Part[bytes]) -> Iterator[Surplus]:
    name, start, end = chunk.name, chunk.content, chunk.end
    body = data[start:end]
    if name in _PICTURES:
        if not reads_tail(data, start, end, _decode):
            yield Surplus("bytes that decoders skip behind the coded samples", start, end - start)
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
