"""Default localizers for each label, for callers who name labels but no models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from velum.errors import BadPlan
from velum.locate import registry
from velum.locate.labels import canonical, covered_labels
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

FINDERS: Mapping[str, tuple[str, ...]] = {
    "face": ("centerface",),
    "license_plate": ("lpd-yunet", "vehicle-license-plate-detection-barrier-0106"),
    "person": ("yolox-s",),
    "vehicle": ("yolox-s",),
    "text": ("text",),
}
"""Label -> localizers that find it, unless the user has added a model for it. The regions of several are united: one
may find what another misses."""


@dataclass(frozen=True, slots=True)
class LabelSupport:
    """A label, the localizers that a plan gets for it by default (`chosen`), and the other models that can find it."""

    label: str
    chosen: tuple[str, ...]
    others: tuple[str, ...]


def rules_for(labels: Iterable[str], hide: PartSpec, host: RuntimeConfig) -> tuple[Rule, ...]:
    """Return one rule per label and default localizer.

    Models that the user added take precedence over those that velum ships. Raises `BadPlan` for a label that no model
    finds.
    """
    return tuple(
        Rule(label, PartSpec(name), hide) for label in map(canonical, labels) for name in _finders(label, host).chosen
    )


def findings(host: RuntimeConfig) -> list[LabelSupport]:
    """Return the models for every label that any model finds; labels in `FINDERS` come first."""
    offered = {canonical(label) for model in registry.catalog(host).values() for label in model.labels if label}
    return [_finders(label, host) for label in (*FINDERS, *sorted(offered - FINDERS.keys()))]


def _finders(label: str, host: RuntimeConfig) -> LabelSupport:
    added = registry.added_models(host)
    able = [name for name, model in registry.catalog(host).items() if covered_labels(label, model.labels)]
    own = tuple(name for name in able if name in added)
    chosen = own or FINDERS.get(label, ()) or tuple(able[:1])
    if not chosen:
        raise BadPlan(f"nothing finds {label!r}; velum labels lists what can be found, velum models add adds a model")
    return LabelSupport(label, chosen, tuple(name for name in able if name not in chosen))
