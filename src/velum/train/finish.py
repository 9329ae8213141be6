"""From the best state of a training to a model that velum uses: files, threshold, report, card, catalogue."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import onnx

from velum import __version__
from velum.engine.engine import Engine
from velum.errors import BadInput, OutputFailed
from velum.evaluation import metrics, thresholds
from velum.evaluation.evaluator import Evaluate
from velum.evaluation.ground_truth import GroundTruth
from velum.evaluation.html_report import MOST_DRAWN, draw_misses, render_page
from velum.evaluation.metrics import Observations, Rate
from velum.evaluation.result import Evaluation
from velum.file_hash import sha256_of
from velum.frame import Rgb
from velum.limits import Limits
from velum.locate.import_model import ImportedModel
from velum.locate.output_formats import Input
from velum.locate.registry import CARD
from velum.locate.runtime import open_network, to_tensor
from velum.locate.runtime.inspect_model import to_ir
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec
from velum.train import measure
from velum.train.bases import Base
from velum.train.compare import compare_with_present
from velum.train.curve import best_of, draw_curve
from velum.train.labels import LabelledPicture
from velum.train.measure import Trial
from velum.train.model_card import card_text
from velum.train.pictures import PictureStore
from velum.train.run_folder import Run, RunFolder

MOST_DIFFERENCE = 1e-3
"""Largest difference of an output between torch, ONNX and OpenVINO IR."""

COMPARED = 12
"""Held-out pictures on which the three are compared."""

LOWER = 0.8
"""Factor by which the threshold is lowered while the recall is not reached."""

COMPARED_SIDE = 448
"""Sides of the part of a picture that is compared, at most, in pixels."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A model that can be added to the user's catalogue, and its card."""

    offer: ImportedModel
    evaluation: Evaluation
    card: dict[str, Any]
    reached: bool
    """Whether the wanted recall is reached on the held-out pictures."""


@dataclass(slots=True)
class Finisher:
    """Makes the model of a run. `torch_outputs` runs the best state in torch; None where torch is not here."""

    folder: RunFolder
    run: Run
    base: Base
    offer: ImportedModel
    form: Input
    held_out: Sequence[LabelledPicture]
    store: PictureStore
    host: RuntimeConfig
    limits: Limits
    torch_outputs: Any = None

    def finish(self) -> Finished:
        """Write the files of the model with its report and card, and compare it with the present model of its name.

        Raises `OutputFailed` where the files differ from the trained network.
        """
        model = onnx.load(self.folder.model)
        self._write_ir()
        difference = self._compare()
        truth = held_out_truth(self.held_out)
        with Trial(self.offer, model, self.host) as trial, Engine(host=trial.host, limits=self.limits) as engine:
            plan = Plan(tuple(Rule(label, PartSpec(self.offer.name), PartSpec("blacken")) for label in self.run.labels))
            evaluate = Evaluate(engine, self.limits)
            if self.run.request.task == "segment":
                threshold, masks, reached = self._choose_level(trial)
                plan = _with_threshold(plan, self.offer.name, threshold)
                done = Evaluation(truth, plan, evaluate(truth, plan), evaluate.least_iou, None, None, ())
            else:
                masks = None
                done, threshold, reached = self._choose_threshold(evaluate, engine, truth, plan)
        card = self._card(done, threshold, difference, masks, reached=reached)
        card["compared"] = compare_with_present(self.folder.name, self.run, done, self.host, self.limits)
        self._write_papers(done, card)
        return Finished(self._offer(threshold, done.observed), done, card, reached)

    def _choose_threshold(
        self, evaluate: Evaluate, engine: Engine, truth: GroundTruth, plan: Plan
    ) -> tuple[Evaluation, float, bool]:
        """Return the evaluation at the highest score that reaches the wanted recall, this score, and whether it does.

        Where none does, it is the score with the highest F2.
        """
        searched = evaluate(truth, thresholds.make_search_plan(plan, engine))
        target = thresholds.RecallTarget(self.run.request.recall)
        choices: tuple[thresholds.ThresholdChoice, ...] = ()
        try:
            _, choices = thresholds.choose(searched, plan, target, engine)
            threshold = min(choice.chosen.threshold for choice in choices)
        except BadInput:  # not even the lowest threshold finds so many
            threshold = best_threshold(searched)
        while True:
            plan = _with_threshold(plan, self.offer.name, threshold)
            observed = evaluate(truth, plan)
            reached = _reaches(observed, target.recall)
            # In later looks, small objects need more than the threshold: some of those that count may be lost.
            if reached or not choices or threshold <= thresholds.LOWEST:
                break
            threshold = max(thresholds.LOWEST, round(threshold * LOWER, 3))
        done = Evaluation(truth, plan, observed, evaluate.least_iou, None, target if choices else None, choices)
        return done, threshold, reached

    def _choose_level(self, trial: Trial) -> tuple[float, dict[str, Any], bool]:
        """Return the highest probability at which the wanted share of the labelled pixels is found, and the masks then.

        Where there is none, it is the one with the highest intersection over union.
        """
        counts = measure.count_masks(trial.probabilities(self.held_out, self.store), self.held_out, self.run.labels)
        recall = self.run.request.recall

        def ious(level: float) -> float:
            return sum(measure.mask_iou(rows, level) for rows in counts.values())

        fitting = [
            level
            for level in measure.LEVELS
            if all(measure.mask_recall(rows, level) >= recall - 1e-9 for rows in counts.values())
        ]
        level = max(fitting) if fitting else max(measure.LEVELS, key=ious)
        masks = {label: measure.describe_masks(rows, level) for label, rows in counts.items()}
        return level, masks, bool(fitting)

    def _write_ir(self) -> None:
        try:
            to_ir(self.folder.model, self.folder.path / "model.xml")
        except OSError as error:
            raise OutputFailed(f"cannot write {self.folder.path}: {error.strerror or error}") from error

    def _compare(self) -> float | None:
        """Return the largest difference of an output between torch, ONNX and IR; of the files alone without torch."""
        exact = RuntimeConfig(precision="f32", compiled_cache=False)
        networks = [open_network(self.folder.path / name, self.form, exact) for name in ("model.onnx", "model.xml")]
        largest = 0.0
        for picture in self.held_out[:COMPARED]:
            rgb = _part(self.store.rgb(picture), self.form)
            outputs = [[np.asarray(value) for value in network.infer(rgb).values()] for network in networks]
            if self.torch_outputs is not None:
                outputs.append([np.asarray(value)[0] for value in self.torch_outputs(to_tensor(rgb, self.form))])
            for other in outputs[1:]:
                largest = max(largest, *(float(np.abs(a - b).max()) for a, b in zip(outputs[0], other, strict=True)))
        if largest > MOST_DIFFERENCE:
            raise OutputFailed(
                f"the written network differs from the trained one by {largest:.2g}, more than {MOST_DIFFERENCE:g}; "
                f"nothing was added to the catalogue. The state is kept in {self.folder.path}"
            )
        return largest

    def _offer(self, threshold: float, observed: Observations) -> ImportedModel:
        rows = [row for row in metrics.by_size(observed.outcomes) if row.kind == "all"]
        says = "; ".join(f"{row.label}: finds {_rate_text(row.found)} held out" for row in rows)
        effort = {
            level: replace(
                looks, image=replace(looks.image, threshold=threshold), video=replace(looks.video, threshold=threshold)
            )
            for level, looks in self.offer.effort.items()
        }
        return replace(
            self.offer, path=self.folder.model, threshold=threshold, effort=effort, good_for=says,
            origin=f"velum train {self.folder.name}", card=self.folder.path / CARD,
        )  # fmt: skip

    def _card(
        self, done: Evaluation, threshold: float, difference: float | None, masks: dict[str, Any] | None, *,
        reached: bool,
    ) -> dict[str, Any]:  # fmt: skip
        looks = self.folder.looks()
        best = best_of(looks) if looks else None
        rows = metrics.by_size(done.observed.outcomes)
        return {
            "name": self.folder.name, "labels": list(self.run.labels), "task": self.run.request.task,
            "made": datetime.now(UTC).isoformat(timespec="seconds"), "velum": __version__,
            "base": {
                "name": self.base.name, "family": self.base.family, "sha256": self.base.sha256,
                "licence": self.base.licence, "copyright": self.base.copyright,
            },
            "trained_on": {"pictures": len(self.run.train), "files_sha256": dict(self.run.train)},
            "held_out": {"pictures": len(self.run.held_out), "files_sha256": dict(self.run.held_out)},
            "seed": self.run.request.seed, "steps": best["step"] if best else None,
            "batch": self.run.request.batch, "side": self.run.request.side, "rate": self.run.request.rate,
            "score_held_out": {"measure": best["measure"], "by_label": best["by_label"]} if best else None,
            "masks": masks,
            "threshold": threshold, "wanted_recall": self.run.request.recall, "recall_reached": reached,
            "by_size": [row.to_json() for row in rows],
            "precision": {label: rate.to_json() for label, rate in metrics.precision(done.observed).items()},
            "largest_difference_of_files": difference, "compared_with_torch": self.torch_outputs is not None,
            "files": {name: sha256_of(self.folder.path / name) for name in ("model.onnx", "model.xml", "model.bin")},
            "notes": [*self.run.notes, _HONEST],
        }  # fmt: skip

    def _write_papers(self, done: Evaluation, card: dict[str, Any]) -> None:
        paths = {item.name: item.path for item in done.truth.items}
        miss_pictures = draw_misses(done.misses[:MOST_DRAWN], paths, self.limits)
        course = ["<h2>Course of the training</h2>", draw_curve(self.folder.looks())]
        self.folder.write_text("report.html", render_page(done, miss_pictures, course))
        self.folder.write_text("evaluation.json", json.dumps(done.to_json(), indent=1, ensure_ascii=False) + "\n")
        self.folder.write_text(CARD, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        self.folder.write_text("card.md", card_text(card))


_HONEST = (
    "the state that was kept and the threshold were chosen on the held-out pictures: on new ones, figures can be a "
    "little lower; measure with 'velum evaluate' on pictures of another time and place before you rely on them"
)


def held_out_truth(pictures: Sequence[LabelledPicture]) -> GroundTruth:
    """Return the labels of the held-out pictures as ground truth, one item for each file."""
    by_file: dict[str, list[LabelledPicture]] = {}
    for picture in pictures:
        by_file.setdefault(picture.file.name, []).append(picture)
    return GroundTruth(
        "held-out part of the training data",
        tuple(
            replace(
                group[0].file, frames={picture.index: picture.boxes for picture in group}, complete=group[0].complete
            )
            for group in by_file.values()
        ),
    )


def _with_threshold(plan: Plan, name: str, threshold: float) -> Plan:
    use = PartSpec(name, {"threshold": threshold})
    return Plan(tuple(replace(rule, locate=use) for rule in plan.rules))


def _reaches(observed: Observations, recall: float) -> bool:
    rows = (row for row in metrics.by_size(observed.outcomes) if row.kind == "all")
    return all(row.found.hits >= recall * row.found.total - 1e-9 for row in rows)


def best_threshold(observed: Observations) -> float:
    """Return the threshold with the highest F2: a miss counts four times as much as a false detection."""

    def f2(at: float) -> float:
        matched = sum(outcome.score is not None and outcome.score >= at for outcome in observed.outcomes)
        false = sum(detection.score >= at for detection in observed.wrong)
        return 5 * matched / max(1, 5 * matched + false + 4 * (len(observed.outcomes) - matched))

    return max(thresholds.STEPS, key=lambda at: (f2(at), at))


def _part(rgb: Rgb, form: Input) -> Rgb:
    """Return a picture in the size that a network takes, or its middle, with sides that are multiples of 32."""
    if form.size_wh is not None:
        return np.asarray(cv2.resize(rgb, form.size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    height, width = (min(COMPARED_SIDE, side // 32 * 32) or 32 for side in rgb.shape[:2])
    top, left = max(0, rgb.shape[0] - height) // 2, max(0, rgb.shape[1] - width) // 2
    part = np.zeros((height, width, 3), np.uint8)
    cut = rgb[top : top + height, left : left + width]
    part[: cut.shape[0], : cut.shape[1]] = cut
    return part


def _rate_text(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.hits} of {rate.total} ({low:.0%} to {high:.0%})"
