"""A trained model beside the present model of its name, on the same held-out pictures."""

from collections.abc import Mapping
from typing import Any

from velum.engine.engine import Engine
from velum.evaluation import metrics
from velum.evaluation.evaluator import Evaluate
from velum.evaluation.metrics import Observations
from velum.evaluation.result import Evaluation
from velum.limits import Limits
from velum.locate import registry
from velum.locate.labels import covered_labels
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec
from velum.train.run_folder import Run


def compare_with_present(
    name: str, run: Run, done: Evaluation, host: RuntimeConfig, limits: Limits
) -> Mapping[str, Any] | None:
    """Return the figures of the present model of that name and of the new one; None where there is no present one.

    Each is measured at its own threshold on the held-out pictures of the run. `seen` counts those that the present one
    was trained with, as far as its card says: its figures are then too good; None where it has no card.
    """
    present = registry.added_models(host).get(name)
    if present is None:
        return None
    card = registry.card_of(present, host)
    common = (
        None if card is None else len(set(card["trained_on"]["files_sha256"].values()) & set(run.held_out.values()))
    )
    figures: Mapping[str, Any] = {}
    if shared := [label for label in run.labels if covered_labels(label, present.labels)]:
        plan = Plan(tuple(Rule(label, PartSpec(name), PartSpec("blacken")) for label in shared))
        with Engine(host=host, limits=limits) as engine:
            figures = describe_figures(Evaluate(engine, limits)(done.truth, plan), shared)
    return {
        "present": {"sha256": present.fingerprint, "threshold": present.threshold, "labels": figures},
        "new": {"labels": describe_figures(done.observed, run.labels)},
        "held_out": len(run.held_out), "seen": common,
    }  # fmt: skip


def describe_figures(observed: Observations, labels: "tuple[str, ...] | list[str]") -> dict[str, Any]:
    """Return for each label the rate of objects that are found, and that of detections that are right, as JSON."""
    shares = {row.label: row.found for row in metrics.by_size(observed.outcomes) if row.kind == "all"}
    right = metrics.precision(observed)
    return {
        label: {"found": shares[label].to_json(), "right": right[label].to_json() if label in right else None}
        for label in labels
        if label in shares
    }
