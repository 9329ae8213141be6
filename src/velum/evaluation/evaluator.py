"""Evaluates a plan against ground truth: detects in each file as hiding does, and writes nothing.

Detections are matched with labelled objects, and it is measured how much of each object would be hidden.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from velum import media
from velum.annotations import Annotations
from velum.engine.apply import outline
from velum.engine.engine import Engine
from velum.errors import BadInput, LimitExceeded
from velum.evaluation.ground_truth import GroundTruth, GroundTruthBox, LabelledFile
from velum.evaluation.ground_truth.values import Xyxy
from velum.evaluation.metrics import FalsePositive, Observations, TruthOutcome
from velum.limits import Limits
from velum.locate.labels import canonical, covers, plain
from velum.plan import Plan, Rule, Video
from velum.region import Mask, Region, ious
from velum.spec import PartSpec

MATCH_IOU = 0.3
"""Intersection over union from which a detection matches an object. It is low since boxes of faces differ: some begin
at the hairline, others at the brow. Whether the object is hidden is measured by its pixels."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

Boxes = npt.NDArray[np.float64]
"""(n, 4): x0, y0, x1, y1 in pixels."""

LabelRelation = Callable[[str, str], bool]
"""Tells whether a detection of the first label may be an object of the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluate:
    """Evaluates plans with an engine; `least_iou` is the overlap of a match."""

    engine: Engine
    limits: Limits
    least_iou: float = MATCH_IOU

    def __call__(self, truth: GroundTruth, plan: Plan, *, progress: Progress | None = None) -> Observations:
        """Return which of the labelled objects `plan` finds and hides.

        Files that cannot be read are listed in `left_out`. Raises `BadInput` when no file is left, `BadPlan` or
        `Unavailable` for a plan that cannot run.
        """
        self.engine.check(plan)
        by_file, left_out = [], []
        for done, item in enumerate(truth.items, 1):
            try:
                by_file.append(self._evaluate_file(item, plan))
            except (BadInput, LimitExceeded) as error:
                left_out.append(f"{item.name}: {error}".replace(str(item.path), "it"))
            if progress is not None:
                progress(done, len(truth.items))
        if not by_file:
            why = f"; the first: {left_out[0]}" if left_out else ""
            raise BadInput(f"none of the labelled files can be evaluated{why}")
        return _join(by_file, left_out)

    def _evaluate_file(self, item: LabelledFile, plan: Plan) -> Observations:
        with media.open_source(item.path, self.limits) as reader:
            size, fps = (reader.info.width, reader.info.height), reader.info.fps
        if item.size not in (None, size):
            raise BadInput(
                f"the truth has the size {item.size}, the upright image {size} pixels; label the upright image"
            )
        annotations = self.engine.locate(item.path, plan)
        if beyond := [index for index in item.frames if index not in annotations.frames]:
            raise BadInput(
                f"the truth labels frame {beyond[0]}; the file has {len(annotations.frames)} frames, counted from 0"
            )
        excluded = self._excluded_regions(item, plan)
        videos = {} if fps is None else {item.name: fps}
        frames = [self._judge(item, index, annotations, excluded.get(index, ()), plan) for index in sorted(item.frames)]
        return replace(_join(frames), videos=videos, files=1, models=tuple(annotations.models))

    def _excluded_regions(self, item: LabelledFile, plan: Plan) -> Mapping[int, tuple[Region, ...]]:
        """Return by frame the regions that `keep_out` never hides."""
        if not plan.keep_out:
            return {}
        exclusions = self.engine.check(plan).exclusions
        rules = [
            Rule(label, use, PartSpec("blacken"), grow=0.0)
            for use, part in zip(plan.keep_out, exclusions, strict=True)
            for label in sorted(part.labels)
        ]
        return self.engine.locate(item.path, Plan(tuple(rules), video=Video(track=False))).frames

    def _judge(
        self, item: LabelledFile, index: int, annotations: Annotations, excluded: tuple[Region, ...], plan: Plan
    ) -> Observations:
        """Return the observations of one frame."""
        rules = [replace(rule, label=plain(rule.label)) for rule in plan.rules]
        detections = [replace(region, label=plain(region.label)) for region in annotations.frames[index]]
        is_related = make_label_relation(rules)
        wanted = [truth for truth in item.frames[index] if is_related(truth.label, truth.label)]
        not_asked = Counter(
            truth.label for truth in item.frames[index] if not truth.ignore and not is_related(truth.label, truth.label)
        )
        mask = hidden_mask(detections, excluded, rules, annotations.width, annotations.height)
        hits, wrong = match(detections, wanted, is_related, self.least_iou)
        outcomes = [
            _truth_outcome(
                item, index, truth, detections[hits[j]].score if j in hits else None, hidden_share(mask, truth)
            )
            for j, truth in enumerate(wanted)
            if not truth.ignore
        ]
        false = _false_positives(item, index, [detections[i] for i in wrong])
        return Observations(tuple(outcomes), tuple(false), {}, 0, 1, (), (), not_asked)


def _join(parts: Sequence[Observations], left_out: Sequence[str] = ()) -> Observations:
    """Return the observations of all parts, in order; each model comes once."""
    models = {model.get("sha256") or str(model): model for part in parts for model in part.models}
    not_asked = sum((Counter(part.not_asked) for part in parts), Counter[str]())
    return Observations(
        tuple(outcome for part in parts for outcome in part.outcomes),
        tuple(detection for part in parts for detection in part.wrong),
        {file: fps for part in parts for file, fps in part.videos.items()},
        sum(part.files for part in parts), sum(part.frames for part in parts),
        tuple(models.values()), tuple(left_out), dict(sorted(not_asked.items())),
    )  # fmt: skip


def _truth_outcome(
    item: LabelledFile, index: int, truth: GroundTruthBox, score: float | None, share: float
) -> TruthOutcome:
    judged = truth.label in item.complete
    return TruthOutcome(item.name, index, truth.label, truth.xyxy, score, share, judged, truth.track, truth.tags)


def _false_positives(item: LabelledFile, index: int, detections: list[Region]) -> Iterator[FalsePositive]:
    """Yield the unmatched detections whose label, or one of its group, is labelled completely."""
    for detection in detections:
        labelled = sorted(name for name in item.complete if covers(detection.label, name))
        if labelled:
            own = canonical(detection.label)
            label = own if own in labelled else labelled[0]
            yield FalsePositive(item.name, index, label, detection.box, detection.score)


def make_label_relation(rules: Sequence[Rule]) -> LabelRelation:
    """Return whether one rule covers both labels, as a function: for a rule on vehicles, truck and car match."""

    def is_related(detected: str, labelled: str) -> bool:
        return any(covers(rule.label, detected) and covers(rule.label, labelled) for rule in rules)

    return is_related


def match(
    detections: Sequence[Region], truths: Sequence[GroundTruthBox], is_related: LabelRelation, least_iou: float
) -> tuple[dict[int, int], list[int]]:
    """Match detections with objects: the highest score chooses first, the object that it overlaps most.

    Returns the true positives (index of the object -> index of the detection), and the indices of false positives.

    This is COCO's matching (pycocotools, COCOeval.evaluateImg). An unmatched detection is not a false positive when it
    overlaps an ignored object as much, or when its centre lies in an ignored area.
    """
    overlap = ious(_boxes(region.box.xyxy for region in detections), _boxes(truth.xyxy for truth in truths))
    pairs: dict[int, int] = {}
    wrong = []
    for i in sorted(range(len(detections)), key=lambda i: -detections[i].score):
        candidates = [
            j
            for j, truth in enumerate(truths)
            if overlap[i, j] >= least_iou and is_related(detections[i].label, truth.label)
        ]
        free = [j for j in candidates if not truths[j].ignore and j not in pairs]
        if free:
            pairs[max(free, key=lambda j: overlap[i, j])] = i
        elif not any(truths[j].ignore for j in candidates) and not _is_excused(detections[i], truths, is_related):
            wrong.append(i)
    return pairs, wrong


def hidden_mask(
    regions: Iterable[Region], excluded: Iterable[Region], rules: Sequence[Rule], width: int, height: int
) -> Mask:
    """Return the pixels (height, width) that are hidden by `rules` in `regions`, without those of `excluded` regions.

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
    for region in excluded:
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
