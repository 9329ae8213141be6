"""Uploaded images, regions in pixels of the image as it is stored, and detections drawn as PNG.

Models get the upright image. Their regions are rotated back, since clients count rows and columns as in the file.
"""

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from velum.frame import Frame, Orientation, Rgb
from velum.limits import Limits
from velum.media import BytesSource, DecoderPool
from velum.media.image.fast_png import encode_png
from velum.media.image.reader import ImageReader
from velum.plugins import Localizer
from velum.region import Mask, Region

Numbers = npt.NDArray[np.uint8]
"""Array (rows, columns) with the label number of each pixel, 0 for none."""

QUICK = 1
"""Compression level: each image is sent once, usually over a fast connection."""


@dataclass(frozen=True, slots=True, eq=False)
class UploadedImage:
    """The first image of an upload."""

    frame: Frame

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.frame.orientation.stored_size(self.frame.width, self.frame.height)

    @property
    def rgb(self) -> Rgb:
        """The image as stored, in 8-bit RGB (rows, columns, 3)."""
        width, height = self.size_wh
        stored = replace(self.frame, width=width, height=height, orientation=Orientation())
        return stored.rgb(width, height)

    def locate(self, localizer: Localizer, limits: Limits) -> list[Region]:
        """Return the regions that a localizer finds, in pixels of the stored image. Raises any `VelumError`."""
        (regions,) = localizer.locate([self.frame])
        limits.check("regions", len(regions), "the image")
        return [stored for region in regions for stored in self._turn_back(region)]

    def _turn_back(self, region: Region) -> list[Region]:
        frame, box = self.frame, region.box.clip(self.frame.width, self.frame.height)
        if box is None:
            return []
        mask = None if region.mask is None else region.mask[box.move(-region.box.x0, -region.box.y0).slices]
        turned: Mask | None = None if mask is None else frame.orientation.stored_mask(mask)
        stored = frame.orientation.stored_box(box, frame.width, frame.height)
        return [replace(region, box=stored, mask=turned, points=None)]

    def label_plane(self, regions: Sequence[Region], numbers: Sequence[int]) -> Numbers:
        """Return the label number of each pixel; where regions overlap, that of the highest score."""
        width, height = self.size_wh
        plane: Numbers = np.zeros((height, width), np.uint8)
        for region, number in sorted(zip(regions, numbers, strict=True), key=lambda pair: pair[0].score):
            part = plane[region.box.slices]
            part[... if region.mask is None else region.mask] = number
        return plane


def read(data: bytes, limits: Limits, decoders: DecoderPool) -> UploadedImage:
    """Decode the first image of an upload.

    It is decoded in a process of `decoders` unless it is cheap to decode. Raises `BadInput` for anything but an intact
    image, `LimitExceeded` for one that is too large or expensive, `Unavailable` when that process is killed.
    """
    upload = BytesSource("the upload", data)
    opened = decoders.read(upload, limits) if decoders.takes(upload) else ImageReader(Path(upload.name), data, limits)
    with opened as reader, closing(reader.frames()) as frames:
        return UploadedImage(next(frames))


def voc_palette(colours: int) -> tuple[int, ...]:
    """Return red, green and blue of each class in one row: the colour map of the PASCAL VOC challenge.

    Its development kit (VOClabelcolormap.m) spreads the bits of a class's number over the highest bits of its colour.
    """
    number = np.arange(colours)[:, None] >> (3 * np.arange(8))
    bits = (number[:, :, None] >> np.arange(3)) & 1
    colour = (bits << (7 - np.arange(8))[:, None]).sum(axis=1)
    return tuple(map(int, colour.ravel()))


def class_map(plane: Numbers, palette: Sequence[int]) -> bytes:
    """Return a palette PNG whose samples are the label numbers, with no more bits than they need.

    Pillow takes the number of bits from the length of the palette.
    """
    image = Image.fromarray(plane)
    image.putpalette(list(palette))
    return _png(image)


def tint_regions(rgb: Rgb, plane: Numbers, palette: Sequence[int], *, alpha: bool = False) -> bytes:
    """Return a PNG of the image with labelled pixels blended half with their colour; `alpha` adds an opaque channel."""
    colours = np.zeros((256, 3), np.uint8)
    palette_colours = np.array(palette, np.uint8).reshape(-1, 3)[:256]
    colours[: len(palette_colours)] = palette_colours
    mixed = cv2.addWeighted(rgb, 0.5, colours[plane], 0.5, 0)
    image = Image.fromarray(np.where(plane[..., None] > 0, mixed, rgb).astype(np.uint8))
    return _png(image.convert("RGBA") if alpha else image)


def draw_boxes(rgb: Rgb, regions: Sequence[Region], palette: Sequence[int], numbers: Sequence[int]) -> bytes:
    """Return a PNG of the image with the box, label and score of each region."""
    image = Image.fromarray(rgb)
    pen = ImageDraw.Draw(image)
    width = max(2, round(max(rgb.shape[:2]) / 400))
    font = ImageFont.load_default(size=max(11, 6 * width))
    for region, number in zip(regions, numbers, strict=True):
        at = 3 * (number % (len(palette) // 3))
        colour = palette[at], palette[at + 1], palette[at + 2]
        box = region.box
        pen.rectangle((box.x0, box.y0, box.x1 - 1, box.y1 - 1), outline=colour, width=width)
        text = f"{region.label} {region.score:.2f}"
        pen.text((box.x0 + width, box.y0 + width), text, fill=colour, font=font, stroke_width=1, stroke_fill=(0, 0, 0))
    return _png(image)


def outlines(region: Region) -> list[list[int]]:
    """Return the outer outline of each connected component of a region, as x, y, x, y ... in pixels of the image.

    Components of a single pixel have none.
    """
    box = region.box
    inside = np.ones((box.height, box.width), bool) if region.mask is None else region.mask
    contours, _ = cv2.findContours(
        np.ascontiguousarray(inside).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=box.xyxy[:2]
    )
    return [[int(value) for value in np.asarray(contour).flat] for contour in contours if len(contour) >= 2]


def _png(image: Image.Image) -> bytes:
    if image.mode == "RGB":
        return encode_png(np.asarray(image))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=QUICK)
    return buffer.getvalue()
