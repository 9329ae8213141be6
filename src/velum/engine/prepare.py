"""From a plan to its parts: every mistake in a plan shows here, before the first pixel is read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from velum.errors import BadPlan
from velum.locate import models
from velum.locate.families import family
from velum.locate.labels import among, covers
from velum.plan import Plan, Rule
from velum.plugins import Described, Doubtful, Host, Localizer, Technique, make, names
from velum.use import Use


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


class Parts:
    """The parts made so far, each once for equal uses. Safe to share between threads."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._localizers: dict[Use, Localizer] = {}
        self._techniques: dict[Use, Technique] = {}

    def localizer(self, use: Use) -> Localizer:
        """Return the localizer that `use` names: an installed one, or a model of the catalogue."""
        with self._lock:
            if use not in self._localizers:
                self._localizers[use] = make("velum.localizers", _resolved(use, self._host), self._host)
            return self._localizers[use]

    def technique(self, use: Use) -> Technique:
        """Return the technique that `use` names."""
        with self._lock:
            if use not in self._techniques:
                self._techniques[use] = make("velum.techniques", use, self._host)
            return self._techniques[use]

    def close(self) -> None:
        """Close every localizer."""
        with self._lock:
            for localizer in self._localizers.values():
                localizer.close()
            self._localizers.clear()


def prepare(plan: Plan, parts: Parts, *, locate: bool = True) -> Work:
    """Return the plan with its parts. `locate=False` makes no localizers, for regions that are known already.

    Raises `BadPlan` for names, options or labels that do not exist, `Unavailable` for weights that cannot be had.
    """
    techniques = tuple(parts.technique(rule.hide) for rule in plan.rules)
    for rule, technique in zip(plan.rules, techniques, strict=True):
        if technique.labels is not None and not any(covers(label, rule.label) for label in technique.labels):
            raise BadPlan(f"{rule.hide.name} hides only {', '.join(sorted(technique.labels))}, not {rule.label!r}")
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
