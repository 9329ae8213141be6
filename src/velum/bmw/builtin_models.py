"""velum's own models, as one more inference API: one that is never reached over the network."""

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
from velum.spec import PartSpec

URL = "http://velum/"
"""Address under which they are listed. It is a name, not a place: nothing is ever sent there."""

OUTLINING = frozenset({"mask_rcnn", "yolact"})
"""Families of the localizer for boxes that find outlines as well."""


class BuiltinModels:
    """The models that work at once, nothing being fetched."""

    def __init__(self, host: RuntimeConfig) -> None:
        self._host = host
        self._verified: set[str] = set()

    def served(self) -> Sequence[RemoteModel]:
        """Return them: first the default one, which is listed in any case, then those that the user added, then others.

        Files that were found to be right once are not read again.
        """
        known, added = registry.catalog(self._host), registry.added_models(self._host)
        default = known[registry.default_model().name]
        order = dict.fromkeys([default.name, *added, *known])
        return [_served(known[name]) for name in order if name == default.name or self._here(known[name])]

    def _here(self, model: Model) -> bool:
        if model.fingerprint not in self._verified:
            try:
                if fetch.find_local(model, self._host) is None:
                    return False
            except Unavailable:
                return False
            self._verified.add(model.fingerprint)
        return True


def rule(label: str, model: str, hide: PartSpec) -> Rule:
    """Return the rule that hides what a model of velum finds of a label."""
    return Rule(label, PartSpec(model), hide)


def _served(model: Model) -> RemoteModel:
    kind = family(model.family)
    outlines = kind.localizer == "segment" or model.family in OUTLINING
    labels = tuple(dict.fromkeys(label for label in model.labels if label and _stands(label)))
    return RemoteModel(model.name, wire.SEGMENTATION if outlines else wire.DETECTION, labels)


def _stands(label: str) -> bool:
    """Tell whether a label can stand in a rule."""
    try:
        rule(label, registry.default_model().name, PartSpec("blacken"))
    except BadPlan:
        return False
    return True
