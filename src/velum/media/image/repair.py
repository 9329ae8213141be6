"""Repair before decoding: the file without parts at which decoders fail although they do not affect the image."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from velum.errors import BadInput
from velum.media.image import bmp_masks, headers, jpeg_repair, png_repair, tiff_directories, webp_repair
from velum.media.image.camera_raw import raw_kind


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
