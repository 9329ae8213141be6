"""The techniques that the BMW API lists, and how many passes of them equal entries of a request mean."""

import math
from dataclasses import dataclass

from velum.bmw import wire
from velum.errors import VelumError
from velum.locate.labels import covers
from velum.parts import load, make, names, options_of
from velum.plugins import RuntimeConfig
from velum.spec import Option, PartSpec
from velum.techniques import MOST_ENTRIES

STEPS = 1000
"""Number of distinct degrees. Each requested technique is cached, so there must be a bound."""

BLUR = wire.TECHNIQUES["blurring"]

PER_OBJECT, PER_OVERLAP = "per_object", "per_overlap"
"""Options that make our techniques as strong as the original's; see `velum.techniques.count_passes`."""

MOST_DEGREE = 30.0
"""Highest degree of blurring, for entries that the original does not validate: sigma of 750 pixels."""


@dataclass(frozen=True, slots=True)
class ListedTechnique:
    """A technique: its listed name, its own name, and the labels that it suits (None: all)."""

    name: str
    own: str
    labels: frozenset[str] | None = None
    graded: bool = True
    """Whether it has a degree."""

    def suits(self, label: str) -> bool:
        """Tell whether the technique can hide a label."""
        return self.labels is None or any(covers(suited, label) for suited in self.labels)

    def use(self, degree: float, kind: str) -> PartSpec:
        """Return the spec of the technique at a degree, rounded up to the next step, as strong as the original's.

        The original processes the boxes of a detection as often as there are boxes, and the outlines of a segmentation
        as often as their boxes overlap. Degrees above 1, which only blur, count as passes. At degree 0 its pixelating
        fails; velum averages the whole region into one cell then, the strongest choice.
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


def repeat_technique(use: PartSpec, times: int) -> PartSpec:
    """Return a technique with the passes of `times` equal entries: the original applies each of them."""
    counts = {PER_OBJECT, PER_OVERLAP} & use.options.keys()
    passes = {key: min(int(str(use.options[key])) * times, MOST_ENTRIES) for key in counts}
    return PartSpec(use.name, {**use.options, **passes})


NOT_LISTED = frozenset({"fill", "plate", "replace"})
"""Techniques of velum for which a configuration of the API has no options: it has a degree, no colour and no kind."""


def list_techniques(host: RuntimeConfig) -> tuple[ListedTechnique, ...]:
    """Return all techniques: the three of the API, further general ones by their own names, then special ones.

    A technique that cannot be made is left out: every request for it would fail.
    """
    ours = [ListedTechnique(name, own) for name, own in wire.TECHNIQUES.items()]
    known = {*wire.TECHNIQUES.values(), *NOT_LISTED}
    others = [_try_technique(name, host) for name in names("velum.techniques", host) if name not in known]
    usable = [technique for technique in others if technique is not None]
    return (*ours, *sorted(usable, key=lambda technique: technique.labels is not None))


def _try_technique(name: str, host: RuntimeConfig) -> ListedTechnique | None:
    try:
        graded = "degree" in options_of(load("velum.techniques", name, host))
        technique = make("velum.techniques", PartSpec(name, {"degree": 1.0} if graded else {}), host)
    except VelumError:
        return None
    return ListedTechnique(name.casefold(), name, technique.labels, graded)
