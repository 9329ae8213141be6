"""Cut an image into tiles for a network, in passes of decreasing scale, each for a range of object sizes.

Each pass has half the size of the one before. A pass that is larger than one network input is cut into tiles. These
overlap, so that an object up to the size of the overlap lies whole in some tile; a larger one lies whole in a later
pass, where it is small. The last pass is at most `LAST` pixels long. All passes after the first together cost a third
of it. They also find objects that grain, dither or a too large scale hide from the first. With passes of a fourth of
the size, which cost a fifteenth, faces between their best sizes were missed.

`Letterbox` places a tile in a network's input; `suppress` keeps one box of those that tiles and passes find of one
object; `locate_with_seam` finds what lies across the seam of a panorama.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.output_formats import Detections, Family, Floats, Input
from velum.region import Box, Region, intersections


@dataclass(frozen=True, slots=True)
class Letterbox:
    """`box` of an image, scaled to `content_wh`, in the top left corner of an input of `input_wh` pixels."""

    box: Box
    content_wh: tuple[int, int]
    input_wh: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per image pixel, across and down."""
        return self.content_wh[0] / self.box.width, self.content_wh[1] / self.box.height

    def to_input(self, xyxy: Floats) -> Floats:
        """Convert boxes (n, 4) from image pixels to input pixels."""
        return (xyxy - self._shift) * self._factor

    def to_picture(self, xyxy: Floats) -> Floats:
        """Convert boxes (n, 4) from input pixels to image pixels."""
        return xyxy / self._factor + self._shift

    def points_to_picture(self, points: Floats) -> Floats:
        """Convert points (n, points, 2) from input pixels to image pixels."""
        return points / self._factor[:2] + self._shift[:2]

    @property
    def _shift(self) -> Floats:
        return np.array([self.box.x0, self.box.y0] * 2, np.float32)

    @property
    def _factor(self) -> Floats:
        return np.array(self.scale * 2, np.float32)

    def view(self, frame: Frame, pad: int) -> Rgb:
        """Return the network input (height, width, 3); pixels right of and below the content are `pad`."""
        content = frame.rgb(*self.content_wh, self.box)
        if self.content_wh == self.input_wh:
            return content
        width, height = self.input_wh
        filled = np.full((height, width, 3), pad, np.uint8)
        filled[: content.shape[0], : content.shape[1]] = content
        return filled


def fit(box: Box, wanted_wh: tuple[int, int], form: Input) -> Letterbox:
    """Place `box` in an input of the form, scaled to `wanted_wh` where the form allows.

    A network for any size gets the smallest input that holds the box, with sides in multiples of its stride. In a
    network of fixed size the box is scaled to fill the input.
    """
    if form.size_wh is None:
        input_wh = up_to(wanted_wh[0], form.stride), up_to(wanted_wh[1], form.stride)
        return Letterbox(box, input_wh if form.fit == "stretch" else wanted_wh, input_wh)
    if form.fit == "stretch":
        return Letterbox(box, form.size_wh, form.size_wh)
    scale = min(form.size_wh[0] / box.width, form.size_wh[1] / box.height)
    return Letterbox(box, (max(1, round(box.width * scale)), max(1, round(box.height * scale))), form.size_wh)


def up_to(length: float, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `length`."""
    return math.ceil(length / step) * step


SHRINK = 2
"""How much smaller each pass is than the one before."""

LAST = 256
"""Longer side of the whole image in the last pass, in input pixels."""

OVERLAP = 96
"""Input pixels that neighbouring tiles share. In the next pass an object of this size has half of it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One network input. `inner` flags the edges (left, top, right, bottom) that cut through the image."""

    fit: Letterbox
    inner: tuple[bool, bool, bool, bool]


@dataclass(frozen=True, slots=True)
class TilePass:
    """All tiles at one scale. Objects outside `smallest` to `largest`, in input pixels, are found in other passes.

    `smallest` bounds the shorter side, `largest` the longer. Detections below `smallest` must be sure to count here.
    """

    tiles: tuple[Tile, ...]
    smallest: float
    largest: float


@lru_cache(maxsize=64)
def passes(width: int, height: int, scale: float, area: int, family: Family, form: Input) -> tuple[TilePass, ...]:
    """Return the passes over an image of `width` x `height` pixels, the first at `scale`.

    `area` bounds the pixels of one tile. A network of fixed size determines the tiles' size.
    """
    tile_passes: list[TilePass] = []
    while True:
        tiles = _tiles(width, height, scale, area, form)
        last = len(tiles) == 1 and max(width, height) * scale <= LAST
        smallest = family.smallest_side if tile_passes else 0.0
        tile_passes.append(TilePass(tiles, smallest, math.inf if last else family.largest_side))
        if last:
            return tuple(tile_passes)
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
    lengths = [(1, up_to(whole, stride))]
    for count in range(2, 2 + whole // OVERLAP):
        length = up_to((whole + (count - 1) * OVERLAP) / count, stride)
        if length < lengths[-1][1]:
            lengths.append((count, length))
    return lengths


INSIDE = 0.9
"""A box of which this share lies in a better one is dropped: hiding the better one hides it."""

CUT_INSIDE = 0.5
"""The same for boxes that a tile's edge has cut: the tile held only a part of the object."""

Flags = npt.NDArray[np.bool_]


def suppress(detections: Detections, cut: Flags, iou: float) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes to keep, best first.

    Greedy, from the highest score down, with all boxes that `cut` flags after the whole ones. Each box removes those of
    its kind whose intersection over union with it is at least `iou`, or that lie in it by the shares above.
    """
    order = np.lexsort((-detections.score, cut))
    xyxy, kind = detections.xyxy[order], detections.kind[order]
    inside = np.where(cut[order], CUT_INSIDE, INSIDE)
    area = np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1)
    waiting, survivors = np.arange(len(order)), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        survivors.append(best)
        shared = intersections(xyxy[best], xyxy[waiting])
        same = (shared >= iou * (area[best] + area[waiting] - shared)) | (shared >= inside[waiting] * area[waiting])
        waiting = waiting[~(same & (kind[waiting] == kind[best]))]
    return order[np.array(survivors, np.intp)]


SMALLEST_WIDTH = 1024
"""From this width on, an image twice as wide as high counts as a panorama (equirectangular, 360 by 180 degrees)."""

REACH = 4
"""The view across the seam reaches a fourth of the height to either side: the width of an object near the camera."""


def locate_with_seam(
    frames: Sequence[Frame], locate: Callable[[Sequence[Frame]], list[list[Region]]]
) -> list[list[Region]]:
    """Return the regions that `locate` finds in each frame and, in panoramas, across the seam as well."""
    seams = [(i, seam) for i, frame in enumerate(frames) if (seam := seam_view(frame))]
    regions = locate([*frames, *(seam for _, seam in seams)])
    for (i, _), across in zip(seams, regions[len(frames) :], strict=True):
        regions[i] += split_at_seam(across, frames[i])
    return regions[: len(frames)]


def seam_view(frame: Frame) -> Frame | None:
    """Return the view across the seam of a panorama, its right end beside its left one. None for other images."""
    if frame.width != 2 * frame.height or frame.width < SMALLEST_WIDTH:
        return None
    reach = frame.height // REACH
    right = frame.rgb(reach, frame.height, Box(frame.width - reach, 0, frame.width, frame.height))
    left = frame.rgb(reach, frame.height, Box(0, 0, reach, frame.height))
    return Frame.of(Plane(np.hstack((right, left)), Role.RGB), index=frame.index, time=frame.time)


def split_at_seam(regions: Iterable[Region], frame: Frame) -> list[Region]:
    """Split each region of the seam view in two, one at each edge of the panorama, in pixels of the panorama.

    Regions that do not cross the seam are left out: the panorama itself shows them whole.
    """
    reach = frame.height // REACH
    parts = []
    for region in regions:
        box = region.box
        if not box.x0 < reach < box.x1:
            continue
        left_of_seam = reach - box.x0
        halves = (
            (Box(frame.width - left_of_seam, box.y0, frame.width, box.y1), slice(None, left_of_seam)),
            (Box(0, box.y0, box.x1 - reach, box.y1), slice(left_of_seam, None)),
        )
        for half, columns in halves:
            mask = None if region.mask is None else region.mask[:, columns]
            if mask is None or mask.any():
                parts.append(Region(half, region.label, region.score, mask, origin=region.origin))
    return parts
