"""The service as one ASGI application: velum's own API, the page, health and metrics, and another API mounted on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from velum import __version__
from velum.plugins import RuntimeConfig
from velum.service import metrics, ui_files
from velum.service.auth.middleware import AuthMiddleware
from velum.service.auth.principal import SCOPES
from velum.service.health import Health
from velum.service.health import routes as health_routes
from velum.service.job_backend import work_folder
from velum.service.late_router import LateApp, LateRouter
from velum.service.middleware.limits import RequestLimits
from velum.service.middleware.observe import ObserveRequests
from velum.service.middleware.origins import SiteCheck, Sites
from velum.service.problem_details import add_error_handlers, refuse_with
from velum.service.state import MountedApi, ServiceParts, build_parts
from velum.service.tracing import telemetry
from velum.service.v1.app import V1, create_v1
from velum.service.v1.tus import TusHeaders
from velum.settings import Settings

MOST_FILES, MOST_FIELDS, LONGEST_FIELD = 8, 32, 1 << 20
"""Most files and fields of a form, and most bytes of a field."""

DESCRIPTION = (
    "Finds what identifies people in images and videos, and hides it.\n\n"
    "Failures have a status, and are problem details (RFC 9457)."
)


def create_app(settings: Settings | None = None, *, host: RuntimeConfig | None = None) -> FastAPI:
    """Return the application with velum's own API alone; `assemble` mounts another one next to it.

    `host` replaces the runtime configuration of the settings, for tests and embedding. The server may call
    `app.state.end` when it begins to shut down: then the service is no longer ready, and endless streams are closed.
    Raises `BadPlan` for settings that cannot be used.
    """
    settings = settings or Settings.load()
    return assemble(build_parts(settings, host or settings.host()))


def assemble(parts: ServiceParts, mounted: MountedApi | None = None) -> FastAPI:
    """Return the application of these parts: velum's own API, where the parts have jobs, and the mounted one."""
    v1 = None if parts.jobs is None else create_v1(parts, parts.jobs)
    health = _health(parts, mounted, v1)
    parts.metrics.watch(lambda: health.ready()[0], _watched_folders(parts, mounted))
    app = LateApp(
        title="velum" if mounted is None else mounted.title,
        version=__version__ if mounted is None else mounted.version,
        description=DESCRIPTION if mounted is None else mounted.description,
        docs_url=None,  # the framework's pages load scripts from another host
        redoc_url=None,
        lifespan=_lifespan(parts, mounted, v1, health),
        form_limits={"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": LONGEST_FIELD},
        telemetry=telemetry(traces=parts.settings.observability.traces),
    )
    app.state.end = parts.ending.set
    if mounted is not None and (document := mounted.document) is not None:
        app.openapi = lambda: dict(document)  # type: ignore[method-assign]  # the framework's way to replace it
    if mounted is None:
        add_error_handlers(app)
    else:
        add_error_handlers(app, mounted.error_body, mounted.invalid_body)
    _include_routers(app, parts, mounted, v1, health)
    _add_middleware(app, parts, mounted)
    return app


def _lifespan(
    parts: ServiceParts, mounted: MountedApi | None, v1: V1 | None, health: Health
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of the service. `/health/ready` reports a part that cannot start; the others work."""

    def start() -> None:
        if mounted is not None:
            mounted.open()
        health.warm()
        if v1 is not None:
            v1.open()

    def end() -> None:
        parts.ending.set()
        if v1 is not None:
            v1.close()
        parts.close()
        if mounted is not None:
            mounted.close()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(start)
        yield
        await asyncio.to_thread(end)

    return lifespan


def _health(parts: ServiceParts, mounted: MountedApi | None, v1: V1 | None) -> Health:
    settings, jobs = parts.settings, parts.jobs
    of_mounted: dict[str, Any] = {} if mounted is None else {
        "uses_own_models": mounted.uses_own_models, "can_locate": mounted.can_locate, "faults": mounted.faults,
        "required_folders": tuple(mounted.folders),
    }  # fmt: skip
    return Health(
        parts.engine, parts.peers, parts.ending, **of_mounted,
        jobs=None if jobs is None else jobs.check_database,
        store=None if jobs is None else jobs.check_store,
        folders=() if jobs is None else (settings.jobs.data, work_folder(settings)),
        blur=None if v1 is None else v1.street_images.state,
        free_bytes=settings.service.free_bytes,
        shows_addresses=not parts.access.required,
    )  # fmt: skip


def _watched_folders(parts: ServiceParts, mounted: MountedApi | None) -> Mapping[str, Path]:
    """Return the folders whose free space is a metric, by their names there."""
    folders = {} if mounted is None else {folder.name: folder for folder in mounted.folders}
    if parts.jobs is not None:
        folders |= {"jobs": parts.settings.jobs.data, "scratch": work_folder(parts.settings)}
    return folders


def _include_routers(
    app: LateApp, parts: ServiceParts, mounted: MountedApi | None, v1: V1 | None, health: Health
) -> None:
    access, observability = parts.access, parts.settings.observability
    if mounted is not None:
        mounted.router.add_to(app)
    for prefix, router in v1.routers(access) if v1 is not None else ():
        router.add_to(app, prefix=prefix, dependencies=[Depends(access.require(*SCOPES))])
    health_routes(health).add_to(app)
    if parts.settings.service.page and v1 is not None:
        ui_files.routes(ui_files.UiFiles()).add_to(app)
    ui_files.docs_routes().add_to(app)
    if observability.metrics:
        guards = [] if observability.metrics_open else [Depends(access.require("operate"))]
        _metrics_routes(parts.metrics, guards).add_to(app)


def _metrics_routes(counted: metrics.Metrics, guards: Sequence[Any]) -> LateRouter:
    """Return the endpoint `/metrics`; `guards` are its dependencies."""
    router = LateRouter(include_in_schema=False, dependencies=list(guards))

    @router.get(metrics.PATH)
    def metrics_text() -> Response:
        return Response(counted.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def _add_middleware(app: FastAPI, parts: ServiceParts, mounted: MountedApi | None) -> None:
    """Add the middleware; the one that is added last is outermost."""
    settings, refuse = parts.settings, refuse_with(None if mounted is None else mounted.error_body)
    app.add_middleware(
        AuthMiddleware, access=parts.access,
        free=frozenset({metrics.PATH} if settings.observability.metrics_open else ()),
        places=settings.service.caller_requests or max(1, settings.service.requests // 2),
    )  # fmt: skip
    if settings.access.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.access.origins, allow_methods=["*"], allow_headers=["*"],
            expose_headers=["*"],
        )  # fmt: skip
    if not parts.access.required:
        sites = Sites((*settings.access.hosts, settings.service.listen_host), settings.access.origins)
        app.add_middleware(SiteCheck, sites=sites, refuse=refuse)
    app.add_middleware(
        RequestLimits, requests=settings.service.requests, body_bytes=settings.service.body_bytes,
        upload_bytes=settings.limits().bytes, idle_seconds=settings.service.idle_seconds, refuse=refuse,
    )  # fmt: skip
    app.add_middleware(TusHeaders)
    app.add_middleware(ObserveRequests, metrics=parts.metrics, audit=parts.audit)
