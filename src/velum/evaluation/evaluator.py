"""Evaluates a plan against ground truth: detects in each file as hiding does, and writes nothing."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from velum import media
from velum.annotations import Annotations
from velum.engine.engine import Engine
from velum.errors import BadInput, LimitExceeded
from velum.evaluation import matching
from velum.evaluation.ground_truth import GroundTruth, GroundTruthBox, LabelledFile
from velum.evaluation.values import FalsePositive, LabelledVideo, Observations, TruthOutcome
from velum.limits import Limits
from velum.locate.labels import canonical, covers, plain
from velum.plan import Plan, Rule, Video
from velum.region import Region
from velum.spec import PartSpec

MATCH_IOU = 0.3
"""Intersection over union from which a detection matches an object. It is low since boxes of faces differ: some begin
at the hairline, others at the brow. Whether the object is hidden is measured by its pixels."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


@dataclass(slots=True)
class _Tally:
    """What is collected while files are evaluated."""

    outcomes: list[TruthOutcome] = field(default_factory=list)
    wrong: list[FalsePositive] = field(default_factory=list)
    videos: list[LabelledVideo] = field(default_factory=list)
    models: dict[str, Mapping[str, str]] = field(default_factory=dict)
    not_asked: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    frames: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Evaluate:
    """Evaluates plans with an engine; `least_iou` is the overlap of a match."""

    engine: Engine
    limits: Limits
    least_iou: float = MATCH_IOU

    def __call__(self, truth: GroundTruth, plan: Plan, *, progress: Progress | None = None) -> Observations:
        """Return which labelled objects `plan` finds and hides.

        Files that cannot be read are listed in `left_out`. Raises `BadInput` when no file is left, `BadPlan` or
        `Unavailable` for a plan that cannot run.
        """
        self.engine.check(plan)
        notes = _Tally()
        for done, item in enumerate(truth.items, 1):
            try:
                self._evaluate_file(item, plan, notes)
            except (BadInput, LimitExceeded) as error:
                notes.left_out.append(f"{item.name}: {error}".replace(str(item.path), "it"))
            if progress is not None:
                progress(done, len(truth.items))
        files = len(truth.items) - len(notes.left_out)
        if not files:
            why = f"; the first: {notes.left_out[0]}" if notes.left_out else ""
            raise BadInput(f"no file of the truth can be evaluated{why}")
        return Observations(
            tuple(notes.outcomes), tuple(notes.wrong), tuple(notes.videos), files, notes.frames,
            tuple(notes.models.values()), tuple(notes.left_out), dict(sorted(notes.not_asked.items())),
        )  # fmt: skip

    def _evaluate_file(self, item: LabelledFile, plan: Plan, notes: _Tally) -> None:
        with media.open_source(item.path, self.limits) as reader:
            size, fps = (reader.info.width, reader.info.height), reader.info.fps
        if item.size not in (None, size):
            raise BadInput(
                f"the truth has the size {item.size}, the upright image {size} pixels; label the upright image"
            )
        found = self.engine.locate(item.path, plan)
        if beyond := [index for index in item.frames if index not in found.frames]:
            raise BadInput(
                f"the truth labels frame {beyond[0]}; the file has {len(found.frames)} frames, counted from 0"
            )
        kept = self._excluded_regions(item, plan)
        if fps is not None:
            notes.videos.append(LabelledVideo(item.name, tuple(sorted(item.frames)), fps))
        for model in found.models:
            notes.models[model.get("sha256") or str(model)] = model
        for index in sorted(item.frames):
            notes.frames += 1
            self._judge(item, index, found, kept.get(index, ()), plan, notes)

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
        self, item: LabelledFile, index: int, found: Annotations, kept: tuple[Region, ...], plan: Plan, notes: _Tally
    ) -> None:  # fmt: skip
        rules = [replace(rule, label=plain(rule.label)) for rule in plan.rules]
        detections = [replace(region, label=plain(region.label)) for region in found.frames[index]]
        is_related = matching.make_label_relation(rules)
        wanted = [truth for truth in item.frames[index] if is_related(truth.label, truth.label)]
        notes.not_asked.update(
            truth.label for truth in item.frames[index] if not truth.ignore and not is_related(truth.label, truth.label)
        )
        mask = matching.hidden_mask(detections, kept, rules, found.width, found.height)
        matched = matching.match(detections, wanted, is_related, self.least_iou)
        for j, truth in enumerate(wanted):
            if not truth.ignore:
                score = detections[matched.found[j]].score if j in matched.found else None
                share = matching.hidden_share(mask, truth)
                notes.outcomes.append(_truth_outcome(item, index, truth, score, share))
        notes.wrong.extend(_false_positives(item, index, [detections[i] for i in matched.wrong]))


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
