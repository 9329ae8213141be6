"""Which find is which labelled thing, and how much of each thing is hidden."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from velum.engine.masks import outline
from velum.evaluation.ground_truth.values import GroundTruthBox, Xyxy
from velum.locate.labels import covers
from velum.plan import Rule
from velum.region import Mask, Region

Boxes = npt.NDArray[np.float64]
"""(n, 4): x0, y0, x1, y1 in pixels."""

Related = Callable[[str, str], bool]
"""Whether a find of the first label may be a thing of the second."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Which find is which thing, by index, and the finds that are none and nobody has excused."""

    found: Mapping[int, int]
    wrong: tuple[int, ...]


def related(rules: Sequence[Rule]) -> Related:
    """Return whether one rule asks for both labels: where vehicles are wanted, a truck found is a car labelled."""

    def same(one: str, other: str) -> bool:
        return any(covers(rule.label, one) and covers(rule.label, other) for rule in rules)

    return same


def match(finds: Sequence[Region], things: Sequence[GroundTruthBox], same: Related, least_iou: float) -> Matches:
    """Return which find is which thing: the surest find chooses first, the thing that it overlaps most.

    This is COCO's matching (pycocotools, COCOeval.evaluateImg). A find that is no thing is excused when it overlaps an
    ignored one so far, or when its centre lies in an ignored area.
    """
    overlap = ious(_boxes(one.box.xyxy for one in finds), _boxes(thing.xyxy for thing in things))
    found: dict[int, int] = {}
    wrong = []
    for i in sorted(range(len(finds)), key=lambda i: -finds[i].score):
        suited = [
            j for j, thing in enumerate(things) if overlap[i, j] >= least_iou and same(finds[i].label, thing.label)
        ]
        free = [j for j in suited if not things[j].ignore and j not in found]
        if free:
            found[max(free, key=lambda j: overlap[i, j])] = i
        elif not any(things[j].ignore for j in suited) and not _excused(finds[i], things, same):
            wrong.append(i)
    return Matches(found, tuple(wrong))


def ious(one: Boxes, two: Boxes) -> Boxes:
    """Return the intersection over union (n, m) of each box of one set with each of the other."""
    sides = np.minimum(one[:, None, 2:], two[None, :, 2:]) - np.maximum(one[:, None, :2], two[None, :, :2])
    shared = np.prod(np.maximum(sides, 0), axis=2)
    area = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, two)]
    result: Boxes = shared / (area[0][:, None] + area[1][None] - shared)
    return result


def hidden(regions: Iterable[Region], kept: Iterable[Region], rules: Sequence[Rule], width: int, height: int) -> Mask:
    """Return which pixels (height, width) are hidden when `rules` hide `regions` and leave what is `kept`.

    Where rules grow one region differently, only what the smallest of them hides counts: at least so much is hidden.
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


def covered(mask: Mask, thing: GroundTruthBox) -> float:
    """Return the share of a thing's pixels that are hidden; of those inside its outline, where it has one.

    What lies beyond the picture's edge is not there to be hidden and does not count. 0 for what lies beyond it as a
    whole.
    """
    height, width = mask.shape
    x0, y0 = (max(0, round(low)) for low in thing.xyxy[:2])
    x1, y1 = min(width, max(x0 + 1, round(thing.xyxy[2]))), min(height, max(y0 + 1, round(thing.xyxy[3])))
    part = mask[y0:y1, x0:x1]
    if not part.size:
        return 0.0
    if thing.outline:
        drawn = np.zeros(part.shape, np.uint8)
        corners = [np.reshape(one, (-1, 2)) - (x0, y0) for one in thing.outline]
        cv2.fillPoly(drawn, [np.round(one).astype(np.int32) for one in corners], 1)
        if drawn.any():
            return float(part[drawn.view(bool)].mean())
    return float(part.mean())


def _boxes(rows: Iterable[Xyxy | tuple[int, int, int, int]]) -> Boxes:
    return np.array(list(rows), np.float64).reshape(-1, 4)


def _excused(find: Region, things: Sequence[GroundTruthBox], same: Related) -> bool:
    x0, y0, x1, y1 = find.box.xyxy
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    areas = (thing.xyxy for thing in things if thing.area and same(find.label, thing.label))
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in areas)
