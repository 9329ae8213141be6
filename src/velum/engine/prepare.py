"""From a plan to its parts: every mistake in a plan shows here, before the first pixel is read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from velum.errors import BadPlan
from velum.locate import models
from velum.locate.families import family
from velum.locate.labels import among, covers, plain
from velum.plan import Plan, Rule
from velum.plugins import Described, Doubtful, Host, Localizer, Technique, make, names
from velum.use import Use

P = TypeVar("P")


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A plan with its parts made.

    `techniques[i]` belongs to `plan.rules[i]`, whose regions come from `localizers[finder[i]]`. Equal uses share one
    part. `localizers` is empty when the regions are given. What `keepers` find is never hidden.
    """

    plan: Plan
    techniques: tuple[Technique, ...]
    localizers: tuple[Localizer, ...] = ()
    finder: tuple[int, ...] = ()
    keepers: tuple[Localizer, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Mapping[str, str], ...]:
        """What the localizers say of themselves."""
        return tuple(dict(part.description) for part in self.localizers if isinstance(part, Described))


KEPT_LOCALIZERS, KEPT_TECHNIQUES = 48, 4096
"""Parts that are kept for the next plan. Whoever serves strangers would else keep one for each number they think of."""


class Parts:
    """The parts made last, each once for equal uses. Safe to share between threads.

    A part that is not kept any more lives as long as the plans that still work with it.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._localizers: dict[Use, Localizer] = {}
        self._techniques: dict[Use, Technique] = {}

    def localizer(self, use: Use) -> Localizer:
        """Return the localizer that `use` names: an installed one, or a model of the catalogue."""
        with self._lock:
            made = self._localizers.pop(use, None)
            if made is None:
                made = make("velum.localizers", _resolved(use, self._host), self._host)
            return _kept(self._localizers, use, made, KEPT_LOCALIZERS)

    def technique(self, use: Use) -> Technique:
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


def _kept(parts: dict[Use, P], use: Use, part: P, most: int) -> P:
    """Put a part last, and drop the one that was used longest ago when there are too many."""
    parts[use] = part
    if len(parts) > most:
        del parts[next(iter(parts))]
    return part


def prepare(plan: Plan, parts: Parts, *, locate: bool = True) -> Work:
    """Return the plan with its parts. `locate=False` makes no localizers, for regions that are known already.

    Raises `BadPlan` for names, options or labels that do not exist, `Unavailable` for weights that cannot be had.
    """
    techniques = tuple(parts.technique(rule.hide) for rule in plan.rules)
    for rule, technique in zip(plan.rules, techniques, strict=True):
        suited = technique.labels
        if suited is not None and not any(covers(label, plain(rule.label)) for label in suited):
            raise BadPlan(f"{rule.hide.name} hides only {', '.join(sorted(suited))}, not {rule.label!r}")
    uses = list(dict.fromkeys(rule.locate for rule in plan.rules)) if locate else []
    localizers = tuple(map(parts.localizer, uses))
    finder = tuple(uses.index(rule.locate) if locate else 0 for rule in plan.rules)
    for rule, which in zip(plan.rules, finder, strict=True):
        if locate and not among(rule.label, localizers[which].labels):
            found = ", ".join(sorted(localizers[which].labels))
            raise BadPlan(f"{rule.locate.name} finds {found}, not {rule.label!r}")
    keepers = tuple(map(parts.localizer, plan.keep_out))
    return Work(plan, techniques, localizers, finder, keepers, tuple(_doubts(plan.rules, techniques)))


def _resolved(use: Use, host: Host) -> Use:
    """Return the use of an installed localizer; the name of a model is short for that of its family, with the model."""
    if use.name in names("velum.localizers", host):
        return use
    known = models.catalog(host)
    if use.name not in known:
        raise BadPlan(
            f"localizer {use.name!r} is unknown; models are {', '.join(sorted(known))}; "
            f"other localizers are {', '.join(names('velum.localizers', host))}"
        )
    if "name" in use.options:
        raise BadPlan(f"{use.name} is itself the name of a model and takes no option 'name'")
    return Use(family(known[use.name].family).localizer, {"name": use.name, **use.options})


def _doubts(rules: tuple[Rule, ...], techniques: tuple[Technique, ...]) -> list[str]:
    doubts: dict[str, None] = {}
    for rule, technique in zip(rules, techniques, strict=True):
        doubt = technique.doubt if isinstance(technique, Doubtful) else None
        if doubt is None and not technique.destroys:
            doubt = f"{rule.hide} does not destroy what it hides; only a destroying technique such as blacken does"
        if doubt is not None:
            doubts[doubt] = None
    return list(doubts)
