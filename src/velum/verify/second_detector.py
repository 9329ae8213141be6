"""Detectors of another family than those that hid: what one kind of network misses, another may see."""

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
"""By label, in order of preference, with thresholds at which they are seldom wrong: an alarm that is often false is
soon switched off. What a check is for stands out clearly."""


SURE = 0.7
"""How sure the detectors must be that have hidden: what they see now, they should have seen before."""

IDENTIFYING = Rule("text", PartSpec("text", {"match": "email|iban|phone|plate|card"}), PartSpec("blacken"), grow=0.0)
"""Words that lead to a person, whatever else the plan hides. Other text is in most pictures, and seldom does harm."""

_NOTHING = PartSpec("blacken")
"""Nothing is hidden by a plan that only looks."""


def watching(plan: Plan, host: RuntimeConfig, engine: Engine, *, text: bool) -> tuple[Plan | None, tuple[str, ...]]:
    """Return a plan that only looks for all labels of `plan`, and notes on those for which there is no rival here.

    Those that hid look once more, too: they see frames that were left out, and regions in a wrong place. Fixed zones
    are not looked for: nobody sees them. With `text`, identifying text is read although the plan hides none. None in
    place of the plan when nothing is left.
    """
    rules: list[Rule] = []
    notes: list[str] = []
    looked_for = [rule for rule in plan.rules if rule.locate.name != "fixed"]
    for label in dict.fromkeys(canonical(rule.label) for rule in looked_for):
        known = next((name for name in RIVALS if name == label or covered_labels(name, {label})), None)
        chosen = next(_usable(known, plan, host, engine), None) if known else None
        if known is not None and chosen is not None:
            rules.append(Rule(known, chosen, _NOTHING, grow=0.0))
        else:
            notes.append(f"no detector of another family for {label!r} is here; only the same one looked again")
    rules.extend(replace(rule, hide=_NOTHING, grow=0.0, min_score=max(rule.min_score, SURE)) for rule in looked_for)
    if text and not any(covers(rule.label, "text") for rule in rules):
        rules.append(IDENTIFYING)
    if not rules:
        return None, tuple(notes)
    looking = Video(track=False, every=plan.video.every)
    return replace(Plan(tuple(rules), keep_out=plan.keep_out), video=looking), tuple(notes)


def _usable(label: str, plan: Plan, host: RuntimeConfig, engine: Engine) -> Iterator[PartSpec]:
    used = set(_families(plan, host))
    for use in RIVALS[label]:
        if registry.find(use.name, host).family in used:
            continue
        try:
            engine.check(Plan((Rule(label, use, PartSpec("blacken")),)))
        except (Unavailable, BadPlan):
            continue  # its weights cannot be had here
        yield use


def _families(plan: Plan, host: RuntimeConfig) -> Iterator[str]:
    known = registry.catalog(host)
    for rule in plan.rules:
        name = str(rule.locate.options.get("name", rule.locate.name))
        if name in known:
            yield known[name].family
