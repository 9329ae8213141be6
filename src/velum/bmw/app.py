"""The service with the BMW Anonymization API: beside velum's own API, or in strict mode alone."""

import logging
import threading
from collections.abc import Sequence
from functools import partial

from fastapi import Depends, FastAPI

from velum import __version__
from velum.bmw import openapi, routes, wire
from velum.bmw.anonymizer import Anonymizer
from velum.bmw.available_methods import ApiDirectory, RemoteModel, own_models
from velum.bmw.client import InferenceApi
from velum.bmw.localizer import REQUEST_LOCALIZER, request_localizer
from velum.bmw.techniques import list_techniques
from velum.bmw.urls import Urls
from velum.errors import OutputFailed, VelumError
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.service.admission import OWN_MODELS
from velum.service.app import assemble
from velum.service.state import MountedApi, ServiceParts, build_parts
from velum.service.v1.http_bodies import single_fields
from velum.settings import Settings
from velum.storage.scratch import ScratchDirs

LOG = logging.getLogger("velum.service")

DESCRIPTION = (
    "Finds what identifies people in images and videos, and hides it.\n\n"
    "This is the interface of the BMW Anonymization API. Failures have status 200; the field `success` of "
    "the response says whether a request succeeded."
)

OWN = (
    "Paths that begin with `/v1`, and `/blur/`, belong to velum's own API: failures have an error status there, and "
    "are problem details."
)


def create_app(settings: Settings | None = None, *, host: RuntimeConfig | None = None) -> FastAPI:
    """Return the application. `host` replaces the runtime configuration of the settings, for tests and embedding.

    Raises as `velum.service.app.create_app` does.
    """
    settings = settings or Settings.load()
    parts = build_parts(
        settings,
        host or settings.host(),
        localizers=lambda admission: {REQUEST_LOCALIZER: request_localizer(admission)},
        own_api=not settings.bmw.strict,
    )
    return assemble(parts, mounted_api(parts))


def mounted_api(parts: ServiceParts) -> MountedApi:
    """Return the API with the parts of the service that it shares."""
    chosen, strict = parts.settings.bmw, parts.settings.bmw.strict
    urls, directory = _directory(parts)
    scratch = ScratchDirs(chosen.videos)
    anonymizer = Anonymizer(
        parts.engine, directory, parts.admission, parts.engine.limits, scratch, chosen.videos,
        threading.BoundedSemaphore(parts.settings.service.videos), strict=strict,
    )  # fmt: skip
    service = parts.settings.service
    api = routes.Api(
        anonymizer, directory, urls, parts.peers, parts.workers, service.picture_bytes, log_names=service.log_names
    )
    router = routes.routes(api, parts.access, [] if strict else [Depends(single_fields)])
    title, version = ("BMW Anonymization API", "2.0") if strict else ("velum", __version__)
    description = DESCRIPTION if strict else f"{DESCRIPTION}\n\n{OWN}"

    def start() -> None:
        try:
            scratch.open()
        except OutputFailed as error:
            LOG.warning("videos cannot be processed", extra={"facts": {"cause": str(error)}})
        directory.start()

    return MountedApi(
        title, version, description, router,
        error_body=lambda status, text: wire.envelope(error=wire.UNEXPECTED if status == 500 else text),
        invalid_body=wire.validation_error_body,
        document=openapi.strict_document(title, version, description) if strict else None,
        folders=(chosen.videos,),
        uses_own_models=chosen.local,
        can_locate=lambda: bool(directory.now.labels),
        faults=lambda: directory.faults,
        open=start,
        close=scratch.close,
    )  # fmt: skip


def _directory(parts: ServiceParts) -> tuple[Urls, ApiDirectory]:
    chosen, strict = parts.settings.bmw, parts.settings.bmw.strict
    urls = Urls(chosen.folder, strict=strict)
    own = partial(own_models, parts.host, parts.is_installed) if chosen.local else tuple
    directory = ApiDirectory(
        urls, lambda url: _describe_api_models(url, parts.peers, strict=strict), list_techniques(parts.host),
        own=OWN_MODELS, local=own, strict=strict,
        closed=parts.ending,
    )  # fmt: skip
    return urls, directory


def _describe_api_models(url: str, peers: HttpClient, *, strict: bool) -> Sequence[RemoteModel]:
    """Return what an inference API serves; its kinds in its own words, with `strict`.

    A model that the service cannot load leaves only itself out. Raises `VelumError` when it serves none that it can.
    """
    api = InferenceApi(url, peers)
    served, failed = list[RemoteModel](), list[VelumError]()
    for model in api.models():
        try:
            description = api.describe(model)
        except VelumError as error:
            failed.append(error)
            served.append(RemoteModel(model, fault=str(error)))
        else:
            kind = description.stated if strict else description.kind
            served.append(RemoteModel(model, kind, description.labels))
    if failed and len(failed) == len(served):
        raise failed[0]
    return served
