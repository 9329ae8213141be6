"""Cut an image into tiles for a network, in passes of decreasing scale, each for a range of object sizes.

Each pass has a fourth of the size of the one before. A pass that is larger than one network input is cut into tiles.
These overlap, so that an object up to the size of the overlap lies whole in some tile; a larger one lies whole in a
later pass, where it is small. The last pass is at most `LAST` pixels long. All passes after the first together cost a
fifteenth of it. They also find objects that grain, dither or a too large scale hide from the first.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from velum.locate.letterbox import Letterbox, fit, up_to
from velum.locate.output_formats import Family, Input
from velum.region import Box

SHRINK = 4
"""How much smaller each pass is than the one before."""

LAST = 256
"""Longer side of the whole image in the last pass, in input pixels."""

OVERLAP = 96
"""Input pixels that neighbouring tiles share. In the next pass an object of this size has a fourth of it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One network input. `inner` flags the edges (left, top, right, bottom) that cut through the image."""

    fit: Letterbox
    inner: tuple[bool, bool, bool, bool]


@dataclass(frozen=True, slots=True)
class TilePass:
    """All tiles at one scale. Objects outside `smallest` to `largest`, in input pixels, are left to other passes.

    `smallest` bounds the shorter side, `largest` the longer.
    """

    tiles: tuple[Tile, ...]
    smallest: float
    largest: float


@lru_cache(maxsize=64)
def passes(width: int, height: int, scale: float, area: int, family: Family, form: Input) -> tuple[TilePass, ...]:
    """Return the passes over an image of `width` x `height` pixels, the first at `scale`.

    `area` bounds the pixels of one tile. A network of fixed size determines the tiles' size.
    """
    found: list[TilePass] = []
    while True:
        tiles = _tiles(width, height, scale, area, form)
        last = len(tiles) == 1 and max(width, height) * scale <= LAST
        smallest = family.smallest_side if found else 0.0
        found.append(TilePass(tiles, smallest, math.inf if last else family.largest_side))
        if last:
            return tuple(found)
        scale /= SHRINK


@dataclass(frozen=True, slots=True)
class _Axis:
    """Tiles along one side of the image: their `starts` and their `length`, in input pixels."""

    starts: tuple[int, ...]
    length: int

    @classmethod
    def cut(cls, whole: int, length: int, count: int) -> "_Axis":
        """Return `count` tiles of `length`, spread evenly over `whole`."""
        if count == 1:
            return cls((0,), min(length, whole))
        return cls(tuple((whole - length) * i // (count - 1) for i in range(count)), length)

    def spans(self, side: int, scale: float) -> list[tuple[int, int]]:
        """Return start and end of each tile along a side of `side` image pixels, rounded outwards."""
        if len(self.starts) == 1:
            return [(0, side)]
        ends = [start + self.length for start in self.starts]
        return [
            (math.floor(a / scale), min(side, math.ceil(b / scale))) for a, b in zip(self.starts, ends, strict=True)
        ]


def _tiles(width: int, height: int, scale: float, area: int, form: Input) -> tuple[Tile, ...]:
    whole_wh = math.ceil(width * scale), math.ceil(height * scale)
    if form.size_wh:
        across, down = _fixed_size_axes(whole_wh, form.size_wh)
    else:
        across, down = _cheapest_axes(whole_wh, area, form.stride)
    size = across.length, down.length
    return tuple(
        Tile(fit(Box(x0, y0, x1, y1), size, form), (x0 > 0, y0 > 0, x1 < width, y1 < height))
        for y0, y1 in down.spans(height, scale)
        for x0, x1 in across.spans(width, scale)
    )


def _fixed_size_axes(whole_wh: tuple[int, int], size_wh: tuple[int, int]) -> tuple[_Axis, _Axis]:
    """Return the fewest tiles of one size that cover the whole."""
    counts = []
    for whole, size in zip(whole_wh, size_wh, strict=True):
        overlap = min(OVERLAP, size // 2)
        counts.append(1 if whole <= size else math.ceil((whole - overlap) / (size - overlap)))
    across, down = map(_Axis.cut, whole_wh, size_wh, counts)
    return across, down


def _cheapest_axes(whole_wh: tuple[int, int], area: int, stride: int) -> tuple[_Axis, _Axis]:
    """Return the cheapest tiles of at most `area` pixels: fewest pixels in all, then fewest tiles.

    Tiles of which more than half is overlap are a last resort.
    """
    choices = [
        (short, nx * ny * width * height, nx * ny, nx, ny, width, height)
        for nx, width in _lengths(whole_wh[0], stride)
        for ny, height in _lengths(whole_wh[1], stride)
        for short in [(nx > 1 and width < 2 * OVERLAP) or (ny > 1 and height < 2 * OVERLAP)]
        if width * height <= area
    ]
    _, _, _, nx, ny, width, height = min(choices)
    return _Axis.cut(whole_wh[0], width, nx), _Axis.cut(whole_wh[1], height, ny)


def _lengths(whole: int, stride: int) -> list[tuple[int, int]]:
    """Return the ways to cut a side into overlapping tiles, as (number of tiles, length of each)."""
    found = [(1, up_to(whole, stride))]
    for count in range(2, 2 + whole // OVERLAP):
        length = up_to((whole + (count - 1) * OVERLAP) / count, stride)
        if length < found[-1][1]:
            found.append((count, length))
    return found
