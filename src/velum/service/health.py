"""Whether the service lives, and whether it can do its work."""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from velum.bmw.available_methods import ApiDirectory
from velum.engine.engine import Engine
from velum.errors import VelumError
from velum.net.client import HttpClient
from velum.plan import Plan

LOG = logging.getLogger("velum.service")


@dataclass(slots=True, eq=False)
class Health:
    """What there is to say. `local` is whether velum's own models are offered."""

    engine: Engine
    directory: ApiDirectory
    peers: HttpClient
    videos: Path
    local: bool = True
    jobs: Callable[[], object] | None = None
    """Asks the database of jobs something; raises `VelumError` when it does not answer."""
    blur: Callable[[], str] | None = None
    """Returns "ready", or why `/blur/` refuses pictures; None where that is not served."""
    store: Callable[[], object] | None = None
    """Asks the store of jobs whether it is there; raises `VelumError` when it is not."""
    folders: Sequence[Path] = ()
    """Where else is written; those that are not there yet are made when they are needed."""
    free_bytes: int = 0
    """How much room the service needs on a disk."""
    shows_addresses: bool = True
    """Whether everyone may know where inference APIs are; else only how many there are, and how many answer."""
    _model: str = field(default="loading", init=False)
    _ending: threading.Event = field(default_factory=threading.Event, init=False)

    def warm(self) -> None:
        """Load the default model, in the background: the first request finds it ready."""
        if self.local:
            threading.Thread(target=self._load, name="velum-warm", daemon=True).start()
        else:
            self._model = "off"

    def end(self) -> None:
        """Say from now on that no more requests are wanted."""
        self._ending.set()

    def ending(self) -> bool:
        """Tell whether the service has been told to end."""
        return self._ending.is_set()

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Tell whether requests can be served, and what of.

        Without velum's own model there must be an inference API; that one of those is down is said, and is no reason
        to get no requests: others answer. So is it that `/blur/` lacks a model: the rest of the service works without.
        """
        disk = _state_of((self.videos, *(one for one in self.folders if one.exists())), self.free_bytes)
        known = self.directory.now.labels
        model = self._model
        able = model == "ready" or (model != "loading" and bool(known))
        addresses = {
            url: {"reachable": one.reachable, "detail": one.detail, "since": one.since}
            for url, one in self.peers.health.items()
        }
        database = self._answers(self.jobs, "the database of jobs does not answer")
        store = self._answers(self.store, "the store of jobs is not there")
        kept = {database, store} <= {"off", "ready"}
        facts = {
            "ready": able and disk == "writable" and kept and not self._ending.is_set(),
            "model": model, "disk": disk, "jobs": database, "store": store,
            "blur": "off" if self.blur is None else self.blur(), "urls": addresses,
            "faults": dict(self.directory.faults),
        }  # fmt: skip
        if not self.shows_addresses:
            reachable = sum(bool(one["reachable"]) for one in addresses.values())
            facts |= {"urls": len(addresses), "urls_reachable": reachable, "faults": len(self.directory.faults)}
        return bool(facts["ready"]), facts

    def _answers(self, asked: Callable[[], object] | None, wrong: str) -> str:
        if asked is None:
            return "off"
        try:
            asked()
        except VelumError as error:
            LOG.warning(wrong, extra={"facts": {"cause": str(error)}})
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


def routes(health: Health) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/health", tags=["Health"])

    @router.get("/live")
    async def live() -> Response:
        """Tell that the service runs."""
        return JSONResponse({"live": True})

    @router.get("/ready", responses={503: {"description": "Not ready: the body says why."}})
    def ready() -> Response:
        """Tell whether the service can do its work."""
        yes, facts = health.ready()
        return JSONResponse(facts, 200 if yes else 503)

    return router


def _state_of(folders: Sequence[Path], free_bytes: int) -> str:
    """Return "writable", or the first reason why a folder is not; a disk without room is full."""
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
