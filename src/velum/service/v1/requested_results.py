"""Results made of a job on request, such as previews: one at a time, kept for a while, no longer than the source."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from velum.errors import VelumError

KEPT = 8
IDLE_SECONDS = 900.0
LOOK_SECONDS = 15.0
"""Most results at a time, how long each is kept after the last access, and the interval of checks."""

T = TypeVar("T")


class Unwanted(Exception):
    """Nobody wants the result any more."""


@dataclass(slots=True, eq=False)
class RequestedResult(Generic[T]):
    """A result that is made or ready; `version` says of what, such as the regions that a job had then."""

    version: str
    used: float
    state: Literal["making", "ready", "failed"] = "making"
    share: float | None = None
    error: str | None = None
    value: T | None = None
    is_wanted: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the progress as JSON values."""
        return {"state": self.state, "share": self.share, "error": self.error}

    def report(self, done: int, total: int | None) -> None:
        """Note progress. Raises `Unwanted` when the work can stop."""
        self.share = min(1.0, done / total) if total else None
        if not self.is_wanted:
            raise Unwanted


@dataclass(slots=True, eq=False)
class RequestedResults(Generic[T]):
    """Makes and keeps one result for each job. `discard` gets a result that is dropped.

    `keeps_source` tells by the id of a job whether its source still exists. Safe to share between threads.
    """

    name: str
    """Name of the threads."""
    keeps_source: Callable[[str], bool]
    discard: Callable[[T], None] = lambda _: None
    _results: dict[str, RequestedResult[T]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor | None = None

    def ask(self, job: str, make: Callable[[RequestedResult[T]], T], version: str = "") -> dict[str, Any]:
        """Return the progress of a result as JSON values, starting it on the first request for this version.

        `make` raises any `VelumError`. A failure is returned once; the next request starts again.
        """
        with self._lock:
            result = self._results.get(job)
            if result is not None and result.version != version:
                self._drop(job)
                result = None
            elif result is not None and result.state == "failed":
                return self._results.pop(job).to_json()
            if result is None:
                result = self._results[job] = RequestedResult(version, time.monotonic())
                self._threads().submit(self._make, result, make)
            result.used = time.monotonic()
            return result.to_json()

    def get(self, job: str, version: str = "") -> T | None:
        """Return the finished result of this version, None before."""
        with self._lock:
            result = self._results.get(job)
            if result is None or result.version != version or result.state != "ready":
                return None
            result.used = time.monotonic()
            return result.value

    def close(self) -> None:
        """Stop, and drop all results."""
        self._end.set()
        with self._lock:
            pool = self._pool
            for job in list(self._results):
                self._drop(job)
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=self.name)
            threading.Thread(target=self._tidy, name=f"{self.name}-tidy", daemon=True).start()
        return self._pool

    def _make(self, result: RequestedResult[T], make: Callable[[RequestedResult[T]], T]) -> None:
        try:
            value = make(result)
        except Unwanted:
            return
        except VelumError as error:
            result.error = str(error)
        else:
            with self._lock:
                if result.is_wanted:
                    result.value, result.share, result.state = value, 1.0, "ready"
                else:
                    self.discard(value)
        finally:
            if result.state == "making":
                result.state = "failed"

    def _drop(self, job: str) -> None:
        result = self._results.pop(job)
        result.is_wanted = False
        if result.value is not None:
            self.discard(result.value)

    def _tidy(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            with self._lock:
                newest_first = sorted(self._results.items(), key=lambda entry: entry[1].used, reverse=True)
            now = time.monotonic()
            for rank, (job, result) in enumerate(newest_first):
                if rank >= KEPT or now - result.used > IDLE_SECONDS or not self._keeps_source(job):
                    with self._lock:
                        if self._results.get(job) is result:
                            self._drop(job)

    def _keeps_source(self, job: str) -> bool:
        try:
            return self.keeps_source(job)
        except VelumError:
            return False
