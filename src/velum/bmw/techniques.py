"""The installed techniques as the anonymization API lists them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from velum.bmw import wire
from velum.errors import VelumError
from velum.locate.labels import covers
from velum.plugins import Host, load, make, names, options_of
from velum.use import Use

STEPS = 1000
"""Degrees that are told apart. Each one asked for is kept, so there must not be any number of them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A technique: the name that it is listed under, our own, and the labels that it suits (None: all)."""

    name: str
    own: str
    labels: frozenset[str] | None = None
    graded: bool = True
    """Whether it has a degree."""

    def suits(self, label: str) -> bool:
        """Tell whether it can hide what has the label."""
        return self.labels is None or any(covers(one, label) for one in self.labels)

    def use(self, degree: float) -> Use:
        """Return it at a degree from 0 to 1, rounded up to the next step.

        At degree 0 the original's pixelating fails; here it is a single cell, the most that there is.
        """
        if not self.graded:
            return Use(self.own)
        if self.own == wire.TECHNIQUES["pixelating"] and not degree:
            degree = 1.0
        return Use(self.own, {"degree": math.ceil(round(min(degree, 1.0) * STEPS, 6)) / STEPS})


def shown(host: Host) -> tuple[Shown, ...]:
    """Return all techniques: the three of the interface, further common ones by their own names, then special ones.

    One that cannot be made is left out: it would fail whoever asks for it.
    """
    ours = [Shown(name, own) for name, own in wire.TECHNIQUES.items()]
    others = [_shown(name, host) for name in names("velum.techniques", host) if name not in wire.TECHNIQUES.values()]
    found = [one for one in others if one is not None]
    return (*ours, *_common(found, yes=True), *_common(found, yes=False))


def _common(all_of_them: Sequence[Shown], *, yes: bool) -> list[Shown]:
    return [one for one in all_of_them if (one.labels is None) == yes]


def _shown(name: str, host: Host) -> Shown | None:
    try:
        graded = "degree" in options_of(load("velum.techniques", name, host))
        made = make("velum.techniques", Use(name, {"degree": 1.0} if graded else {}), host)
    except VelumError:
        return None
    return Shown(name.casefold(), name, made.labels, graded)
