"""Liveness and readiness of the service."""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from velum.engine.engine import Engine
from velum.errors import VelumError
from velum.net.client import HttpClient
from velum.plan import Plan
from velum.service.late_router import LateRouter

LOG = logging.getLogger("velum.service")


@dataclass(slots=True, eq=False)
class Health:
    """Collects what `/health/ready` reports. `ending` is set when the service begins to shut down."""

    engine: Engine
    peers: HttpClient
    ending: threading.Event
    uses_own_models: bool = True
    """Whether the service needs its default model."""
    can_locate: Callable[[], bool] = lambda: False
    """Tells whether the service finds anything without its own models."""
    faults: Callable[[], Mapping[str, str]] = dict
    """Returns the inference APIs that cannot be used, with the reasons."""
    required_folders: Sequence[Path] = ()
    """Folders that must exist and be writable."""
    jobs: Callable[[], object] | None = None
    """Queries the database of jobs; raises `VelumError` when it does not answer."""
    blur: Callable[[], str] | None = None
    """Returns "ready", or why `/blur/` refuses images; None where `/blur/` is not served."""
    store: Callable[[], object] | None = None
    """Checks the store of jobs; raises `VelumError` when it does not answer."""
    folders: Sequence[Path] = ()
    """Further folders that must be writable; those that do not exist yet are created on first use."""
    free_bytes: int = 0
    """Free bytes that each folder's disk must have."""
    shows_addresses: bool = True
    """Whether the report lists the addresses of inference APIs; else it has only how many there are and answer."""
    _model: str = field(default="loading", init=False)

    def warm(self) -> None:
        """Load the default model in the background, so that the first request need not wait for it."""
        if self.uses_own_models:
            threading.Thread(target=self._load, name="velum-warm", daemon=True).start()
        else:
            self._model = "off"

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Return whether the service is ready, and the report as JSON values.

        It is ready with velum's own model or at least one inference API. An inference API that is down, or a model that
        `/blur/` lacks, is reported and does not make the service unready: the rest works without it.
        """
        disk = _folders_state(
            (*self.required_folders, *(folder for folder in self.folders if folder.exists())), self.free_bytes
        )
        model = self._model
        can_locate = model == "ready" or (model != "loading" and self.can_locate())
        addresses = {
            url: {"reachable": health.reachable, "detail": health.detail, "since": health.since}
            for url, health in self.peers.health.items()
        }
        database = self._probe(self.jobs, "the database of jobs does not answer")
        store = self._probe(self.store, "the store of jobs does not answer")
        faults = dict(self.faults())
        storage_works = {database, store} <= {"off", "ready"}
        facts = {
            "ready": can_locate and disk == "writable" and storage_works and not self.ending.is_set(),
            "model": model, "disk": disk, "jobs": database, "store": store,
            "blur": "off" if self.blur is None else self.blur(), "urls": addresses,
            "faults": faults,
        }  # fmt: skip
        if not self.shows_addresses:
            reachable = sum(bool(address["reachable"]) for address in addresses.values())
            facts |= {"urls": len(addresses), "urls_reachable": reachable, "faults": len(faults)}
        return bool(facts["ready"]), facts

    def _probe(self, check: Callable[[], object] | None, warning: str) -> str:
        if check is None:
            return "off"
        try:
            check()
        except VelumError as error:
            LOG.warning(warning, extra={"facts": {"cause": str(error)}})
            return "unavailable"
        return "ready"

    def _load(self) -> None:
        try:
            self.engine.check(Plan())
        except VelumError as error:
            LOG.warning("the default model cannot be used", extra={"facts": {"cause": str(error)}})
            self._model = "unavailable"
        else:
            self._model = "ready"


def routes(health: Health) -> LateRouter:
    """Return the endpoints below `/health`."""
    router = LateRouter(prefix="/health", tags=["Health"])

    @router.get("/live")
    async def live() -> Response:
        """Tell that the service runs."""
        return JSONResponse({"live": True})

    @router.get("/ready", responses={503: {"description": "Not ready: the body says why."}})
    def ready() -> Response:
        """Tell whether the service can do its work."""
        is_ready, facts = health.ready()
        return JSONResponse(facts, 200 if is_ready else 503)

    return router


def _folders_state(folders: Sequence[Path], free_bytes: int) -> str:
    """Return "writable", or why the first unsuitable folder is not: "not writable: ..." or "full: ..."."""
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"x")
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return f"not writable: {error.strerror or error}"
        if free < free_bytes:
            return f"full: {free:,} bytes are free, {free_bytes:,} are needed"
    return "writable"
