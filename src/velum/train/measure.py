"""How good a network is on labelled pictures while it is trained: it looks at them as velum does when it hides."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from velum.evaluation.evaluator import match
from velum.locate import user_models
from velum.locate.detector import Detector
from velum.locate.import_model import ImportedModel
from velum.plugins import RuntimeConfig
from velum.region import Region
from velum.train.crops import HardNegative
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
class AveragePrecision:
    """Average precision at an IoU of 0.5, by label and as their mean."""

    by_label: Mapping[str, float]

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
    """A network that stands in a catalogue of its own for the length of a `with` block."""

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
        detector = Detector(self.model.name, self.host, threshold=threshold)
        return [detector.locate([store.frame(picture)])[0] for picture in pictures]


def measure(
    found: Sequence[Sequence[Region]], pictures: Sequence[LabelledPicture], labels: Sequence[str]
) -> AveragePrecision:
    """Return the average precision of detections in pictures.

    A detection without an object does not count where its label is not labelled completely.
    """
    scores: dict[str, list[float]] = {label: [] for label in labels}
    hits: dict[str, list[bool]] = {label: [] for label in labels}
    totals = dict.fromkeys(labels, 0)
    for regions, picture in zip(found, pictures, strict=True):
        right, wrong = match(regions, picture.boxes, lambda one, other: one == other, AP_IOU)
        for index in right.values():
            scores[regions[index].label].append(regions[index].score)
            hits[regions[index].label].append(True)
        for index in wrong:
            if regions[index].label in picture.complete:
                scores[regions[index].label].append(regions[index].score)
                hits[regions[index].label].append(False)
        for box in picture.objects:
            totals[box.label] += 1
    return AveragePrecision(
        {label: average_precision(scores[label], hits[label], totals[label]) for label in labels if totals[label]}
    )


def hard_negatives(
    found: Sequence[Sequence[Region]], pictures: Sequence[LabelledPicture], indices: Sequence[int], most: int
) -> list[HardNegative]:
    """Return the places with the highest scores that hold no object of their label, at most `most`."""
    places: list[tuple[float, HardNegative]] = []
    for regions, index in zip(found, indices, strict=True):
        picture = pictures[index]
        _, wrong = match(regions, picture.boxes, lambda one, other: one == other, HARD_IOU)
        for place in wrong:
            region = regions[place]
            if region.label in picture.complete:
                x0, y0, x1, y1 = map(float, region.box.xyxy)
                places.append((region.score, HardNegative(index, (x0, y0, x1, y1))))
    places.sort(key=lambda pair: -pair[0])
    return [place for _, place in places[:most]]
