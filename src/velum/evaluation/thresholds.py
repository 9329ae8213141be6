"""Chooses thresholds: for each label the highest that still reaches the wanted recall."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from velum.engine.engine import Engine
from velum.errors import BadInput, BadPlan, MissingWeights
from velum.evaluation.metrics import FalsePositive, Observations, Rate, TruthOutcome
from velum.locate.labels import covers, plain
from velum.plan import Plan, Rule
from velum.spec import PartSpec

LOWEST = 0.05
"""Threshold of the search: below it nearly every detection is false."""

STEPS = tuple(step / 100 for step in range(5, 100, 2))
"""Thresholds of the curve that shows the trade-off."""


@dataclass(frozen=True, slots=True)
class RecallTarget:
    """The wanted recall (above 0, at most 1) of objects of at least `min_height` pixels."""

    recall: float
    min_height: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise BadPlan(f"recall is {self.recall!r}; it must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """Recall (`found`) and precision (`right`) at one threshold."""

    threshold: float
    found: Rate
    right: Rate

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"threshold": self.threshold, "found": self.found.to_json(), "right": self.right.to_json()}


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The threshold chosen for one label, and the recall-precision curve that it lies on."""

    label: str
    chosen: ThresholdPoint
    curve: tuple[ThresholdPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"label": self.label, **self.chosen.to_json(), "curve": [point.to_json() for point in self.curve]}


def make_search_plan(plan: Plan, engine: Engine) -> Plan:
    """Return the plan for the search: its detectors report everything above `LOWEST`.

    It does not track: a threshold that needs no neighbouring frames is safe for single images, too.
    """
    rules = tuple(_at(rule, LOWEST, engine) for rule in plan.rules)
    return replace(plan, rules=rules, video=replace(plan.video, track=False, every=1))


def choose(
    observed: Observations, plan: Plan, target: RecallTarget, engine: Engine
) -> tuple[Plan, tuple[ThresholdChoice, ...]]:
    """Return the plan with thresholds that reach the target, and the choice for each label.

    `observed` comes from the plan of `make_search_plan`. Raises `BadInput` when the truth has no object of a label, or
    when even the lowest threshold does not reach the recall.
    """
    choices = {rule.label: _choice(observed, rule.label, target) for rule in plan.rules}
    rules = tuple(_at(rule, choices[rule.label].chosen.threshold, engine) for rule in plan.rules)
    return replace(plan, rules=rules), tuple(choices.values())


def _choice(observed: Observations, label: str, target: RecallTarget) -> ThresholdChoice:
    large = [
        outcome
        for outcome in observed.outcomes
        if covers(plain(label), outcome.label) and outcome.height >= target.min_height
    ]
    if not large:
        raise BadInput(f"the truth has no {plain(label)} of {target.min_height} px or more; no threshold can be chosen")
    needed = math.ceil(target.recall * len(large) - 1e-9)
    scores = sorted((outcome.score for outcome in large if outcome.score is not None), reverse=True)
    if len(scores) < needed:
        found_rate = Rate(len(scores), len(large))
        raise BadInput(
            f"even at a threshold of {LOWEST} only {found_rate.share:.1%} ({found_rate.hits} of {found_rate.total}) of "
            f"{plain(label)} from {target.min_height} px are found, {target.recall:.1%} are wanted; "
            "try another model, smaller min_side, or a larger --min-height"
        )
    threshold = max(LOWEST, math.floor(scores[needed - 1] * 1000) / 1000)
    points = sorted({threshold, *STEPS})
    curve = {at: _point(observed, large, label, at) for at in points}
    return ThresholdChoice(plain(label), curve[threshold], tuple(curve[at] for at in points))


def _point(observed: Observations, large: Sequence[TruthOutcome], label: str, threshold: float) -> ThresholdPoint:
    def count_reaching(group: Iterable[TruthOutcome | FalsePositive]) -> int:
        return sum(outcome.score is not None and outcome.score >= threshold for outcome in group)

    right = count_reaching(
        outcome for outcome in observed.outcomes if outcome.judged and covers(plain(label), outcome.label)
    )
    wrong = count_reaching(outcome for outcome in observed.wrong if covers(plain(label), outcome.label))
    return ThresholdPoint(threshold, Rate(count_reaching(large), len(large)), Rate(right, right + wrong))


def _at(rule: Rule, threshold: float, engine: Engine) -> Rule:
    """Return the rule with the threshold set in its localizer, or as `min_score` when that has none or no weights."""
    options = {**rule.locate.options, "threshold": threshold}
    own = replace(rule, locate=PartSpec(rule.locate.name, options), min_score=0.0)
    try:
        engine.check(Plan((own,)))
    except (BadPlan, MissingWeights):  # the evaluation ran another localizer in its place
        return replace(rule, min_score=threshold)
    return own
