"""Replacements for a model whose weights are not available: the catalogue names them, and the report warns of them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from velum.errors import MissingWeights
from velum.locate import registry
from velum.locate.registry import Model
from velum.locate.weights import fetch
from velum.locate.weights.missing_weights import missing_weights
from velum.parts import names
from velum.plugins import Localizer, RuntimeConfig
from velum.spec import PartSpec

RETRY_SECONDS = 600.0
"""How long a replacement of another kind is used before velum looks for the weights again."""

Make = Callable[[PartSpec], Localizer]
"""Makes the localizer of a spec, or returns it where it was made before. Raises `MissingWeights`."""


@dataclass(frozen=True, slots=True)
class ChosenLocalizer:
    """A localizer, and the report's warning where it is not the one that the rule names."""

    localizer: Localizer
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    spec: PartSpec
    warning: str | None
    chosen_at: float


@dataclass(slots=True)
class StandIns:
    """Chooses the localizers of rules, and remembers the replacement of each model. Safe to share between threads."""

    host: RuntimeConfig
    clock: Callable[[], float] = time.monotonic
    _choices: dict[str, _Choice] = field(default_factory=dict)
    """By name of the model that the rule names."""

    def choose(self, spec: PartSpec, make: Make) -> ChosenLocalizer:
        """Return the localizer of a spec, or its first available replacement where its weights are not available.

        Only a model named without options is replaced, since options are meant for one model. Raises what `make` raises
        for the model that the spec names.
        """
        model = self._model(spec)
        if model is None or not model.instead:
            return ChosenLocalizer(make(spec))
        choice = self._choices.get(model.name)
        if choice is None or (choice.warning and self.clock() - choice.chosen_at >= RETRY_SECONDS):
            choice = self._choose(spec, model, make)
            self._choices[model.name] = choice
        return ChosenLocalizer(make(choice.spec), choice.warning)

    def _model(self, spec: PartSpec) -> Model | None:
        """Return the model of the catalogue that a spec without options names, None for others."""
        if spec.options or spec.name in names("velum.localizers", self.host):
            return None
        models = registry.catalog(self.host)
        return models.get(registry.catalog_spelling(spec.name, models))

    def _choose(self, spec: PartSpec, model: Model, make: Make) -> _Choice:
        failed: list[MissingWeights] = []
        for candidate in (spec, *model.instead) if self._is_here(model) else self._nearest_first(spec, model):
            try:
                make(candidate)
            except MissingWeights as error:
                failed.append(error)
            else:
                warning = (
                    _warning(model, candidate, failed[0]) if failed and not self._is_alike(candidate, model) else None
                )
                return _Choice(candidate, warning, self.clock())
        raise failed[0]

    def _nearest_first(self, spec: PartSpec, model: Model) -> Iterator[PartSpec]:
        """Yield the replacements, first files of the same network on this machine, which need no download."""
        alike = [candidate for candidate in model.instead if self._is_alike(candidate, model)]
        here = [candidate for candidate in alike if self._is_here(registry.find(candidate.name, self.host))]
        yield from dict.fromkeys([*here, spec, *model.instead])

    def _is_alike(self, spec: PartSpec, model: Model) -> bool:
        """Tell whether a spec is a model of the same family and labels, which therefore finds the same objects."""
        other = registry.catalog(self.host).get(spec.name)
        return other is not None and (other.family, other.labels) == (model.family, model.labels)

    def _is_here(self, model: Model) -> bool:
        return fetch.find_local(model, self.host) is not None


def _warning(model: Model, used: PartSpec, error: MissingWeights) -> str:
    missing = str(missing_weights(error.gaps)).partition("\n")[0]
    labels = " and ".join(label for label in model.labels if label)
    return (
        f"{missing}; {used} finds {labels} in its place, and hides more besides; run 'velum models pull {model.name}' "
        "with network access"
    )
