"""Jobs as the operator set them up: where they are kept, and the worker that does them."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from velum.errors import Unavailable, VelumError
from velum.jobs import (
    Database,
    JobProcessor,
    JobQueue,
    Retention,
    Store,
    Uploads,
    Worker,
    WorkerTiming,
    http_sender,
    join,
    open_store,
)
from velum.limits import Limits
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.service.audit import Audit, audit_of
from velum.service.metrics import Metrics
from velum.service.middleware.observe import ObservedProcessor
from velum.service.tracing import spans
from velum.settings import Settings
from velum.storage.scratch import sweep_dead

LOG = logging.getLogger("velum.service")

PAUSE_SECONDS = 5.0
"""How long nobody tries again what could not be opened: whoever asks meanwhile is told at once."""


ANSWER_SECONDS = 3.0
"""How long the store may take to say that it is there."""

ProcessorFactory = Callable[[Callable[[], RuntimeConfig], Limits], JobProcessor]
"""Makes what does jobs, of what makes a host in its process, and the limits."""


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """What is open: the database's desk, the store and the uploads."""

    database: Database
    desk: JobQueue
    store: Store
    uploads: Uploads


class JobBackend:
    """Opens what jobs need when it is first needed: a database that is down keeps nothing else from working.

    Safe to share between threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._rooms: Backend | None = None
        self._failure: VelumError | None = None
        self._failed_at = 0.0
        self._look: _Look | None = None

    def open(self) -> Backend:
        """Return what is open. Raises `Unavailable` when the database does not answer, and as `join` does."""
        with self._lock:
            if self._rooms is None:
                if self._failure is not None and time.monotonic() - self._failed_at < PAUSE_SECONDS:
                    raise Unavailable(str(self._failure))
                try:
                    self._rooms = self._opened()
                except VelumError as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
            return self._rooms

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs are in each state. Raises as `open` does."""
        return {state.value: number for state, number in self.open().desk.counts().items()}

    def check_store(self) -> None:
        """Raise `Unavailable` unless the store of the jobs is there and answers soon; as `open` does, too."""
        store = self.open().store
        with self._lock:
            if self._look is None or self._look.over:
                self._look = _Look(store)
            look = self._look
        look.outcome(ANSWER_SECONDS)

    def delete(self, job: str) -> bool:
        """Delete a job with all that it has here, and what workers that died on this machine left of any job.

        Raises as `JobQueue.delete` does, and `OutputFailed` when such a leftover stays.
        """
        desk = self.open().desk
        sweep_dead(work_folder(self._settings))
        return desk.delete(job)

    def close(self) -> None:
        """End the connections."""
        with self._lock:
            rooms, self._rooms = self._rooms, None
        if rooms is not None:
            rooms.database.close()

    def _opened(self) -> Backend:
        store = _store(self._settings)
        uploads = _uploads(self._settings, store)
        database = Database(_database(self._settings))
        try:
            join(database, store)
        except VelumError:
            database.close()
            raise
        return Backend(database, JobQueue(database, store), store, uploads)


class _Look:
    """A look at the store from a thread of its own: a mounted folder whose server is gone lets everyone wait."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failure: VelumError | None = None
        self._done = threading.Event()
        threading.Thread(target=self._begin, name="velum-store", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether it has an outcome."""
        return self._done.is_set()

    def outcome(self, seconds: float) -> None:
        """Raise what is wrong with the store, or `Unavailable` when that is not known in time."""
        if not self._done.wait(seconds):
            raise Unavailable(f"the store has not answered for {seconds:g} s; check that its server runs")
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        try:
            self._store.check()
        except VelumError as error:
            self._failure = error
        finally:
            self._done.set()


class InProcessWorker:
    """A worker in a thread of the service, so that jobs are done where nothing else does them."""

    def __init__(self, settings: Settings, peers: HttpClient, craft: ProcessorFactory) -> None:
        self._settings, self._peers, self._craft = settings, peers, craft
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="velum-worker")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Finish what is in work, as far as that is soon, and leave the rest to others."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                worker(self._settings, self._peers, self._craft).run(self._stop)
            except VelumError as error:
                LOG.warning("jobs cannot be done now", extra={"facts": {"cause": str(error)}})
                self._stop.wait(PAUSE_SECONDS)


def watched_craft(settings: Settings, metrics: Metrics, audit: Audit | None) -> ProcessorFactory:
    """Return what makes crafts that are counted and audited, and traced where that is set.

    Raises `Unavailable` when it is, and the extra is missing.
    """
    tracing = spans(traces=settings.observability.traces)
    return partial(ObservedProcessor, metrics, audit, span_seconds=settings.jobs.span_seconds, tracing=tracing)


def worker(settings: Settings, peers: HttpClient, craft: ProcessorFactory | None = None) -> Worker:
    """Return a worker."""
    jobs = settings.jobs
    making = craft or watched_craft(settings, Metrics(), audit_of(settings))
    store = _store(settings)
    return Worker(
        _database(settings), store, lambda: making(_maker(settings), settings.limits()),
        folder=work_folder(settings), concurrency=jobs.concurrency, max_running=jobs.max_running or None,
        pace=WorkerTiming(drain_seconds=settings.service.grace_seconds), uploads=_uploads(settings, store),
        retention=Retention(
            originals_seconds=jobs.originals_seconds, results_seconds=jobs.results_seconds,
            jobs_seconds=jobs.records_seconds, unclaimed_seconds=jobs.unclaimed_seconds,
        ),
        notify=http_sender(peers) if jobs.webhooks else None,
    )  # fmt: skip


def work_folder(settings: Settings) -> Path:
    """Return the folder of work in progress."""
    return settings.jobs.scratch_dir or settings.jobs.data / "work"


def _maker(settings: Settings) -> partial[RuntimeConfig]:
    """Return the factory of the decoder process's `RuntimeConfig`.

    It can be pickled (read-only views of tables cannot), and naming no module of the service spares that process from
    importing it.
    """
    plain = replace(settings, weights=dict(settings.weights), limit=dict(settings.limit))
    return partial(Settings.host, plain, mode="throughput")


def _database(settings: Settings) -> str:
    return settings.jobs.database or f"sqlite:///{(settings.jobs.data / 'jobs.sqlite').absolute()}"


def _store(settings: Settings) -> Store:
    return open_store(settings.jobs.store or settings.jobs.data / "store")


def _uploads(settings: Settings, store: Store) -> Uploads:
    # On the store's file system: completing an upload then copies nothing. Before a bucket they are kept here.
    jobs = settings.jobs
    root = jobs.data if isinstance(jobs.store, str) else jobs.store or jobs.data / "store"
    return Uploads(root / "uploads", store, most=settings.limits().bytes)
