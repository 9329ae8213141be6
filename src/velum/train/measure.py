"""Measures a network on labelled pictures while it is trained; it locates as velum does when it hides."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from velum.evaluation.evaluator import match
from velum.locate import user_models
from velum.locate.class_maps import Map, resize_layers
from velum.locate.detector import Detector
from velum.locate.import_model import ImportedModel
from velum.locate.output_formats import family
from velum.locate.output_formats.semantic import MapFamily
from velum.locate.segmenter import Segmenter
from velum.plugins import RuntimeConfig
from velum.region import Region
from velum.train.crops import INSIDE, HardNegative, draw_masks
from velum.train.labels import LabelledPicture
from velum.train.pictures import PictureStore

AP_IOU = 0.5
"""Overlap (IoU) from which a detection counts, as in AP50 of PASCAL VOC and COCO."""

LEAST_SCORE = 0.05
"""Score from which detections count for the average precision."""

HARD_SCORE = 0.15
"""Score from which a false detection is a hard negative."""

HARD_IOU = 0.1
"""A detection that overlaps an object by less is of something else, and not merely badly placed."""


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """How good a network is on the held-out pictures, by label and as their mean.

    `measure` is AP50, the average precision at an IoU of 0.5, or IoU, the pixels that the found and the labelled masks
    of all pictures share, of those that either has.
    """

    by_label: Mapping[str, float]
    measure: str = "AP50"

    @property
    def mean(self) -> float:
        """The mean over the labels, from 0 to 1."""
        return sum(self.by_label.values()) / max(1, len(self.by_label))


def average_precision(scores: Sequence[float], hits: Sequence[bool], total: int) -> float:
    """Return the area under the curve of precision over recall, for detections with scores among `total` objects.

    Precision at a recall is the highest at that or a greater one (Everingham et al., "The PASCAL VOC Challenge", 2010,
    as changed in VOC2010: all points).
    """
    if not total or not len(scores):
        return 0.0
    order = np.argsort(-np.asarray(scores), kind="stable")
    right = np.cumsum(np.asarray(hits, bool)[order])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    steps = np.diff(np.concatenate(([0], right))) / total
    return float((precision * steps).sum())


class Trial:
    """A network in a temporary catalogue of its own, for the length of a `with` block."""

    def __init__(self, offer: ImportedModel, model: onnx.ModelProto, host: RuntimeConfig) -> None:
        """Write the network to a folder of its own. Raises `BadInput` when it does not run."""
        self._folder = tempfile.TemporaryDirectory(prefix="velum-trial-")
        room = Path(self._folder.name)
        onnx.save(model, room / "network.onnx")
        self.host = replace(host, models=room / "models", compiled_cache=False, progress=None)
        self.model = user_models.put(replace(offer, path=room / "network.onnx"), self.host)

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def find(self, pictures: Sequence[LabelledPicture], store: PictureStore, threshold: float) -> list[list[Region]]:
        """Return what the network finds in each picture. Raises `PluginFault`."""
        make = Segmenter if isinstance(family(self.model.family), MapFamily) else Detector
        localizer = make(self.model.name, self.host, threshold=threshold)
        return [localizer.locate([store.frame(picture)])[0] for picture in pictures]

    def probabilities(self, pictures: Sequence[LabelledPicture], store: PictureStore) -> Iterator[Map]:
        """Yield the map (labels, height, width) of each picture, in its size. Raises `PluginFault`."""
        segmenter = Segmenter(self.model.name, self.host)
        for picture in pictures:
            layers = segmenter.probabilities(store.frame(picture))
            yield np.asarray(resize_layers(layers, picture.width, picture.height), np.uint8)


def measure(
    detected: Sequence[Sequence[Region]], pictures: Sequence[LabelledPicture], labels: Sequence[str]
) -> HeldOutScore:
    """Return the average precision of detections in pictures.

    A detection without an object does not count where its label is not labelled completely.
    """
    scores: dict[str, list[float]] = {label: [] for label in labels}
    hits: dict[str, list[bool]] = {label: [] for label in labels}
    totals = dict.fromkeys(labels, 0)
    for regions, picture in zip(detected, pictures, strict=True):
        right, wrong = match(regions, picture.boxes, lambda first, second: first == second, AP_IOU)
        for index in right.values():
            scores[regions[index].label].append(regions[index].score)
            hits[regions[index].label].append(True)
        for index in wrong:
            if regions[index].label in picture.complete:
                scores[regions[index].label].append(regions[index].score)
                hits[regions[index].label].append(False)
        for box in picture.objects:
            totals[box.label] += 1
    return HeldOutScore(
        {label: average_precision(scores[label], hits[label], totals[label]) for label in labels if totals[label]}
    )


@dataclass(frozen=True, slots=True, eq=False)
class MaskCounts:
    """Pixels of one label in one picture: found and labelled, and found, at each of `LEVELS`; and labelled."""

    shared: npt.NDArray[np.int64]
    found: npt.NDArray[np.int64]
    labelled: int


LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Probabilities from which a pixel may belong to an object."""

MASK_LEVEL = 0.5
"""The one at which masks are measured while a network is trained."""


def count_masks(
    maps: Iterable[Map], pictures: Sequence[LabelledPicture], labels: Sequence[str]
) -> dict[str, list[MaskCounts]]:
    """Return the counts of each label, by picture; pixels of which the labels do not say anything do not count."""
    counts: dict[str, list[MaskCounts]] = {label: [] for label in labels}
    edges = np.array([0, *(max(1, round(level * 255)) for level in LEVELS), 256])
    for layers, picture in zip(maps, pictures, strict=True):
        complete = np.array([label in picture.complete for label in labels])
        masks = draw_masks(picture.boxes, labels, (picture.width, picture.height), (0.0, 0.0, 1.0, 1.0), complete)
        for label, likely, mask in zip(labels, layers, masks, strict=True):
            inside, outside = (np.histogram(likely[mask == value], edges)[0] for value in (INSIDE, 0))
            hits, false = (np.cumsum(part[::-1])[::-1][1:] for part in (inside, outside))
            counts[label].append(MaskCounts(hits, hits + false, int(inside.sum())))
    return counts


def mask_iou(counts: Sequence[MaskCounts], level: float) -> float:
    """Return the intersection over union of all masks together, at a level of `LEVELS`; 0 where there are none."""
    at = LEVELS.index(level)
    shared = sum(int(count.shared[at]) for count in counts)
    return shared / max(1, sum(int(count.found[at]) + count.labelled for count in counts) - shared)


def mask_recall(counts: Sequence[MaskCounts], level: float) -> float:
    """Return the share of the labelled pixels that is found at a level of `LEVELS`."""
    at = LEVELS.index(level)
    return sum(int(count.shared[at]) for count in counts) / max(1, sum(count.labelled for count in counts))


def iou_interval(counts: Sequence[MaskCounts], level: float, draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval of `mask_iou`, from draws of as many pictures with replacement (bootstrap)."""
    random = np.random.default_rng(0)
    samples = ([counts[i] for i in random.integers(0, len(counts), len(counts))] for _ in range(draws))
    low, high = np.quantile([mask_iou(part, level) for part in samples], (0.025, 0.975))
    return float(low), float(high)


def describe_masks(counts: Sequence[MaskCounts], level: float) -> dict[str, Any]:
    """Return how good masks are at a level, and the level at which their intersection over union is the highest."""
    best = max(LEVELS, key=lambda other: mask_iou(counts, other))
    return {
        "iou": round(mask_iou(counts, level), 4),
        "iou_interval": [round(edge, 4) for edge in iou_interval(counts, level)],
        "recall": round(mask_recall(counts, level), 4), "best_level": best,
        "best_iou": round(mask_iou(counts, best), 4), "pictures": len(counts),
    }  # fmt: skip


def measure_masks(counts: Mapping[str, Sequence[MaskCounts]]) -> HeldOutScore:
    """Return the intersection over union of each label that has objects."""
    having = {label: rows for label, rows in counts.items() if any(row.labelled for row in rows)}
    return HeldOutScore({label: mask_iou(rows, MASK_LEVEL) for label, rows in having.items()}, "IoU")


def hard_negatives(
    detected: Sequence[Sequence[Region]], pictures: Sequence[LabelledPicture], indices: Sequence[int], most: int
) -> list[HardNegative]:
    """Return the places with the highest scores that hold no object of their label, at most `most`."""
    places: list[tuple[float, HardNegative]] = []
    for regions, index in zip(detected, indices, strict=True):
        picture = pictures[index]
        _, wrong = match(regions, picture.boxes, lambda first, second: first == second, HARD_IOU)
        for place in wrong:
            region = regions[place]
            if region.label in picture.complete:
                x0, y0, x1, y1 = map(float, region.box.xyxy)
                places.append((region.score, HardNegative(index, (x0, y0, x1, y1))))
    places.sort(key=lambda pair: -pair[0])
    return [place for _, place in places[:most]]
