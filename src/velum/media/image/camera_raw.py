"""Detection of camera raw files by content. velum refuses them, because Pillow decodes only their thumbnail.

Tags: TIFF/EP (ISO 12234-2), DNG 1.7; compressions: those that cameras use.
"""

from collections.abc import Iterable

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
