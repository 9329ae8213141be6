"""The installed techniques as the anonymization API lists them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from velum.bmw import wire
from velum.errors import VelumError
from velum.locate.labels import covers
from velum.plugins import RuntimeConfig, load, make, names, options_of
from velum.spec import Option, PartSpec
from velum.techniques.passes import MOST_ENTRIES

STEPS = 1000
"""Degrees that are told apart. Each one asked for is kept, so there must not be any number of them."""


BLUR = wire.TECHNIQUES["blurring"]

PER_OBJECT, PER_OVERLAP = "per_object", "per_overlap"
"""Options of our techniques that make them as strong as the original's; see `velum.techniques.passes`."""

MOST_DEGREE = 30.0
"""Of blurring, in later entries, which the original does not check: sigma of 750 pixels."""


@dataclass(frozen=True, slots=True)
class ListedTechnique:
    """A technique: the name that it is listed under, our own, and the labels that it suits (None: all)."""

    name: str
    own: str
    labels: frozenset[str] | None = None
    graded: bool = True
    """Whether it has a degree."""

    def suits(self, label: str) -> bool:
        """Tell whether it can hide what has the label."""
        return self.labels is None or any(covers(one, label) for one in self.labels)

    def use(self, degree: float, kind: str) -> PartSpec:
        """Return it at a degree from 0 to 1, rounded up to the next step, as strong as the original's.

        The original processes the boxes of a detection as often as there are boxes, and the outlines of a segmentation
        as often as their boxes lie over each other. Degrees above 1, which it blurs by, count as passes. At degree 0
        its pixelating fails; here it is a single cell, the most that there is.
        """
        if not self.graded:
            return PartSpec(self.own)
        if self.own == wire.TECHNIQUES["pixelating"] and not degree:
            degree = 1.0
        options: dict[str, Option] = {"degree": math.ceil(round(min(degree, 1.0) * STEPS, 6)) / STEPS}
        final = degree == 0 or (degree >= 1 and self.own != BLUR)
        if self.own in wire.TECHNIQUES.values() and not final:
            passes = math.ceil(min(max(1.0, degree), MOST_DEGREE) ** 2)
            options[PER_OVERLAP if kind == wire.SEGMENTATION else PER_OBJECT] = passes
        return PartSpec(self.own, options)


def repeated(use: PartSpec, times: int) -> PartSpec:
    """Return a technique for an object that `times` equal entries name: the original applies each of them."""
    counts = {PER_OBJECT, PER_OVERLAP} & use.options.keys()
    more = {key: min(int(str(use.options[key])) * times, MOST_ENTRIES) for key in counts}
    return PartSpec(use.name, {**use.options, **more})


def shown(host: RuntimeConfig) -> tuple[ListedTechnique, ...]:
    """Return all techniques: the three of the interface, further common ones by their own names, then special ones.

    One that cannot be made is left out: it would fail whoever asks for it.
    """
    ours = [ListedTechnique(name, own) for name, own in wire.TECHNIQUES.items()]
    others = [_shown(name, host) for name in names("velum.techniques", host) if name not in wire.TECHNIQUES.values()]
    found = [one for one in others if one is not None]
    return (*ours, *_common(found, yes=True), *_common(found, yes=False))


def _common(all_of_them: Sequence[ListedTechnique], *, yes: bool) -> list[ListedTechnique]:
    return [one for one in all_of_them if (one.labels is None) == yes]


def _shown(name: str, host: RuntimeConfig) -> ListedTechnique | None:
    try:
        graded = "degree" in options_of(load("velum.techniques", name, host))
        made = make("velum.techniques", PartSpec(name, {"degree": 1.0} if graded else {}), host)
    except VelumError:
        return None
    return ListedTechnique(name.casefold(), name, made.labels, graded)
