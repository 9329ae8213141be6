"""Masks of a segmentation server: from its image file to the pixels of each label. Pillow's errors end here."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, PngImagePlugin

from velum.errors import BadInput
from velum.region import Box, Mask

Plane = npt.NDArray[np.uint8]

MOST_COMPONENTS = 1000
"""Above this number, the components of a label become one: noise would cost time and hide nothing more."""

_LARGEST_SCALE = 4
"""Most pixels of a mask as a multiple of its image's; no server enlarges."""

_SPARE_PIXELS = 1 << 20
_LARGEST_SHARE = 8
_PNG = b"\x89PNG\r\n\x1a\n"
_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, Image.DecompressionBombError, LookupError, MemoryError,
    OSError, RuntimeError, struct.error, SyntaxError, TypeError, ValueError, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """A class map: `plane` (height, width) has a value for each pixel, `values[label]` the values of a label's number.

    A value can stand for several labels; its pixels then belong to each of them.
    """

    plane: Plane
    values: dict[int, list[int]]
    has_unknown_values: bool = False
    """True when some values stand for no label. They count for every label, so that what they mark is hidden."""


def read(
    body: bytes, size: tuple[int, int], labels: int, palette: tuple[int, ...] | None, *, merged: bool = False
) -> Ids:
    """Return the class map in a server's mask for an image of `size` (width, height) and a model with `labels` labels.

    Values are the indices of a palette image, the greys of a grey one, and the positions of the colours in `palette`
    (red, green, blue of each class in one row) of an RGB one. A mask of another size is resized to the image's by
    nearest neighbour. `merged`: a value stands for every label whose bits are all set in it, since the server combines
    the ids of overlapping instances by bitwise OR.

    Raises `BadInput` for anything but such an image, for one that is too large, and for a colour not in `palette`.
    """
    image = _open_image(body)
    if image.width * image.height > _LARGEST_SCALE * size[0] * size[1] + _SPARE_PIXELS:
        raise BadInput(f"the mask has {image.width} x {image.height} pixels, but the image {size[0]} x {size[1]}")
    pixels, depth = _pixels(image), _depth(body)
    colours = _colours(palette, labels)
    if image.mode == "RGB":
        plane, same = _from_colours(pixels, colours)
    else:
        # Pillow scales greys of fewer bits to 8 bits.
        plane = pixels // (255 // ((1 << depth) - 1)) if image.mode == "L" and depth < 8 else pixels
        same = {value: [value] for value in range(labels)}
        # With too few colours in the palette, servers write too few bits, and ids wrap around.
        if palette is not None and len(palette) // 3 < labels and image.mode == "P" and 1 << depth < labels:
            raise BadInput(f"the mask has {depth} bits and the palette {len(palette) // 3} colours for {labels} labels")
    if plane.shape != (size[1], size[0]):
        plane = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    meanings, has_unknown_values = _meanings(plane, same, labels, merged=merged)
    return Ids(plane, meanings, has_unknown_values)


def components(ids: Ids) -> Iterator[tuple[int, Box, Mask | None]]:
    """Yield label number, box and mask of each connected component (8-connected) of each label.

    A mask has all of the label's pixels within the box, also those of other components; None where it fills the box.
    """
    for label, values in ids.values.items():
        whole = reduce(np.logical_or, (ids.plane == value for value in values))
        for box in _boxes(whole):
            mask = whole[box.slices]
            yield label, box, None if mask.all() else mask.copy()


def _open_image(body: bytes) -> ImageFile.ImageFile:
    """Return the image with its header read. Only lossless formats are accepted, detected by content."""
    try:
        if body.startswith(_PNG):
            return PngImagePlugin.PngImageFile(io.BytesIO(body))
        if body.startswith((b"GIF87a", b"GIF89a")):
            return GifImagePlugin.GifImageFile(io.BytesIO(body))
        if body.startswith(b"BM"):
            return BmpImagePlugin.BmpImageFile(io.BytesIO(body))
    except _DAMAGE as error:
        raise BadInput(f"the mask is damaged: {error}") from error
    raise BadInput(f"the mask is neither PNG, GIF nor BMP; it begins with {body[:120]!r}")


def _pixels(image: ImageFile.ImageFile) -> Plane:
    if image.mode not in {"1", "L", "P", "RGB"}:
        raise BadInput(f"the mask is an image of mode {image.mode}; allowed are P, L, 1 and RGB")
    try:
        return np.asarray(image, np.uint8)
    except _DAMAGE as error:
        raise BadInput(f"the mask is damaged: {error}") from error


def _depth(body: bytes) -> int:
    """Return the bits per sample of a PNG with less than 8, else 8."""
    # PNG, third edition, 11.2.1: the first chunk has the depth after both sides.
    shallow = body.startswith(_PNG) and body[12:16] == b"IHDR" and body[24] in {1, 2, 4}
    return body[24] if shallow else 8


def _colours(palette: tuple[int, ...] | None, labels: int) -> list[int]:
    """Return the colour of each label as one number; labels beyond the palette are grey, as old Pillow pads it."""
    channels = list(palette or ())[: 3 * labels]
    codes = [(red << 16) | (green << 8) | blue for red, green, blue in zip(*[iter(channels)] * 3, strict=True)]
    return codes + [(grey << 16) | (grey << 8) | grey for grey in range(len(codes), min(labels, 256))] if codes else []


def _from_colours(pixels: Plane, colours: list[int]) -> tuple[Plane, dict[int, list[int]]]:
    """Return the plane of values, and value -> the labels that share its colour."""
    if not colours:
        raise BadInput("the mask is in colour, but the model has no palette to read it by")
    sharing: dict[int, list[int]] = {}
    for label, colour in enumerate(colours[:256]):
        sharing.setdefault(colour, []).append(label)
    codes = (pixels[..., 0].astype(np.uint32) << 16) | (pixels[..., 1].astype(np.uint32) << 8) | pixels[..., 2]
    # 65535 marks a colour that is not in the palette.
    places = np.full(1 << 24, 0xFFFF, np.uint16)
    places[list(sharing)] = [labels[0] for labels in sharing.values()]
    ids = places[codes]
    unknown = np.argwhere(ids == 0xFFFF)
    if len(unknown):
        row, column = unknown[0]
        raise BadInput(f"the mask has colour {pixels[row, column].tolist()}, which is not in the model's palette")
    return ids.astype(np.uint8), {labels[0]: labels for labels in sharing.values()}


def _meanings(
    plane: Plane, same: dict[int, list[int]], labels: int, *, merged: bool
) -> tuple[dict[int, list[int]], bool]:
    """Return label -> its values in the plane, and whether a value stands for no label."""
    counts = cv2.calcHist([plane], [0], None, [256], [0, 256])
    meanings: dict[int, list[int]] = {}
    has_unknown_values = False
    for value in map(int, np.flatnonzero(counts)):
        meant = same.get(value, [])
        if merged and value:
            combined = {label for label in range(1, min(labels, 256)) if value & label == label}
            meant = sorted(combined.union(meant))
        if not meant:
            has_unknown_values, meant = True, [*range(labels)]
        for label in meant:
            meanings.setdefault(label, []).append(value)
    return meanings, has_unknown_values


def _boxes(whole: Mask) -> list[Box]:
    """Return the boxes of the connected components, without those inside a hole of another: its box has them."""
    # Tracing outlines takes a fiftieth of the time of labelling each pixel.
    outlines, _ = cv2.findContours(whole.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) <= MOST_COMPONENTS:
        corners = [cv2.boundingRect(outline) for outline in outlines]
        # Boxes that overlap many times over would take more memory than the image.
        if sum(width * height for _, _, width, height in corners) <= _LARGEST_SHARE * whole.size:
            return [Box(x, y, x + width, y + height) for x, y, width, height in corners]
    x, y, width, height = cv2.boundingRect(whole.view(np.uint8))
    return [Box(x, y, x + width, y + height)]
