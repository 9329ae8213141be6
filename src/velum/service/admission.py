"""How many images are processed at a time. A request that waits for another service holds no processor slot."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from velum.errors import Unavailable


class Overloaded(Unavailable):
    """The queue is full; the client may try again later (429)."""

    code = "Busy"
    http_status = 429


class Admission:
    """Limits concurrent work: `parallel` images on the processor, and `places` requests for each service that they use.

    Each service has places of its own, so that a slow one does not hold up requests to the others. Safe to share
    between threads.
    """

    def __init__(self, parallel: int, places: int) -> None:
        self._slots = threading.BoundedSemaphore(parallel)
        self._places = places
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()
        self._held = threading.local()

    @contextmanager
    def reserve(self, services: frozenset[str]) -> Iterator[None]:
        """Hold a place of each service, named by its address. Raises `Overloaded` when one has none left."""
        with self._lock:
            full = sorted(service for service in services if self._inside[service] >= self._places)
            if full:
                raise Overloaded(
                    f"{self._places} requests to {', '.join(full)} are in progress, the most allowed; try again later"
                )
            self._inside.update(services)
        try:
            yield
        finally:
            with self._lock:
                self._inside.subtract(services)
                self._inside += Counter()  # drops services without requests

    @contextmanager
    def working(self) -> Iterator[None]:
        """Wait for a processor slot, and hold it."""
        with self._slots:
            self._held.yes = True
            try:
                yield
            finally:
                self._held.yes = False

    @contextmanager
    def yield_cpu(self) -> Iterator[None]:
        """Release the processor slot of this thread meanwhile; without one, do nothing."""
        if not getattr(self._held, "yes", False):
            yield
            return
        self._slots.release()
        try:
            yield
        finally:
            self._slots.acquire()
