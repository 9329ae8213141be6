"""How much is in work at a time: waiting for another service takes no place from those who need the processor."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from velum.errors import Unavailable


class Overloaded(Unavailable):
    """There is more to do than may wait. Try again later."""

    code = "Busy"
    http_status = 429


class Admission:
    """Lets `parallel` pictures at a time to the processor, and `places` in for each service that they ask.

    Places are counted for each service apart: where one is slow, requests that ask others go on.
    """

    def __init__(self, parallel: int, places: int) -> None:
        self._slots = threading.BoundedSemaphore(parallel)
        self._places = places
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()
        self._held = threading.local()

    @contextmanager
    def admitted(self, services: frozenset[str]) -> Iterator[None]:
        """Take a place for each service. Raises `Overloaded` when one has none left."""
        with self._lock:
            full = sorted(one for one in services if self._inside[one] >= self._places)
            if full:
                raise Overloaded(f"{self._places} requests to {', '.join(full)} are in work or wait; try again later")
            self._inside.update(services)
        try:
            yield
        finally:
            with self._lock:
                self._inside.subtract(services)
                self._inside += Counter()  # forget who has none

    @contextmanager
    def working(self) -> Iterator[None]:
        """Wait for the processor, and have it."""
        with self._slots:
            self._held.yes = True
            try:
                yield
            finally:
                self._held.yes = False

    @contextmanager
    def yield_cpu(self) -> Iterator[None]:
        """Let others to the processor meanwhile, where this thread has it."""
        if not getattr(self._held, "yes", False):
            yield
            return
        self._slots.release()
        try:
            yield
        finally:
            self._slots.acquire()
