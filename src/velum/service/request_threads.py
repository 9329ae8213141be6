"""Threads for requests: the event loop stays free, and work learns when its client has gone."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


class RequestThreads:
    """Runs the work of up to `threads` requests at a time."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="velum-request")

    async def run(self, request: Request, work: Callable[[threading.Event], T]) -> T:
        """Run `work` in a thread and return its result.

        Its event is set when the client disconnects or the service shuts down. The request's body must have been read
        before.
        """
        gone = threading.Event()
        job: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(self._pool, work, gone)
        leaving = asyncio.ensure_future(_wait_for_disconnect(request))
        try:
            waited: set[asyncio.Future[Any]] = {job, leaving}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                gone.set()
            return await job
        finally:
            gone.set()
            leaving.cancel()
            job.add_done_callback(_drop_exception)

    def close(self) -> None:
        """Wait until all running work has finished."""
        self._pool.shutdown(wait=True)


def _drop_exception(job: asyncio.Future[Any]) -> None:
    """Retrieve the exception of work that nobody awaits any more; asyncio would log it as never retrieved."""
    if not job.cancelled():
        job.exception()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
