"""Runs one network over an image of any size, tile by tile and pass by pass, and keeps one box of each object."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.output_formats import Detections, Family, Input, Tensors, concatenate
from velum.locate.runtime import Network
from velum.locate.tiling import Flags, Tile, TilePass, passes, suppress
from velum.region import ious

CUT_MARGIN = 0.25
"""A box counts as cut when its distance to a tile's inner edge is below this share of its size."""

SAME_IOU = 0.5
"""IoU from which boxes of different tiles are the same object, for networks that suppress duplicates themselves."""

SMALL_FACTOR = 2.0
"""Factor of the threshold, in passes after the first, for objects below the smallest size of the network. The finer
pass has seen them twice as large, so most of these detections are false. Sure ones are kept: a network that needs an
object's surroundings may have missed it in the finer pass."""

TWICE_FACTOR, TWICE_IOU, TWICE_SIDE = 0.5, 0.4, 1.5
"""What confirms a large object in another pass: a detection with this factor of the threshold at least, with this IoU
at least. And the shorter side, in smallest sides of the network, from which a pass can be expected to show it."""


@dataclass(frozen=True, slots=True)
class TiledDetector:
    """Detects objects in images of any size with one network.

    `scale` is the scale of the first pass, in input pixels per image pixel; `area` bounds the pixels of one network
    input, and so memory. Small images are enlarged further: up to `closest`, as long as the whole first pass has no
    more than `closest_pixels`. `sure_factor` is `SMALL_FACTOR`, or more where the threshold is lower than usual. With
    `twice_from` above 0, an object that is at least this share of the image's longer side must show in two passes,
    where another one can see it whole.
    """

    network: Network
    family: Family
    form: Input
    threshold: float
    scale: float
    area: int
    closest: float = 0.0
    closest_pixels: int = 0
    sure_factor: float = SMALL_FACTOR
    twice_from: float = 0.0

    def scale_of(self, frame: Frame) -> float:
        """Return the scale of the first pass over a frame. Of one scene, a larger image never gets a smaller input."""
        return max(self.scale, min(self.closest, math.sqrt(self.closest_pixels / (frame.width * frame.height))))

    def find(self, frame: Frame) -> Detections:
        """Return the detections in one frame, as `find_all` yields them."""
        (detections,) = self.find_all([frame])
        return detections

    def find_all(self, frames: Sequence[Frame]) -> Iterator[Detections]:
        """Yield the detections of each frame, best first, one box per object, in pixels of the upright image.

        The tiles of all frames go through the network as one queue. Boxes can reach beyond the image. Raises
        `PluginFault` when the network fails.
        """
        plans = [self.tiles(frame) for frame in frames]
        views = (view for frame, plan in zip(frames, plans, strict=True) for view in self.views(frame, plan))
        outputs = self.network.infer_many(views)
        for frame, plan in zip(frames, plans, strict=True):
            large = self.twice_from * max(frame.width, frame.height)
            parts = [self._decode_tile(next(outputs), tile, tile_pass, large) for tile, tile_pass in plan]
            all_detections = concatenate([detections for detections, _ in parts])
            cut = np.concatenate([cut for _, cut in parts])
            if large:
                counts = self._shown_twice(all_detections, [len(part) for part, _ in parts], plan, large)
                all_detections, cut = all_detections.take(counts), cut[counts]
            yield all_detections.take(suppress(all_detections, cut, self.family.nms_iou or SAME_IOU))

    def tiles(self, frame: Frame) -> list[tuple[Tile, TilePass]]:
        """Return all tiles of a frame, each with its pass."""
        plan = passes(frame.width, frame.height, self.scale_of(frame), self.area, self.family, self.form)
        return [(tile, tile_pass) for tile_pass in plan for tile in tile_pass.tiles]

    def views(self, frame: Frame, plan: Iterable[tuple[Tile, TilePass]]) -> Iterator[Rgb]:
        """Yield the network input (height, width, 3) of each tile of a plan.

        A tile that covers the whole frame is scaled down from the previous tile that did, not from the frame again.
        """
        resized = frame
        for tile, _ in plan:
            if tile.fit.box != frame.box:
                yield tile.fit.view(frame, self.form.pad)
                continue
            view = replace(tile.fit, box=resized.box).view(resized, self.form.pad)
            width, height = tile.fit.content_wh
            resized = Frame.of(Plane(view[:height, :width], Role.RGB))
            yield view

    def _decode_tile(self, outputs: Tensors, tile: Tile, of: TilePass, large: float) -> tuple[Detections, Flags]:
        """Return the detections of one tile, and a flag for each that the tile's edges may have cut.

        Unless `large` is 0, those about as long as so many image pixels may have a lower score.
        """
        detections = self.family.decode(outputs, tile.fit.input_wh, self.threshold * (TWICE_FACTOR if large else 1.0))
        sure = min(self.threshold * self.sure_factor, (self.threshold + 1) / 2)
        sides = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
        shorter, longer = sides.min(axis=1), sides.max(axis=1)
        fits = (shorter > 0) & ((shorter >= of.smallest) | (detections.score >= sure)) & (longer <= of.largest)
        if large:
            fits &= (detections.score >= self.threshold) | ((sides / tile.fit.scale).max(axis=1) >= large * TWICE_IOU)
        detections = detections.take(fits)
        points = None if detections.points is None else tile.fit.points_to_picture(detections.points)
        return replace(detections, xyxy=tile.fit.to_picture(detections.xyxy), points=points), _cut(detections, tile)

    def _shown_twice(
        self, detections: Detections, lengths: Sequence[int], plan: Sequence[tuple[Tile, TilePass]], large: float
    ) -> Flags:
        """Return a flag for each detection that counts, given how many of them each tile of the plan has, in its order.

        Such a detection has the threshold, and from `large` image pixels on, another pass confirms it, unless no other
        pass can be expected to show it in one tile.
        """
        number = {id(tile_pass): i for i, (_, tile_pass) in enumerate(plan)}
        pass_of = np.repeat([number[id(tile_pass)] for _, tile_pass in plan], lengths)
        whole = [(number[id(of)], min(tile.fit.scale)) for tile, of in plan if len(of.tiles) == 1]
        sides = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
        counts: Flags = detections.score >= self.threshold
        large_alone = np.flatnonzero(counts & (sides.max(axis=1) >= large))
        same = (pass_of[large_alone, None] != pass_of) & (detections.kind[large_alone, None] == detections.kind)
        confirmed = (same & (ious(detections.xyxy[large_alone], detections.xyxy) >= TWICE_IOU)).any(axis=1)
        numbers, scales = np.array(whole, float).reshape(-1, 2).T
        least, most = sides[large_alone].min(axis=1)[:, None] * scales, sides[large_alone].max(axis=1)[:, None] * scales
        fits = (least >= TWICE_SIDE * self.family.smallest_side) & (most <= self.family.largest_side)
        counts[large_alone] = confirmed | ~(fits & (pass_of[large_alone, None] != numbers)).any(axis=1)
        return counts


def _cut(detections: Detections, tile: Tile) -> Flags:
    """Return a flag for each box, in input pixels, that the tile's edges may have cut."""
    low, high = detections.xyxy[:, :2], detections.xyxy[:, 2:]
    reach = (high - low) * CUT_MARGIN
    beyond = np.concatenate((low < reach, high > np.array(tile.fit.content_wh) - reach), axis=1)
    cut: Flags = (beyond & np.array(tile.inner)).any(axis=1)
    return cut
