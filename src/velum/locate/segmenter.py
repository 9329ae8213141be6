"""The localizer `segment`: finds objects along their outlines with a segmentation model of the catalogue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadPlan
from velum.frame import Frame
from velum.locate import registry
from velum.locate.class_maps import Map, Mapper, map_family, resize_layers
from velum.locate.runtime import fingerprint_of, model_facts, open_network
from velum.locate.tiling import locate_with_seam
from velum.locate.weights import fetch
from velum.parts import check_option
from velum.plan import Effort
from velum.plugins import RuntimeConfig
from velum.region import Box, Mask, Region


def connected_components(inside: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int32], list[Box]]:
    """Return the number of each cell's component, 0 outside all, and the boxes of components 1, 2, ...

    Cells that touch at a corner are connected. `inside` is 0 or 1, (rows, columns); boxes are in cells.
    """
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    boxes = [Box(x, y, x + width, y + height) for x, y, width, height in stats[1:, :4].tolist()]
    return np.asarray(numbers), boxes


SMALLEST_SIDE = 32
"""Shorter side, in input pixels, of the smallest object that a segmentation network finds reliably.

Measured with DeepLab v3 (257 x 257, VOC) on nine street scenes with 44 persons, most of 20 to 80 pixels across, at a
threshold of 0.3: in one tile of the whole image 61 % are found (a quarter of their box or more), in tiles at half its
resolution 70 %, at its own 93 %, enlarged twofold 98 %, with 0.7, 0.8, 2.3 and 1.5 % of the picture outside
any person's box. At a threshold of 0.5 it is 84 % instead of 93.
"""

LARGEST_SCALE = 2.0
"""Largest magnification of an image: more adds no detail."""

BACKGROUND = frozenset({"", "background", "bg", "__background__", "_background_", "unlabeled", "void"})
"""Labels of the background; hidden only where a plan names them."""


CELLS = 1 << 26
"""Largest number of cells of a map, all labels together: 64 MiB.

Twenty labels of 3 million pixels, or one of 64 million, need no more.
"""

Grey = npt.NDArray[np.uint8]
Outline = tuple[Box, Mask]


@dataclass(frozen=True, slots=True)
class Outliner:
    """Turns class maps into regions, one per connected component and label; `labels` are those of the maps' layers.

    A cell belongs to every label whose probability is at least `threshold`, not only to the likeliest: a pixel that is
    a person by 0.4 is hidden even when it is a chair by 0.6. Components are 8-connected and kept down to a single cell,
    unless both their sides are below `specks` image pixels.
    """

    mapper: Mapper
    labels: tuple[str, ...]
    threshold: float
    specks: int

    def find(self, frame: Frame) -> list[Region]:
        """Return the regions, each with its outline as a mask, best first. Raises `PluginFault`."""
        outlines = []
        for label, whole in zip(self.labels, self.merged_layers(frame), strict=True):
            outlines += [Region(box, label, score, mask) for box, score, mask in self._components(whole, frame)]
        return sorted(outlines, key=lambda region: -region.score)

    def merged_layers(self, frame: Frame) -> Iterator[Grey]:
        """Yield each label's probabilities (rows, columns): in each cell the highest that a pass gives it."""
        maps = self.mapper.maps(frame)
        rows, columns = maps[0].shape[1:]
        for index in range(len(self.labels)):
            layers = (resize_layers(layer[index : index + 1], columns, rows)[0] for layer in maps)
            yield np.asarray(reduce(np.maximum, layers))

    def _components(self, likely: Grey, frame: Frame) -> Iterator[tuple[Box, float, Mask | None]]:
        """Yield box, mean probability and mask of each connected component of one label's map (rows, columns)."""
        level = max(1, round(self.threshold * 255))
        numbers, boxes = connected_components((likely >= level).view(np.uint8))
        for number, cells in enumerate(boxes, 1):
            inside = numbers[cells.slices] == number
            box, mask = _outline(likely, numbers, number, cells, frame, level)
            if max(box.width, box.height) >= self.specks:
                yield box, float(likely[cells.slices][inside].mean()) / 255, None if mask.all() else mask


class Segmenter:
    """Finds the labels of a segmentation model of the catalogue, each object along its outline."""

    def __init__(
        self,
        name: str,
        host: RuntimeConfig,
        *,
        min_side: float | None = None,
        threshold: float | None = None,
        tile: int = 896,
        only: tuple[str, ...] = (),
        specks: int = 0,
        effort: Effort = "balanced",
    ) -> None:
        """Prepare the model `name`.

        `min_side` is the shorter side, in image pixels, of the smallest object that must be found (None: the model's
        own for `effort`, or 32); large images are cut into tiles. With 0 the network sees each image once, as a whole,
        which suits models made for one large object. `threshold` is the probability from which a pixel belongs to a
        label (None: the model's own). `tile` squared is the largest area of one network input, for networks of any
        size. `only` names the labels to find (none: all but the background). Regions smaller than `specks` pixels both
        ways are left out. Raises `BadPlan` for an unknown name and for values out of range, `Unavailable` when the
        weights cannot be fetched or used.
        """
        model = registry.find(name, host)
        kind = map_family(model)
        level = model.threshold if threshold is None else threshold
        if min_side is None:
            min_side = model.effort[effort].image.min_side if effort in model.effort else SMALLEST_SIDE
        if min_side:
            check_option("min_side", min_side, SMALLEST_SIDE / LARGEST_SCALE, 1000, name)
        check_option("threshold", level, 0.01, 1, name)
        check_option("tile", tile, 256, 4096, name)
        check_option("specks", specks, 0, 1000, name)
        keep = _class_indices(only, model)
        kept_labels = tuple(model.labels[index] for index in keep)
        self.labels = frozenset(kept_labels)
        self._model = model
        self._min_side = min_side
        form = replace(kind.input, **model.input)
        network = open_network(fetch.ensure_local(model, host), form, host, model.fingerprint)
        scale = SMALLEST_SIDE / min_side if min_side else None
        mapper = Mapper(network, kind, form, len(model.labels), keep, scale, tile * tile, CELLS)
        self._outliner = Outliner(mapper, kept_labels, level, specks)

    def fingerprint(self) -> str:
        """Return a hash of the network's outputs for a fixed image; see `Fingerprinted`. Raises `PluginFault`."""
        return fingerprint_of(self._outliner.mapper.network, self._outliner.mapper.form)

    @property
    def description(self) -> Mapping[str, str]:
        """Model, weights and settings, for the report."""
        return model_facts(self._model, self._outliner.mapper.network) | {
            "threshold": f"{self._outliner.threshold:g}",
            "min_side": f"{self._min_side:g}",
        }

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, best first. Raises `PluginFault`."""
        return locate_with_seam(frames, lambda views: [self._outliner.find(frame) for frame in views])

    def probabilities(self, frame: Frame) -> Map:
        """Return the probability of each label that it finds, in the order of `finds`, in each cell of the image."""
        return np.stack(list(self._outliner.merged_layers(frame)))

    @property
    def finds(self) -> tuple[str, ...]:
        """The labels in the order of the network's classes."""
        return self._outliner.labels

    def close(self) -> None:
        """Do nothing: the network is freed with the localizer."""


def _class_indices(only: tuple[str, ...], model: registry.Model) -> tuple[int, ...]:
    """Return the indices of the classes to find. Raises `BadPlan` when `only` names a label that the model lacks."""
    if unknown := sorted(set(only) - set(model.labels)):
        raise BadPlan(
            f"model {model.name} has no label {', '.join(unknown)}; it has {', '.join(filter(None, model.labels))}"
        )
    return tuple(
        index
        for index, label in enumerate(model.labels)
        if (label in only if only else label.casefold() not in BACKGROUND)
    )


def _outline(likely: Grey, pieces: npt.NDArray[Any], piece: int, cells: Box, frame: Frame, level: int) -> Outline:
    """Return box and mask, in image pixels, of a component that fills the box `cells` of the map.

    Only this component is interpolated, between the middles of its cells and one cell beyond them.
    """
    rows, columns = likely.shape
    per_x, per_y = frame.width / columns, frame.height / rows
    around = cells.pad(1, 1).clip(columns, rows) or cells
    others = pieces[around.slices]
    soft = np.where((others == piece) | (others == 0), likely[around.slices], 0)
    box = _picture_box(around, per_x, per_y, frame)
    from_picture = np.array(
        [
            [1 / per_x, 0, (box.x0 + 0.5) / per_x - 0.5 - around.x0],
            [0, 1 / per_y, (box.y0 + 0.5) / per_y - 0.5 - around.y0],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(soft, from_picture, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask: Mask = fine >= level
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        # Interpolation left nothing, as of a single cell between the image's pixels: take the cells whole.
        box = _picture_box(cells, per_x, per_y, frame)
        return box, np.ones((box.height, box.width), np.bool_)
    return Box(x, y, x + width, y + height).move(box.x0, box.y0), mask[y : y + height, x : x + width].copy()


def _picture_box(cells: Box, per_x: float, per_y: float, frame: Frame) -> Box:
    """Return the box of image pixels that a box of cells touches."""
    box = Box.around(cells.x0 * per_x, cells.y0 * per_y, cells.x1 * per_x, cells.y1 * per_y)
    # Rounding can put the far edge of the last cells a pixel beyond the picture.
    return box.clip(frame.width, frame.height) or Box(frame.width - 1, frame.height - 1, frame.width, frame.height)
