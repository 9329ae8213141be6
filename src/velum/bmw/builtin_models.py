"""velum's own models, listed like those of one more inference API, but run in this process."""

from collections.abc import Sequence

from velum.bmw import wire
from velum.bmw.available_methods import RemoteModel
from velum.errors import BadPlan, Unavailable
from velum.locate import registry
from velum.locate.output_formats import family
from velum.locate.weights import fetch
from velum.locate.weights.asset import Model
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.service.admission import OWN_MODELS
from velum.spec import PartSpec

URL = OWN_MODELS
"""Pseudo-address under which they are listed; nothing is ever sent to it."""

OUTLINING = frozenset({"mask_rcnn", "yolact"})
"""Families of box detectors that return masks as well."""


class BuiltinModels:
    """The models that work without a download."""

    def __init__(self, host: RuntimeConfig) -> None:
        self._host = host
        self._verified: set[str] = set()

    def list_models(self) -> Sequence[RemoteModel]:
        """Return the models: the default one, which is always listed, then the user's, then others that are installed.

        The hash of each file is checked once.
        """
        known, added = registry.catalog(self._host), registry.added_models(self._host)
        default = known[registry.default_model().name]
        order = dict.fromkeys([default.name, *added, *known])
        return [_remote_model(known[name]) for name in order if name == default.name or self._is_installed(known[name])]

    def _is_installed(self, model: Model) -> bool:
        if model.fingerprint not in self._verified:
            try:
                if fetch.find_local(model, self._host) is None:
                    return False
            except Unavailable:
                return False
            self._verified.add(model.fingerprint)
        return True


def rule(label: str, model: str, hide: PartSpec) -> Rule:
    """Return the rule that hides what one of velum's models finds of a label."""
    return Rule(label, PartSpec(model), hide)


def _remote_model(model: Model) -> RemoteModel:
    kind = family(model.family)
    outlines = kind.localizer == "segment" or model.family in OUTLINING
    labels = tuple(dict.fromkeys(label for label in model.labels if label and _fits_rule(label)))
    return RemoteModel(model.name, wire.SEGMENTATION if outlines else wire.DETECTION, labels)


def _fits_rule(label: str) -> bool:
    """Tell whether a label can be written in a rule."""
    try:
        rule(label, registry.default_model().name, PartSpec("blacken"))
    except BadPlan:
        return False
    return True
