"""Masks of a segmentation server: from its picture to the pixels of each label. Pillow's errors are translated here."""

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

MOST_PIECES = 1000
"""More pieces of one label are taken as one: noise, which would cost time and hide nothing more."""

_LARGEST_SCALE = 4
"""A mask may have so many times the pixels of its picture; no server enlarges."""

_SPARE_PIXELS = 1 << 20
_LARGEST_SHARE = 8
_PNG = b"\x89PNG\r\n\x1a\n"
_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, Image.DecompressionBombError, LookupError, MemoryError,
    OSError, RuntimeError, struct.error, SyntaxError, TypeError, ValueError, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """What each pixel is: `plane` (height, width) of values, `values[label]` those that stand for a label.

    Labels are given by their number. One value can stand for several labels: then its pixels count for each of them.
    """

    plane: Plane
    values: dict[int, list[int]]
    strange: bool = False
    """True where values stand for no label. They count for every label: what nobody can tell apart is hidden."""


def read(
    body: bytes, size: tuple[int, int], labels: int, palette: tuple[int, ...] | None, *, merged: bool = False
) -> Ids:
    """Return what a server's mask says of a picture of `size` (width, height), for a model of so many labels.

    Values are the indices of a picture with a palette, the greys of a grey one, and the places of the colours in
    `palette` (red, green, blue of each class in one row) of any other. A mask of another size is stretched to the
    picture's, each pixel the nearest of the mask. `merged`: a value stands for every label all of whose bits it has,
    since the server combines the ids of overlapping instances bit by bit.

    Raises `BadInput` when it is no such picture, too large, or has a colour that is not in `palette`.
    """
    image = _opened(body)
    if image.width * image.height > _LARGEST_SCALE * size[0] * size[1] + _SPARE_PIXELS:
        raise BadInput(f"the mask has {image.width} x {image.height} pixels, but the picture {size[0]} x {size[1]}")
    pixels, depth = _pixels(image), _depth(body)
    colours = _colours(palette, labels)
    if image.mode == "RGB":
        plane, same = _from_colours(pixels, colours)
    else:
        # Pillow stretches shallow greys to 8 bits.
        plane = pixels // (255 // ((1 << depth) - 1)) if image.mode == "L" and depth < 8 else pixels
        same = {value: [value] for value in range(labels)}
        # Where the palette has too few colours, servers write too few bits, and ids wrap around.
        if palette is not None and len(palette) // 3 < labels and image.mode == "P" and 1 << depth < labels:
            raise BadInput(f"the mask has {depth} bits and the palette {len(palette) // 3} colours for {labels} labels")
    if plane.shape != (size[1], size[0]):
        plane = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    meanings, strange = _meanings(plane, same, labels, merged=merged)
    return Ids(plane, meanings, strange)


def pieces(ids: Ids) -> Iterator[tuple[int, Box, Mask | None]]:
    """Yield label number, box and mask of each connected piece of each label, down to a single pixel.

    Pieces are 8-connected. A mask has all the label's pixels in its box, those of other pieces too; it is None where
    that is the whole box.
    """
    for label, values in ids.values.items():
        whole = reduce(np.logical_or, (ids.plane == value for value in values))
        for box in _boxes(whole):
            mask = whole[box.slices]
            yield label, box, None if mask.all() else mask.copy()


def _opened(body: bytes) -> ImageFile.ImageFile:
    """Return the picture with its header read. Only kinds that change no value are taken, whatever they are called."""
    try:
        if body.startswith(_PNG):
            return PngImagePlugin.PngImageFile(io.BytesIO(body))
        if body.startswith((b"GIF87a", b"GIF89a")):
            return GifImagePlugin.GifImageFile(io.BytesIO(body))
        if body.startswith(b"BM"):
            return BmpImagePlugin.BmpImageFile(io.BytesIO(body))
    except _DAMAGE as error:
        raise BadInput(f"the mask is damaged: {error}") from error
    raise BadInput(f"the mask is neither PNG, GIF nor BMP, but begins with {body[:120]!r}")


def _pixels(image: ImageFile.ImageFile) -> Plane:
    if image.mode not in {"1", "L", "P", "RGB"}:
        raise BadInput(f"the mask is a picture of mode {image.mode}; allowed are P, L, 1 and RGB")
    try:
        return np.asarray(image, np.uint8)
    except _DAMAGE as error:
        raise BadInput(f"the mask is damaged: {error}") from error


def _depth(body: bytes) -> int:
    """Return the bits of one value in the file; what is not a shallow PNG counts as 8."""
    # PNG, third edition, 11.2.1: the first chunk has the depth after both sides.
    shallow = body.startswith(_PNG) and body[12:16] == b"IHDR" and body[24] in {1, 2, 4}
    return body[24] if shallow else 8


def _colours(palette: tuple[int, ...] | None, labels: int) -> list[int]:
    """Return the colour of each label as one number; labels beyond the palette are grey, as old Pillow pads it."""
    given = list(palette or ())[: 3 * labels]
    codes = [(red << 16) | (green << 8) | blue for red, green, blue in zip(*[iter(given)] * 3, strict=True)]
    return codes + [(grey << 16) | (grey << 8) | grey for grey in range(len(codes), min(labels, 256))] if codes else []


def _from_colours(pixels: Plane, colours: list[int]) -> tuple[Plane, dict[int, list[int]]]:
    """Return the plane of values, and the labels that each stands for: all that share its colour."""
    if not colours:
        raise BadInput("the mask has colours, but the model no palette to read them by")
    sharing: dict[int, list[int]] = {}
    for label, colour in enumerate(colours[:256]):
        sharing.setdefault(colour, []).append(label)
    codes = (pixels[..., 0].astype(np.uint32) << 16) | (pixels[..., 1].astype(np.uint32) << 8) | pixels[..., 2]
    # 65535 is no place in a palette: a colour that is not there.
    places = np.full(1 << 24, 0xFFFF, np.uint16)
    places[list(sharing)] = [labels[0] for labels in sharing.values()]
    found = places[codes]
    strange = np.argwhere(found == 0xFFFF)
    if len(strange):
        row, column = strange[0]
        raise BadInput(f"the mask has colour {pixels[row, column].tolist()}, which is not in the model's palette")
    return found.astype(np.uint8), {labels[0]: labels for labels in sharing.values()}


def _meanings(
    plane: Plane, same: dict[int, list[int]], labels: int, *, merged: bool
) -> tuple[dict[int, list[int]], bool]:
    """Return, for each label that is in the plane, the values that stand for it; and whether one stands for none."""
    counts = cv2.calcHist([plane], [0], None, [256], [0, 256])
    meanings: dict[int, list[int]] = {}
    strange = False
    for value in map(int, np.flatnonzero(counts)):
        meant = same.get(value, [])
        if merged and value:
            combined = {label for label in range(1, min(labels, 256)) if value & label == label}
            meant = sorted(combined.union(meant))
        if not meant:
            strange, meant = True, [*range(labels)]
        for label in meant:
            meanings.setdefault(label, []).append(value)
    return meanings, strange


def _boxes(whole: Mask) -> list[Box]:
    """Return the boxes of the connected pieces; those inside a hole of another piece are in its box already."""
    # Outlines take a fiftieth of the time that labelling each pixel takes.
    outlines, _ = cv2.findContours(whole.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) <= MOST_PIECES:
        corners = [cv2.boundingRect(outline) for outline in outlines]
        # Boxes that overlap many times over would take more memory than the picture.
        if sum(width * height for _, _, width, height in corners) <= _LARGEST_SHARE * whole.size:
            return [Box(x, y, x + width, y + height) for x, y, width, height in corners]
    x, y, width, height = cv2.boundingRect(whole.view(np.uint8))
    return [Box(x, y, x + width, y + height)]
