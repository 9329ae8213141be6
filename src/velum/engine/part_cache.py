"""Localizers, techniques, networks that compare faces, and known persons, kept loaded from one plan to the next."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from velum.engine.known_people import KnownPeople
from velum.engine.stand_ins import ChosenLocalizer, StandIns
from velum.errors import BadPlan
from velum.locate import registry
from velum.locate.output_formats import family
from velum.parts import make, names
from velum.people import People
from velum.plan import Effort
from velum.plugins import FaceEmbedder, Localizer, RuntimeConfig, Technique
from velum.spec import PartSpec

K = TypeVar("K")
P = TypeVar("P")

PeopleKey = tuple[People, PartSpec, Effort]
"""What decides about the vectors of a plan's persons: their photos by hash, and what locates the faces in them."""

MOST_LOCALIZERS, MOST_TECHNIQUES, MOST_EMBEDDERS, MOST_PEOPLE = 48, 4096, 4, 4
"""Most parts in a cache. Without a limit, a service would hold one for every option value that clients send."""


class PartCache:
    """Localizers and techniques for the next plan, one for all equal specs. Safe to share between threads.

    A dropped part stays alive as long as a plan uses it.
    """

    def __init__(self, host: RuntimeConfig) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._stand_ins = StandIns(host)
        self._localizers: dict[tuple[PartSpec, str], Localizer] = {}
        """By spec and the hash of the model's files: a model that is replaced in the catalogue is made anew."""
        self._techniques: dict[PartSpec, Technique] = {}
        self._embedders: dict[PartSpec, FaceEmbedder] = {}
        self._people: dict[PeopleKey, KnownPeople] = {}

    def localizer(self, spec: PartSpec, effort: Effort = "balanced") -> Localizer:
        """Return the localizer that a spec names: an installed one, or a model of the catalogue at that effort."""
        spec = _resolve_model(spec, effort, self._host)
        model = registry.model_of(spec, self._host)
        key = spec, "" if model is None else model.fingerprint
        with self._lock:
            part = self._localizers.pop(key, None)
            if part is None:
                part = make("velum.localizers", spec, self._host)
            return _remember(self._localizers, key, part, MOST_LOCALIZERS)

    def localizer_or_stand_in(self, spec: PartSpec, effort: Effort) -> ChosenLocalizer:
        """Return the localizer that a rule's spec names, or its replacement where its weights are not available."""
        return self._stand_ins.choose(spec, partial(self.localizer, effort=effort))

    def technique(self, spec: PartSpec) -> Technique:
        """Return the technique that a spec names."""
        with self._lock:
            part = self._techniques.pop(spec, None)
            if part is None:
                part = make("velum.techniques", spec, self._host)
            return _remember(self._techniques, spec, part, MOST_TECHNIQUES)

    def embedder(self, spec: PartSpec) -> FaceEmbedder:
        """Return the part that compares faces which a spec names."""
        with self._lock:
            part = self._embedders.pop(spec, None)
            if part is None:
                part = make("velum.embeddings", spec, self._host)
            return _remember(self._embedders, spec, part, MOST_EMBEDDERS)

    def known_people(self, key: PeopleKey, know: Callable[[], KnownPeople]) -> KnownPeople:
        """Return the persons of a plan, or those that `know` gives: a run over many files reads their photos once."""
        with self._lock:
            known = self._people.pop(key, None)
        known = known or know()
        with self._lock:
            return _remember(self._people, key, known, MOST_PEOPLE)

    def forget_people(self, people: People | None = None) -> None:
        """Forget these persons of plans; None for all."""
        with self._lock:
            for key in [key for key in self._people if people is None or key[0] == people]:
                del self._people[key]

    def close(self) -> None:
        """Close every localizer, and forget the persons of plans."""
        self.forget_people()
        with self._lock:
            for localizer in self._localizers.values():
                localizer.close()
            self._localizers.clear()


def _remember(parts: dict[K, P], spec: K, part: P, most: int) -> P:
    """Return the part, now the last of `parts`; the one used longest ago is dropped when there are more than `most`."""
    parts[spec] = part
    if len(parts) > most:
        del parts[next(iter(parts))]
    return part


def _resolve_model(spec: PartSpec, effort: Effort, host: RuntimeConfig) -> PartSpec:
    """Return the spec of an installed localizer; a model's name stands for the localizer of its family with it."""
    if spec.name in names("velum.localizers", host):
        return spec
    models = registry.catalog(host)
    name = registry.catalog_spelling(spec.name, models)
    if name not in models:
        raise BadPlan(
            f"localizer {spec.name!r} is unknown; models are {', '.join(sorted(models))}; "
            f"other localizers are {', '.join(names('velum.localizers', host))}"
        )
    if "name" in spec.options:
        raise BadPlan(f"{spec.name} is the name of a model and takes no option 'name'; leave the option out")
    if not spec.options and effort == "fast":
        name = models[name].fast or name
    more = {"effort": effort} if effort in models[name].effort else {}
    return PartSpec(family(models[name].family).localizer, {"name": name, **more, **spec.options})
