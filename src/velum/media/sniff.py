"""What kind of image some bytes are: decided by their content, never by a file's name."""

from pathlib import Path

from velum.errors import BadInput, BadPlan

SUFFIXES = {
    ".avif": "AVIF", ".bmp": "BMP", ".gif": "GIF", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF",
    ".j2c": "JPEG2000", ".j2k": "JPEG2000", ".jfif": "JPEG", ".jp2": "JPEG2000", ".jpe": "JPEG", ".jpeg": "JPEG",
    ".jpg": "JPEG", ".jpx": "JPEG2000", ".png": "PNG", ".apng": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP",
}  # fmt: skip
"""Format of a file's suffix, in lower case."""

FORMATS = tuple(sorted(set(SUFFIXES.values())))

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"BM", "BMP"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}


def is_image(path: Path) -> bool:
    """Tell whether the name looks like that of an image velum can read; for choosing files of a folder."""
    return path.suffix.lower() in SUFFIXES


def format_of(data: bytes, what: str) -> str:
    """Return the format of an image file's bytes. Raises `BadInput` naming `what` when it is none that velum reads."""
    for start, name in _STARTS:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # ISO/IEC 14496-12, 4.3: a box of type ftyp holds a major brand, a version and the compatible brands.
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4]), 256), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    raise BadInput(f"{what} is of an unknown kind; supported are {', '.join(FORMATS)}")


def format_for(target: Path) -> str:
    """Return the format that the target's suffix asks for. Raises `BadPlan` listing the known ones."""
    try:
        return SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise BadPlan(
            f"cannot tell the format of {target} from its suffix {target.suffix!r}; allowed are {', '.join(SUFFIXES)}"
        ) from None
