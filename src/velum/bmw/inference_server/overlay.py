"""Detections as PNG: class maps with a palette, tinted overlays and drawn boxes."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from velum.bmw.inference_server.image_input import Numbers
from velum.frame import Rgb
from velum.media.image.fast_png import encode_png
from velum.region import Region

QUICK = 1
"""Compression level: each image is sent once, usually over a fast connection."""


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
    known = np.array(palette, np.uint8).reshape(-1, 3)[:256]
    colours[: len(known)] = known
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
