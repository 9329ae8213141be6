"""From a configuration to a plan: which model at which address, which technique how strong, or what cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from velum.bmw import builtin_models, request_localizer, wire
from velum.bmw.available_methods import AvailableMethods
from velum.bmw.schema import RequestRefused
from velum.bmw.techniques import ListedTechnique, repeated
from velum.bmw.wire import Entry
from velum.locate.labels import exact
from velum.plan import Plan, Rule, Video
from velum.spec import PartSpec


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is done: a text for each entry that cannot be served, in their order."""

    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """What a configuration asks for. `entries[i]` are the entries, from 0, that rule `i` of the plan serves."""

    plan: Plan
    given: tuple[Entry, ...]
    entries: tuple[tuple[int, ...], ...]

    @property
    def services(self) -> frozenset[str]:
        """Addresses that are asked, velum's own among them."""
        return frozenset(str(rule.locate.options.get("url", builtin_models.URL)) for rule in self.plan.rules)

    def failed(self, uses: frozenset[PartSpec]) -> Refusal:
        """Return what is said when these localizers gave no usable answer."""
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
    """Return the plan that the entries make, or what is wrong with them.

    With `strict` an address that is left out is chosen as the original does, see `_choose`; and of what is wrong, a
    `video` gets what stops the original, see `_stopping`. Raises `RequestRefused` for a degree that is none.
    """
    made = [_rule(entry, i, methods, strict=strict) for i, entry in enumerate(entries, start=1)]
    errors = [one for one in made if isinstance(one, str)]
    if errors:
        return Refusal(tuple(_stopping(made, entries) if strict and video else errors))
    if any(entry.degree is None for entry in entries):
        raise RequestRefused(wire.UNEXPECTED)
    rules: dict[Rule, list[int]] = {}
    for i, rule in enumerate(made):
        if isinstance(rule, Rule):
            rules.setdefault(rule, []).append(i)
    # Where regions overlap, an earlier rule wins: a weak one must not keep a strong one away.
    strongest_first = sorted(rules, key=lambda rule: _strength(rule.hide), reverse=True)
    repeating = (replace(rule, hide=repeated(rule.hide, len(rules[rule]))) for rule in strongest_first)
    return ParsedRequest(
        Plan(tuple(repeating), video=Video(codec="h264", subtitles="drop")),
        tuple(entries),
        tuple(tuple(rules[rule]) for rule in strongest_first),
    )


def _stopping(made: Sequence[Rule | str], entries: Sequence[Entry]) -> list[str]:
    """Return the errors that the original tells of a video: it goes no further than the first one.

    Only a kind that it does not know leaves it going on, to the next entry of any other kind.
    """
    told: list[str] = []
    for i, (one, entry) in enumerate(zip(made, entries, strict=True)):
        if isinstance(one, str):
            told.append(one)
        if told and (one != wire.not_supported(entry, i + 1) or i >= len(told)):
            break
    return told


def _rule(entry: Entry, number: int, methods: AvailableMethods, *, strict: bool) -> Rule | str:
    """Return the rule for an entry, or the text of the first thing that is wrong with it."""
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
    return _made(entry, _choose(having, strict=strict), technique)


def _urls(entry: Entry, number: int, methods: AvailableMethods) -> Mapping[str, tuple[str, ...]] | str:
    """Return the addresses that may serve an entry, with their models: those of its label and kind, or its own."""
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
    """Return the address to ask, of those that have the model: the first.

    The original takes the models of the last one, and the first address that has exactly these.
    """
    if not strict:
        return next(iter(having))
    last = list(having.values())[-1]
    return next(url for url, models in having.items() if models == last)


def _made(entry: Entry, url: str, technique: ListedTechnique) -> Rule:
    hide = technique.use(1.0 if entry.degree is None else entry.degree, entry.kind)
    if url == builtin_models.URL:
        return builtin_models.rule(entry.label, entry.model, hide)
    use = PartSpec(request_localizer.NAME, {"url": url, "model": entry.model, "kind": entry.kind})
    return Rule(exact(entry.label), use, hide, grow=0)


def _strength(hide: PartSpec) -> tuple[int, float]:
    """Return a key that orders techniques: nothing, a blend that can be undone, a filter, solid black."""
    degree = hide.options.get("degree", 1.0)
    strength = float(degree) if isinstance(degree, int | float) else 1.0
    if strength == 0:
        return 0, 0.0
    blends = hide.name == wire.TECHNIQUES["blackening"]
    return (3 if strength == 1 else 1) if blends else 2, strength
