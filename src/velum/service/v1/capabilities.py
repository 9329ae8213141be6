"""`/v1/techniques`, `/v1/models`, `/v1/labels` and `/v1/plans`: what can be asked for."""

import inspect
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from velum.errors import Unavailable, VelumError
from velum.locate.default_models import findings
from velum.locate.registry import catalog, default_model
from velum.locate.weights import fetch
from velum.locate.weights.asset import Model
from velum.plugins import RuntimeConfig, load, names, options_of
from velum.service.problem_details import documented
from velum.service.v1.downloadable_models import Obtainable
from velum.service.v1.plans import Plans, summary


@dataclass(frozen=True, slots=True, eq=False)
class Capabilities:
    """What the operator has."""

    host: RuntimeConfig
    plans: Plans
    obtainable: Obtainable
    _right: set[str] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def techniques(self) -> Iterator[Mapping[str, Any]]:
        """Yield every technique that can be loaded."""
        for name in names("velum.techniques", self.host):
            try:
                factory = load("velum.techniques", name, self.host)
            except VelumError:
                continue  # one that cannot be had is not offered
            labels = getattr(factory, "labels", None)
            yield {
                "name": name,
                "options": {
                    key: None if one.default is one.empty else one.default for key, one in options_of(factory).items()
                },
                "labels": sorted(labels) if isinstance(labels, frozenset) else None,
                "summary": (inspect.getdoc(factory) or "").partition("\n")[0],
            }

    def models(self) -> Iterator[Mapping[str, Any]]:
        """Yield every model."""
        default = default_model().name
        for name, model in catalog(self.host).items():
            here = self.installed(model)
            yield {
                "name": name, "labels": sorted({label for label in model.labels if label}), "family": model.family,
                "threshold": model.threshold, "licence": model.licence, "good_for": model.good_for,
                "not_for": model.not_for, "here": here, "default": name == default,
                "obtainable": here or self.obtainable.of(model),
            }  # fmt: skip

    def labels(self) -> Iterator[Mapping[str, Any]]:
        """Yield every label that anything finds, with what is used where a plan does not say."""
        for one in findings(self.host):
            yield {"label": one.label, "chosen": list(one.chosen), "others": list(one.others)}

    def installed(self, model: Model) -> bool:
        """Tell whether a model's file is on this machine. One that was found to be right is not read again."""
        with self._lock:
            if model.fingerprint not in self._right:
                try:
                    if fetch.find_local(model, self.host) is None:
                        return False
                except Unavailable:
                    return False
                self._right.add(model.fingerprint)
        return True


def routes(offered: Capabilities) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["Offered"], default_response_class=JSONResponse)

    @router.get("/techniques", responses=_listed("techniques", _TECHNIQUE))
    def techniques() -> Response:
        """List the techniques, with their options and their defaults."""
        return JSONResponse({"techniques": list(offered.techniques())})

    @router.get("/models", responses=_listed("models", _MODEL))
    def all_models() -> Response:
        """List the models; `here` are those whose files need not be fetched first.

        `obtainable` tells of the others whether they could be; it is null while that is being found out.
        """
        return JSONResponse({"models": list(offered.models())})

    @router.get("/labels", responses=_listed("labels", _LABEL))
    def labels() -> Response:
        """List what can be found, and by which models; `chosen` are used where a plan does not say."""
        return JSONResponse({"labels": list(offered.labels())})

    @router.get("/plans", responses=_listed("plans", _PLAN))
    def plans() -> Response:
        """List the plans that the operator keeps: requests name them."""
        return JSONResponse({"plans": [summary(name, plan) for name, plan in offered.plans.all()]})

    return router


_TECHNIQUE: Mapping[str, Any] = {
    "name": "blur", "options": {"degree": 1.0}, "labels": None, "summary": "Gaussian blur.",
}  # fmt: skip
_MODEL: Mapping[str, Any] = {
    "name": "centerface", "labels": ["face"], "family": "centerface", "threshold": 0.3, "licence": "MIT",
    "good_for": "faces", "not_for": "anything else", "here": True, "obtainable": True, "default": True,
}  # fmt: skip
_LABEL: Mapping[str, Any] = {"label": "face", "chosen": ["centerface"], "others": ["yunet"]}
_PLAN: Mapping[str, Any] = {
    "name": "street", "digest": "9f86d081884c7d65", "metadata": ["gps"],
    "rules": [{"label": "face", "locate": "centerface", "hide": "blur"}],
}  # fmt: skip


def _listed(name: str, example: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {name: {"type": "array", "items": {"type": "object", "required": sorted(example)}}},
        "required": [name],
    }
    content = {"application/json": {"schema": schema, "example": {name: [example]}}}
    return {200: {"description": "The list.", "content": content}, **documented()}
