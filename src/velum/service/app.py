"""The service as one application: what it is made of, and how it begins and ends."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from velum import __version__
from velum.bmw import builtin_models, request_localizer, routes, strict_openapi, techniques
from velum.bmw.anonymizer import Anonymizer
from velum.bmw.available_methods import ApiDirectory, RemoteModel
from velum.bmw.client import InferenceApi
from velum.bmw.urls import Urls
from velum.engine.engine import Engine
from velum.errors import OutputFailed, VelumError
from velum.limits import WAITED_SECONDS, Limits
from velum.media import DecoderPool
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.service import api_docs, error_handlers, health, metrics, ui_files
from velum.service.audit import Audit, audit_of
from velum.service.auth.middleware import Authenticator, AuthMiddleware, access_of
from velum.service.auth.principal import SCOPES
from velum.service.job_backend import JobBackend, watched_craft, work_folder
from velum.service.metrics import Metrics
from velum.service.middleware.limits import RequestLimits
from velum.service.middleware.observe import ObservedAdmission, ObservedEngine, ObservedRequestThreads, ObserveRequests
from velum.service.middleware.origins import SiteCheck, Sites
from velum.service.request_threads import RequestThreads
from velum.service.tracing import telemetry
from velum.service.v1.app import V1, native
from velum.service.v1.request_body import single_fields
from velum.settings import Settings
from velum.storage.scratch import ScratchDirs

LOG = logging.getLogger("velum.service")

MOST_FILES, MOST_FIELDS, LONGEST_FIELD = 8, 32, 1 << 20
"""Parts of one form, and bytes of one that is no file."""

DESCRIPTION = (
    "Finds what identifies people in pictures and videos, and hides it.\n\n"
    "This is the interface of the BMW Anonymization API. Failures have status 200; whether a request succeeded is said "
    "by success in the answer."
)


OWN = "What begins with `/v1`, and `/blur/`, is velum's own: failures have a status there, and are problem details."


@dataclass(frozen=True, slots=True, eq=False)
class AppState:
    """Everything that lives as long as the service."""

    api: routes.Api
    health: health.Health
    engine: Engine
    decoders: DecoderPool
    peers: HttpClient
    workshop: ScratchDirs
    directory: ApiDirectory
    workers: RequestThreads
    access: Authenticator
    metrics: Metrics
    audit: Audit | None
    native: V1 | None

    def open(self) -> None:
        """Begin. What is missing shows in `/health/ready`, and does not keep the rest from working."""
        try:
            self.workshop.open()
        except OutputFailed as error:
            LOG.warning("videos cannot be served", extra={"facts": {"cause": str(error)}})
        self.directory.start()
        self.health.warm()
        if self.native is not None:
            self.native.open()

    def close(self) -> None:
        """End: what is still in work is ended by its connections, or when it next asks whether it is wanted."""
        self.health.end()
        if self.native is not None:
            self.native.close()
        self.directory.close()
        self.peers.close()
        self.access.close()
        self.decoders.close()
        self.workers.close()
        self.engine.close()
        self.workshop.close()


def create_app(settings: Settings | None = None, *, host: RuntimeConfig | None = None) -> FastAPI:
    """Return the service. `host` replaces what the settings say of localizers and techniques, for tests and embedding.

    Its server may call `state.end` as soon as it is told to end: then the service is no longer ready, and streams that
    have no end of their own are closed. Raises `BadPlan` for settings that cannot be used.
    """
    settings = settings or Settings.load()
    house = _house(settings, host or settings.host())
    access = house.access

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(house.open)
        yield
        await asyncio.to_thread(house.close)

    strict = settings.bmw.strict
    app = FastAPI(
        title="BMW Anonymization API" if strict else "velum",
        version="2.0" if strict else __version__,
        description=DESCRIPTION if strict else f"{DESCRIPTION}\n\n{OWN}",
        docs_url=None,  # the framework's pages come from a host elsewhere
        redoc_url=None,
        lifespan=lifespan,
        form_limits={"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": LONGEST_FIELD},
        telemetry=telemetry(traces=settings.observability.traces),
    )
    app.state.end = house.health.end
    if strict:
        described = strict_openapi.document(app.title, app.version, app.description)
        app.openapi = lambda: described  # type: ignore[method-assign]  # the framework's way to replace it
    error_handlers.handle(app)
    once = [] if strict else [Depends(single_fields)]
    app.include_router(routes.routes(house.api), dependencies=[Depends(access.of_tags("Configuration")), *once])
    for prefix, router in house.native.routers(access) if house.native is not None else ():
        app.include_router(router, prefix=prefix, dependencies=[Depends(access.require(*SCOPES))])
    app.include_router(health.routes(house.health))
    if settings.service.page and not strict:
        app.include_router(ui_files.routes(ui_files.UiFiles()))
    app.include_router(api_docs.routes())
    if settings.observability.metrics:
        guards = [] if settings.observability.metrics_open else [Depends(access.require("operate"))]
        app.include_router(metrics.routes(house.metrics, guards=guards))
    # The last is the outermost.
    app.add_middleware(
        AuthMiddleware, access=access, free=frozenset({metrics.PATH} if settings.observability.metrics_open else ()),
        places=settings.service.caller_requests or max(1, settings.service.requests // 2),
    )  # fmt: skip
    if settings.access.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.access.origins, allow_methods=["*"], allow_headers=["*"],
            expose_headers=["*"],
        )  # fmt: skip
    if not access.required:
        app.add_middleware(
            SiteCheck, sites=Sites((*settings.access.hosts, settings.service.listen_host), settings.access.origins)
        )
    app.add_middleware(
        RequestLimits, requests=settings.service.requests, body_bytes=settings.service.body_bytes,
        upload_bytes=settings.limits().bytes, idle_seconds=settings.service.idle_seconds,
    )  # fmt: skip
    app.add_middleware(ObserveRequests, metrics=house.metrics, audit=house.audit)
    return app


def _house(settings: Settings, host: RuntimeConfig) -> AppState:
    service, bmw = settings.service, settings.bmw
    peers, office = HttpClient(settings.remote), JobBackend(settings)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parallel = service.parallel or cores
    counts = None if bmw.strict else office.counts
    audit, seen = audit_of(settings), Metrics(counts)
    gate = ObservedAdmission(seen, parallel, parallel + service.queue)
    host = replace(
        host, peers=peers, localizers={**host.localizers, request_localizer.NAME: request_localizer.localizer(gate)}
    )
    limits = Limits(**{"work_seconds": WAITED_SECONDS, **settings.limit})
    decoders = DecoderPool(parallel)
    engine = ObservedEngine(seen, hashes=audit is not None, host=host, limits=limits, decoders=decoders)
    urls = Urls(bmw.folder, strict=bmw.strict)
    own = builtin_models.BuiltinModels(host)
    directory = ApiDirectory(
        urls, lambda url: _served(url, peers, strict=bmw.strict), techniques.shown(host),
        own=builtin_models.URL, local=own.served if bmw.local else lambda: (), strict=bmw.strict,
    )  # fmt: skip
    workshop, workers = ScratchDirs(bmw.videos), ObservedRequestThreads(service.requests)
    anonymizer = Anonymizer(
        engine, directory, gate, limits, workshop, bmw.videos,
        threading.BoundedSemaphore(service.videos), strict=bmw.strict,
    )  # fmt: skip
    api = routes.Api(anonymizer, directory, urls, peers, workers, service.picture_bytes, log_names=service.log_names)
    state = health.Health(engine, directory, peers, bmw.videos, local=bmw.local, jobs=counts)
    state.store = None if bmw.strict else office.check_store
    access = access_of(settings)
    state.shows_addresses, state.free_bytes = not access.required, service.free_bytes
    state.folders = () if bmw.strict else (settings.jobs.data, work_folder(settings))
    own_part = (
        None
        if bmw.strict
        else native(
            settings,
            host,
            engine,
            decoders=decoders,
            gate=gate,
            workers=workers,
            peers=peers,
            office=office,
            craft=watched_craft(settings, seen, audit),
            ending=state.ending,
        )
    )
    state.blur = None if own_part is None else own_part.blurring.state
    return AppState(api, state, engine, decoders, peers, workshop, directory, workers, access, seen, audit, own_part)


def _served(url: str, peers: HttpClient, *, strict: bool) -> Sequence[RemoteModel]:
    """Return what an inference API serves; its kinds in its own words, with `strict`.

    A model that the service cannot load leaves only itself out. Raises `VelumError` when it serves none that it can.
    """
    api = InferenceApi(url, peers)
    served, failed = list[RemoteModel](), list[VelumError]()
    for model in api.models():
        try:
            one = api.describe(model)
        except VelumError as error:
            failed.append(error)
            served.append(RemoteModel(model, fault=str(error)))
        else:
            served.append(RemoteModel(model, one.stated if strict else one.kind, one.labels))
    if failed and len(failed) == len(served):
        raise failed[0]
    return served
