"""Second detectors belong to another family than those that hid: one kind of network detects what another misses."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from velum.engine.engine import Engine
from velum.errors import BadPlan, Unavailable
from velum.locate import registry
from velum.locate.labels import canonical, covered_labels, covers
from velum.plan import Plan, Rule, Video
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

RIVALS: Mapping[str, tuple[PartSpec, ...]] = {
    "face": (
        PartSpec("yunet", {"min_side": 12, "threshold": 0.9}),
        PartSpec("centerface", {"min_side": 12, "threshold": 0.6}),
        PartSpec("face-detection-adas-0001", {"threshold": 0.8}),
    ),
    "license_plate": (
        PartSpec("vehicle-license-plate-detection-barrier-0106", {"threshold": 0.7}),
        PartSpec("lpd-yunet", {"threshold": 0.8}),
    ),
    "person": (PartSpec("person-detection-0201", {"threshold": 0.7}), PartSpec("nanodet", {"threshold": 0.7})),
    "vehicle": (PartSpec("vehicle-detection-0201", {"threshold": 0.7}), PartSpec("nanodet", {"threshold": 0.7})),
}
"""Second detectors by label, in order of preference, with thresholds at which they are seldom wrong: people switch off
an alarm that is often false."""


SURE = 0.7
"""Least score of the detectors that hid: what they see this clearly now, they should have seen before."""

IDENTIFYING = Rule("text", PartSpec("text", {"match": "email|iban|phone|plate|card"}), PartSpec("blacken"), grow=0.0)
"""Identifying text, whatever else the plan hides. Other text is in most images and seldom does harm."""

_NOTHING = PartSpec("blacken")
"""Placeholder technique: the plan only detects."""


def make_search_plan(
    plan: Plan, host: RuntimeConfig, engine: Engine, *, text: bool, unhidden: bool = False
) -> tuple[Plan | None, tuple[str, ...]]:
    """Return a plan that detects all labels of `plan` with a second detector, and notes on labels without one.

    The detectors of `plan` run again, too: they find skipped frames and misplaced regions. Fixed zones are not
    detected. With `text`, identifying text is read even if the plan hides none. For a file in which nothing is hidden
    yet (`unhidden`), all that `plan` would hide counts, as surely as it was found. The plan is None when it would have
    no rule.
    """
    rules: list[Rule] = []
    notes: list[str] = []
    looked_for = [rule for rule in plan.rules if rule.locate.name != "fixed"]
    for label in dict.fromkeys(canonical(rule.label) for rule in looked_for):
        rival = next((name for name in RIVALS if name == label or covered_labels(name, {label})), None)
        chosen = next(_usable(rival, plan, host, engine), None) if rival else None
        if rival is not None and chosen is not None:
            rules.append(Rule(rival, chosen, _NOTHING, grow=0.0))
        else:
            notes.append(f"no detector of another family is available for {label!r}; only the same one ran again")
    least = 0.0 if unhidden else SURE
    rules.extend(replace(rule, hide=_NOTHING, grow=0.0, min_score=max(rule.min_score, least)) for rule in looked_for)
    if text and not any(covers(rule.label, "text") for rule in rules):
        rules.append(IDENTIFYING)
    if not rules:
        return None, tuple(notes)
    looking = Video() if unhidden else Video(track=False, every=plan.video.every or 1)
    return replace(Plan(tuple(rules), keep_out=plan.keep_out, effort=plan.effort), video=looking), tuple(notes)


def search_of_source(search: Plan, plan: Plan) -> Plan:
    """Return the search of a file as it is done in its source: what `plan` would hide there is evidence enough."""
    scores = {rule.locate: rule.min_score for rule in plan.rules}
    return replace(search, rules=tuple(replace(r, min_score=scores.get(r.locate, r.min_score)) for r in search.rules))


def _usable(label: str, plan: Plan, host: RuntimeConfig, engine: Engine) -> Iterator[PartSpec]:
    used = set(_families(plan, host))
    for use in RIVALS[label]:
        if registry.find(use.name, host).family in used:
            continue
        try:
            engine.check(Plan((Rule(label, use, PartSpec("blacken")),)))
        except (Unavailable, BadPlan):
            continue  # its weights are not available here
        yield use


def _families(plan: Plan, host: RuntimeConfig) -> Iterator[str]:
    models = registry.catalog(host)
    for rule in plan.rules:
        name = str(rule.locate.options.get("name", rule.locate.name))
        if name in models:
            yield models[name].family
