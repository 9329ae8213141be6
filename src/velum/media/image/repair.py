"""Preparation of a file for decoders: refuses camera raw files, and removes parts at which decoders fail needlessly.

Decoders find only a thumbnail in a raw file. Tags: TIFF/EP (ISO 12234-2), DNG 1.7; compressions: those of cameras.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from velum.errors import BadInput
from velum.media.image import bmp_masks, headers, jpeg_repair, png_repair, tiff_directories, webp_repair
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
    """A file as decoders get it: its bytes, notes for the report, and what was taken out of it.

    `profile` is a colour profile that is too large for Pillow, `xmp` the XMP of a PNG.
    """

    data: bytes
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    xmp: bytes = b""


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
            png = png_repair.keep_needed_chunks(data)
            return Readable(png.data, png.notes, png.profile, png.xmp)
        case "TIFF":
            return Readable(*tiff_directories.full_pictures(data))
        case "JPEG":
            return Readable(*jpeg_repair.without_malformed_segments(data))
        case "WEBP":
            return Readable(webp_repair.repair_webp(data))
        case "GIF":
            return Readable(*headers.gif_with_end(data))
        case "BMP":
            return Readable(*_add_source(bmp_masks.plain, data, source))
    return Readable(data)


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
