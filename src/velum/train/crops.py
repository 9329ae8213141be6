"""Crops of training pictures: objects at the sizes at which a detector sees them, changed as cameras change them.

Every crop is drawn with a seed of its own, so that an interrupted run continues with the same crops.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from velum.evaluation.ground_truth.values import GroundTruthBox, Xyxy
from velum.frame import Rgb
from velum.train.labels import LabelledPicture
from velum.train.pictures import PictureStore

Boxes = npt.NDArray[np.float32]
"""(n, 4): x0, y0, x1, y1 in pixels."""

OF_OBJECTS = 0.7
"""Share of crops around an object; the others show a hard negative or any place."""

OF_HARD = 0.6
"""Share of the other crops that show a place which the network took for an object, where there are such."""

FINER, COARSER = 0.6, 1.6
"""Powers of two by which a crop's scale differs at most from the scale at which pictures are looked at."""

LARGEST = 0.8
"""Longer side of an object that a crop is drawn around, as a share of the crop's side."""

LEAST_SIDE = 5.0
"""Shorter side, in pixels of the crop, from which an object is learned; a smaller one is ignored."""

LEAST_VISIBLE = 0.4
"""Share of an object that must lie in a crop for it to be learned; of less it cannot be told where it ends."""

MOST_PAD = 0.8
"""Longer side of a picture in a crop, as a share of the crop's side, at least: padding teaches nothing."""

INSIDE, UNKNOWN = 1, 2
"""Values of a mask."""

CUT = 0.1
"""Share of crops whose edge may cut the object that they are drawn around."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A square cut-out: the objects with their classes, places to be ignored, and the classes labelled completely.

    `masks` (classes, side, side) is `INSIDE` an object, `UNKNOWN`, or 0; it is drawn for networks that give maps.
    """

    rgb: Rgb
    boxes: Boxes
    kinds: npt.NDArray[np.int64]
    ignored: Boxes
    ignored_kinds: npt.NDArray[np.int64]
    complete: npt.NDArray[np.bool_]
    masks: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class HardNegative:
    """A place that the network took for an object: a picture, by index, and a box in it."""

    picture: int
    xyxy: Xyxy


@dataclass(slots=True)
class CropSampler:
    """Draws crops of `side` pixels; `scale`: of the first look at a picture, in crop pixels per picture pixel."""

    pictures: Sequence[LabelledPicture]
    labels: Sequence[str]
    store: PictureStore
    side: int
    scale: float
    seed: int
    pad: int = 0
    draws_masks: bool = False
    hard: list[HardNegative] = field(default_factory=list)
    _having: list[list[tuple[int, list[Xyxy]]]] = field(default_factory=list, init=False)
    """For each label that occurs, the pictures with objects of it, by index, and their boxes."""

    def __post_init__(self) -> None:
        for label in self.labels:
            boxes = [[box.xyxy for box in picture.objects if box.label == label] for picture in self.pictures]
            if having := [(index, found) for index, found in enumerate(boxes) if found]:
                self._having.append(having)

    def batch(self, step: int, count: int) -> list[Crop]:
        """Return the crops of a step."""
        return [self.crop(np.random.default_rng([self.seed, step, place])) for place in range(count)]

    def crop(self, random: np.random.Generator) -> Crop:
        """Return a crop drawn with `random`."""
        index, focus = self._choose_place(random)
        picture = self.pictures[index]
        scale = self._choose_scale(focus, max(picture.width, picture.height), random)
        across, down = scale * random.uniform(0.9, 1.1), scale * random.uniform(0.9, 1.1)
        left = _start(focus[0], focus[2], self.side / across, picture.width, random)
        top = _start(focus[1], focus[3], self.side / down, picture.height, random)
        rgb = _cut(self.store.rgb(picture), left, top, (across, down), self.side, self.pad)
        return self._finish(picture, rgb, np.array([left, top], np.float32), (across, down), random)

    def _choose_place(self, random: np.random.Generator) -> tuple[int, Xyxy]:
        """Return a picture and the box to draw a crop around."""
        if random.random() < OF_OBJECTS and self._having:
            having = self._having[int(random.integers(len(self._having)))]
            index, boxes = having[int(random.integers(len(having)))]
            return index, boxes[int(random.integers(len(boxes)))]
        if self.hard and random.random() < OF_HARD:
            place = self.hard[int(random.integers(len(self.hard)))]
            return place.picture, place.xyxy
        index = int(random.integers(len(self.pictures)))
        x, y = random.random() * self.pictures[index].width, random.random() * self.pictures[index].height
        return index, (x, y, x + 1, y + 1)

    def _choose_scale(self, focus: Xyxy, whole: int, random: np.random.Generator) -> float:
        """Return the scale of a crop: near that of one of the looks, each half of the one before, where it fits."""
        longer = max(focus[2] - focus[0], focus[3] - focus[1])
        scale = max(self.scale * float(2 ** random.uniform(-COARSER, FINER)), MOST_PAD * self.side / whole)
        largest = LARGEST * self.side / longer
        if scale > largest:  # a later look sees it
            scale = largest * float(2 ** random.uniform(-COARSER, 0))
        return scale

    def _finish(
        self, picture: LabelledPicture, rgb: Rgb, start: Boxes, scale: tuple[float, float], random: np.random.Generator
    ) -> Crop:
        """Return the crop with its boxes, flipped or not and changed as a camera might."""
        factor = np.array(scale * 2, np.float32)
        xyxy = np.array([box.xyxy for box in picture.boxes], np.float32).reshape(-1, 4)
        kinds = np.array([self.labels.index(box.label) for box in picture.boxes], np.int64)
        whole = (xyxy - np.tile(start, 2)) * factor
        if is_flipped := random.random() < 0.5:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
            whole[:, [0, 2]] = self.side - whole[:, [2, 0]]
        seen = np.clip(whole, 0, self.side).astype(np.float32)
        sides, full = seen[:, 2:] - seen[:, :2], whole[:, 2:] - whole[:, :2]
        visible = sides.prod(axis=1) / np.maximum(full.prod(axis=1), 1e-6)
        inside = visible > 0
        learned = (visible >= LEAST_VISIBLE) & (sides.min(axis=1, initial=np.inf) >= LEAST_SIDE)
        learned &= ~np.array([box.ignore for box in picture.boxes], bool)
        complete = np.array([label in picture.complete for label in self.labels])
        rest = inside & ~learned
        masks = None
        if self.draws_masks:
            view = float(start[0]), float(start[1]), *scale
            masks = draw_masks(picture.boxes, self.labels, (self.side, self.side), view, complete)
            masks = masks[..., ::-1].copy() if is_flipped else masks
        else:
            rgb = occlude(rgb, seen[learned], random)
        return Crop(change(rgb, random), seen[learned], kinds[learned], seen[rest], kinds[rest], complete, masks)


NEARBY = 1.0
"""Around a labelled object, this share of its longer side is known not to hold another, where not all are labelled."""


def known_places(crop: Crop, x: Boxes, y: Boxes) -> Boxes:
    """Return 1 for each place of a crop, in pixels, where the labels say whether an object is there, else 0."""
    places = np.full(len(x), 1.0 if crop.complete.all() else 0.0, np.float32)
    if not crop.complete.all():
        for x0, y0, x1, y1 in crop.boxes:
            reach = NEARBY * max(x1 - x0, y1 - y0)
            places[(x > x0 - reach) & (x < x1 + reach) & (y > y0 - reach) & (y < y1 + reach)] = 1
    for x0, y0, x1, y1 in crop.ignored:
        places[(x > x0) & (x < x1) & (y > y0) & (y < y1)] = 0
    return places


def draw_masks(
    boxes: Sequence[GroundTruthBox], labels: Sequence[str], size_wh: tuple[int, int],
    view: tuple[float, float, float, float], complete: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Return the masks (labels, height, width) of objects: `INSIDE`, `UNKNOWN` where the labels do not say, else 0.

    `view` is the picture's left and top edge in the masks and their scale, across and down. Where a label is not
    labelled completely, only the surroundings of its objects, as far as an object is large, are known to be outside.
    """
    width, height = size_wh
    masks = np.zeros((len(labels), height, width), np.uint8)
    masks[~complete] = UNKNOWN
    corner, scale = np.array(view[:2]), np.array(view[2:])
    for value in (0, UNKNOWN, INSIDE):
        for box in boxes:
            mask, edges = masks[labels.index(box.label)], (np.reshape(box.xyxy, (2, 2)) - corner) * scale
            if value == 0 and not box.ignore and not complete[labels.index(box.label)]:
                _fill(mask, edges, float((edges[1] - edges[0]).max()), value)
            elif value == UNKNOWN and box.ignore:
                _fill(mask, edges, 0, value)
            elif value == INSIDE and not box.ignore:
                corners = [(np.reshape(polygon, (-1, 2)) - corner) * scale for polygon in box.outline]
                cv2.fillPoly(mask, [np.round(polygon).astype(np.int32) for polygon in corners], INSIDE)
    return masks


def _fill(mask: npt.NDArray[np.uint8], edges: npt.NDArray[np.float64], reach: float, value: int) -> None:
    (left, top), (right, bottom) = np.floor(edges[0] - reach).astype(int), np.ceil(edges[1] + reach).astype(int)
    mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = value


def _start(low: float, high: float, length: float, whole: int, random: np.random.Generator) -> float:
    """Return where on one axis a crop of `length` starts that shows `low` to `high`, inside the picture if it fits."""
    slack = CUT * length if random.random() < CUT else 0.0
    first, last = high - length - slack, low + slack
    start = random.uniform(min(first, last), max(first, last))
    return float(min(max(start, 0.0), max(0.0, whole - length)))


def _cut(rgb: Rgb, left: float, top: float, scale: tuple[float, float], side: int, pad: int) -> Rgb:
    """Return a square of a picture, scaled; what lies outside the picture is `pad`."""
    small = min(scale)
    if small < 0.5:  # what falls between the samples of a small picture would be lost
        size = max(1, round(rgb.shape[1] * small * 1.2)), max(1, round(rgb.shape[0] * small * 1.2))
        shrunk = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        factor = size[0] / rgb.shape[1], size[1] / rgb.shape[0]
        rgb, left, top = np.asarray(shrunk, np.uint8), left * factor[0], top * factor[1]
        scale = scale[0] / factor[0], scale[1] / factor[1]
    matrix = np.array([[scale[0], 0, -left * scale[0]], [0, scale[1], -top * scale[1]]], np.float64)
    matrix[:, 2] += (np.array(scale) - 1) / 2  # from centres of pixels to centres of pixels
    cut = cv2.warpAffine(
        rgb, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(pad, pad, pad)
    )
    return np.asarray(cut, np.uint8)


OCCLUDED = 0.15
"""Share of objects of which a part is covered."""


def change(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Return a crop in other light, out of focus, moved, noisy or compressed; each with its own chance."""
    changed = _light(rgb, random)
    if random.random() < 0.15:
        changed = np.asarray(cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if random.random() < 0.3:
        changed = _blur(changed, random)
    if random.random() < 0.3:
        channels = 1 if random.random() < 0.5 else 3
        noise = random.standard_normal((*changed.shape[:2], channels), np.float32)
        noisy = changed + noise * np.float32(random.uniform(2, 18))
        changed = np.clip(noisy, 0, 255).astype(np.uint8)
    return _compress(changed, random) if random.random() < 0.5 else changed


def occlude(rgb: Rgb, boxes: npt.NDArray[np.float32], random: np.random.Generator) -> Rgb:
    """Return a crop in which up to four tenths of some objects are covered, from one side."""
    covered = rgb.copy()
    for x0, y0, x1, y1 in boxes:
        if random.random() >= OCCLUDED:
            continue
        share, edge = random.uniform(0.15, 0.4), int(random.integers(4))
        wide, high = (x1 - x0) * share, (y1 - y0) * share
        left, right = (x0, x0 + wide) if edge == 0 else (x1 - wide, x1) if edge == 1 else (x0, x1)
        top, bottom = (y0, y0 + high) if edge == 2 else (y1 - high, y1) if edge == 3 else (y0, y1)
        part = covered[round(float(top)) : round(float(bottom)), round(float(left)) : round(float(right))]
        part[:] = random.integers(0, 256, 3)
        part[:] = np.clip(part + random.normal(0, random.uniform(0, 25), part.shape), 0, 255)
    return covered


def _light(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Return a crop with other contrast, brightness, gamma and colour; one crop in six is very dark."""
    if random.random() < 1 / 6:
        gamma, gain = random.uniform(1.2, 2.2), random.uniform(0.25, 0.7)
    else:
        gamma, gain = random.uniform(0.75, 1.35), random.uniform(0.8, 1.2)
    curve = np.power(np.arange(256) / 255, gamma) * 255 * gain
    table = curve[:, None] * random.uniform(0.92, 1.08, 3) + random.uniform(-15, 15)
    return np.asarray(cv2.LUT(rgb, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)


def _blur(rgb: Rgb, random: np.random.Generator) -> Rgb:
    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), random.uniform(0.4, 1.6)), np.uint8)
    length = int(random.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    ends = [(0, length // 2), (length - 1, length // 2)]
    if random.random() < 0.5:
        ends = [end[::-1] for end in ends]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def _compress(rgb: Rgb, random: np.random.Generator) -> Rgb:
    quality = int(random.integers(25, 92))
    _, encoded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return rgb if decoded is None else np.asarray(decoded, np.uint8)
