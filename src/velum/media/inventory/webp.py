"""Inventory of a WebP: finds chunks that do not affect the image, and data behind the samples (RFC 9649)."""

import io
from collections.abc import Iterator

from PIL import Image, WebPImagePlugin

from velum.media.inventory.icc import profile_surplus
from velum.media.inventory.surplus import Surplus, nonzero_padding, reads_tail
from velum.media.inventory.tiff import exif
from velum.media.projection import is_projection_alone

_SIZES = {b"VP8X": 10, b"ANIM": 6}
_PICTURES = {b"VP8 ", b"VP8L", b"ALPH"}
_OFTEN = _PICTURES | {b"ANMF"}
_FRAME_HEAD = 16


def webp(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a WebP that no decoder needs."""
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    yield from _chunks(data, 12, end, inside=False)
    if len(data) > end:
        yield Surplus("bytes behind the end of the picture", end, len(data) - end)


def _chunks(data: bytes, at: int, end: int, *, inside: bool) -> Iterator[Surplus]:
    seen: set[bytes] = set()
    while at + 8 <= end:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        start, last = at + 8, min(at + 8 + size, end)
        if name in seen and (inside or name not in _OFTEN - _PICTURES):
            yield Surplus(f"a second chunk {name.decode('latin-1')!r}", start, size)
        elif name == b"ANMF" and not inside:
            yield from _chunks(data, start + _FRAME_HEAD, last, inside=True)
        else:
            yield from _chunk(data, name, start, last)
        seen.add(name)
        if size % 2:
            yield from nonzero_padding(data, last, last + 1, "padding")
        at += 8 + size + size % 2
    yield from nonzero_padding(data, at, end, "bytes behind the chunks")


def _chunk(data: bytes, name: bytes, start: int, end: int) -> Iterator[Surplus]:
    body = data[start:end]
    if name in _PICTURES:
        if not reads_tail(data, start, end, _decode):
            yield Surplus("bytes that decoders skip behind the coded samples", start, end - start)
    elif name in _SIZES:
        if len(body) > _SIZES[name]:
            yield Surplus(
                f"bytes at the end of chunk {name.decode()!r}", start + _SIZES[name], len(body) - _SIZES[name]
            )
    elif name == b"ICCP":
        yield from profile_surplus(body, start)
    elif name == b"EXIF":
        yield from exif(body.removeprefix(b"Exif\0\0"), start)
    elif name == b"XMP ":
        if not is_projection_alone(body):
            yield Surplus("text under 'xmp'", start, len(body), kind="metadata")
    else:
        yield Surplus(f"chunk {name.decode('latin-1')!r}", start, len(body), ordinary=name == b"C2PA")


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
