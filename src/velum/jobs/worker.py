"""The worker: claims jobs, runs them on threads, sends heartbeats, cleans up after dead workers, and shuts down."""

import logging
import os
import secrets
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from velum.errors import OutputFailed, Unavailable, VelumError
from velum.jobs.claims import LeaseLost, WorkerClaims
from velum.jobs.database import Database, join
from velum.jobs.job_run import JobRun, retry_unavailable
from velum.jobs.processor import Cancelled, JobProcessor
from velum.jobs.retention import RetentionSweeper
from velum.jobs.values import Retention, WorkerTiming
from velum.jobs.webhooks import THREADS, Notify, WebhookDelivery
from velum.storage import Store, StoreAway
from velum.storage.resumable_uploads import Uploads
from velum.storage.scratch import WorkerScratch, sweep_dead

LOG = logging.getLogger("velum.jobs")

NOTE_SECONDS = 1.0
"""Seconds between two records of a job's progress."""

CHORE_SECONDS = 1.0
"""Longest pause between two rounds of maintenance; shorter where heartbeats come more often."""


class Worker:
    """Runs jobs of the database at `url`: `concurrency` at a time, and `max_running` together with all other workers.

    Each thread has its own processor. `folder` is for temporary files; workers may share it, and remove the files of
    dead workers there. `notify` posts to webhooks. `pace` is the old name of `timing`. A worker may run again after it
    has ended.
    """

    def __init__(  # noqa: PLR0913 - all but three are given by name, and have a default that suits
        self,
        url: str,
        store: Store,
        processor: Callable[[], JobProcessor],
        *,
        folder: Path,
        concurrency: int = 1,
        max_running: int | None = None,
        name: str = "",
        timing: WorkerTiming | None = None,
        retention: Retention | None = None,
        uploads: Uploads | None = None,
        notify: Notify | None = None,
        pace: WorkerTiming | None = None,
    ) -> None:
        if pace is not None:
            warnings.warn("Worker(pace=...) is now called Worker(timing=...)", DeprecationWarning, stacklevel=2)
        self._url, self._store, self._processor, self._notify = url, store, processor, notify
        self._concurrency, self._max_running, self._folder, self._uploads = concurrency, max_running, folder, uploads
        self._timing, self._retention = timing or pace or WorkerTiming(), retention or Retention()
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish the running pieces within `drain_seconds`, and release the other jobs.

        Raises `Unavailable` when the database cannot be reached at the start, `OutputFailed` when `folder` cannot be
        written to, and both as `join` does. Once it runs, it waits until the database and the store are back.
        """
        database = Database(self._url)
        try:
            join(database, self._store)
            with WorkerScratch(self._folder) as scratch:
                claims = WorkerClaims(database, secrets.token_hex(16), self._name, self._timing)
                sweeper = RetentionSweeper(database, self._store, self._retention, self._uploads)
                loop = WorkerLoop(claims, self._store, scratch, self._timing, self._max_running)

                def sweep() -> bool:
                    sweep_dead(self._folder)
                    return sweeper.sweep_in_turns(self._timing.beat_seconds)

                deliveries = [] if self._notify is None else [WebhookDelivery(database, self._notify).deliver] * THREADS
                loop.work(self._processor, self._concurrency, [sweep, *deliveries], stop)
        finally:
            database.close()


class WorkerLoop:
    """Claims jobs and runs them on threads of its own."""

    def __init__(
        self, claims: WorkerClaims, store: Store, scratch: WorkerScratch, timing: WorkerTiming, max_running: int | None
    ) -> None:
        self._claims, self._store, self._scratch, self._timing, self._max_running = (
            claims,
            store,
            scratch,
            timing,
            max_running,
        )
        self._runs: dict[str, JobRun] = {}
        self._next_store_check = 0.0
        # Held while a job is claimed and added to `_runs`: so a claim in the database that is not in `_runs` was lost.
        self._lock = threading.Lock()

    def work(
        self,
        processor: Callable[[], JobProcessor],
        concurrency: int,
        chores: Sequence[Callable[[], bool]],
        stop: threading.Event,
    ) -> None:
        """Run jobs until `stop` is set, then shut down as `Worker.run` says."""
        self._claims.beat()
        over = threading.Event()
        processors = [processor() for _ in range(concurrency)]
        slots = [
            threading.Thread(target=self._job_thread, args=(processor, stop), name=f"job-{n}")
            for n, processor in enumerate(processors)
        ]
        heartbeat = threading.Thread(target=self._heartbeat_loop, args=(over,), name="heartbeat")
        # Daemons, since a webhook may be slow to answer; nothing is lost when another worker posts the notice again.
        maintenance = [
            threading.Thread(target=self._maintenance_loop, args=(chore, over), name="maintenance", daemon=True)
            for chore in chores
        ]
        for thread in (*slots, heartbeat, *maintenance):
            thread.start()
        stop.wait()
        self._drain(slots)
        over.set()
        heartbeat.join()
        deadline = time.monotonic() + self._timing.beat_seconds
        for thread in maintenance:
            thread.join(max(deadline - time.monotonic(), 0))
        try:
            retry_unavailable(self._claims.leave)
        except Unavailable as error:
            LOG.warning("this worker could not sign off, so others will count it as dead: %s", error)

    def _drain(self, slots: list[threading.Thread]) -> None:
        for run in self._in_work().values():
            run.drain.set()
        deadline = time.monotonic() + self._timing.drain_seconds
        for thread in slots:
            thread.join(max(deadline - time.monotonic(), 0))
        for run in self._in_work().values():
            run.stop("drained")
        for thread in slots:
            thread.join()

    def _job_thread(self, processor: JobProcessor, stop: threading.Event) -> None:
        with closing(processor):
            while not stop.is_set():
                try:
                    run = self._take(processor)
                except Exception as error:  # the outermost frame of this thread, which must go on
                    LOG.warning("cannot claim a job: %s", error, exc_info=not isinstance(error, VelumError))
                    stop.wait(self._timing.beat_seconds)
                    continue
                if run is None:
                    stop.wait(self._timing.poll_seconds)
                    continue
                if stop.is_set():
                    run.drain.set()
                self._do(run)

    def _take(self, processor: JobProcessor) -> JobRun | None:
        self._check_store()
        with self._lock:
            if (lease := self._claims.take(self._max_running)) is None:
                return None
            run = JobRun(lease, processor, self._claims, self._store, self._scratch.folder())
            self._runs[lease.token] = run
            return run

    def _check_store(self) -> None:
        """Check the store now and then: while it is away, jobs would only be claimed and put back."""
        if (now := time.monotonic()) >= self._next_store_check:
            self._store.check()
            self._next_store_check = now + self._timing.beat_seconds

    def _do(self, run: JobRun) -> None:
        job = run.lease.job.id
        try:
            self._perform(run)
        except LeaseLost as error:
            LOG.warning("%s; its work here is discarded", error)
        except VelumError as error:
            # This worker still has the lease; the heartbeat thread releases it as soon as the database answers.
            LOG.warning("job %s: cannot record its end: %s", job, error)
        finally:
            shutil.rmtree(run.folder, ignore_errors=True)
            with self._lock:
                self._runs.pop(run.lease.token)

    def _perform(self, run: JobRun) -> None:
        """Run a job and record its outcome. Raises `LeaseLost` and `Unavailable`."""
        claims, lease = self._claims, run.lease
        try:
            run.perform()
            LOG.info("job %s: done", lease.job.id)
        except LeaseLost:
            raise
        except Cancelled:
            if run.reason == "lost":
                raise LeaseLost(f"job {lease.job.id} was deleted, or given to another worker") from None
            retry_unavailable(lambda: claims.cancel(lease) if run.reason == "cancelled" else claims.give_back(lease))
        except (VelumError, OSError) as error:
            self._record_failure(run, run.explain(error))
        except Exception as error:  # a fault of velum ends the job, not the worker
            LOG.exception("job %s: a fault of velum itself", lease.job.id)
            self._record_failure(run, run.explain(error))

    def _record_failure(self, run: JobRun, error: Exception) -> None:
        """Record why a job failed. Raises `LeaseLost` and `Unavailable`."""
        claims = self._claims
        match error:
            case StoreAway():
                self._record(claims.defer, run, Unavailable.code, error)
            case Unavailable() | OSError():
                name = error.code if isinstance(error, VelumError) else OutputFailed.code
                self._record(claims.postpone, run, name, error)
            case VelumError():
                self._record(claims.fail, run, error.code, error)
            case _:
                self._record(claims.fail, run, "Fault", f"{type(error).__name__}: {error}")

    def _record(self, how: Callable[[Any, str, str], None], run: JobRun, name: str, error: object) -> None:
        LOG.warning("job %s: %s: %s", run.lease.job.id, name, error)
        retry_unavailable(lambda: how(run.lease, name, str(error)[:4000].replace("\0", "")))

    def _heartbeat_loop(self, over: threading.Event) -> None:
        next_beat = next_note = 0.0
        while not over.is_set():
            now = time.monotonic()
            try:
                if now >= next_beat:
                    self._claims.beat()
                    self._claims.reap()
                    next_beat = now + self._timing.beat_seconds
                    self._sync_leases()
                elif self._runs:
                    self._sync_leases()
                if now >= next_note:
                    next_note = now + NOTE_SECONDS
                    self._note_progress()
            except Exception as error:  # the outermost frame of this thread, which must go on
                LOG.warning("%s", error, exc_info=not isinstance(error, VelumError))
            over.wait(self._timing.poll_seconds)

    def _sync_leases(self) -> None:
        """Stop runs whose lease is lost or whose job was cancelled; release leases for which no run exists."""
        with self._lock:
            tokens, runs = self._claims.list_tokens(), dict(self._runs)
        for token, run in runs.items():
            if token not in tokens:
                run.stop("lost")
            elif tokens[token]:
                run.stop("cancelled")
        for token in tokens.keys() - runs.keys():
            self._claims.drop(token)

    def _note_progress(self) -> None:
        for run in self._in_work().values():
            values, interim = run.progress(), run.interim
            if (now := (values["frames_done"], interim)) != run.noted:
                try:
                    self._claims.progress(run.lease, values | ({} if interim is None else {"report": interim}))
                    run.noted = now
                except LeaseLost:
                    run.stop("lost")

    def _maintenance_loop(self, chore: Callable[[], bool], over: threading.Event) -> None:
        """Call `chore` again and again: at once when it returns True, else after a pause."""
        while not over.is_set():
            try:
                if chore():
                    continue
            except Exception as error:  # the outermost frame of this thread, which must go on
                LOG.warning("%s", error, exc_info=not isinstance(error, VelumError))
            over.wait(min(CHORE_SECONDS, self._timing.beat_seconds))

    def _in_work(self) -> dict[str, JobRun]:
        with self._lock:
            return dict(self._runs)
