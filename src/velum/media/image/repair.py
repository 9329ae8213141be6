"""The bytes that decoders get: those of the file, without what would stop them although nothing is shown of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from velum.errors import BadInput
from velum.media.image import bmp_masks, headers, jpeg_repair, png_repair, tiff_directories, webp_repair
from velum.media.image.camera_raw import raw_kind


@dataclass(frozen=True, slots=True)
class Readable:
    """A file for decoders: its bytes, what to say of it, and what of it decoders are not given.

    `profile` is a colour profile that they find too large, `xmp` the XMP of a PNG.
    """

    data: bytes
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    xmp: bytes = b""


def refuse_raw(data: bytes, source: Path) -> None:
    """Raise `BadInput` for a raw photograph, by its name: what decoders see in it is a thumbnail."""
    kind = raw_kind(data)
    if kind is not None:
        article = "an" if kind[0] in "AEFHILMNORSX" else "a"  # as the letters are spoken
        name = "a raw photograph" if kind == "raw photograph" else f"{article} {kind}, a raw photograph"
        raise BadInput(f"cannot read {source}: it is {name}; develop it first, into a JPEG or TIFF")


def readable(data: bytes, format: str, source: Path) -> Readable:
    """Return what decoders of `format` are to read. Raises `BadInput` for what they could not."""
    match format:
        case "PNG":
            png = png_repair.needed(data)
            return Readable(png.data, png.notes, png.profile, png.xmp)
        case "TIFF":
            return Readable(*tiff_directories.full_pictures(data))
        case "JPEG":
            return Readable(*jpeg_repair.without_malformed_segments(data))
        case "WEBP":
            return Readable(webp_repair.mended(data))
        case "GIF":
            return Readable(*headers.gif_with_end(data))
        case "BMP":
            return Readable(*_named(bmp_masks.plain, data, source))
    return Readable(data)


def with_end(data: bytes, format: str, source: Path) -> tuple[bytes, tuple[str, ...]]:
    """Return the file with its end mark, and what to say where it had none. It must be within the limits.

    Raises `BadInput` when a part of the picture is missing.
    """
    return _named(jpeg_repair.with_end, data, source) if format == "JPEG" else (data, ())


def _named(
    read: Callable[[bytes], tuple[bytes, tuple[str, ...]]], data: bytes, source: Path
) -> tuple[bytes, tuple[str, ...]]:
    try:
        return read(data)
    except BadInput as error:
        raise BadInput(f"cannot read {source}: {error}") from error
