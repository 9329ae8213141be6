"""The parts of the service that all its APIs share, and the interface of an API that is mounted next to velum's own."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from velum.engine.engine import Engine
from velum.errors import Unavailable
from velum.limits import WAITED_SECONDS, Limits
from velum.locate.weights import fetch
from velum.locate.weights.asset import Model
from velum.media import DecoderPool
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.service.admission import Admission, RequestThreads
from velum.service.audit import Audit, audit_of
from velum.service.auth.middleware import Authenticator, access_of
from velum.service.job_backend import JobBackend
from velum.service.late_router import LateRouter
from velum.service.metrics import Metrics
from velum.service.middleware.observe import ObservedEngine
from velum.settings import Settings

Localizers = Mapping[str, Callable[..., Any]]
"""Name in plans -> factory of the localizer."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceParts:
    """What all APIs of the service share. It lives as long as the service, and is safe to share between threads."""

    settings: Settings
    host: RuntimeConfig
    engine: Engine
    decoders: DecoderPool
    peers: HttpClient
    admission: Admission
    workers: RequestThreads
    access: Authenticator
    metrics: Metrics
    audit: Audit | None
    jobs: JobBackend | None
    """None where velum's own API is not served."""
    is_installed: Callable[[Model], bool]
    """Tells whether a model's weights are on this machine."""
    added_localizers: frozenset[str]
    """Localizers that exist only in this service; plans of requests to velum's own API may not name them."""
    ending: threading.Event
    """Set when the service begins to shut down."""

    def close(self) -> None:
        """Shut down. Running work stops when its connections close, or when it next checks for its client."""
        self.peers.close()
        self.access.close()
        self.decoders.close()
        self.workers.close()
        self.engine.close()


@dataclass(frozen=True, slots=True, eq=False)
class MountedApi:
    """Another API in the application. Paths that are not velum's own answer errors with its bodies."""

    title: str
    version: str
    description: str
    router: LateRouter
    error_body: Callable[[int, str], bytes]
    """Returns the JSON body of an error response, by status and message."""
    invalid_body: Callable[[Sequence[Any]], bytes]
    """Returns the JSON body of status 422 for pydantic's errors."""
    document: Mapping[str, Any] | None = None
    """The OpenAPI document, in place of the one that the framework makes."""
    folders: Iterable[Path] = ()
    """Folders that must exist and be writable, else the service is not ready."""
    uses_own_models: bool = True
    """Whether the API needs velum's default model."""
    can_locate: Callable[[], bool] = lambda: False
    """Tells whether the API finds anything without velum's own models."""
    faults: Callable[[], Mapping[str, str]] = dict
    """Returns what the API cannot use, with the reasons, for `/health/ready`."""
    open: Callable[[], None] = lambda: None
    """Starts the API; called in a thread once the service starts."""
    close: Callable[[], None] = lambda: None
    """Ends the API; called after all requests have ended."""


def build_parts(
    settings: Settings, host: RuntimeConfig, *,
    localizers: Callable[[Admission], Localizers] = lambda _: {}, own_api: bool = True,
) -> ServiceParts:  # fmt: skip
    """Return the parts that the settings describe, with `host` as the runtime configuration.

    `localizers` returns further localizers, which may release their processor slot. Without `own_api` there are no
    jobs. Raises `BadPlan` for settings that cannot be used, and `OutputFailed` for an audit log that cannot be written.
    """
    service, jobs = settings.service, JobBackend(settings) if own_api else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parallel = service.parallel or cores
    audit, metrics = audit_of(settings), Metrics(jobs)
    admission = Admission(
        parallel, parallel + service.queue, count_waiting=metrics.waiting.track_inprogress,
        count_working=metrics.working.track_inprogress,
    )  # fmt: skip
    peers, added = HttpClient(settings.remote), localizers(admission)
    host = replace(host, peers=peers, localizers={**host.localizers, **added})
    limits = Limits(**{"work_seconds": WAITED_SECONDS, **settings.limit})
    decoders = DecoderPool(parallel)
    engine = ObservedEngine(metrics, hashes=audit is not None, host=host, limits=limits, decoders=decoders)
    return ServiceParts(
        settings, host, engine, decoders, peers, admission, RequestThreads(service.requests), access_of(settings),
        metrics, audit, jobs, _weights_check(host), frozenset(added), threading.Event(),
    )  # fmt: skip


def _weights_check(host: RuntimeConfig) -> Callable[[Model], bool]:
    """Return a function that tells whether a model's weights are on this machine; each file is hashed once."""
    verified, lock = set[str](), threading.Lock()

    def is_installed(model: Model) -> bool:
        with lock:
            if model.fingerprint not in verified:
                try:
                    if fetch.find_local(model, host) is None:
                        return False
                except Unavailable:
                    return False
                verified.add(model.fingerprint)
        return True

    return is_installed
