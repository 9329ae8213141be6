"""How much work runs at a time: places for requests, processor slots for images, and the threads of requests.

The event loop is never blocked, work is told when its client disconnects, and a request that waits for another service
holds no processor slot.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from velum.errors import Unavailable

if TYPE_CHECKING:  # the localizers of `velum.bmw` import this module, and must not load a web framework
    from starlette.requests import Request

T = TypeVar("T")

OWN_MODELS = "http://velum/"
"""Name of velum's own models among the services whose places requests reserve; nothing is ever sent to it."""


class Overloaded(Unavailable):
    """The queue is full; the client may try again later (429)."""

    code = "Busy"
    http_status = 429


class ClientGone(Unavailable):
    """The client has disconnected (499)."""

    http_status = 499


def stop_if_gone(disconnect: threading.Event) -> None:
    """Raise `ClientGone` once the event is set."""
    if disconnect.is_set():
        raise ClientGone("the client has disconnected, or the service is shutting down")


class Admission:
    """Limits concurrent work: `parallel` images on the processor, and `places` requests for each service that they use.

    Each service has places of its own, so that a slow one does not hold up requests to the others. `count_waiting` and
    `count_working` return context managers that are entered while an image waits for a slot, and while it has one. Safe
    to share between threads.
    """

    def __init__(
        self, parallel: int, places: int, *,
        count_waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
        count_working: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:  # fmt: skip
        self._slots = threading.BoundedSemaphore(parallel)
        self._places = places
        self._count_waiting, self._count_working = count_waiting, count_working
        self._lock = threading.Lock()
        self._reserved: Counter[str] = Counter()
        self._held = threading.local()

    @contextmanager
    def reserve(self, services: frozenset[str]) -> Iterator[None]:
        """Hold a place of each service, named by its address. Raises `Overloaded` when one has none left."""
        with self._lock:
            full = sorted(service for service in services if self._reserved[service] >= self._places)
            if full:
                raise Overloaded(
                    f"{self._places} requests to {', '.join(full)} are in progress, the most allowed; try again later"
                )
            self._reserved.update(services)
        try:
            yield
        finally:
            with self._lock:
                self._reserved.subtract(services)
                self._reserved += Counter()  # drops services without requests

    @contextmanager
    def working(self) -> Iterator[None]:
        """Wait for a processor slot, and hold it."""
        with self._count_waiting():
            self._slots.acquire()
        try:
            self._held.slot = True
            with self._count_working():
                yield
        finally:
            self._held.slot = False
            self._slots.release()

    @contextmanager
    def yield_cpu(self) -> Iterator[None]:
        """Release the processor slot of this thread meanwhile; without one, do nothing."""
        if not getattr(self._held, "slot", False):
            yield
            return
        self._slots.release()
        try:
            yield
        finally:
            self._slots.acquire()


class RequestThreads:
    """Runs the work of up to `threads` requests at a time, each in the context (`contextvars`) of its request."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="velum-request")

    async def run(self, request: "Request", work: Callable[[threading.Event], T]) -> T:
        """Run `work` in a thread and return its result.

        Its event is set when the client disconnects or the service shuts down. The request's body must have been read
        before.
        """
        disconnect = threading.Event()
        loop = asyncio.get_running_loop()
        job: asyncio.Future[T] = loop.run_in_executor(self._pool, copy_context().run, work, disconnect)
        leaving = asyncio.ensure_future(_wait_for_disconnect(request))
        try:
            waited: set[asyncio.Future[Any]] = {job, leaving}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                disconnect.set()
            return await job
        finally:
            disconnect.set()
            leaving.cancel()
            job.add_done_callback(_drop_exception)

    def close(self) -> None:
        """Wait until all running work has finished."""
        self._pool.shutdown(wait=True)


def _drop_exception(job: asyncio.Future[Any]) -> None:
    """Retrieve the exception of work that nobody awaits any more; asyncio would log it as never retrieved."""
    if not job.cancelled():
        job.exception()


async def _wait_for_disconnect(request: "Request") -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
