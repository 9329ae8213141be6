"""Inventory of a PNG: finds chunks that do not affect the image, oversized ones, and data after the samples.

Chunks: PNG, third edition, 11 and 12 (animations); C2PA 2.1, A.3.2.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from velum.media.containers import PNG_HEAD, png_chunks
from velum.media.inventory.surplus import Surplus, profile_surplus
from velum.media.inventory.tiff import exif
from velum.media.projection import is_projection_alone

_SIZES = {
    b"IHDR": 13, b"IEND": 0, b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8,
    b"acTL": 8, b"fcTL": 26, b"PLTE": 768, b"tRNS": 256, b"sBIT": 4, b"bKGD": 6, b"oFFs": 9,
}  # fmt: skip
"""Most bytes of a chunk, by name."""
_TEXTS = {b"tEXt", b"zTXt", b"iTXt", b"tIME"}
_XMP_HEAD = b"XML:com.adobe.xmp" + bytes(5)
_OFTEN = {b"IDAT", b"fdAT", b"fcTL"}
_COLOUR_TYPE = 25
"""Offset of the colour type in a PNG."""
_TRUE_COLOURS = {2, 6}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, and steps of both, of Adam7."""
_PIECE = 1 << 20
_LARGEST_PROFILE = 64 << 20


@dataclass(slots=True)
class _Samples:
    """Running count of one frame's samples, which are decompressed chunk by chunk."""

    expected: int
    inflate: "zlib._Decompress" = field(default_factory=zlib.decompressobj)
    size: int = 0
    reported: bool = False

    def take(self, part: bytes) -> int:
        """Add a chunk; return how many of its bytes lie behind the end of the compressed samples."""
        if self.inflate.eof:
            return len(part)
        while part:
            self.size += len(self.inflate.decompress(part, _PIECE))
            part = self.inflate.unconsumed_tail
        return len(self.inflate.unused_data)


@dataclass(slots=True)
class _Walk:
    data: bytes
    seen: set[bytes] = field(default_factory=set)
    frames: int = 0
    announced: int = 0
    size: tuple[int, int] = (0, 0)
    """Columns and rows of the frame whose samples come next."""
    samples: _Samples | None = None

    def chunk(self, name: bytes, at: int, body: bytes) -> Iterator[Surplus]:
        """Add a chunk, and yield its bytes that no decoder needs."""
        if name in self.seen and name not in _OFTEN and name not in _TEXTS:
            yield Surplus(f"a second chunk {_quote(name)}", at, len(body))
        elif name == b"PLTE" and self.data[_COLOUR_TYPE] in _TRUE_COLOURS:
            yield Surplus("a palette that no sample uses", at, len(body))
        elif name in {b"IDAT", b"fdAT"}:
            yield from self._take_samples(name, at, body)
        else:
            yield from _content(name, at, body)
        self.seen.add(name)
        if name == b"acTL":
            self.announced = int.from_bytes(body[:4])
        elif name in {b"IHDR", b"fcTL"}:
            place = 0 if name == b"IHDR" else 4
            self.size = int.from_bytes(body[place : place + 4]), int.from_bytes(body[place + 4 : place + 8])
            self.samples = None
        if name == b"fcTL":
            self.frames += 1
            if self.frames > self.announced:
                yield Surplus("an image that the animation does not count", at, len(body), kind="picture")

    def _take_samples(self, name: bytes, at: int, body: bytes) -> Iterator[Surplus]:
        skipped = 4 if name == b"fdAT" else 0
        if self.samples is None:
            self.samples = _Samples(_bytes_of(self.data, self.size))
        try:
            behind = self.samples.take(body[skipped:])
        except zlib.error:
            yield Surplus("samples that cannot be read", at, len(body))
            return
        if behind:
            yield Surplus("bytes after the end of the samples", at + len(body) - behind, behind)
        if (more := self.samples.size - self.samples.expected) > 0 and not self.samples.reported:
            self.samples.reported = True
            yield Surplus("more samples than the image has", at, more)


def png(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a PNG that no decoder needs."""
    at, walk = len(PNG_HEAD), _Walk(data)
    for chunk in png_chunks(data):
        yield from walk.chunk(chunk.name, chunk.content, data[chunk.content : chunk.end])
        at = chunk.end + 4
    if at < len(data):
        yield Surplus("bytes after the end of the image", at, len(data) - at)


def _content(name: bytes, at: int, body: bytes) -> Iterator[Surplus]:
    if name in _SIZES:
        if len(body) > _SIZES[name]:
            yield Surplus(f"bytes at the end of chunk {_quote(name)}", at + _SIZES[name], len(body) - _SIZES[name])
    elif name == b"eXIf":
        yield from exif(body.removeprefix(b"Exif\0\0"), at)
    elif name == b"iCCP":
        yield from _profile(at, body)
    elif name in _TEXTS:
        if body and not (body.startswith(_XMP_HEAD) and is_projection_alone(body[len(_XMP_HEAD) :])):
            word = body.partition(b"\0")[0][:40].decode("latin-1") if name != b"tIME" else "tIME"
            yield Surplus(f"text under {word!r}", at, len(body), kind="metadata")
    else:
        yield Surplus(f"chunk {_quote(name)}", at, len(body), ordinary=name == b"caBX")


def _profile(at: int, body: bytes) -> Iterator[Surplus]:
    name, _, packed = body.partition(b"\0")
    start = at + len(name) + 2
    profile = profile_of(body)
    if profile is None:
        yield Surplus("a colour profile that cannot be read", at, len(body))
        return
    content, behind = profile
    if behind:
        yield Surplus("bytes after the end of the colour profile", start + len(packed) - 1 - behind, behind)
    yield from profile_surplus(content, start)


def profile_of(body: bytes) -> tuple[bytes, int] | None:
    """Return the profile in a chunk `iCCP`, and how many bytes lie behind it; None when it cannot be read."""
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(body.partition(b"\0")[2][1:], _LARGEST_PROFILE)
    except zlib.error:
        return None
    return content, len(inflate.unused_data)


def _bytes_of(data: bytes, size: tuple[int, int]) -> int:
    """Return the number of bytes of a frame's uncompressed samples, with the filter byte of each row."""
    bits = data[24] * _CHANNELS.get(data[25], 4)
    columns, rows = size
    if not data[28]:
        return rows * (1 + -(-columns * bits // 8))
    total = 0
    for x, y, across, down in _PASSES:
        wide, high = -(-(columns - x) // across), -(-(rows - y) // down)
        total += high * (1 + -(-wide * bits // 8)) if wide > 0 and high > 0 else 0
    return total


def _quote(name: bytes) -> str:
    return repr(name.decode("latin-1"))
