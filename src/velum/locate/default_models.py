"""Which localizers look for a label that somebody names without saying how."""

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
"""Label -> what looks for it where the user has added no model for it. Several are united: what one misses, another
may find."""


@dataclass(frozen=True, slots=True)
class LabelSupport:
    """A label, and the models that can find it, the chosen ones first."""

    label: str
    chosen: tuple[str, ...]
    others: tuple[str, ...]


def rules_for(labels: Iterable[str], hide: PartSpec, host: RuntimeConfig) -> tuple[Rule, ...]:
    """Return a rule for each label and each localizer that looks for it.

    Models that the user added for a label are chosen before those of the catalogue. Raises `BadPlan` for a label that
    nothing finds.
    """
    return tuple(
        Rule(label, PartSpec(name), hide) for label in map(canonical, labels) for name in _finders(label, host).chosen
    )


def findings(host: RuntimeConfig) -> list[LabelSupport]:
    """Return, for every label that anything finds, what finds it; those that have finders of their own come first."""
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
