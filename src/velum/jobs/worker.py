"""The worker: claims jobs, runs them, sends heartbeats, and cleans up after dead workers."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from velum.jobs.claims import WorkerClaims
from velum.jobs.processor import JobProcessor
from velum.jobs.retention import RetentionSweeper
from velum.jobs.schema import Database
from velum.jobs.store_identity import join
from velum.jobs.values import Retention, SweepResult, WorkerTiming
from velum.jobs.webhooks import THREADS, Notify, WebhookDelivery
from velum.jobs.worker_loop import WorkerLoop
from velum.storage.folder import Store
from velum.storage.resumable_uploads import Uploads
from velum.storage.scratch import WorkerScratch, sweep_dead

LOG = logging.getLogger("velum.jobs")

LEFTOVERS_SECONDS = 3600.0
"""How often the store is searched for files that belong to no job, in slices spread over that time."""

SLICES = 256
"""Of the store: the first two digits of the keys."""


class Worker:
    """Does jobs of the database at `url`, at most `concurrency` at a time, and `max_running` with all other workers.

    Each thread makes itself a craft. `folder` is for work in progress; workers may share it, and what dead ones left
    there is removed. `notify` posts to webhooks. A worker may run again after it has ended.
    """

    def __init__(  # noqa: PLR0913 - all but three are given by name, and have a default that suits
        self,
        url: str,
        store: Store,
        craft: Callable[[], JobProcessor],
        *,
        folder: Path,
        concurrency: int = 1,
        max_running: int | None = None,
        name: str = "",
        pace: WorkerTiming | None = None,
        retention: Retention | None = None,
        uploads: Uploads | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._url, self._store, self._craft, self._notify = url, store, craft, notify
        self._concurrency, self._max_running, self._folder, self._uploads = concurrency, max_running, folder, uploads
        self._pace, self._retention = pace or WorkerTiming(), retention or Retention()
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish the pieces in work, as far as that is soon, and leave the rest.

        Raises `Unavailable` when the database cannot be reached at the start, `OutputFailed` when `folder` cannot be
        written to, and both as `join` does. Later it waits until the database and the store are back.
        """
        database = Database(self._url)
        try:
            join(database, self._store)
            with WorkerScratch(self._folder) as scratch:
                ledger = WorkerClaims(database, secrets.token_hex(16), self._name, self._pace)
                sweeper = RetentionSweeper(database, self._store, self._retention, self._uploads)
                shift = WorkerLoop(ledger, self._store, scratch, self._pace, self._max_running)
                sweeping = _Sweeping(sweeper, self._folder, self._pace.beat_seconds)
                telling = [] if self._notify is None else [WebhookDelivery(database, self._notify).deliver] * THREADS
                shift.work(self._craft, self._concurrency, [sweeping.do, *telling], stop)
        finally:
            database.close()


class _Sweeping:
    """Deletes what is due: of jobs, of the store, and of workers that died on this machine."""

    def __init__(self, sweeper: RetentionSweeper, folder: Path, due_seconds: float) -> None:
        self._sweeper, self._folder, self._due_seconds = sweeper, folder, due_seconds
        self._next_due = self._next_unfinished = self._next_slice = 0.0
        # Workers begin anywhere, so that several, or one that starts again and again, come by all slices.
        self._slice = secrets.randbelow(SLICES)

    def do(self) -> bool:
        """Do what there is to do, and say whether there is more at once. Raises `Unavailable` and `OutputFailed`."""
        if (now := time.monotonic()) >= self._next_due:
            self._next_due = now + self._due_seconds
            sweep_dead(self._folder)
            _warn(self._sweeper.due())
        if now >= self._next_unfinished:
            self._next_unfinished = now + LEFTOVERS_SECONDS
            _warn(self._sweeper.delete_unfinished())
        if now >= self._next_slice:
            self._next_slice = now + LEFTOVERS_SECONDS / SLICES
            _warn(self._sweeper.delete_unclaimed(f"{self._slice:02x}"))
            self._slice = (self._slice + 1) % SLICES
        return time.monotonic() >= self._next_slice


def _warn(swept: SweepResult) -> None:
    for why in swept.failed:
        LOG.warning("cannot be deleted, to be tried again: %s", why)
