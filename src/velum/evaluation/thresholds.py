"""Thresholds for a wanted recall: the highest at which so much of the truth is still found."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from velum.engine.engine import Engine
from velum.errors import BadInput, BadPlan
from velum.evaluation.values import FalsePositive, Observations, Rate, TruthOutcome
from velum.locate.labels import covers, plain
from velum.plan import Plan, Rule
from velum.spec import PartSpec

LOWEST = 0.05
"""Threshold of the search: below it nearly everything that a detector says is wrong."""

STEPS = tuple(step / 100 for step in range(5, 100, 2))
"""Thresholds of the curve that shows what the choice is between."""


@dataclass(frozen=True, slots=True)
class RecallTarget:
    """What is to be reached: a share of the things of at least `min_height` pixels that is to be found."""

    recall: float
    min_height: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise BadPlan(f"recall is {self.recall!r}; it must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What one threshold would find: things that are large enough, and finds that are right."""

    threshold: float
    found: Rate
    right: Rate

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"threshold": self.threshold, "found": self.found.to_json(), "right": self.right.to_json()}


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The threshold for one label of the plan, what it finds in the search, and the curve that it lies on."""

    label: str
    chosen: ThresholdPoint
    curve: tuple[ThresholdPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"label": self.label, **self.chosen.to_json(), "curve": [point.to_json() for point in self.curve]}


def searching(plan: Plan, engine: Engine) -> Plan:
    """Return the plan with which to search: it finds whatever its detectors are not quite sure is nothing.

    Nothing is followed: a threshold that needs no help from neighbouring frames is safe where there are none.
    """
    rules = tuple(_at(rule, LOWEST, engine) for rule in plan.rules)
    return replace(plan, rules=rules, video=replace(plan.video, track=False, every=1))


def choose(
    observed: Observations, plan: Plan, wanted: RecallTarget, engine: Engine
) -> tuple[Plan, tuple[ThresholdChoice, ...]]:
    """Return the plan with thresholds that reach what is wanted, and how they were chosen.

    `observed` is what the plan of `searching` finds. Raises `BadInput` where the truth has nothing of a label, or where
    not so much is found at the lowest threshold.
    """
    choices = {rule.label: _choice(observed, rule.label, wanted) for rule in plan.rules}
    rules = tuple(_at(rule, choices[rule.label].chosen.threshold, engine) for rule in plan.rules)
    return replace(plan, rules=rules), tuple(choices.values())


def _choice(observed: Observations, label: str, wanted: RecallTarget) -> ThresholdChoice:
    large = [one for one in observed.seen if covers(plain(label), one.label) and one.height >= wanted.min_height]
    if not large:
        raise BadInput(f"the truth has no {plain(label)} of {wanted.min_height} px or more; no threshold can be chosen")
    needed = math.ceil(wanted.recall * len(large) - 1e-9)
    scores = sorted((one.score for one in large if one.score is not None), reverse=True)
    if len(scores) < needed:
        found = Rate(len(scores), len(large))
        raise BadInput(
            f"even at a threshold of {LOWEST} only {found.share:.1%} ({found.hits} of {found.total}) of "
            f"{plain(label)} from {wanted.min_height} px are found, {wanted.recall:.1%} are wanted; "
            "try another model, smaller min_side, or a larger --min-height"
        )
    threshold = max(LOWEST, math.floor(scores[needed - 1] * 1000) / 1000)
    points = sorted({threshold, *STEPS})
    curve = {at: _point(observed, large, label, at) for at in points}
    return ThresholdChoice(plain(label), curve[threshold], tuple(curve[at] for at in points))


def _point(observed: Observations, large: Sequence[TruthOutcome], label: str, threshold: float) -> ThresholdPoint:
    def reached(ones: Iterable[TruthOutcome | FalsePositive]) -> int:
        return sum(one.score is not None and one.score >= threshold for one in ones)

    right = reached(one for one in observed.seen if one.judged and covers(plain(label), one.label))
    wrong = reached(one for one in observed.wrong if covers(plain(label), one.label))
    return ThresholdPoint(threshold, Rate(reached(large), len(large)), Rate(right, right + wrong))


def _at(rule: Rule, threshold: float, engine: Engine) -> Rule:
    """Return the rule at a threshold of its localizer, or at a least score where that takes no threshold."""
    options = {**rule.locate.options, "threshold": threshold}
    own = replace(rule, locate=PartSpec(rule.locate.name, options), min_score=0.0)
    try:
        engine.check(Plan((own,)))
    except BadPlan:
        return replace(rule, min_score=threshold)
    return own
