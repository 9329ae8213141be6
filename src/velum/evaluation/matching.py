"""Matches detections with labelled objects, and measures how much of each object is hidden."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from velum.engine.masks import outline
from velum.evaluation.ground_truth.values import GroundTruthBox, Xyxy
from velum.locate.labels import covers
from velum.plan import Rule
from velum.region import Mask, Region, ious

Boxes = npt.NDArray[np.float64]
"""(n, 4): x0, y0, x1, y1 in pixels."""

LabelRelation = Callable[[str, str], bool]
"""Tells whether a detection of the first label may be an object of the second."""


@dataclass(frozen=True, slots=True)
class Matches:
    """True positives (index of the object -> index of the detection), and indices of false positives."""

    found: Mapping[int, int]
    wrong: tuple[int, ...]


def make_label_relation(rules: Sequence[Rule]) -> LabelRelation:
    """Return whether one rule covers both labels, as a function: for a rule on vehicles, truck and car match."""

    def is_related(detected: str, labelled: str) -> bool:
        return any(covers(rule.label, detected) and covers(rule.label, labelled) for rule in rules)

    return is_related


def match(
    detections: Sequence[Region], truths: Sequence[GroundTruthBox], is_related: LabelRelation, least_iou: float
) -> Matches:
    """Match detections with objects: the highest score chooses first, the object that it overlaps most.

    This is COCO's matching (pycocotools, COCOeval.evaluateImg). An unmatched detection is no false positive when it
    overlaps an ignored object as much, or when its centre lies in an ignored area.
    """
    overlap = ious(_boxes(region.box.xyxy for region in detections), _boxes(truth.xyxy for truth in truths))
    found: dict[int, int] = {}
    wrong = []
    for i in sorted(range(len(detections)), key=lambda i: -detections[i].score):
        candidates = [
            j
            for j, truth in enumerate(truths)
            if overlap[i, j] >= least_iou and is_related(detections[i].label, truth.label)
        ]
        free = [j for j in candidates if not truths[j].ignore and j not in found]
        if free:
            found[max(free, key=lambda j: overlap[i, j])] = i
        elif not any(truths[j].ignore for j in candidates) and not _is_excused(detections[i], truths, is_related):
            wrong.append(i)
    return Matches(found, tuple(wrong))


def hidden_mask(
    regions: Iterable[Region], kept: Iterable[Region], rules: Sequence[Rule], width: int, height: int
) -> Mask:
    """Return the pixels (height, width) that are hidden when `rules` hide `regions` and leave `kept` regions visible.

    When several rules hide a region, the smallest area counts: at least so much is hidden.
    """
    mask = np.zeros((height, width), bool)
    for region in regions:
        areas = [outline(region, rule, width, height) for rule in rules if covers(rule.label, region.label)]
        inside = [area for area in areas if area is not None]
        if not inside or len(inside) < len(areas):
            continue
        area = min(inside, key=lambda area: area.box.width * area.box.height)
        mask[area.box.slices] |= True if area.mask is None else area.mask
    for region in kept:
        box = region.box.clip(width, height)
        if box is not None and region.mask is None:
            mask[box.slices] = False
        elif box is not None and region.mask is not None:
            mask[box.slices] &= ~region.mask[box.move(-region.box.x0, -region.box.y0).slices]
    return mask


def hidden_share(mask: Mask, truth: GroundTruthBox) -> float:
    """Return the hidden share (0 to 1) of an object's pixels, inside its outline when it has one.

    Pixels beyond the edge of the image do not count; 0 for an object that lies beyond it as a whole.
    """
    height, width = mask.shape
    x0, y0 = (max(0, round(low)) for low in truth.xyxy[:2])
    x1, y1 = min(width, max(x0 + 1, round(truth.xyxy[2]))), min(height, max(y0 + 1, round(truth.xyxy[3])))
    part = mask[y0:y1, x0:x1]
    if not part.size:
        return 0.0
    if truth.outline:
        filled = np.zeros(part.shape, np.uint8)
        corners = [np.reshape(polygon, (-1, 2)) - (x0, y0) for polygon in truth.outline]
        cv2.fillPoly(filled, [np.round(polygon).astype(np.int32) for polygon in corners], 1)
        if filled.any():
            return float(part[filled.view(bool)].mean())
    return float(part.mean())


def _boxes(rows: Iterable[Xyxy | tuple[int, int, int, int]]) -> Boxes:
    return np.array(list(rows), np.float64).reshape(-1, 4)


def _is_excused(detection: Region, truths: Sequence[GroundTruthBox], is_related: LabelRelation) -> bool:
    x0, y0, x1, y1 = detection.box.xyxy
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    areas = (truth.xyxy for truth in truths if truth.area and is_related(detection.label, truth.label))
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in areas)
