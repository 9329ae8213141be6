"""Prepares a file for decoders: refuses camera raw files, and removes parts at which decoders fail needlessly.

Decoders find only a thumbnail in a raw file. Tags: TIFF/EP (ISO 12234-2), DNG 1.7; compressions: those of cameras.
PNG (third edition, 5 and 11): text of any size, ancillary chunks with wrong checksums or lengths, which viewers skip.
WebP (RFC 9649, 2.7): metadata that is cut off, or a RIFF size that is wrong, although the image is complete.
"""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from velum.errors import BadInput
from velum.media.containers import PNG_HEAD, RIFF_HEAD_BYTES, Part, png_chunks, riff_chunks
from velum.media.image import bmp_masks, headers, jpeg_repair, tiff_directories
from velum.media.image.tiff_directories import Tiff, TiffDirectory

_SIGNATURES = (
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (0, b"FOVb", "X3F"),
    (0, b"\0MRM", "MRW"),
    (6, b"HEAPCCDR", "CRW"),
    (4, b"ftypcrx ", "CR3"),
)
_ARCHIVES = ((b"Rar!\x1a\x07", "RAR"), (b"7z\xbc\xaf\x27\x1c\0", "7z"))
_TIFF = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_MAKERS = {
    "canon": "CR2", "eastman kodak": "DCR", "epson": "ERF", "seiko epson": "ERF", "hasselblad": "3FR", "kodak": "DCR",
    "leaf": "MOS", "leica": "RWL", "mamiya": "MEF", "nikon": "NEF", "olympus": "ORF", "panasonic": "RW2",
    "pentax": "PEF", "phase one": "IIQ", "ricoh": "PEF", "samsung": "SRW", "sony": "ARW",
}  # fmt: skip
_MAKE, _COMPRESSION, _PHOTOMETRIC, _DNG_VERSION = 271, 259, 262, 50706
_RAW_PHOTOMETRIC = {32803, 34892}
"""Photometric interpretations: colour filter array, linear raw."""
_RAW_COMPRESSIONS = {32767, 32769, 32770, 34713, 34892, 65000, 65535}
"""Compressions: Sony, Epson, Samsung, Nikon, lossy DNG, Kodak, Pentax."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A file as decoders get it: its bytes, notes for the report, and parts that were removed from it.

    `profile` is a colour profile that is too large for Pillow, `xmp` the XMP of a PNG, b"" where it has none.
    """

    data: bytes
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    xmp: bytes = b""


def archive_notes(data: bytes) -> tuple[str, ...]:
    """Return a note for the report when an image file is an archive as well: people hide files that way."""
    kind = next((name for start, name in _ARCHIVES if start in data), None)
    if kind is None and b"PK\3\4" in data and zipfile.is_zipfile(io.BytesIO(data)):
        kind = "ZIP"
    return () if kind is None else (f"the file also holds a {kind} archive, which was left out",)


def refuse_raw(data: bytes, source: Path) -> None:
    """Raise `BadInput`, naming its format, for a raw photograph: decoders find only a thumbnail in it."""
    kind = raw_kind(data)
    if kind is not None:
        article = "an" if kind[0] in "AEFHILMNORSX" else "a"  # as the letters are spoken
        name = "a raw photograph" if kind == "raw photograph" else f"{article} {kind}, a raw photograph"
        raise BadInput(f"cannot read {source}: it is {name}; develop it first, into a JPEG or TIFF")


def keep_decodable(data: bytes, format: str, source: Path) -> Readable:
    """Return the file as decoders of `format` accept it. Raises `BadInput` for a BMP that they cannot read."""
    match format:
        case "PNG":
            return keep_needed_chunks(data)
        case "TIFF":
            return Readable(*tiff_directories.full_pictures(data))
        case "JPEG":
            return Readable(*jpeg_repair.without_malformed_segments(data))
        case "WEBP":
            return Readable(repair_webp(data))
        case "GIF":
            return Readable(*headers.gif_with_end(data))
        case "BMP":
            return Readable(*_add_source(bmp_masks.plain, data, source))
    return Readable(data)


def further_picture_notes(data: bytes, format: str, source: Path) -> tuple[str, ...]:
    """Return a note for the report when a JPEG is followed by another one. Raises `BadInput` for a stream of them."""
    if format != "JPEG":
        return ()
    return _add_source(lambda data: (data, jpeg_repair.further_picture_notes(data)), data, source)[1]


def with_end(data: bytes, format: str, source: Path) -> tuple[bytes, tuple[str, ...]]:
    """Return the file with its end-of-image marker, and a note for the report where that was added.

    Check the limits before: a JPEG without the marker is decoded. Raises `BadInput` when samples are missing.
    """
    return _add_source(jpeg_repair.with_end, data, source) if format == "JPEG" else (data, ())


def _add_source(
    read: Callable[[bytes], tuple[bytes, tuple[str, ...]]], data: bytes, source: Path
) -> tuple[bytes, tuple[str, ...]]:
    try:
        return read(data)
    except BadInput as error:
        raise BadInput(f"cannot read {source}: {error}") from error


def raw_kind(data: bytes) -> str | None:
    """Return the name of a camera raw format, such as `DNG` or `NEF`; None when the file is not a raw photograph."""
    for at, signature, name in _SIGNATURES:
        if data.startswith(signature, at):
            return name
    if data[:4] not in _TIFF:
        return None
    if data[8:10] == b"CR":
        return "CR2"
    tiff = Tiff(data)
    directories = [directory for page in tiff.pages() for directory in (page, *tiff.inside(page))]
    if any(_DNG_VERSION in directory.entries for directory in directories):
        return "DNG"
    return _name_by_maker(tiff, directories) if any(_is_raw(tiff, directory) for directory in directories) else None


def _is_raw(tiff: Tiff, directory: TiffDirectory) -> bool:
    photometric, compression = (tiff.number(directory, tag) for tag in (_PHOTOMETRIC, _COMPRESSION))
    return photometric in _RAW_PHOTOMETRIC or compression in _RAW_COMPRESSIONS


def _name_by_maker(tiff: Tiff, directories: Iterable[TiffDirectory]) -> str:
    makes = [tiff.text(directory, _MAKE).lower() for directory in directories]
    return next((name for make in makes for maker, name in _MAKERS.items() if make.startswith(maker)), "raw photograph")


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


def keep_needed_chunks(data: bytes) -> Readable:
    """Return a PNG without the chunks that decoding does not need; the same bytes where it has none."""
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
                chunk_profile = _profile(data[start:end]) if keep else None
                if chunk_profile is None:
                    notes.append("the colour profile cannot be read and is left out")
                elif len(chunk_profile) >= _PILLOW_PROFILE_BYTES:
                    profile = chunk_profile
                keep = chunk_profile is not None and profile is None
        elif name == b"iTXt" and data.startswith(_XMP, start):
            xmp = data[start + len(_XMP) : end][:LARGEST_XMP_BYTES]
        if keep:
            parts.append(view[start - 8 : end + 4])
        at = end + 4
    if sum(map(len, parts)) == at:
        return Readable(data)
    return Readable(b"".join([*parts, view[at:]]), tuple(notes), profile, xmp)


def is_whole(data: bytes) -> bool:
    """Tell whether every chunk of a PNG lies within the file, up to its end; OpenCV allocates memory for any length."""
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
        profile = unpacker.decompress(content[at + 1 :], LARGEST_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if profile and unpacker.eof else None


_WEBP_SHOWN = {b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"}
_WEBP_METADATA = {b"EXIF": 0x08, b"XMP ": 0x04}
"""Chunks of metadata, and the flag that announces each (2.7.1)."""


def repair_webp(data: bytes) -> bytes:
    """Return a WebP of complete chunks; `data` itself where it needs no repair or a chunk of the image is truncated."""
    length, chunks = int.from_bytes(data[4:8], "little"), list(_webp_chunks(data))
    end = _padded_end(chunks[-1]) if chunks else 0
    if not chunks or (length + 8 == len(data) == end) or (length + 8 == end <= len(data)):
        return data
    if any(chunk.name in _WEBP_SHOWN and _padded_end(chunk) > len(data) for chunk in chunks):
        return data
    needed = [
        (chunk.name, data[chunk.start : chunk.end])
        for chunk in chunks
        if not chunk.missing and (chunk.name in _WEBP_SHOWN or chunk.name in _WEBP_METADATA)
    ]
    lost = sum(flag for name, flag in _WEBP_METADATA.items() if name not in {chunk_name for chunk_name, _ in needed})
    body = b"".join(_clear_missing_flags(name, chunk, lost) + b"\0" * (len(chunk) % 2) for name, chunk in needed)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _clear_missing_flags(name: bytes, chunk: bytes, lost: int) -> bytes:
    """Return the chunk `VP8X` without the flags of metadata chunks that were left out; other chunks unchanged."""
    return chunk[:8] + bytes((chunk[8] & ~lost,)) + chunk[9:] if name == b"VP8X" and len(chunk) > 8 else chunk


def _webp_chunks(data: bytes) -> Iterator[Part[bytes]]:
    names = _WEBP_SHOWN | _WEBP_METADATA.keys()
    chunks = riff_chunks(data, RIFF_HEAD_BYTES, len(data))
    return takewhile(lambda chunk: chunk.name in names or chunk.name.isalnum(), chunks)


def _padded_end(chunk: Part[bytes]) -> int:
    """Return the offset behind a chunk and its padding, which may be behind the end of the file."""
    end = chunk.end + chunk.missing
    return end + (end - chunk.content) % 2
