"""From a plan to its parts: every mistake in a plan shows here, before the first pixel is read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from velum.annotations import Annotations
from velum.errors import BadPlan
from velum.limits import Limits
from velum.locate import registry
from velum.locate.labels import among, covers, plain
from velum.locate.output_formats import family
from velum.plan import Plan
from velum.plugins import Described, Localizer, RuntimeConfig, Technique, Weak, make, names
from velum.region import Region
from velum.spec import PartSpec

P = TypeVar("P")


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPlan:
    """A plan with its parts made.

    `techniques[i]` belongs to `plan.rules[i]`, whose regions come from `localizers[finder[i]]`. Equal uses share one
    part. `localizers` is empty when the regions are given. What `exclusions` find is never hidden.
    """

    plan: Plan
    techniques: tuple[Technique, ...]
    localizers: tuple[Localizer, ...] = ()
    finder: tuple[int, ...] = ()
    exclusions: tuple[Localizer, ...] = ()
    warnings: tuple[str, ...] = ()
    special: Mapping[PartSpec, Technique] = field(default_factory=dict)
    """Techniques that single regions bring along."""

    def technique(self, rule: int, region: Region) -> Technique:
        """Return what hides a region of the rule with that index."""
        return self.techniques[rule] if region.technique is None else self.special[region.technique]

    @property
    def models(self) -> tuple[Mapping[str, str], ...]:
        """What the localizers say of themselves."""
        return tuple(dict(part.description) for part in self.localizers if isinstance(part, Described))


KEPT_LOCALIZERS, KEPT_TECHNIQUES = 48, 4096
"""Parts that are kept for the next plan. Whoever serves strangers would else keep one for each number they think of."""


class PartCache:
    """The parts made last, each once for equal uses. Safe to share between threads.

    A part that is not kept any more lives as long as the plans that still work with it.
    """

    def __init__(self, host: RuntimeConfig) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._localizers: dict[PartSpec, Localizer] = {}
        self._techniques: dict[PartSpec, Technique] = {}

    def localizer(self, use: PartSpec) -> Localizer:
        """Return the localizer that `use` names: an installed one, or a model of the catalogue."""
        with self._lock:
            made = self._localizers.pop(use, None)
            if made is None:
                made = make("velum.localizers", _resolved(use, self._host), self._host)
            return _kept(self._localizers, use, made, KEPT_LOCALIZERS)

    def technique(self, use: PartSpec) -> Technique:
        """Return the technique that `use` names."""
        with self._lock:
            made = self._techniques.pop(use, None)
            if made is None:
                made = make("velum.techniques", use, self._host)
            return _kept(self._techniques, use, made, KEPT_TECHNIQUES)

    def close(self) -> None:
        """Close every localizer."""
        with self._lock:
            for localizer in self._localizers.values():
                localizer.close()
            self._localizers.clear()


def _kept(parts: dict[PartSpec, P], use: PartSpec, part: P, most: int) -> P:
    """Put a part last, and drop the one that was used longest ago when there are too many."""
    parts[use] = part
    if len(parts) > most:
        del parts[next(iter(parts))]
    return part


def prepare(
    plan: Plan, parts: PartCache, limits: Limits, *, locate: bool = True, regions: Annotations | None = None
) -> PreparedPlan:  # fmt: skip
    """Return the plan with its parts. `locate=False` makes no localizers, for regions that are known already.

    Raises `BadPlan` for names, options or labels that do not exist, `LimitExceeded` for more rules or localizers than
    are accepted, `Unavailable` for weights that cannot be had.
    """
    limits.check("rules", len(plan.rules), "the plan")
    asked = {*plan.keep_out, *((rule.locate for rule in plan.rules) if locate else ())}
    limits.check("localizers", len(asked), "the plan")
    techniques = tuple(parts.technique(rule.hide) for rule in plan.rules)
    brought = [] if regions is None else sorted(regions.techniques, key=str)
    special = {use: parts.technique(use) for use, _, _ in brought}
    for use, label, _ in [*((rule.hide, rule.label, False) for rule in plan.rules), *brought]:
        suited = parts.technique(use).labels
        if suited is not None and not any(covers(one, plain(label)) for one in suited):
            raise BadPlan(f"{use.name} hides only {', '.join(sorted(suited))}, not {label!r}")
    uses = list(dict.fromkeys(rule.locate for rule in plan.rules)) if locate else []
    localizers = tuple(map(parts.localizer, uses))
    finder = tuple(uses.index(rule.locate) if locate else 0 for rule in plan.rules)
    for rule, which in zip(plan.rules, finder, strict=True):
        if locate and not among(rule.label, localizers[which].labels):
            found = ", ".join(sorted(localizers[which].labels))
            raise BadPlan(f"{rule.locate.name} finds {found}, not {rule.label!r}")
    exclusions = tuple(map(parts.localizer, plan.keep_out))
    used = dict(zip((rule.hide for rule in plan.rules), techniques, strict=True))
    used |= {use: special[use] for use, _, off in brought if not off}
    return PreparedPlan(plan, techniques, localizers, finder, exclusions, tuple(_doubts(used)), special)


def _resolved(use: PartSpec, host: RuntimeConfig) -> PartSpec:
    """Return the use of an installed localizer; the name of a model is short for that of its family, with the model."""
    if use.name in names("velum.localizers", host):
        return use
    known = registry.catalog(host)
    name = registry.written(use.name, known)
    if name not in known:
        raise BadPlan(
            f"localizer {use.name!r} is unknown; models are {', '.join(sorted(known))}; "
            f"other localizers are {', '.join(names('velum.localizers', host))}"
        )
    if "name" in use.options:
        raise BadPlan(f"{use.name} is itself the name of a model and takes no option 'name'")
    return PartSpec(family(known[name].family).localizer, {"name": name, **use.options})


def _doubts(techniques: Mapping[PartSpec, Technique]) -> list[str]:
    doubts: dict[str, None] = {}
    for use, technique in techniques.items():
        doubt = technique.doubt if isinstance(technique, Weak) else None
        if doubt is None and not technique.destroys:
            doubt = (
                f"{use} does not destroy what it hides: who has photographs of those who may be there can often tell "
                "them apart; a destroying technique such as blacken leaves nothing"
            )
        if doubt is not None:
            doubts[doubt] = None
    return list(doubts)
