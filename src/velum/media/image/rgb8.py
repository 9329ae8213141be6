"""Images in memory: reads any image as upright 8-bit RGB without metadata, and encodes such pixels as PNG or JPEG.

Errors of Pillow while encoding are translated here.
"""

import io
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from velum.errors import BadInput, BadPlan, OutputFailed
from velum.frame import Frame, Plane, Rgb, Role
from velum.limits import Limits
from velum.media.image import encode_options
from velum.media.image.fast_png import encode_png
from velum.media.image.info import ImageFormat, ImageInfo, ImagePage, Jpeg
from velum.media.image.reader import ImageReader
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


def read_plain(data: bytes, limits: Limits, begin: Callable[[Frame], None] | None = None) -> Rgb8Image:
    """Return the first frame of an image file as RGB; alpha is dropped.

    Before it is decoded, `begin` is called with the frame without planes, where the file can stand for it. Raises
    `BadInput` when the file is empty, damaged, not an image or of a kind that velum does not read, `LimitExceeded` when
    it is too large, and `Unavailable` for HEIF without the extra.
    """
    if not data:
        raise BadInput(f"cannot read {_NAME}: it is empty")
    limits.check("bytes", len(data), str(_NAME))
    with ImageReader(_NAME, data, limits) as reader:
        if begin is not None and (encoded := reader.sendable_file()) is not None:
            begin(Frame((), reader.info.width, reader.info.height, encoded=encoded))
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
    options = encode_options.choose_options(
        "JPEG", ImageInfo("JPEG", width, height, 1, _NAME, ImageFormat(page, jpeg=coding)), plan
    )
    file = io.BytesIO()
    try:
        image = Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1)
        image.save(file, "JPEG", **encode_options.page_options(options, page, plan))
    except (OSError, ValueError, MemoryError) as error:
        raise OutputFailed(f"cannot encode {_NAME} as JPEG: {error}") from error
    return file.getvalue(), options.encoding
