"""Images in memory: reads any image as upright 8-bit RGB without metadata, and encodes such pixels as PNG or JPEG.

Plain 8-bit images are decoded by OpenCV, which is faster than Pillow. Errors of Pillow while encoding are translated
here.
"""

import io
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image, ImageFile

from velum.errors import BadInput, BadPlan, OutputFailed
from velum.frame import Frame, Plane, Rgb, Role, Samples
from velum.limits import Limits
from velum.media.image import encode_options
from velum.media.image.fast_png import encode_png
from velum.media.image.info import ImageFormat, ImageInfo, ImagePage, Jpeg
from velum.media.image.reader import ImageReader
from velum.media.image.repair import is_whole
from velum.media.image.subprocess_reader import IsolatedReader
from velum.plan import Plan

PlainFormat = Literal["PNG", "JPEG"]
"""Formats that `write_plain` encodes."""

_NAME = Path("the picture")
_LARGEST_JPEG = 65_500


@dataclass(frozen=True, slots=True, eq=False)
class Rgb8Image:
    """An image whose frame is upright 8-bit RGB. `format` is that of its file, `jpeg` the coding of a JPEG."""

    frame: Frame
    format: str
    jpeg: Jpeg | None = None


def read_plain(data: bytes, limits: Limits) -> Rgb8Image:
    """Return the first frame of an image file as RGB; alpha is dropped.

    Raises `BadInput` when the file is empty, damaged, not an image or of a kind that velum does not read,
    `LimitExceeded` when it is too large, and `Unavailable` for HEIF without the extra.
    """
    if not data:
        raise BadInput(f"cannot read {_NAME}: it is empty")
    limits.check("bytes", len(data), str(_NAME))
    with ImageReader(_NAME, data, limits) as reader:
        return plain_of(reader)


def plain_of(reader: ImageReader | IsolatedReader) -> Rgb8Image:
    """Return the first frame of an opened image as RGB. Raises `BadInput` for a video, and as `read_plain` does."""
    info = reader.info
    if not isinstance(info, ImageInfo):
        raise BadInput(f"cannot read {_NAME}: it is a video; give an image")
    with closing(reader.frames()) as frames:
        frame, coding = next(frames), info.coding
        if frame.planes[0].role != Role.RGB or frame.planes[0].bits != 8 or coding.orientation != 1:
            upright = Plane(frame.rgb(frame.width, frame.height), Role.RGB)
            frame = Frame.of(upright, encoded=frame.encoded)
        return Rgb8Image(replace(frame, time=None), info.format, coding.jpeg)


def write_plain(pixels: Rgb, format: PlainFormat, quality: int | None, like: Jpeg | None) -> tuple[bytes, str]:
    """Encode RGB pixels (rows, columns, 3); return the bytes of the file, and the encoding in words for the report.

    A JPEG gets the chroma sampling of the source's coding `like`, and without `quality` (1 to 100) its tables, too.
    Raises `BadPlan` for another format or quality, and for an image that is too large for JPEG.
    """
    if format not in get_args(PlainFormat):
        raise BadPlan(f"format {format!r} is not allowed here; choose one of {', '.join(get_args(PlainFormat))}")
    if format == "PNG":
        return encode_png(pixels), "lossless"
    return _jpeg(pixels, Plan(quality=quality), like)


def _jpeg(pixels: Rgb, plan: Plan, like: Jpeg | None) -> tuple[bytes, str]:
    height, width = pixels.shape[:2]
    if max(width, height) > _LARGEST_JPEG:
        raise BadPlan(f"JPEG is at most {_LARGEST_JPEG:,} pixels wide and high, not {width} x {height}; choose PNG")
    # A progressive JPEG would take three times as long to write, for the same pixels.
    coding = None if like is None else replace(like, progressive=False)
    page = ImagePage(Role.RGB)
    recipe = encode_options.recipe(
        "JPEG", ImageInfo("JPEG", width, height, 1, _NAME, ImageFormat(page, jpeg=coding)), plan
    )
    file = io.BytesIO()
    try:
        image = Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1)
        image.save(file, "JPEG", **encode_options.page_options(recipe, page, plan))
    except (OSError, ValueError, MemoryError) as error:
        raise OutputFailed(f"cannot encode {_NAME} as JPEG: {error}") from error
    return file.getvalue(), recipe.encoding


_EOI, _RST0, _RST_MASK = 0xD9, 0xD0, 0xF8
_VP8X_ANIMATION = 0x02
_IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"
_COLOUR = int(cv2.IMREAD_COLOR_RGB) | int(cv2.IMREAD_IGNORE_ORIENTATION)
_GREY = int(cv2.IMREAD_GRAYSCALE) | int(cv2.IMREAD_IGNORE_ORIENTATION)


def decode_8_bits(image: ImageFile.ImageFile, data: bytes, mode: str) -> Samples | None:
    """Return the pixels (rows, columns[, 3]) of a still image of 8 bits; None where Pillow has to decode it.

    Pillow has opened `image` from `data`, but not loaded it. `mode` is Pillow's mode of the samples that are wanted.
    """
    if image.mode != mode or not _can_decode(image, data):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _COLOUR if mode == "RGB" else _GREY)
    except cv2.error:
        return None
    if pixels is None or pixels.shape != ((*image.size[::-1], 3) if mode == "RGB" else image.size[::-1]):
        return None
    return pixels  # type: ignore[return-value]  # OpenCV states any array


def _can_decode(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Tell whether OpenCV and Pillow decode the file to the same pixels, and the file is complete."""
    match image.format, image.mode:
        case "JPEG", "RGB" | "L":
            return _has_one_scan(image, data)
        # libpng prints about profiles on the standard error; and the default image of an animation is not a frame.
        case "PNG", "RGB":
            still = b"acTL" not in data[: data.find(b"IDAT")]
            return still and "icc_profile" not in image.info and data.endswith(_IEND) and is_whole(data)
        case "WEBP", "RGB":
            return data[12:16] != b"VP8X" or not data[20] & _VP8X_ANIMATION
    return False


def _has_one_scan(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Tell whether a JPEG has one scan, and only the end-of-image marker follows it.

    A damaged scan has other markers in it, and a truncated one no end. In a scan a byte of 255 is followed by 0, and
    restart markers belong to it (ISO/IEC 10918-1, B.1.1.5 and B.1.1.2).
    """
    # OpenCV's library prints about other versions of JFIF on the standard error.
    if image.fp is None or "progressive" in image.info or image.info.get("jfif_version", (1,))[0] != 1:
        return False
    scan = np.frombuffer(data, np.uint8)[image.fp.tell() :]
    starts = np.flatnonzero(scan[:-1] == 0xFF)
    kinds = scan[1:][starts]
    markers = (kinds != 0) & (kinds & _RST_MASK != _RST0)
    return bool(markers.sum() == 1 and markers[-1] and kinds[-1] == _EOI and starts[-1] == len(scan) - 2)
