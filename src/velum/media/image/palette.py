"""Palette images: from indices to colours and back, so that every sample that did not change keeps its index."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from velum.frame import Plane, Role, Samples

Bytes = npt.NDArray[np.uint8]
Packed = npt.NDArray[np.uint32]

SIZE = 256
PILLOW_MODES = {Role.GREY: "L", Role.GREY_ALPHA: "LA", Role.RGB: "RGB", Role.RGBA: "RGBA", Role.CMYK: "CMYK"}
_OPAQUE_BLACK = 0x000000FF
_CHUNK = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """Up to 256 colours: (n, 4) red, green, blue, alpha, 8 bits. `alpha`: whether the file has transparency."""

    colours: Bytes
    alpha: bool

    @property
    def role(self) -> Role:
        """Role of the expanded samples."""
        return Role.RGBA if self.alpha else Role.RGB

    def expand(self, indices: Bytes) -> Bytes:
        """Return the colours (rows, columns, 3 or 4) of `indices`; an index without a colour is opaque black."""
        table = _pad_to_256(self.colours)[:, : self.role.channels]
        return np.take(table, indices, axis=0)

    def transparent(self) -> int | None:
        """Return the first index of a fully transparent colour; None where there is none."""
        clear = np.flatnonzero(self.colours[:, 3] == 0)
        return int(clear[0]) if clear.size else None


@dataclass(frozen=True, slots=True, eq=False)
class Indexed(Plane):
    """A plane of colours that keeps the palette index of each sample, (rows, columns)."""

    indices: Bytes | None = None


def reduce(pixels: Samples, palette: Palette, indices: Bytes | None = None) -> tuple[Bytes, Palette]:
    """Return indices (rows, columns) and palette for colours `pixels` (rows, columns, 3 or 4) of 8 bits.

    A sample that still has the colour of its index in `indices` keeps that index. Changed samples get an equal
    colour if there is one, else a free entry of the palette (black first, then the most frequent), else the nearest
    colour (least sum of squared differences). Colours that only changed samples used are removed from the palette.
    """
    packed, table = _pack(pixels), _pack(_pad_to_256(palette.colours))
    old = _lookup(packed, table) if indices is None else indices
    changed = table[old] != packed
    if not changed.any():
        return old, palette
    fresh, places, counts = np.unique(packed[changed], return_inverse=True, return_counts=True)
    used = np.bincount(old[~changed], minlength=SIZE) > 0
    lost = (np.bincount(old[changed], minlength=SIZE) > 0) & ~used
    colours, size = _assign_places(fresh, counts, table, used, lost, len(palette.colours))
    result = old.copy()
    result[changed] = _nearest(fresh, colours, used)[places.reshape(-1)]
    return result, Palette(_unpack(colours)[:size], palette.alpha)


def exact(pixels: Samples) -> tuple[Bytes, Palette] | None:
    """Return indices and a palette of exactly the colours of `pixels`; None when there are more than 256.

    All samples with alpha below 128 become one transparent colour, all others opaque.
    """
    packed = _pack(pixels)
    if pixels.shape[2] == 4:
        clear = (packed & 0xFF) < 128
        packed = np.where(clear, np.uint32(0), packed | np.uint32(0xFF))
    colours, indices = np.unique(packed, return_inverse=True)
    if len(colours) > SIZE:
        return None
    return indices.reshape(packed.shape).astype(np.uint8), Palette(_unpack(colours), bool((colours[0] & 0xFF) == 0))


def _assign_places(
    fresh: Packed, counts: npt.NDArray[Any], table: Packed, used: npt.NDArray[np.bool_], lost: npt.NDArray[np.bool_],
    size: int,
) -> tuple[Packed, int]:  # fmt: skip
    """Give free entries to new colours. Returns the palette and its size; sets `used` for every entry with a colour."""
    colours = table.copy()
    missing = ~np.isin(fresh, table[used])
    rank = np.lexsort((-counts, fresh != _OPAQUE_BLACK))
    places_wanted = fresh[rank[missing[rank]]]
    # Entries whose colour was hidden come first, then those the file has but never used, then new ones.
    order = np.lexsort((np.arange(SIZE) >= size, ~lost))
    places = order[~used[order]][: len(places_wanted)]
    colours[lost] = _OPAQUE_BLACK
    colours[places] = places_wanted[: len(places)]
    used[places] = True
    return colours, max(size, int(places.max(initial=0)) + 1)


def _nearest(fresh: Packed, colours: Packed, used: npt.NDArray[np.bool_]) -> Bytes:
    """Return, for each colour, the index of the nearest one among those used."""
    places = np.flatnonzero(used).astype(np.uint8)
    table = _unpack(colours[places]).astype(np.int32)
    result = np.empty(len(fresh), np.uint8)
    for start in range(0, len(fresh), _CHUNK):
        part = _unpack(fresh[start : start + _CHUNK]).astype(np.int32)
        # |a - b|^2 without |a|^2, which is the same for every b.
        distance = (table**2).sum(axis=1) - 2 * (part @ table.T)
        result[start : start + _CHUNK] = places[distance.argmin(axis=1)]
    return result


def _lookup(packed: Packed, table: Packed) -> Bytes:
    """Return the first index of each colour in `table`, 0 where it is missing."""
    colours, first = np.unique(table, return_index=True)
    at = np.searchsorted(colours, packed).clip(max=len(colours) - 1)
    return np.where(colours[at] == packed, first[at], 0).astype(np.uint8)


def _pad_to_256(colours: Bytes) -> Bytes:
    table = np.zeros((SIZE, 4), np.uint8)
    table[:, 3] = 255
    table[: len(colours)] = colours
    return table


def _pack(pixels: Samples) -> Packed:
    """Return 0xRRGGBBAA; samples without alpha are opaque."""
    packed = np.full(pixels.shape[:-1], 0xFF, np.uint32) if pixels.shape[-1] == 3 else pixels[..., 3].astype(np.uint32)
    for channel, shift in ((0, 24), (1, 16), (2, 8)):
        packed |= pixels[..., channel].astype(np.uint32) << np.uint32(shift)
    return packed


def _unpack(packed: Packed) -> Bytes:
    return np.ascontiguousarray(packed).astype(">u4").view(np.uint8).reshape(-1, 4)


def to_image(plane: Plane, colours: Palette, format: str) -> Image.Image:
    """Return Pillow's palette image of a plane: a sample keeps its index; one with a new colour gets an index."""
    pixels = plane.pixels
    clear = colours.transparent()
    if format == "GIF" and colours.alpha and clear is not None:
        pixels = pixels.copy()
        hidden = pixels[..., 3] < 128
        pixels[..., 3] = 255
        pixels[hidden] = colours.colours[clear]
    indices = plane.indices if isinstance(plane, Indexed) else None
    return _with_palette(*reduce(pixels, colours, indices), every=format == "PNG")


def gif_image(plane: Plane) -> tuple[Image.Image, bool]:
    """Return an image of at most 256 colours for a GIF, and whether these are the colours of the plane."""
    indexed = exact(plane.pixels)
    if indexed:
        return _with_palette(*indexed, every=False), True
    image = Image.frombuffer(PILLOW_MODES[plane.role], plane.pixels.shape[1::-1], np.ascontiguousarray(plane.pixels))
    if plane.role == Role.RGB:
        return image.quantize(SIZE, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE), False
    # One entry is left for transparent samples.
    reduced = image.convert("RGB").quantize(SIZE - 1, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    indices = np.asarray(reduced) + np.uint8(1)
    indices[plane.pixels[..., 3] < 128] = 0
    table = np.array([0, 0, 0, *(reduced.getpalette("RGB") or ())], np.uint8).reshape(-1, 3)
    colours = np.full((len(table), 4), 255, np.uint8)
    colours[:, :3] = table
    colours[0, 3] = 0
    return _with_palette(indices, Palette(colours, alpha=True), every=False), False


def _with_palette(indices: Bytes, colours: Palette, *, every: bool) -> Image.Image:
    """Return a palette image, with the alpha of every colour if `every`, else the index of the transparent one."""
    image = Image.frombytes("P", (indices.shape[1], indices.shape[0]), indices.tobytes())
    image.putpalette(colours.colours[:, :3].tobytes())
    if colours.alpha:
        image.info["transparency"] = colours.colours[:, 3].tobytes() if every else colours.transparent()
    return image
