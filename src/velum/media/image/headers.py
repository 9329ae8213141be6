"""Facts about the coding of a file that Pillow does not report, read from its bytes.

Each function takes a whole file that Pillow could open, and trusts no length in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import JpegImagePlugin

from velum.errors import BadInput
from velum.media.containers import RIFF_HEAD_BYTES, WEBP_FRAME_BYTES, png_chunks, riff_chunks
from velum.media.image.info import Jpeg

_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_GIF_TRAILER = b"\x3b"
_COLOUR_CHUNKS = {b"cHRM", b"cICP", b"gAMA", b"sRGB"}


def jpeg(image: JpegImagePlugin.JpegImageFile, data: bytes) -> Jpeg:
    """Return the coding of an opened JPEG, whose file is `data`."""
    tables = [tuple(image.quantization[component[3]]) for component in image.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    sampling = _SAMPLINGS.get(JpegImagePlugin.get_sampling(image)) if image.mode == "RGB" else None
    # Without a JFIF or Adobe marker, libjpeg goes by the components' names (jdapimin.c, default_decompress_parms).
    named = "jfif" not in image.info and [component[0] for component in image.layer] == [*b"RGB"]
    rgb = image.mode == "RGB" and (image.info.get("adobe_transform") == 0 if "adobe" in image.info else named)
    return Jpeg(tuple(tables), sampling, bool(image.info.get("progressive")), rgb, data)


@dataclass(frozen=True, slots=True)
class Png:
    """Facts from the chunks of a PNG. `colour`: the chunks (name, content) that define the colour space."""

    depth: int
    colour_type: int
    transparent: bool
    colour: tuple[tuple[bytes, bytes], ...]
    exif: bytes


def png(data: bytes) -> Png:
    """Return the facts from the chunks of a PNG (PNG, third edition, 11)."""
    chunks = {
        part.name: data[part.content : part.end] for part in png_chunks(data) if part.name not in {b"IDAT", b"fdAT"}
    }
    header = chunks.get(b"IHDR", b"").ljust(13, b"\0")
    colour = tuple((name, chunks[name]) for name in sorted(_COLOUR_CHUNKS & chunks.keys()))
    return Png(header[8], header[9], b"tRNS" in chunks, colour, chunks.get(b"eXIf", b""))


def webp_lossless(data: bytes) -> bool:
    """Tell whether every frame of a WebP is coded as VP8L (WebP container specification)."""
    kinds = set(_webp_chunks(data, RIFF_HEAD_BYTES, len(data)))
    return b"VP8L" in kinds and b"VP8 " not in kinds


def _webp_chunks(data: bytes, at: int, end: int) -> Iterator[bytes]:
    """Yield the names of chunks, also of those inside frames."""
    for chunk in riff_chunks(data, at, end):
        if chunk.name == b"ANMF":
            yield from _webp_chunks(data, chunk.content + WEBP_FRAME_BYTES, chunk.end)
        else:
            yield chunk.name


@dataclass(frozen=True, slots=True)
class Jpeg2000:
    """Coding of a JPEG 2000: bits of each component (negative when signed), whether it is lossless, has a profile."""

    bits: tuple[int, ...]
    reversible: bool
    profile: bool


def jpeg2000(data: bytes) -> Jpeg2000:
    """Return the coding of a JPEG 2000 (ISO/IEC 15444-1, A.5.1 SIZ and A.6.1 COD)."""
    start = data.find(b"\xff\x4f\xff\x51")
    count = int.from_bytes(data[start + 40 : start + 42])
    sizes = data[start + 42 : start + 42 + 3 * count : 3]
    bits = tuple(-((size & 0x7F) + 1) if size & 0x80 else (size & 0x7F) + 1 for size in sizes)
    cod = data.find(b"\xff\x52", start)
    reversible = cod >= 0 and data[cod + 13 : cod + 14] == b"\x01"
    # A colour specification box with method 2 holds an ICC profile (I.5.3.3).
    return Jpeg2000(bits, reversible, b"colr\x02" in data[: max(start, 0)])


def gif_frames(data: bytes, name: str) -> int:
    """Return the number of frames in a GIF (GIF89a). Raises `BadInput` when the file ends before its trailer."""
    frames, end = _gif_end(data)
    if data[end : end + 1] == _GIF_TRAILER:
        return frames
    raise BadInput(f"{name} is truncated or damaged: the GIF has no end after frame {frames}; copy the file again")


def gif_with_end(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a GIF with its trailer, and a note for the report where that was added."""
    frames, end = _gif_end(data)
    if not frames or end != len(data):
        return data, ()
    missing = "" if frames == 1 else "; whether more pictures should follow cannot be told"
    return data + _GIF_TRAILER, (f"the file has no end mark; all of its last picture is there{missing}",)


def _gif_end(data: bytes) -> tuple[int, int]:
    """Return the number of frames, and the offset where blocks end: at the trailer, the file's end, or damage."""
    at, frames = 13 + _gif_table(data[10:11]), 0
    while at < len(data):
        match data[at]:
            case 0x21:
                at = _gif_skip(data, at + 2)
            case 0x2C:
                frames += 1
                at = _gif_skip(data, at + 11 + _gif_table(data[at + 9 : at + 10]))
            case _:
                break
    return frames, at


def _gif_table(flags: Sequence[int]) -> int:
    """Return the size in bytes of the colour table that a byte of flags announces."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _gif_skip(data: bytes, at: int) -> int:
    """Return the offset behind a chain of sub-blocks."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
