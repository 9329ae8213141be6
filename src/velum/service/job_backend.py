"""The database, store and uploads of jobs as the settings configure them, and the worker in the service's process."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
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
from velum.service.observed_processor import ObservedProcessor
from velum.service.tracing import spans
from velum.settings import Settings
from velum.settings.schema import JobsSettings
from velum.storage.scratch import sweep_dead
from velum.train.processor import TrainingProcessor, forget_training

LOG = logging.getLogger("velum.service")

PAUSE_SECONDS = 5.0
"""Pause after a failure to connect. Calls meanwhile fail at once with the same error."""


ANSWER_SECONDS = 3.0
"""How long the store may take to answer a check."""

ProcessorFactory = Callable[[Callable[[], RuntimeConfig], Limits], JobProcessor]
"""Factory for a job processor: (factory of its process's `RuntimeConfig`, limits) -> `JobProcessor`."""


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """The opened database with its job queue, the store and the uploads."""

    database: Database
    queue: JobQueue
    store: Store
    uploads: Uploads


class JobBackend:
    """Connects to the database and store of jobs on first use: the rest of the service works while they are down.

    Safe to share between threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: Backend | None = None
        self._failure: VelumError | None = None
        self._failed_at = 0.0
        self._store_check: Future[None] | None = None

    def open(self) -> Backend:
        """Return the open backend, connecting on the first call.

        Raises `Unavailable` when the database does not answer, and as `velum.jobs.join` does.
        """
        with self._lock:
            if self._opened is None:
                if self._failure is not None and time.monotonic() - self._failed_at < PAUSE_SECONDS:
                    raise Unavailable(str(self._failure))
                try:
                    self._opened = self._connect()
                except VelumError as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
            return self._opened

    def counts(self) -> Mapping[str, int]:
        """Return the number of jobs by state. Raises as `open` does."""
        return {state.value: number for state, number in self.open().queue.counts().items()}

    def longest_wait_seconds(self) -> float:
        """Return how long the oldest waiting job has waited. Raises as `open` does."""
        return self.open().queue.longest_wait_seconds()

    def check_database(self) -> None:
        """Raise `Unavailable` unless the database answers: read the two newest jobs, however many there are.

        Raises as `open` does, too.
        """
        self.open().queue.list(limit=1)

    def check_store(self) -> None:
        """Raise `Unavailable` unless the store of jobs answers within `ANSWER_SECONDS`; raise as `open` does, too."""
        store = self.open().store
        with self._lock:
            if self._store_check is None or self._store_check.done():
                self._store_check = _begin_check(store)
            check = self._store_check
        try:
            check.result(ANSWER_SECONDS)
        except TimeoutError:
            raise Unavailable(
                f"the store has not answered for {ANSWER_SECONDS:g} s; check that its server runs"
            ) from None

    def delete(self, job: str) -> bool:
        """Delete a job with its files, and scratch folders of crashed workers on this machine; False for no such job.

        Raises as `JobQueue.delete` does, and `OutputFailed` when such a folder cannot be deleted.
        """
        queue = self.open().queue
        sweep_dead(work_folder(self._settings))
        forget_training(trainings_folder(self._settings), job)
        return queue.delete(job)

    def close(self) -> None:
        """Close the connections to the database."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.database.close()

    def _connect(self) -> Backend:
        store = _store(self._settings)
        uploads = _uploads(self._settings, store)
        database = Database(_database(self._settings))
        try:
            join(database, store)
        except VelumError:
            database.close()
            raise
        return Backend(database, JobQueue(database, store), store, uploads)


def _begin_check(store: "Store") -> "Future[None]":
    """Check the store in a thread of its own: reading a mounted folder whose server is gone blocks for ever."""
    check: Future[None] = Future()

    def work() -> None:
        try:
            store.check()
            check.set_result(None)
        except VelumError as error:
            check.set_exception(error)
        finally:
            if not check.done():
                check.set_exception(Unavailable("the check of the store failed; the log has the cause"))

    threading.Thread(target=work, name="velum-store", daemon=True).start()
    return check


class InProcessWorker:
    """A worker in a thread of the service, for installations without worker processes."""

    def __init__(self, settings: Settings, peers: HttpClient, make_processor: ProcessorFactory) -> None:
        self._settings, self._peers, self._make_processor = settings, peers, make_processor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="velum-worker")

    def start(self) -> None:
        """Start the worker's thread."""
        self._thread.start()

    def end(self) -> None:
        """Shut the worker down: it finishes what ends within its grace period, and releases its other jobs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                worker(self._settings, self._peers, self._make_processor).run(self._stop)
            except VelumError as error:
                LOG.warning("jobs cannot be processed now", extra={"facts": {"cause": str(error)}})
                self._stop.wait(PAUSE_SECONDS)


def observed_processor_factory(settings: Settings, metrics: Metrics, audit: Audit | None) -> ProcessorFactory:
    """Return a factory of processors that report to metrics, the audit log and, where it is set, traces.

    Raises `Unavailable` when traces are set and their extra is not installed.
    """
    tracing = spans(traces=settings.observability.traces)
    return partial(ObservedProcessor, metrics, audit, span_seconds=settings.jobs.span_seconds, tracing=tracing)


def worker(settings: Settings, peers: HttpClient, make_processor: ProcessorFactory | None = None) -> Worker:
    """Return a worker that the settings configure; `run` starts it. Raises as `observed_processor_factory` does."""
    jobs = settings.jobs
    making = make_processor or observed_processor_factory(settings, Metrics(), audit_of(settings))
    store = _store(settings)

    def make() -> JobProcessor:
        host, limits = settings.host_factory(), settings.limits()
        return TrainingProcessor(
            making(host, limits), host, limits, trainings_folder(settings), store, jobs.records_seconds
        )

    return Worker(
        _database(settings), store, make,
        folder=work_folder(settings), concurrency=jobs.concurrency, max_running=jobs.max_running or None,
        timing=WorkerTiming(drain_seconds=settings.service.grace_seconds), uploads=_uploads(settings, store),
        retention=retention_of(jobs),
        notify=http_sender(peers) if jobs.webhooks else None,
    )  # fmt: skip


def retention_of(jobs: JobsSettings) -> Retention:
    """Return the retention times of the settings."""
    return Retention(
        originals_seconds=jobs.originals_seconds, results_seconds=jobs.results_seconds,
        jobs_seconds=jobs.records_seconds, unclaimed_seconds=jobs.unclaimed_seconds,
    )  # fmt: skip


def work_folder(settings: Settings) -> Path:
    """Return the scratch folder for work in progress."""
    return settings.jobs.scratch_dir or settings.jobs.data / "work"


def trainings_folder(settings: Settings) -> Path:
    """Return the folder of what trainings keep to continue."""
    return settings.jobs.data.absolute() / "trainings"


def _database(settings: Settings) -> str:
    return settings.jobs.database or f"sqlite:///{(settings.jobs.data / 'jobs.sqlite').absolute()}"


def _store(settings: Settings) -> Store:
    return open_store(settings.jobs.store or settings.jobs.data / "store")


def _uploads(settings: Settings, store: Store) -> Uploads:
    # On the store's file system: completing an upload then copies nothing. Before a bucket they are kept here.
    jobs = settings.jobs
    root = jobs.data if isinstance(jobs.store, str) else jobs.store or jobs.data / "store"
    return Uploads(root / "uploads", store, most=settings.limits().bytes)
