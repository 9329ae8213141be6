"""Probe of an image before its pixels are decoded: how to read it, how to write it back, or why velum refuses it."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ExifTags import Base

from velum.errors import BadInput, Unavailable
from velum.frame import Role
from velum.media.image import exif_tags, headers
from velum.media.image.info import ImageFormat, ImagePage
from velum.media.image.palette import SIZE, Palette
from velum.media.inventory.surplus import trim_profile

# Plugin classes and not `Image.open`: that function applies Pillow's own limit of pixels for the whole process, tries
# formats that velum does not read, and opens the further images of a JPEG.
_CLASSES: dict[str, type[ImageFile.ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
_ROLES = {
    "1": Role.GREY, "L": Role.GREY, "I;16": Role.GREY, "LA": Role.GREY_ALPHA, "RGB": Role.RGB, "RGBA": Role.RGBA,
    "CMYK": Role.CMYK, "RGB;deep": Role.RGB, "RGBA;deep": Role.RGBA, "LA;deep": Role.GREY_ALPHA,
    "L;deep": Role.GREY,
}  # fmt: skip
_ANIMATED = {"AVIF", "GIF", "PNG", "WEBP"}
_USUAL = ({1, 2, 5, 6}, {1, 2, 6, 13, 14, 15})
"""Colour primaries and transfers (ITU-T H.273) that programs show as sRGB: its own, those of video, unspecified."""
_WITH_KEY = {"1": "LA", "L": "LA", "RGB": "RGBA"}


def open_header(format: str, data: bytes) -> ImageFile.ImageFile:
    """Return Pillow's image of the file: header parsed, pixels not decoded.

    Raises Pillow's exceptions, and `Unavailable` for HEIF when pillow-heif is not installed.
    """
    if format != "HEIF":
        return _CLASSES[format](io.BytesIO(data))
    try:
        import pillow_heif  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise Unavailable(
            f"HEIF needs a library that is not installed ({error}); pip install 'velum-anonymizer[heif]'"
        ) from error
    image: ImageFile.ImageFile = pillow_heif.HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]  # the package has no types
    return image


def probe_file(
    image: ImageFile.ImageFile, data: bytes, format: str, frames: int, source: Path, profile: bytes | None = None
) -> ImageFormat:
    """Return how to write the file back. Raises `BadInput` when it has what velum could not write back unchanged.

    `frames` is their number, `profile` the colour profile where Pillow was not given it.
    """
    animated = frames > 1 and format in _ANIMATED
    first, _ = probe_page(image, data, source, animated=animated, profile=profile)
    exif, orientation = _exif(image, data, format)
    facts: dict[str, Any] = {"notes": _notes(image, animated=animated)}
    match format:
        case "JPEG":
            assert isinstance(image, JpegImagePlugin.JpegImageFile)  # noqa: S101 - its format says so
            facts |= {"jpeg": headers.jpeg(image, data), "lossless": False}
        case "PNG":
            facts |= {"colour": headers.png(data).colour, "default_image": bool(image.info.get("default_image"))}
        case "WEBP":
            facts |= {"lossless": headers.webp_lossless(data)}
        case "AVIF":
            coded = headers.avif(data, sequence=animated)
            facts |= {"chroma": coded.chroma, "lossless": False, "colour": _cicp(coded.colour, first)}
        case "HEIF":
            facts |= {"chroma": _format_sampling(image.info.get("chroma")), "lossless": False}
            facts |= {"colour": _cicp(_nclx(image.info.get("nclx_profile")), first)}
        case "JPEG2000":
            facts |= {"lossless": headers.jpeg2000_lossless(data)}
        case "TIFF":
            facts |= {"lossless": first.compression not in {"jpeg", "tiff_jpeg", "webp"}}
        case "GIF" if headers.gif_frames(data, str(source)) != frames:
            raise BadInput(f"{source} is damaged: not all pictures of the GIF can be read; copy the file again")
    loop = image.info.get("loop") if animated else None
    return ImageFormat(first, orientation, animated=animated, loop=loop, kept=exif_tags.keepable(exif), **facts)


def probe_page(
    image: ImageFile.ImageFile, data: bytes, source: Path, *, animated: bool, profile: bytes | None = None
) -> tuple[ImagePage, str]:
    """Return the page of the current frame, and the mode of its samples.

    The mode is one of Pillow's, or ends in `;deep` for 16 bits per channel, which Pillow cannot hold. `profile` is the
    colour profile where Pillow was not given it. Raises `BadInput` when velum could not write these samples back.
    """
    depth = _depth(image, data, animated=animated)
    mode = _mode(image, data, source, animated=animated, depth=depth)
    icc, dpi = trim_profile(profile or image.info.get("icc_profile") or b""), _dpi(image.info.get("dpi"))
    compression = image.info.get("compression") if image.format == "TIFF" else None
    if mode == "P":
        palette = _palette(image)
        return ImagePage(palette.role, palette=palette, compression=compression, icc=icc, dpi=dpi), mode
    bits = 16 if mode == "I;16" or mode.endswith(";deep") else 8
    return ImagePage(_ROLES[mode], bits, mode == "1", compression=compression, icc=icc, dpi=dpi, depth=depth), mode


def _depth(image: ImageFile.ImageFile, data: bytes, *, animated: bool) -> int | None:
    """Return the bits per sample of an AVIF or HEIF that has more than 8, None for all others."""
    if image.format == "AVIF":
        bits = headers.avif(data, sequence=animated).depth
    else:
        bits = int(image.info.get("bit_depth", 8)) if image.format == "HEIF" else 8
    return bits if bits > 8 else None


def _mode(image: ImageFile.ImageFile, data: bytes, source: Path, *, animated: bool, depth: int | None) -> str:
    if depth and animated:
        raise _refusal(source, f"{depth} bits per sample in an animation", "animations of 8")
    if depth:
        return f"{'L' if image.mode == 'I;16' else image.mode};deep"
    if _is_deep(image, data, source, animated=animated):
        # Pillow opens 16-bit grey with alpha as RGBA.
        grey = image.format == "PNG" and headers.png(data).colour_type == 4
        return "LA;deep" if grey else f"{image.mode};deep"
    mode = "I;16" if image.mode == "I;16B" else image.mode
    if animated and mode in {"P", "L", "1", "RGB", "RGBA"} and image.format in {"GIF", "PNG"}:
        # Later frames of a GIF have palettes of their own; an animated PNG has one palette for all frames.
        return mode if mode == "L" and image.format == "PNG" else "RGBA" if image.has_transparency_data else "RGB"
    if image.format == "GIF" and mode == "L" and "transparency" in image.info:
        return "P"
    if "transparency" in image.info and mode != "P":
        mode = _WITH_KEY.get(mode, "a colour key with 16 bits")
    if mode != "P" and mode not in _ROLES:
        raise _refusal(source, f"samples of {mode}", "grey, RGB, CMYK and palettes")
    return mode


def _is_deep(image: ImageFile.ImageFile, data: bytes, source: Path, *, animated: bool) -> bool:
    """Tell whether the samples have 16 bits where Pillow would give 8. Raises `BadInput` for unsupported depths."""
    format_, mode, bits = image.format, image.mode, {8}
    if format_ == "PNG":
        head = headers.png(data)
        bits = {16} if head.depth == 16 else {8}
        if bits == {16} and (animated or head.transparent):
            raise _refusal(source, "16 bits with an animation or a colour key", "either of them alone")
    elif format_ == "TIFF":
        assert isinstance(image, TiffImagePlugin.TiffImageFile)  # noqa: S101 - its format says so
        if image.tag_v2.get(Base.SamplesPerPixel, 1) > len(image.getbands()):
            raise _refusal(source, "more channels than its colours and one for alpha", "files without them")
        if 1 in _as_tuple(image.tag_v2.get(Base.ExtraSamples, 0)):
            raise _refusal(source, "premultiplied alpha", "straight alpha")
        stored = set(image.tag_v2.get(Base.BitsPerSample, (1,)))
        bits = stored if max(stored) > 8 else {8}
        if bits == {16} and mode not in {"RGB", "RGBA", "I;16", "I;16B"}:
            raise _refusal(source, f"16 bits per sample in {mode}", "16 bits in grey, RGB and RGBA")
    elif format_ == "JPEG2000":
        bits = headers.jpeg2000_bits(data)
        if headers.jpeg2000_has_profile(data):
            raise _refusal(source, "an ICC profile inside JPEG 2000", "JPEG 2000 without one")
    grey = mode in {"I;16", "I;16B"}
    if bits - ({16} if grey or format_ in {"PNG", "TIFF"} else set()) - {8}:
        raise _refusal(source, f"{max(map(abs, bits))} bits per sample in {format_}", "8, and 16 in PNG and TIFF")
    return bits == {16} and not grey


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _palette(image: ImageFile.ImageFile) -> Palette:
    colours = np.full((SIZE, 4), 255, np.uint8)
    if image.mode == "L":  # a GIF whose palette is the grey ramp
        colours[:, :3] = np.arange(SIZE)[:, None]
    else:
        table = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        colours = colours[: len(table)]
        colours[:, :3] = table
    key = image.info.get("transparency")
    if isinstance(key, bytes):
        colours[: len(key), 3] = np.frombuffer(key[: len(colours)], np.uint8)
    elif isinstance(key, int) and key < len(colours):
        colours[key, 3] = 0
    return Palette(colours, key is not None)


def _exif(image: ImageFile.ImageFile, data: bytes, format: str) -> tuple[Image.Exif, int]:
    """Return the EXIF tags, and the orientation that the decoder does not apply itself."""
    if format == "TIFF":
        return image.getexif(), 1  # Pillow applies it when it loads the pixels
    exif = exif_tags.load(headers.png(data).exif if format == "PNG" else image.info.get("exif") or b"")
    return exif, 1 if format == "HEIF" else exif_tags.orientation(exif)  # libheif applies it, too


def _notes(image: ImageFile.ImageFile, *, animated: bool) -> tuple[str, ...]:
    notes = []
    stated = image.info.get("icc_profile")
    if stated and trim_profile(stated) is None:
        notes.append("the colour profile was left out: it is not a valid ICC profile")
    if image.format in {"GIF", "PNG"} and image.mode == "P" and animated and image.format == "PNG":
        notes.append("palette written as true colour: a PNG animation has one palette for all its frames")
    if "transparency" in image.info and image.mode in _WITH_KEY and image.format != "GIF":
        notes.append("the transparent colour of the source became an alpha channel")
    return tuple(notes)


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        x, y = map(float, value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < math.inf and 0 < y < math.inf else None


def _cicp(colour: headers.Nclx | None, page: ImagePage) -> tuple[tuple[bytes, bytes], ...]:
    """Return the PNG chunk for a colour space that programs do not show as sRGB; nothing for others.

    Nothing as well where the page has a colour profile, which is more exact. `cICP`: PNG, third edition, 11.3.2.6; full
    range, since the samples are RGB.
    """
    if colour is None or page.icc or max(colour) > 255 or (colour[0] in _USUAL[0] and colour[1] in _USUAL[1]):
        return ()
    return ((b"cICP", bytes((colour[0], colour[1], 0, 1))),)


def _nclx(profile: Any) -> headers.Nclx | None:
    if not isinstance(profile, dict):
        return None
    names = ("color_primaries", "transfer_characteristics", "matrix_coefficients")
    values = [int(profile.get(name, 2)) for name in names]
    return values[0], values[1], values[2]


def _format_sampling(chroma: Any) -> str | None:
    return ":".join(str(chroma)) if chroma else None


def _refusal(source: Path, feature: str, allowed: str) -> BadInput:
    return BadInput(f"cannot keep {source} as it is: it has {feature}; supported are {allowed}. Convert it first")
