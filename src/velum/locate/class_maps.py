"""Class maps: runs a segmentation network over an image of any size, tile by tile, and merges its maps into one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadPlan
from velum.frame import Frame
from velum.locate.output_formats import Detections, Family, Floats, Input, Tensors, family, no_detections
from velum.locate.output_formats.semantic import MapFamily
from velum.locate.registry import Model
from velum.locate.runtime import Network
from velum.locate.tiling import Tile, fit, passes

Map = npt.NDArray[np.uint8]
"""Probability of each label in each cell, (labels, rows, columns); 0 to 255 stand for 0 to 1. Bytes, because the map of
a large image is large. The cells cover the whole image."""


@dataclass(frozen=True, slots=True)
class Mapper:
    """Computes the class maps of an image of any size with one network.

    `scale` is the scale of the first pass, in input pixels per image pixel; None runs the network once, on the whole
    image. `area` bounds the pixels of one network input, and `cells` the cells of one map: both bound memory. Where a
    full-resolution map would have more cells, its resolution is lowered. The network has `labels` classes; `keep` lists
    the indices of those that the maps hold.
    """

    network: Network
    family: MapFamily
    form: Input
    labels: int
    keep: tuple[int, ...]
    scale: float | None
    area: int
    cells: int

    def maps(self, frame: Frame) -> list[Map]:
        """Return one map per pass over the image, the finest first. Raises `PluginFault` when the network fails."""
        if self.scale is None:
            return [self._map(frame, (self._whole_tile(frame),))]
        plan = passes(frame.width, frame.height, self.scale, self.area, _SIZES, self.form)
        return [self._map(frame, tile_pass.tiles) for tile_pass in plan]

    def _whole_tile(self, frame: Frame) -> Tile:
        """Return a single tile that covers the image, as large as `area` allows."""
        scale = min(1.0, math.sqrt(self.area / (frame.width * frame.height)))
        wanted_wh = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        return Tile(fit(frame.box, wanted_wh, self.form), (False, False, False, False))

    def _map(self, frame: Frame, tiles: Sequence[Tile]) -> Map:
        """Return the map of one pass.

        Where tiles overlap, the higher probability counts: one tile may cut an object that another holds whole.
        """
        outputs = self.network.infer_many(tile.fit.view(frame, self.form.pad) for tile in tiles)
        layers = (self._read_tile(tensors, tile) for tensors, tile in zip(outputs, tiles, strict=True))
        first = next(layers)
        if len(tiles) == 1:
            return _to_bytes(first)
        whole = np.zeros((len(self.keep), *self._map_shape(first, tiles[0], frame)), np.uint8)
        rows, columns = whole.shape[1:]
        for tile, soft in zip(tiles, chain([first], layers), strict=True):
            x0, x1 = _cell_range(tile.fit.box.x0, tile.fit.box.x1, columns / frame.width, columns)
            y0, y1 = _cell_range(tile.fit.box.y0, tile.fit.box.y1, rows / frame.height, rows)
            place = whole[:, y0:y1, x0:x1]
            np.maximum(place, _to_bytes(resize_layers(soft, x1 - x0, y1 - y0)), out=place)
        return whole

    def _map_shape(self, soft: Floats, tile: Tile, frame: Frame) -> tuple[int, int]:
        """Return (rows, columns) of the map: the resolution of the tile's layers `soft`, or less if `cells` demands."""
        rows = frame.height * soft.shape[1] / tile.fit.box.height
        columns = frame.width * soft.shape[2] / tile.fit.box.width
        coarser = min(1.0, math.sqrt(self.cells / (rows * columns * len(self.keep))))
        return max(1, round(rows * coarser)), max(1, round(columns * coarser))

    def _read_tile(self, outputs: Tensors, tile: Tile) -> Floats:
        """Return the probabilities of the kept classes in one tile (classes, rows, columns), without its padding."""
        (width, height), (across, down) = tile.fit.input_wh, tile.fit.content_wh
        layers = self.family.read(outputs, self.labels)
        rows = max(1, round(layers.shape[1] * down / height))
        columns = max(1, round(layers.shape[2] * across / width))
        return layers[list(self.keep), :rows, :columns]


def map_family(model: Model) -> MapFamily:
    """Return the model's family. Raises `BadPlan` when its networks give boxes instead of maps."""
    kind: object = family(model.family)
    if not isinstance(kind, MapFamily):
        raise BadPlan(
            f"model {model.name} is of family {model.family}, which finds boxes, not outlines; "
            f"write model(name={model.name!r})"
        )
    return kind


def resize_layers(layers: Floats | Map, width: int, height: int) -> Floats | Map:
    """Return the layers (n, rows, columns) scaled to `width` x `height`; the same array when they have that size."""
    if layers.shape[1:] == (height, width):
        return layers
    shrinks = width < layers.shape[2] or height < layers.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(layer, (width, height), interpolation=way) for layer in layers])


def _to_bytes(soft: Floats | Map) -> Map:
    return np.clip(np.rint(soft * 255), 0, 255).astype(np.uint8)


def _cell_range(low: int, high: int, per_pixel: float, length: int) -> tuple[int, int]:
    """Return the range of cells, at least one of `length`, that the pixels from `low` to `high` cover."""
    start = min(round(low * per_pixel), length - 1)
    return start, min(max(start + 1, round(high * per_pixel)), length)


def _no_boxes(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:  # noqa: ARG001 - the signature that a family needs
    return no_detections()


# `passes` needs the object sizes of a family; maps are not filtered by size, so these are not used.
_SIZES = Family(_no_boxes)
