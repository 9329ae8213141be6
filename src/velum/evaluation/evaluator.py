"""A plan held against truth: each file is looked at as when it is hidden, and nothing is written."""

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
"""Overlap from which a find is the labelled thing: what one calls a face begins at the hairline, the other at the brow;
whether it is hidden is measured by its pixels."""

Progress = Callable[[int, int], None]
"""Called with how many files are done, and how many there are."""


@dataclass(slots=True)
class _Notes:
    """What is gathered while files are looked at."""

    seen: list[TruthOutcome] = field(default_factory=list)
    wrong: list[FalsePositive] = field(default_factory=list)
    watched: list[LabelledVideo] = field(default_factory=list)
    models: dict[str, Mapping[str, str]] = field(default_factory=dict)
    not_asked: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    frames: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Evaluate:
    """What is needed to evaluate: an engine, and what it may read."""

    engine: Engine
    limits: Limits
    least_iou: float = MATCH_IOU

    def __call__(self, truth: GroundTruth, plan: Plan, *, progress: Progress | None = None) -> Observations:
        """Return what `plan` finds and hides of everything that was labelled.

        What cannot be read is left out, and said. Raises `BadInput` when nothing is left, `BadPlan` or `Unavailable`
        for a plan that cannot be carried out.
        """
        self.engine.check(plan)
        notes = _Notes()
        for done, item in enumerate(truth.items, 1):
            try:
                self._look(item, plan, notes)
            except (BadInput, LimitExceeded) as error:
                notes.left_out.append(f"{item.name}: {error}".replace(str(item.path), "it"))
            if progress is not None:
                progress(done, len(truth.items))
        files = len(truth.items) - len(notes.left_out)
        if not files:
            why = f"; the first: {notes.left_out[0]}" if notes.left_out else ""
            raise BadInput(f"nothing of the truth could be looked at{why}")
        return Observations(
            tuple(notes.seen), tuple(notes.wrong), tuple(notes.watched), files, notes.frames,
            tuple(notes.models.values()), tuple(notes.left_out), dict(sorted(notes.not_asked.items())),
        )  # fmt: skip

    def _look(self, item: LabelledFile, plan: Plan, notes: _Notes) -> None:
        with media.read(item.path, self.limits) as reader:
            size, fps = (reader.info.width, reader.info.height), reader.info.fps
        if item.size not in (None, size):
            raise BadInput(
                f"the truth is for a picture of {item.size}, the upright one has {size} pixels; label it upright"
            )
        found = self.engine.locate(item.path, plan)
        if beyond := [index for index in item.frames if index not in found.frames]:
            raise BadInput(f"the truth labels frame {beyond[0]}; there are {len(found.frames)}")
        kept = self._kept(item, plan)
        if fps is not None:
            notes.watched.append(LabelledVideo(item.name, tuple(sorted(item.frames)), fps))
        for model in found.models:
            notes.models[model.get("sha256") or str(model)] = model
        for index in sorted(item.frames):
            notes.frames += 1
            self._judge(item, index, found, kept.get(index, ()), plan, notes)

    def _kept(self, item: LabelledFile, plan: Plan) -> Mapping[int, tuple[Region, ...]]:
        """Return what is never hidden."""
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
        self, item: LabelledFile, index: int, found: Annotations, kept: tuple[Region, ...], plan: Plan, notes: _Notes
    ) -> None:  # fmt: skip
        rules = [replace(rule, label=plain(rule.label)) for rule in plan.rules]
        finds = [replace(one, label=plain(one.label)) for one in found.frames[index]]
        same = matching.related(rules)
        asked = [thing for thing in item.frames[index] if same(thing.label, thing.label)]
        notes.not_asked.update(
            thing.label for thing in item.frames[index] if not thing.ignore and not same(thing.label, thing.label)
        )
        mask = matching.hidden(finds, kept, rules, found.width, found.height)
        matched = matching.match(finds, asked, same, self.least_iou)
        for j, thing in enumerate(asked):
            if not thing.ignore:
                score = finds[matched.found[j]].score if j in matched.found else None
                share = matching.covered(mask, thing)
                notes.seen.append(_seen(item, index, thing, score, share))
        notes.wrong.extend(_wrong(item, index, [finds[i] for i in matched.wrong]))


def _seen(item: LabelledFile, index: int, thing: GroundTruthBox, score: float | None, share: float) -> TruthOutcome:
    judged = thing.label in item.complete
    return TruthOutcome(item.name, index, thing.label, thing.xyxy, score, share, judged, thing.track, thing.tags)


def _wrong(item: LabelledFile, index: int, finds: list[Region]) -> Iterator[FalsePositive]:
    """Yield the finds that are wrong: all of their label, or of a member of the group that it names, is labelled."""
    for find in finds:
        labelled = sorted(one for one in item.complete if covers(find.label, one))
        if labelled:
            own = canonical(find.label)
            label = own if own in labelled else labelled[0]
            yield FalsePositive(item.name, index, label, find.box, find.score)
