"""Masks of labelling tools, read as outlines: COCO's run lengths, images of VOC, and folders with an image per label.

The outline of a mask leaves its holes out: what a hole shows counts as a part of the object, which hides more.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadInput, LimitExceeded
from velum.evaluation.ground_truth.values import (
    GroundTruth,
    GroundTruthBox,
    LabelledFile,
    checked_numbers,
    checked_object,
    exists,
    known_size,
)
from velum.frame import Rgb
from velum.limits import Limits
from velum.locate.labels import canonical
from velum.locate.segmenter import connected_components
from velum.media import IMAGE_SUFFIXES, open_source
from velum.region import Mask

Outlines = tuple[tuple[float, ...], ...]

MASK_FOLDER = "masks"
"""Folder of masks: `masks/LABEL/NAME.png`, where every pixel that is not black belongs to an object."""

OBJECT_FOLDER = "SegmentationObject"
"""Folder of VOC: the pixels of the first object of NAME.xml have the first colour of VOC, and so on."""

LEAST_PIXELS = 4
"""Smaller components of a mask are slips of the hand."""


def outlines_of(mask: Mask, left: int = 0, top: int = 0) -> Outlines:
    """Return the polygons around a mask whose top left pixel is at (left, top), holes left out."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = (contour.reshape(-1, 2) + np.array([left, top]) for contour in contours if len(contour) > 2)
    return tuple(tuple(map(float, polygon.ravel())) for polygon in polygons)


def decode_run_lengths(value: Mapping[str, Any], where: str) -> Mask:
    """Return the mask of run lengths as COCO writes them: column by column, first those outside.

    They are a list, or a text in which each holds five bits a character, from the third on as the difference from the
    one before the last (cocoapi, maskApi.c). Raises `BadInput`.
    """
    height, width = map(int, checked_numbers(value.get("size"), f"size of the segmentation of {where}", 2))
    counts = value.get("counts")
    if isinstance(counts, str):
        runs = _unpack(counts)
    else:
        runs = [int(run) for run in checked_numbers(counts, f"counts of {where}")]
    if min(height, width) <= 0 or min(runs, default=-1) < 0 or sum(runs) != height * width:
        raise BadInput(f"the run lengths of {where} do not fill their size of {width} x {height} pixels")
    flags = np.arange(len(runs)) % 2 == 1
    return np.repeat(flags, runs).reshape(width, height).T


def _unpack(text: str) -> list[int]:
    runs: list[int] = []
    value = bits = 0
    for character in text:
        five = ord(character) - 48
        value |= (five & 0x1F) << bits
        bits += 5
        if not five & 0x20:
            if five & 0x10:
                value -= 1 << bits
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = bits = 0
    return runs


def read_mask_folder(path: Path, media: Path, limits: Limits) -> GroundTruth:
    """Return the truth in `masks/LABEL/NAME.png`: each connected component is an object of that label.

    Every image with a mask of some label has no further objects of the others. Raises `BadInput`.
    """
    folders = sorted(folder for folder in (path / MASK_FOLDER).iterdir() if folder.is_dir())
    if not folders:
        raise BadInput(f"{path / MASK_FOLDER} holds no masks; put them into {MASK_FOLDER}/LABEL/NAME.png")
    complete = frozenset(canonical(folder.name) for folder in folders)
    boxes: dict[Path, list[GroundTruthBox]] = {}
    sizes: dict[Path, tuple[int, int] | None] = {}
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            image, rgb = _image_of(file, path, media), _read_image(file, limits)
            sizes[image] = known_size(rgb.shape[1], rgb.shape[0])
            boxes.setdefault(image, []).extend(_objects(rgb.max(axis=2) > 0, canonical(folder.name)))
    items = [
        LabelledFile(image, image.name, {0: tuple(outlines)}, complete, sizes[image])
        for image, outlines in boxes.items()
    ]
    return GroundTruth("masks", tuple(items))


def object_outlines(xml: Path, count: int, limits: Limits) -> list[Outlines]:
    """Return the outlines of the objects of a VOC file, in its order; empty ones where there is no image of them.

    Raises `BadInput` for an image that cannot be read.
    """
    file = xml.parent.parent / OBJECT_FOLDER / f"{xml.stem}.png"
    if not exists(file):
        return [()] * count
    numbers = _numbers(_read_image(file, limits))
    return [outlines_of(numbers == number) for number in range(1, count + 1)]


def _numbers(rgb: Rgb) -> npt.NDArray[np.int32]:
    """Return the number of each pixel: its grey value, or the number of its colour in VOC's map."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    if not ((red != green) | (red != blue)).any():
        return red
    # The bits of a number lie in the highest bits of red, green and blue in turn (VOClabelcolormap.m).
    number = np.zeros_like(red)
    for level in range(3):
        for channel, plane in enumerate((red, green, blue)):
            number |= ((plane >> (7 - level)) & 1) << (3 * level + channel)
    return number


def _objects(mask: Mask, label: str) -> Iterator[GroundTruthBox]:
    numbers, boxes = connected_components(mask.astype(np.uint8))
    for number, box in enumerate(boxes, start=1):
        part = numbers[box.slices] == number
        if np.count_nonzero(part) >= LEAST_PIXELS:
            yield GroundTruthBox(label, box.xyxy, outline=outlines_of(part, box.x0, box.y0))


def _read_image(file: Path, limits: Limits) -> Rgb:
    try:
        with open_source(file, limits) as reader:
            frame = next(iter(reader.frames()))
            return frame.rgb(frame.width, frame.height)
    except (BadInput, LimitExceeded) as error:
        raise BadInput(f"the mask {file} cannot be read: {error}") from error


def _image_of(mask: Path, path: Path, media: Path) -> Path:
    places = [place / folder for place in dict.fromkeys((media, path)) for folder in ("", "images", "JPEGImages")]
    beside = [place / f"{mask.stem}{suffix}" for place in places for suffix in IMAGE_SUFFIXES]
    return next((image for image in beside if exists(image)), places[0] / f"{mask.stem}.jpg")


def coco_outlines(value: Any, where: str) -> Outlines:
    """Return the outlines of run lengths in a COCO annotation. Raises `BadInput`."""
    return outlines_of(decode_run_lengths(checked_object(value, f"segmentation of {where}"), where))
