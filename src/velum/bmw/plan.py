"""Turns a configuration into a plan: model and address, technique and degree of each entry, or its error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from velum.bmw import wire
from velum.bmw.available_methods import AvailableMethods, own_rule
from velum.bmw.localizer import REQUEST_LOCALIZER
from velum.bmw.schema import RequestRefused
from velum.bmw.techniques import ListedTechnique, repeat_technique
from velum.bmw.wire import Entry
from velum.locate.labels import exact
from velum.plan import Plan, Rule, Video
from velum.service.admission import OWN_MODELS
from velum.spec import PartSpec


@dataclass(frozen=True, slots=True)
class Refusal:
    """Error texts of the entries that cannot be served, in their order; the request is not processed."""

    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A configuration as a plan. `entries[i]` are the indices of the `given` entries that rule `i` serves."""

    plan: Plan
    given: tuple[Entry, ...]
    entries: tuple[tuple[int, ...], ...]

    @property
    def services(self) -> frozenset[str]:
        """Addresses that the plan uses, velum's own among them."""
        return frozenset(str(rule.locate.options.get("url", OWN_MODELS)) for rule in self.plan.rules)

    def refuse_localizers(self, uses: frozenset[PartSpec]) -> Refusal:
        """Return the refusal for localizers that gave no usable answer."""
        lost = {
            i
            for rule, entries in zip(self.plan.rules, self.entries, strict=True)
            for i in entries
            if rule.locate in uses
        }
        return Refusal(tuple(wire.not_supported(self.given[i], i + 1) for i in sorted(lost)))


def order(
    entries: Sequence[Entry], methods: AvailableMethods, *, strict: bool, video: bool = False
) -> ParsedRequest | Refusal:
    """Return the plan for the entries, or a refusal with their errors.

    With `strict` an omitted address is chosen as by the original, see `_choose`, and a `video` reports only the errors
    that the original does, see `_stopping`. Raises `RequestRefused` for an invalid degree.
    """
    rules_or_errors = [_rule(entry, i, methods, strict=strict) for i, entry in enumerate(entries, start=1)]
    errors = [result for result in rules_or_errors if isinstance(result, str)]
    served = list(takewhile(lambda result: isinstance(result, Rule), rules_or_errors))
    # The original fails at a degree when it hides with it, so errors of earlier entries come first.
    if any(entry.degree is None for entry in entries[: len(served)]):
        raise RequestRefused(wire.UNEXPECTED)
    if errors:
        return Refusal(tuple(_stopping(rules_or_errors, entries) if strict and video else errors))
    rules: dict[Rule, list[int]] = {}
    for i, rule in enumerate(rules_or_errors):
        if isinstance(rule, Rule):
            rules.setdefault(rule, []).append(i)
    # Where regions overlap, the earlier rule wins, so the strongest come first.
    strongest_first = sorted(rules, key=lambda rule: _strength(rule.hide), reverse=True)
    repeating = (replace(rule, hide=repeat_technique(rule.hide, len(rules[rule]))) for rule in strongest_first)
    return ParsedRequest(
        Plan(tuple(repeating), video=Video(codec="h264", subtitles="drop")),
        tuple(entries),
        tuple(tuple(rules[rule]) for rule in strongest_first),
    )


def _stopping(rules_or_errors: Sequence[Rule | str], entries: Sequence[Entry]) -> list[str]:
    """Return the errors that the original reports for a video: it stops at the first one.

    After an unknown kind it continues with the next entry of another kind.
    """
    errors: list[str] = []
    for i, (result, entry) in enumerate(zip(rules_or_errors, entries, strict=True)):
        if isinstance(result, str):
            errors.append(result)
        if errors and (result != wire.not_supported(entry, i + 1) or i >= len(errors)):
            break
    return errors


def _rule(entry: Entry, number: int, methods: AvailableMethods, *, strict: bool) -> Rule | str:
    """Return the rule for an entry, or the text of its first error."""
    urls = _urls(entry, number, methods)
    if isinstance(urls, str):
        return urls
    having = {url: models for url, models in urls.items() if entry.model in models}
    if not isinstance(entry.model, str):
        return wire.not_supported(entry, number)
    if not having:
        nowhere = entry.url is None
        return wire.model_nowhere(entry, number) if nowhere else wire.model_not_there(entry, number)
    technique = methods.techniques[entry.label].get(entry.technique)
    if technique is None:
        return wire.unknown_technique(entry, number)
    return _rule_at(entry, _choose(having, strict=strict), technique)


def _urls(entry: Entry, number: int, methods: AvailableMethods) -> Mapping[str, tuple[str, ...]] | str:
    """Return address -> models for an entry: its own address, else all for its label and kind; or an error text."""
    if entry.kind not in {wire.DETECTION, wire.SEGMENTATION}:
        return wire.not_supported(entry, number)
    if not isinstance(entry.label, str):
        return wire.not_supported(entry, number)
    if entry.label not in methods.labels:
        return wire.unknown_label(entry, number)
    urls = methods.labels[entry.label].get(entry.kind)
    if urls is None:
        return wire.label_of_other_kind(entry, number)
    if entry.url is None:
        return urls
    if not isinstance(entry.url, str):
        return wire.not_supported(entry, number)
    return {entry.url: urls[entry.url]} if entry.url in urls else wire.unlisted_address(entry)


def _choose(having: Mapping[str, tuple[str, ...]], *, strict: bool) -> str:
    """Return the address to use, of those that have the model.

    It is the first one; with `strict`, as in the original, the first one that has exactly the models of the last one.
    """
    if not strict:
        return next(iter(having))
    last = list(having.values())[-1]
    return next(url for url, models in having.items() if models == last)


def _rule_at(entry: Entry, url: str, technique: ListedTechnique) -> Rule:
    hide = technique.use(1.0 if entry.degree is None else entry.degree, entry.kind)
    if url == OWN_MODELS:
        return own_rule(entry.label, entry.model, hide)
    use = PartSpec(REQUEST_LOCALIZER, {"url": url, "model": entry.model, "kind": entry.kind})
    return Rule(exact(entry.label), use, hide, grow=0)


def _strength(hide: PartSpec) -> tuple[int, float]:
    """Return a sort key for techniques: nothing, a reversible blend, a filter, solid black."""
    degree = hide.options.get("degree", 1.0)
    strength = float(degree) if isinstance(degree, int | float) else 1.0
    if strength == 0:
        return 0, 0.0
    blends = hide.name == wire.TECHNIQUES["blackening"]
    return (3 if strength == 1 else 1) if blends else 2, strength
