"""One map of a whole picture from a network that answers with maps: looks of any number, put together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadPlan
from velum.frame import Frame
from velum.locate.letterbox import fit
from velum.locate.output_formats import Detections, Family, Floats, Input, Tensors, family, no_detections
from velum.locate.output_formats.semantic import MapFamily
from velum.locate.registry import Model
from velum.locate.runtime import Network
from velum.locate.tiling import Tile, passes

Map = npt.NDArray[np.uint8]
"""How likely each cell belongs to each label, (labels, rows, columns): 0 to 255 stand for 0 to 1. A byte, since a map
of a large picture is large. Its cells cover the whole picture."""


@dataclass(frozen=True, slots=True)
class Mapper:
    """Makes maps of pictures with one network, of whatever size the picture is.

    `scale` is that of the first pass in pixels of the input per pixel of the picture; None looks once, at the whole.
    `area` is how many pixels of input the network gets at once, and `cells` how many a map may have: both bound memory.
    A map of a picture that needs more is put together at a lower resolution than the network sees it at. Of the
    network's `labels` classes the maps hold those whose indices `keep` lists.
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
        """Return the map of each pass over the picture, the finest first. Raises `PluginFault`."""
        if self.scale is None:
            return [self._map(frame, (self._whole_tile(frame),))]
        plan = passes(frame.width, frame.height, self.scale, self.area, _SIZES, self.form)
        return [self._map(frame, one.tiles) for one in plan]

    def _whole_tile(self, frame: Frame) -> Tile:
        """Return the one look that sees all of the picture, as large as `area` allows."""
        scale = min(1.0, math.sqrt(self.area / (frame.width * frame.height)))
        wanted_wh = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        return Tile(fit(frame.box, wanted_wh, self.form), (False, False, False, False))

    def _map(self, frame: Frame, tiles: Sequence[Tile]) -> Map:
        """Return the map of one pass. Where looks overlap, the likelier counts: what one cuts, another sees whole."""
        outputs = self.network.infer_many(tile.fit.view(frame, self.form.pad) for tile in tiles)
        looks = (self._read_tile(one, tile) for one, tile in zip(outputs, tiles, strict=True))
        first = next(looks)
        if len(tiles) == 1:
            return _to_bytes(first)
        whole = np.zeros((len(self.keep), *self._map_shape(first, tiles[0], frame)), np.uint8)
        rows, columns = whole.shape[1:]
        for tile, look in zip(tiles, chain([first], looks), strict=True):
            x0, x1 = _cell_range(tile.fit.box.x0, tile.fit.box.x1, columns / frame.width, columns)
            y0, y1 = _cell_range(tile.fit.box.y0, tile.fit.box.y1, rows / frame.height, rows)
            place = whole[:, y0:y1, x0:x1]
            np.maximum(place, _to_bytes(resize_layers(look, x1 - x0, y1 - y0)), out=place)
        return whole

    def _map_shape(self, look: Floats, tile: Tile, frame: Frame) -> tuple[int, int]:
        """Return rows and columns of a map as fine as a look at one tile is, or as `cells` allows."""
        rows = frame.height * look.shape[1] / tile.fit.box.height
        columns = frame.width * look.shape[2] / tile.fit.box.width
        coarser = min(1.0, math.sqrt(self.cells / (rows * columns * len(self.keep))))
        return max(1, round(rows * coarser)), max(1, round(columns * coarser))

    def _read_tile(self, outputs: Tensors, tile: Tile) -> Floats:
        """Return what the network says of one tile, without the padding, of the kept classes."""
        (width, height), (across, down) = tile.fit.input_wh, tile.fit.content_wh
        found = self.family.read(outputs, self.labels)
        rows = max(1, round(found.shape[1] * down / height))
        columns = max(1, round(found.shape[2] * across / width))
        return found[list(self.keep), :rows, :columns]


def map_family(model: Model) -> MapFamily:
    """Return the model's family. Raises `BadPlan` when its networks do not answer with maps."""
    found: object = family(model.family)
    if not isinstance(found, MapFamily):
        raise BadPlan(
            f"model {model.name} is of family {model.family}, which finds boxes, not outlines; "
            f"write model(name={model.name!r})"
        )
    return found


def model_facts(model: Model, network: Network) -> dict[str, str]:
    """Return what a report says of a model and what runs it."""
    return {
        "model": model.name,
        "weights": model.fingerprint,
        "family": model.family,
        "runtime": network.runtime,
        "precision": network.precision,
    }


def check_option(option: str, value: float, lowest: float, highest: float, name: str) -> None:
    """Raise `BadPlan` when an option's value is out of range; `name` is the part or model it belongs to."""
    if not lowest <= value <= highest:
        raise BadPlan(f"{option} of {name} is {value!r}; it must be from {lowest:g} to {highest:g}")


def resize_layers(layers: Floats | Map, width: int, height: int) -> Floats | Map:
    """Return the layers (n, rows, columns), each scaled smoothly to `width` x `height`; a view when they have it."""
    if layers.shape[1:] == (height, width):
        return layers
    shrinks = width < layers.shape[2] or height < layers.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(layer, (width, height), interpolation=way) for layer in layers])


def _to_bytes(soft: Floats | Map) -> Map:
    return np.clip(np.rint(soft * 255), 0, 255).astype(np.uint8)


def _cell_range(low: int, high: int, per_pixel: float, length: int) -> tuple[int, int]:
    """Return where pixels from `low` to `high` lie in a map of that length; at least one cell."""
    start = min(round(low * per_pixel), length - 1)
    return start, min(max(start + 1, round(high * per_pixel)), length)


def _no_boxes(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:  # noqa: ARG001 - of every family
    return no_detections()


# Maps are not filtered by an object's size: these bounds are only what `passes` asks for.
_SIZES = Family(_no_boxes)
