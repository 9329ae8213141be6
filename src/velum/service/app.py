"""The service as one ASGI application: its parts, startup and shutdown."""

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
from velum.bmw import builtin_models, openapi, request_localizer, routes, techniques
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
from velum.service import error_handlers, health, metrics, ui_files
from velum.service.audit import Audit, audit_of
from velum.service.auth.middleware import Authenticator, AuthMiddleware, access_of
from velum.service.auth.principal import SCOPES
from velum.service.job_backend import JobBackend, observed_processor_factory, work_folder
from velum.service.metrics import Metrics
from velum.service.middleware.limits import RequestLimits
from velum.service.middleware.observe import ObservedAdmission, ObservedEngine, ObservedRequestThreads, ObserveRequests
from velum.service.middleware.origins import SiteCheck, Sites
from velum.service.request_threads import RequestThreads
from velum.service.tracing import telemetry
from velum.service.v1.app import V1, create_v1
from velum.service.v1.request_body import single_fields
from velum.settings import Settings
from velum.storage.scratch import ScratchDirs

LOG = logging.getLogger("velum.service")

MOST_FILES, MOST_FIELDS, LONGEST_FIELD = 8, 32, 1 << 20
"""Most files and fields of a form, and most bytes of a field."""

DESCRIPTION = (
    "Finds what identifies people in pictures and videos, and hides it.\n\n"
    "This is the interface of the BMW Anonymization API. Failures have status 200; whether a request succeeded is said "
    "by success in the answer."
)


OWN = "What begins with `/v1`, and `/blur/`, is velum's own: failures have a status there, and are problem details."


@dataclass(frozen=True, slots=True, eq=False)
class AppState:
    """The parts of the application, which live as long as the service."""

    api: routes.Api
    health: health.Health
    engine: Engine
    decoders: DecoderPool
    peers: HttpClient
    scratch: ScratchDirs
    directory: ApiDirectory
    workers: RequestThreads
    access: Authenticator
    metrics: Metrics
    audit: Audit | None
    v1: V1 | None

    def open(self) -> None:
        """Start the parts. Failures show in `/health/ready`, and do not keep the rest from working."""
        try:
            self.scratch.open()
        except OutputFailed as error:
            LOG.warning("videos cannot be processed", extra={"facts": {"cause": str(error)}})
        self.directory.start()
        self.health.warm()
        if self.v1 is not None:
            self.v1.open()

    def close(self) -> None:
        """Shut down. Running work stops when its connections close, or when it next checks for its client."""
        self.health.end()
        if self.v1 is not None:
            self.v1.close()
        self.directory.close()
        self.peers.close()
        self.access.close()
        self.decoders.close()
        self.workers.close()
        self.engine.close()
        self.scratch.close()


def create_app(settings: Settings | None = None, *, host: RuntimeConfig | None = None) -> FastAPI:
    """Return the application. `host` replaces the runtime configuration of the settings, for tests and embedding.

    The server may call `app.state.end` when it begins to shut down: then the service is no longer ready, and endless
    streams are closed. Raises `BadPlan` for settings that cannot be used.
    """
    settings = settings or Settings.load()
    state = _build_state(settings, host or settings.host())
    access = state.access

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(state.open)
        yield
        await asyncio.to_thread(state.close)

    strict = settings.bmw.strict
    app = FastAPI(
        title="BMW Anonymization API" if strict else "velum",
        version="2.0" if strict else __version__,
        description=DESCRIPTION if strict else f"{DESCRIPTION}\n\n{OWN}",
        docs_url=None,  # the framework's pages load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
        form_limits={"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": LONGEST_FIELD},
        telemetry=telemetry(traces=settings.observability.traces),
    )
    app.state.end = state.health.end
    if strict:
        described = openapi.strict_document(app.title, app.version, app.description)
        app.openapi = lambda: described  # type: ignore[method-assign]  # the framework's way to replace it
    error_handlers.handle(app)
    once = [] if strict else [Depends(single_fields)]
    app.include_router(routes.routes(state.api), dependencies=[Depends(access.of_tags("Configuration")), *once])
    for prefix, router in state.v1.routers(access) if state.v1 is not None else ():
        app.include_router(router, prefix=prefix, dependencies=[Depends(access.require(*SCOPES))])
    app.include_router(health.routes(state.health))
    if settings.service.page and not strict:
        app.include_router(ui_files.routes(ui_files.UiFiles()))
    app.include_router(ui_files.docs_routes())
    if settings.observability.metrics:
        guards = [] if settings.observability.metrics_open else [Depends(access.require("operate"))]
        app.include_router(metrics.routes(state.metrics, guards=guards))
    # The middleware added last is outermost.
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
    app.add_middleware(ObserveRequests, metrics=state.metrics, audit=state.audit)
    return app


def _build_state(settings: Settings, host: RuntimeConfig) -> AppState:
    service, bmw = settings.service, settings.bmw
    peers, backend = HttpClient(settings.remote), JobBackend(settings)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parallel = service.parallel or cores
    counts = None if bmw.strict else backend.counts
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
        urls, lambda url: _describe_api_models(url, peers, strict=bmw.strict), techniques.list_techniques(host),
        own=builtin_models.URL, local=own.list_models if bmw.local else lambda: (), strict=bmw.strict,
    )  # fmt: skip
    scratch, workers = ScratchDirs(bmw.videos), ObservedRequestThreads(service.requests)
    anonymizer = Anonymizer(
        engine, directory, gate, limits, scratch, bmw.videos,
        threading.BoundedSemaphore(service.videos), strict=bmw.strict,
    )  # fmt: skip
    api = routes.Api(anonymizer, directory, urls, peers, workers, service.picture_bytes, log_names=service.log_names)
    state = health.Health(engine, directory, peers, bmw.videos, local=bmw.local, jobs=counts)
    state.store = None if bmw.strict else backend.check_store
    access = access_of(settings)
    state.shows_addresses, state.free_bytes = not access.required, service.free_bytes
    state.folders = () if bmw.strict else (settings.jobs.data, work_folder(settings))
    own_part = (
        None
        if bmw.strict
        else create_v1(
            settings,
            host,
            engine,
            decoders=decoders,
            gate=gate,
            workers=workers,
            peers=peers,
            backend=backend,
            make_processor=observed_processor_factory(settings, seen, audit),
            ending=state.ending,
        )
    )
    state.blur = None if own_part is None else own_part.street_images.state
    return AppState(api, state, engine, decoders, peers, scratch, directory, workers, access, seen, audit, own_part)


def _describe_api_models(url: str, peers: HttpClient, *, strict: bool) -> Sequence[RemoteModel]:
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
