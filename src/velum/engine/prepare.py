"""Prepare a plan: make its localizers and techniques, so that every mistake in it shows before a pixel is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from velum import media
from velum.annotations import Annotations
from velum.engine.known_people import KnownPeople, PhotoOpener, know_people
from velum.engine.part_cache import PartCache
from velum.engine.stand_ins import ChosenLocalizer
from velum.errors import BadPlan
from velum.limits import Limits
from velum.locate.labels import covered_labels, covers, plain
from velum.locate.weights.missing_weights import call_for_all
from velum.media.sound.speech import require_detector, threshold_for
from velum.people import People
from velum.plan import Plan, Rule
from velum.plugins import Described, Localizer, Technique, warning_of
from velum.region import Region
from velum.spec import PartSpec

BY_HAND = PartSpec("by-hand")
"""Stands in reports for the localizer of regions that a person drew, with labels that the plan does not name."""

KEPT_BODIES = "a rule hides whole persons, those to keep included: people are recognised by their faces only"


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRule:
    """A rule of a plan, with its technique and the place of its localizer in `PreparedPlan.localizers`."""

    rule: Rule
    technique: Technique
    localizer: int = 0
    """Where regions are given instead of located, all rules have 0."""
    labels: frozenset[str] = frozenset()
    """Labels that the rule hides, of those that its localizer or the given regions have."""
    chosen_only: bool = False
    """Whether the rule hides only regions with a technique of their own: the plan has no rule for their label."""

    def covers(self, label: str) -> bool:
        """Tell whether the rule hides regions of that label, one that no localizer has announced included."""
        return label in self.labels or covers(self.rule.label, label)

    def takes(self, region: Region, *, any_score: bool = False) -> bool:
        """Tell whether the rule hides a region, by its label and its score; the score is ignored with `any_score`."""
        if self.chosen_only and region.technique is None:
            return False
        return (any_score or region.score >= self.rule.min_score) and self.covers(region.label)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPlan:
    """A plan with its localizers and techniques; equal ones are shared between rules."""

    plan: Plan
    rules: tuple[PreparedRule, ...]
    localizers: tuple[Localizer, ...] = ()
    """Empty when the regions are given."""
    exclusions: tuple[Localizer, ...] = ()
    """Localizers whose regions are never hidden."""
    warnings: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    """Those of the warnings that are about localizers in the place of others."""
    region_techniques: Mapping[PartSpec, Technique] = field(default_factory=dict)
    """Techniques that people chose for single regions."""
    people: KnownPeople | None = None
    """The persons that the plan names; None where it names none, and where the regions are given."""
    per_frame: frozenset[int] = frozenset()
    """Indices of the localizers that run on every frame, whatever the schedule of the others."""

    def technique(self, rule: PreparedRule, region: Region) -> Technique:
        """Return the technique that hides a region of a rule."""
        return rule.technique if region.technique is None else self.region_techniques[region.technique]

    def techniques_for(self, region: Region) -> list[Technique]:
        """Return the techniques of all rules that hide regions of this label, whatever their scores."""
        return [self.technique(rule, region) for rule in self.rules if rule.covers(region.label)]

    @property
    def models(self) -> tuple[Mapping[str, str], ...]:
        """The localizers' descriptions of their models, for the report."""
        return tuple(dict(part.description) for part in self.localizers if isinstance(part, Described))


def prepare(
    plan: Plan, parts: PartCache, limits: Limits, open_photo: PhotoOpener | None = None, *, locate: bool = True,
    regions: Annotations | None = None,
) -> PreparedPlan:  # fmt: skip
    """Return the plan with its parts. With `locate=False`, for given `regions`, no localizers are made but exclusions.

    `open_photo` opens the photos of people that the plan names; by default `media.open_source` does.

    Raises `BadPlan` for names, options or labels that do not exist, `LimitExceeded` for more rules or localizers than
    are accepted, `MissingWeights` that names all models whose weights are not available, and `Unavailable` without the
    extra that finds speech.
    """
    limits.check("rules", len(plan.rules), "the plan")
    if threshold_for(plan.video.audio) is not None:
        require_detector()
    if plan.video.mute is not None:
        from velum.locate.spoken import SpokenRule  # noqa: PLC0415 - loaded when it is used

        SpokenRule.of(plan.video.mute)
    specs = list(dict.fromkeys(rule.locate for rule in plan.rules)) if locate else []
    limits.check("localizers", len({*plan.keep_out, *specs}), "the plan")
    techniques = {rule.hide: parts.technique(rule.hide) for rule in plan.rules}
    chosen = [] if regions is None else sorted(regions.techniques, key=str)
    region_techniques = {spec: parts.technique(spec) for spec, _, _ in chosen}
    pairs = [*((rule.hide, rule.label) for rule in plan.rules), *((spec, label) for spec, label, _ in chosen)]
    _check_techniques(pairs, parts)
    localizers, exclusions, notes = _make_localizers(specs, plan, parts)
    if locate:
        rules = _rules_that_locate(plan, techniques, dict(zip(specs, localizers, strict=True)))
    else:
        given = set() if regions is None else {region.label for found in regions.frames.values() for region in found}
        rules = [PreparedRule(rule, techniques[rule.hide], 0, covered_labels(rule.label, given)) for rule in plan.rules]
    hidden_labels = [label for _, label, ignored in chosen if not ignored]
    rules += _rules_of_chosen(plan.rules[0], rules[0].technique, hidden_labels, rules)
    used = techniques | {spec: region_techniques[spec] for spec, _, ignored in chosen if not ignored}
    incomplete = dict.fromkeys(filter(None, map(warning_of, localizers)))
    warnings = (*notes, *incomplete, *_warnings(used))
    prepared = PreparedPlan(plan, tuple(rules), localizers, exclusions, warnings, notes, region_techniques)
    if plan.people is None or not locate:
        return prepared
    return _with_people(prepared, plan.people, parts, open_photo or partial(media.open_source, limits=limits))


def _check_techniques(chosen: Sequence[tuple[PartSpec, str]], parts: PartCache) -> None:
    """Raise `BadPlan` for a technique that does not hide regions of the label for which it was chosen."""
    for spec, label in chosen:
        suited = parts.technique(spec).labels
        if suited is not None and not any(covers(other, plain(label)) for other in suited):
            raise BadPlan(f"{spec.name} hides only {', '.join(sorted(suited))}, not {label!r}")


def _rules_that_locate(
    plan: Plan, techniques: Mapping[PartSpec, Technique], localizers: Mapping[PartSpec, Localizer]
) -> list[PreparedRule]:
    """Return the rules of a plan, each with the place of its localizer. Raises `BadPlan` for a label that none has."""
    rules, places = [], {spec: place for place, spec in enumerate(localizers)}
    for rule in plan.rules:
        offered = localizers[rule.locate].labels
        labels = covered_labels(rule.label, offered)
        if not labels:
            raise BadPlan(f"{rule.locate.name} finds {', '.join(sorted(offered))}, not {rule.label!r}")
        rules.append(PreparedRule(rule, techniques[rule.hide], places[rule.locate], labels))
    return rules


def _with_people(
    prepared: PreparedPlan, people: People, parts: PartCache, open_photo: PhotoOpener
) -> PreparedPlan:  # fmt: skip
    """Return a prepared plan with the persons that it names. Raises as `read_people` does."""
    plan, people = prepared.plan, people.with_hashes()
    hides_bodies = any(covers(rule.label, "person") for rule in plan.rules)
    key = people, _face_rule(prepared).rule.locate, plan.effort
    known = parts.known_people(key, lambda: read_people(people, prepared, parts, open_photo))
    added = (KEPT_BODIES if hides_bodies else None, warning_of(known.embedder))
    return replace(prepared, warnings=(*prepared.warnings, *filter(None, added)), people=known)


def _rules_of_chosen(
    like: Rule, technique: Technique, labels: Sequence[str], rules: Sequence[PreparedRule]
) -> list[PreparedRule]:
    """Return a rule for each label that none names, of regions for which a person chose a technique.

    They have the margin of the rule `like`. Without them, what a person marked would stay visible.
    """
    missing = sorted({label for label in labels if not any(rule.covers(label) for rule in rules)})
    return [
        PreparedRule(
            replace(like, label=label, locate=BY_HAND, shape="box"), technique,
            labels=frozenset({label}), chosen_only=True,
        )
        for label in missing
    ]  # fmt: skip


def read_people(people: People, prepared: PreparedPlan, parts: PartCache, open_photo: PhotoOpener) -> KnownPeople:
    """Return people, with the faces that a prepared plan finds in their photographs.

    Raises `BadPlan` where no rule of the plan hides faces, and as `know_people` does.
    """
    localizer = prepared.localizers[_face_rule(prepared).localizer]
    return know_people(people, parts.embedder(people.embedding), lambda frame: localizer.locate([frame])[0], open_photo)


def _face_rule(prepared: PreparedPlan) -> PreparedRule:
    """Return the rule that hides faces. Raises `BadPlan` where there is none."""
    hiding = next((rule for rule in prepared.rules if any(covers("face", label) for label in rule.labels)), None)
    if hiding is None:
        raise BadPlan(
            "people are recognised by faces, which no rule of the plan hides; add 'face: centerface -> blacken'"
        )
    return hiding


def _make_localizers(
    specs: Sequence[PartSpec], plan: Plan, parts: PartCache
) -> tuple[tuple[Localizer, ...], tuple[Localizer, ...], tuple[str, ...]]:
    """Return the localizers of the rules, in the order of `specs`, those of the exclusions, and warnings.

    A stand-in finds more than what it stands in for, so none is taken for an exclusion: less would be hidden.
    """

    def make_localizer(wanted: tuple[PartSpec, bool]) -> ChosenLocalizer:
        spec, hides = wanted
        if hides:
            return parts.localizer_or_stand_in(spec, plan.effort)
        return ChosenLocalizer(parts.localizer(spec, plan.effort))

    instances = call_for_all(
        make_localizer, [*((spec, True) for spec in specs), *((spec, False) for spec in plan.keep_out)]
    )
    localizers = tuple(choice.localizer for choice in instances)
    notes = dict.fromkeys(choice.warning for choice in instances if choice.warning)
    return localizers[: len(specs)], localizers[len(specs) :], tuple(notes)


def _warnings(techniques: Mapping[PartSpec, Technique]) -> list[str]:
    """Return a warning for each technique that does not destroy what it hides."""
    warnings: dict[str, None] = {}
    for spec, technique in techniques.items():
        warning = warning_of(technique)
        if warning is None and not technique.destroys:
            warning = (
                f"{spec} does not destroy what it hides: whoever has photographs of the people concerned can often "
                "tell them apart; a destroying technique such as blacken leaves nothing"
            )
        if warning is not None:
            warnings[warning] = None
    return list(warnings)
