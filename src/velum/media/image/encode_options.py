"""Choice of the encoding: which formats can hold an image, and which of Pillow's options keep it like its source."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from velum.errors import BadPlan
from velum.frame import Plane, Role
from velum.media.formats import SUFFIXES
from velum.media.image import exif_tags
from velum.media.image.info import PNG_XMP, ImageInfo, ImagePage
from velum.media.image.palette import PILLOW_MODES, gif_image, to_image
from velum.media.projection import packet
from velum.plan import Plan

_COLOUR = {Role.GREY, Role.RGB}
_KEEPS: dict[str, set[Role]] = {
    "AVIF": _COLOUR | {Role.RGBA},
    "BMP": _COLOUR | {Role.RGBA},
    "GIF": {Role.GREY},
    "HEIF": _COLOUR | {Role.RGBA},
    "JPEG": _COLOUR | {Role.CMYK},
    "JPEG2000": _COLOUR | {Role.GREY_ALPHA, Role.RGBA},
    "PNG": _COLOUR | {Role.GREY_ALPHA, Role.RGBA},
    "TIFF": _COLOUR | {Role.GREY_ALPHA, Role.RGBA, Role.CMYK},
    "WEBP": _COLOUR | {Role.RGBA},
}
_WITH_PALETTE = {"PNG", "GIF", "TIFF", "BMP"}
_BILEVEL = {"PNG", "TIFF", "BMP"}
_ANIMATED = {"AVIF", "PNG", "WEBP"}
_REDUCED_TO_8 = {"JPEG", "WEBP"}
"""Formats of 8 bits to which images of 10 or 12 bits may be converted."""
_WITHOUT_PROFILE = {"BMP", "GIF", "JPEG2000"}
_WITHOUT_EXIF = {"BMP", "GIF", "JPEG2000"}
_LARGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "AVIF": 65_535, "HEIF": 16_384}
_SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "GIF": ".gif", "AVIF": ".avif", "BMP": ".bmp",
    "JPEG2000": ".jp2", "HEIF": ".heic",
}  # fmt: skip
"""A suffix of each format, in the order in which messages suggest them."""
_TIFF_LOSSLESS = {
    "raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma",
    "zstd",
}  # fmt: skip
_CCITT = {"tiff_ccitt", "group3", "group4"}
_DEFLATE = "tiff_adobe_deflate"

QUALITY = 90
"""Default quality of WebP, AVIF and HEIF, whose files do not state the quality of the source."""
JPEG_QUALITY = 95
"""Default quality of a JPEG whose source is none, without chroma subsampling: the result may be evidence."""


@dataclass(slots=True)
class EncodeOptions:
    """The encoding of one file: Pillow's options, their description and warnings for the report."""

    format: str
    options: dict[str, Any] = field(default_factory=dict)
    encoding: str = "lossless"
    warnings: list[str] = field(default_factory=list)
    exif: Image.Exif | None = None
    orientation: int = 1
    xmp: bytes = b""
    """XMP with the projection of a panorama, b"" for other images."""


def refuse(target: Path, format: str, info: ImageInfo, page: ImagePage) -> None:
    """Raise `BadPlan`, with the reason and a suffix that works, when `format` cannot hold a page of the source."""
    reason = _reason_against(format, info, page)
    if reason:
        raise BadPlan(
            f"cannot write {info.source.name} ({info.format}) as {target.name}: {reason}; {_suggest_suffix(info, page)}"
        )


def _suggest_suffix(info: ImageInfo, page: ImagePage) -> str:
    """Return advice that names a suffix that works: the source's own, or that of a format that can hold the source."""
    fitting = [name for name in (info.format, *_SUFFIXES) if _reason_against(name, info, page) is None]
    # For a lossless image, JPEG is suggested last.
    fitting.sort(key=lambda name: name == "JPEG" and info.coding.lossless)
    if not fitting:
        return "no format holds it; convert the source first"
    own = info.source.suffix.lower()
    return f"choose another suffix, such as {own if SUFFIXES.get(own) == fitting[0] else _SUFFIXES[fitting[0]]}"


def _reason_against(format: str, info: ImageInfo, page: ImagePage) -> str | None:
    if info.coding.further and format == info.format:
        return f"it holds {info.coding.further} further images (another view, a burst), which would be lost"
    if info.frames > 1 and format != info.format and not (info.coding.animated and format in _ANIMATED):
        return f"{format} cannot hold its {info.frames} {'frames' if info.coding.animated else 'pages'}"
    if not _holds(format, info, page):
        return f"{format} as written here cannot hold {page.role} of {page.depth or page.bits} bits per sample"
    if page.icc and format in _WITHOUT_PROFILE:
        return f"{format} cannot hold its colour profile"
    if info.coding.orientation != 1 and format in _WITHOUT_EXIF:
        return f"{format} cannot store the image's orientation"
    side, largest = max(info.width, info.height), _LARGEST.get(format)
    return f"{format} is at most {largest:,} pixels wide and high" if largest and side > largest else None


def _holds(format: str, info: ImageInfo, page: ImagePage) -> bool:
    if page.depth and format in _REDUCED_TO_8:
        return page.role in _KEEPS[format]
    if page.bits == 16:
        return format in {"PNG", "TIFF"} or (format == "JPEG2000" and page.role == Role.GREY)
    if page.palette and format in _WITH_PALETTE and (not page.palette.alpha or format in {"PNG", "GIF"}):
        return True
    # The frames of a GIF have at most 256 colours, apart from those that blurring adds.
    return page.role in _KEEPS[format] or (format == info.format == "GIF")


def reduces(page: ImagePage, format: str) -> bool:
    """Tell whether samples of 10 or 12 bits are reduced to 8 in that format."""
    return page.depth is not None and format in _REDUCED_TO_8


def of_8_bits(plane: Plane) -> Plane:
    """Return a plane of 16 bits converted to 8, each sample rounded to the nearest."""
    return Plane(((plane.pixels.astype(np.uint32) + 128) // 257).astype(np.uint8), plane.role)


def picture(plane: Plane, page: ImagePage, format: str) -> tuple[Image.Image, bool]:
    """Return an image for Pillow's writer of `format`, and whether its colours are exact.

    The plane has 8 bits, or is grey of 16.
    """
    if page.palette and format in _WITH_PALETTE and plane.role == page.palette.role and _holds_palette(format, page):
        return to_image(plane, page.palette, format), True
    if format == "GIF" and plane.role != Role.GREY:
        return gif_image(plane)
    mode = "I;16" if plane.pixels.dtype == np.uint16 else PILLOW_MODES[plane.role]
    pixels = np.ascontiguousarray(plane.pixels)
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), pixels, "raw", mode, 0, 1)
    if page.bilevel and format in _BILEVEL and plane.role == Role.GREY:
        image = image.convert("1", dither=Image.Dither.NONE)
    return image, True


def _holds_palette(format: str, page: ImagePage) -> bool:
    return page.palette is not None and (not page.palette.alpha or format in {"PNG", "GIF"})


def choose_options(format: str, info: ImageInfo, plan: Plan) -> EncodeOptions:
    """Return the encoding of a file like the source `info` in `format`, with `plan`'s quality and kept metadata."""
    coding = info.coding
    choice = EncodeOptions(format, warnings=list(coding.notes), orientation=coding.orientation)
    kinds = [kind for kind in sorted(set(plan.metadata) - {"orientation"}) if kind in coding.kept]
    if kinds and format in _WITHOUT_EXIF:
        choice.warnings.append(f"metadata not kept, {format} has no place for it: {', '.join(kinds)}")
        kinds = []
    if kinds:
        choice.warnings.append(f"metadata kept: {', '.join(kinds)}")
    choice.exif = exif_tags.build([coding.kept[kind] for kind in kinds], coding.orientation)
    if lost := [name.decode() for name, _ in coding.colour if format != "PNG" and name != b"sRGB"]:
        choice.warnings.append(f"colour information not kept, {format} is written without it: {', '.join(lost)}")
    choice.xmp = (
        packet(coding.projection) if coding.projection and format not in _WITHOUT_EXIF and info.frames == 1 else b""
    )
    if coding.projection and not choice.xmp:
        choice.warnings.append(f"the projection of the panorama is not kept: {format} has no place for it")
    if coding.further:
        choice.warnings.append(
            f"only the primary image is written; {coding.further} further (another view, a burst) left out"
        )
    if reduces(coding.first, format):
        choice.warnings.append(f"{coding.first.depth} bits per sample are reduced to 8, the depth of {format}")
    _CODERS[format](choice, info, plan)
    return choice


def page_options(choice: EncodeOptions, page: ImagePage, plan: Plan) -> dict[str, Any]:
    """Return Pillow's options for one page: those of the file and the page's own, such as its colour profile."""
    options = dict(choice.options)
    if page.icc and choice.format not in _WITHOUT_PROFILE:
        options["icc_profile"] = page.icc
    # A JPEG states its resolution in JFIF, and decoders take what is marked so for luma and chroma.
    if page.dpi and choice.format in {"BMP", "JPEG", "PNG", "TIFF"} and not options.get("keep_rgb"):
        options["dpi"] = page.dpi
    if choice.xmp and choice.format in {"JPEG", "WEBP", "AVIF", "HEIF"}:
        options["xmp"] = choice.xmp
    if choice.format == "TIFF":
        return options | _tiff_page(choice, page, plan)
    if choice.exif is not None:
        options["exif"] = choice.exif.tobytes()
    return options


def _tiff_page(choice: EncodeOptions, page: ImagePage, plan: Plan) -> dict[str, Any]:
    exif = exif_tags.load(choice.exif.tobytes()) if choice.exif is not None else Image.Exif()
    if choice.xmp:
        exif[Base.XMLPacket] = choice.xmp
    compression = tiff_compression(page)
    if IFD.Exif in exif or IFD.GPSInfo in exif:
        compression = "raw"  # Pillow's other writer, libtiff, cannot write directories inside a directory
    if compression in {"tiff_lzw", _DEFLATE} and not page.palette and not page.bilevel and page.bits == 8:
        exif[317] = 2  # Predictor: differences to the left, which compress better
    quality = {"quality": plan.quality or JPEG_QUALITY} if compression == "jpeg" else {}
    return {"compression": compression, "exif": exif} | quality


def tiff_compression(page: ImagePage) -> str:
    """Return Pillow's name of the compression of a TIFF page: the source's, or Deflate where that cannot be used."""
    if page.compression in {"jpeg", "tiff_jpeg"} and page.role in _COLOUR and page.palette is None:
        return "jpeg"
    if page.compression not in _TIFF_LOSSLESS or (page.compression in _CCITT and not page.bilevel):
        return _DEFLATE
    return _DEFLATE if page.compression == "tiff_deflate" else page.compression


def _jpeg(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    source = info.coding.jpeg
    sampling = (source.subsampling if source else None) or "4:4:4"
    if source and plan.quality is None:
        choice.options["qtables"] = [list(table) for table in source.tables]
        choice.encoding = "re-encoded: jpeg, quantisation tables"
    else:
        choice.options["quality"] = plan.quality or JPEG_QUALITY
        choice.encoding = f"re-encoded: jpeg, quality {choice.options['quality']}"
    same = source is not None and source.subsampling is not None
    if info.coding.first.role == Role.RGB:
        choice.options["subsampling"] = sampling
        choice.encoding += f" and {sampling}" if same and plan.quality is None else f", {sampling}"
    if source and plan.quality is None:
        choice.encoding += " of the source"
    choice.options["progressive"] = bool(source and source.progressive)
    choice.options["keep_rgb"] = bool(source and source.rgb)


def _png(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    del plan
    chunks = PngImagePlugin.PngInfo()
    for name, content in info.coding.colour:
        chunks.add(name, content)
    if choice.xmp:
        chunks.add_itxt(PNG_XMP, choice.xmp.decode())
    # Level 1: a quarter of the time of the default 6 for a fifth more bytes.
    choice.options |= {"compress_level": 1, "pnginfo": chunks}
    if info.frames > 1:
        choice.options |= {
            "loop": _loop(info, 1),
            "disposal": 0,
            "blend": 0,
            "default_image": info.coding.default_image,
        }


def _webp(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    if info.coding.lossless:
        # Effort 20 of method 0: an eighth of the time of the default for a third more bytes.
        choice.options |= {"lossless": True, "quality": 20, "method": 0, "exact": True}
    else:
        _lossy(choice, info, plan)
        choice.options |= {"method": 2}
    if info.frames > 1:
        choice.options |= {"loop": _loop(info, 1), "background": (0, 0, 0, 0)}
    if info.coding.first.role == Role.GREY:
        choice.warnings.append("grey samples written as RGB: WebP has no grey")


def _avif(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    _lossy(choice, info, plan)
    # Speed 8: a third of the time of the default 6 for a tenth more bytes.
    choice.options |= {"subsampling": info.coding.chroma or "4:4:4", "speed": 8}


def _heif(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    _lossy(choice, info, plan)
    # The fastest preset of x265: an eighth of the time of the default for a tenth more bytes.
    choice.options |= {"subsampling": info.coding.chroma or "4:4:4", "enc_params": {"preset": "ultrafast"}}


def _jpeg2000(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    choice.options |= {"irreversible": not info.coding.lossless}
    if not info.coding.lossless:
        choice.encoding = "re-encoded: jpeg 2000, irreversible, all bits kept"
        if plan.quality is not None:
            choice.warnings.append("quality does not apply to JPEG 2000; written with all bits kept")


def _tiff(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    if info.format == "TIFF" and tiff_compression(info.coding.first) == "jpeg":
        choice.encoding = f"re-encoded: tiff, jpeg quality {plan.quality or JPEG_QUALITY}"
        if plan.quality is None:
            choice.warnings.append(f"the source's quality is not known; written with quality {JPEG_QUALITY}")


def _gif_options(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    del plan
    choice.options |= {"optimize": False}
    if info.frames > 1 and info.coding.loop is not None:
        choice.options["loop"] = info.coding.loop


def _bmp(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    """Leave Pillow's defaults: a BMP has no options."""


def _lossy(choice: EncodeOptions, info: ImageInfo, plan: Plan) -> None:
    choice.options["quality"] = plan.quality or QUALITY
    choice.encoding = f"re-encoded: {choice.format.lower()}, quality {choice.options['quality']}"
    if plan.quality is None and info.format == choice.format:
        choice.warnings.append(f"the source's quality is not known; written with quality {QUALITY}")


def _loop(info: ImageInfo, once: int) -> int:
    return once if info.coding.loop is None else info.coding.loop


_CODERS = {
    "AVIF": _avif, "BMP": _bmp, "GIF": _gif_options, "HEIF": _heif, "JPEG": _jpeg, "JPEG2000": _jpeg2000,
    "PNG": _png, "TIFF": _tiff, "WEBP": _webp,
}  # fmt: skip
