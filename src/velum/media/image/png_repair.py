"""Repair of PNGs that decoders refuse because of chunks that do not affect the image; viewers skip such chunks.

They are text of any size, and ancillary chunks with wrong checksums or lengths. Chunks: PNG, third edition, 5 and 11.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from velum.media.containers import PNG_HEAD, Part, png_chunks

_NEEDED = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP", b"pHYs", b"eXIf", b"acTL",
    b"fcTL", b"fdAT",
}  # fmt: skip
_SHOWN = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
"""Ancillary chunks that change what is shown: a damaged one is kept, so that the decoder reports it."""
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9}
_PILLOW_PROFILE_BYTES = 1 << 20
LARGEST_PROFILE_BYTES = 1 << 26
LARGEST_XMP_BYTES = 1 << 20
_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""Start of a text chunk that holds uncompressed XMP (XMP part 3, 1.1.5)."""


@dataclass(frozen=True, slots=True)
class RepairedPng:
    """A PNG of chunks that decoding needs, and what velum uses of the others.

    `profile` is a colour profile that is too large for Pillow, `xmp` the XMP of the file, b"" where it has none.
    """

    data: bytes
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    xmp: bytes = b""


def keep_needed_chunks(data: bytes) -> RepairedPng:
    """Return the file without the chunks that decoding does not need; the same object where it has none."""
    view = memoryview(data)
    parts: list[memoryview] = [view[: len(PNG_HEAD)]]
    notes: list[str] = []
    profile: bytes | None = None
    xmp = b""
    at = len(PNG_HEAD)
    for name, _, start, end, _ in _chunks(data):
        keep = name in _NEEDED or not name[0] & 0x20
        if keep and name[0] & 0x20 and name not in _SHOWN:
            keep = _is_sound(name, data, start, end)
            if name == b"iCCP":
                found = _profile(data[start:end]) if keep else None
                if found is None:
                    notes.append("the colour profile cannot be read and is left out")
                elif len(found) >= _PILLOW_PROFILE_BYTES:
                    profile = found
                keep = found is not None and profile is None
        elif name == b"iTXt" and data.startswith(_XMP, start):
            xmp = data[start + len(_XMP) : end][:LARGEST_XMP_BYTES]
        if keep:
            parts.append(view[start - 8 : end + 4])
        at = end + 4
    if sum(map(len, parts)) == at:
        return RepairedPng(data)
    return RepairedPng(b"".join([*parts, view[at:]]), tuple(notes), profile, xmp)


def is_whole(data: bytes) -> bool:
    """Tell whether every chunk of a PNG lies within the file, up to its end; OpenCV allocates what a length says."""
    last = b""
    at = len(PNG_HEAD)
    for name, _, _, end, _ in _chunks(data):
        last, at = name, end + 4
    return last == b"IEND" and at == len(data)


def _chunks(data: bytes) -> Iterator[Part[bytes]]:
    """Yield the chunks up to IEND or the first that is incomplete."""
    return takewhile(
        lambda part: not part.missing and part.end + 4 <= len(data) and part.name.isalpha(), png_chunks(data)
    )


def _is_sound(name: bytes, data: bytes, start: int, end: int) -> bool:
    if end - start != _LENGTHS.get(name, end - start):
        return False
    if name == b"eXIf" and data[start : start + 4] not in {b"II*\0", b"MM\0*"}:
        return False
    return zlib.crc32(data[start:end], zlib.crc32(name)) == int.from_bytes(data[end : end + 4])


def _profile(content: bytes) -> bytes | None:
    """Return the colour profile of a chunk `iCCP`; None where it cannot be read."""
    at = content.find(b"\0") + 1
    if at < 1 or content[at : at + 1] != b"\0":
        return None
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(content[at + 1 :], LARGEST_PROFILE_BYTES)
    except zlib.error:
        return None
    return found if found and unpacker.eof else None
