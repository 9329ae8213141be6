"""PNG: the chunks that a picture needs, without those that stop a decoder although nothing is shown of them.

Text of any size, checksums and forms of chunks that are not needed: viewers pass over them, and so does this. Chunks:
PNG, third edition, 5 and 11.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_HEAD = 8
_NEEDED = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP", b"pHYs", b"eXIf", b"acTL",
    b"fcTL", b"fdAT",
}  # fmt: skip
_SHOWN = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
"""Ancillary chunks without which another picture is seen: damage there is damage."""
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9}
_PILLOW_PROFILE_BYTES = 1 << 20
LARGEST_PROFILE_BYTES = 1 << 26
LARGEST_XMP_BYTES = 1 << 20
_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""Begin of a text that is XMP, not compressed (XMP part 3, 1.1.5)."""


@dataclass(frozen=True, slots=True)
class NeededPng:
    """A PNG of needed chunks, and what was taken out of it for velum itself.

    `profile` is a colour profile that is too large for Pillow, `xmp` what the file says in XMP, b"" for nothing.
    """

    data: bytes
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    xmp: bytes = b""


def needed(data: bytes) -> NeededPng:
    """Return the file without chunks that are not needed; the very same bytes where there are none of them."""
    view = memoryview(data)
    parts: list[memoryview] = [view[:_HEAD]]
    notes: list[str] = []
    profile: bytes | None = None
    xmp = b""
    at = _HEAD
    for name, start, end in _chunks(data):
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
        return NeededPng(data)
    return NeededPng(b"".join([*parts, view[at:]]), tuple(notes), profile, xmp)


def is_whole(data: bytes) -> bool:
    """Tell whether the chunks of a PNG fit into it, up to its end: OpenCV takes memory for what a length says."""
    last = b""
    at = _HEAD
    for name, _, end in _chunks(data):
        last, at = name, end + 4
    return last == b"IEND" and at == len(data)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk's content; stops at the picture's end, or where a chunk has none."""
    at = _HEAD
    while at + 12 <= len(data):
        start, end = at + 8, at + 8 + int.from_bytes(data[at : at + 4])
        name = data[at + 4 : start]
        if end + 4 > len(data) or not name.isalpha():
            return
        yield name, start, end
        if name == b"IEND":
            return
        at = end + 4


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
