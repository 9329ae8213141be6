"""Draws detections on an image, for review only: the drawing is not anonymised."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from velum.atomic import ensure_free, publish
from velum.errors import BadPlan
from velum.frame import Rgb
from velum.region import Region

COLOURS = ((255, 64, 64), (64, 200, 64), (64, 128, 255), (255, 200, 0), (255, 64, 255), (0, 220, 220), (255, 140, 0))
"""Colours (R, G, B) of the labels, in turn."""

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def draw_regions(rgb: Rgb, regions: Sequence[Region]) -> Image.Image:
    """Return the image (height, width, 3) with the box or outline, label and score of each region drawn on it."""
    labels = sorted({region.label for region in regions})
    width = max(2, round(max(rgb.shape[:2]) / 400))
    pixels = rgb.copy()
    for region in regions:
        if region.mask is not None:
            _outline(pixels, region, _colour(region, labels), width)
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(11, 6 * width))
    for region in regions:
        _frame(pen, region, _colour(region, labels), width)
    for region in regions:
        _caption(pen, region, _colour(region, labels), font)
    return image


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise `BadPlan` for a suffix of no image format, `OutputFailed` for a target that cannot be written."""
    if target.suffix.lower() not in FORMATS:
        raise BadPlan(f"{target} cannot be written: its suffix must be one of {', '.join(FORMATS)}")
    ensure_free(target, overwrite=overwrite)


def write_image(image: Image.Image, target: Path, *, overwrite: bool) -> None:
    """Write the image to `target`, which `check_target` accepts, whole or not at all. Raises `OutputFailed`."""
    with publish(target, overwrite=overwrite) as part:
        image.save(part, FORMATS[target.suffix.lower()], quality=90)


def _colour(region: Region, labels: list[str]) -> tuple[int, int, int]:
    return COLOURS[labels.index(region.label) % len(COLOURS)]


def _outline(pixels: Rgb, region: Region, colour: tuple[int, int, int], width: int) -> None:
    assert region.mask is not None  # noqa: S101 - the caller's condition, for the type checker
    inside = np.ascontiguousarray(region.mask).astype(np.uint8)
    part = pixels[region.box.slices]
    part[region.mask] = (part[region.mask] * 0.6 + np.array(colour) * 0.4).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, contours, -1, colour, width, offset=(region.box.x0, region.box.y0))


def _frame(pen: ImageDraw.ImageDraw, region: Region, colour: tuple[int, int, int], width: int) -> None:
    box = region.box
    if region.mask is None:
        pen.rectangle((box.x0, box.y0, box.x1 - 1, box.y1 - 1), outline=colour, width=width)


def _caption(
    pen: ImageDraw.ImageDraw,
    region: Region,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    text = f"{region.label} {region.score:.2f}"
    x0, y0, x1, y1 = pen.textbbox((0, 0), text, font=font)
    # Above the region, or in it where there is no room above.
    top = region.box.y0 - y1 if region.box.y0 >= y1 else region.box.y0
    pen.rectangle((region.box.x0, top, region.box.x0 + x1 - x0 + 4, top + y1), fill=colour)
    pen.text((region.box.x0 + 2, top - min(0, y0)), text, fill=(0, 0, 0), font=font)
