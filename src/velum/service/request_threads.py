"""Threads for requests: the event loop stays free, and work that nobody waits for any more is told so."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


class RequestThreads:
    """Up to `threads` requests in work at a time."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="velum-request")

    async def run(self, request: Request, work: Callable[[threading.Event], T]) -> T:
        """Return what `work` returns; its event is set when the client goes away or the service ends.

        The request's body must have been read.
        """
        gone = threading.Event()
        job: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(self._pool, work, gone)
        leaving = asyncio.ensure_future(_left(request))
        try:
            waited: set[asyncio.Future[Any]] = {job, leaving}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                gone.set()
            return await job
        finally:
            gone.set()
            leaving.cancel()
            job.add_done_callback(_seen)

    def close(self) -> None:
        """Wait for what is in work."""
        self._pool.shutdown(wait=True)


def _seen(job: asyncio.Future[Any]) -> None:
    """Take the failure of work that nobody waits for any more, which asyncio would complain of."""
    if not job.cancelled():
        job.exception()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
