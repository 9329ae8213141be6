"""A thread pool for inference with a bounded queue."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from velum.errors import BadPlan

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Capacity:
    """Limits of the server."""

    parallel: int = 2
    """Images processed at a time. Inference uses all cores already; more at a time only shares them."""
    waiting: int = 64
    """Most requests that wait; further ones are refused."""
    upload: int = 256 << 20
    """Most bytes of a request."""

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("waiting", 0), ("upload", 1)):
            if getattr(self, name) < least:
                raise BadPlan(f"{name} is {getattr(self, name)}; it must be at least {least}")


class QueueFull(Exception):
    """The queue is full."""


class BoundedExecutor:
    """Runs jobs in threads, with a bounded queue."""

    def __init__(self, capacity: Capacity) -> None:
        self._pool = ThreadPoolExecutor(capacity.parallel, "velum-serve")
        self._places = threading.BoundedSemaphore(capacity.parallel + capacity.waiting)

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job in a thread and return its result. Raises `QueueFull`, and what the job raises.

        A waiting job whose caller is cancelled does not run.
        """
        if not self._places.acquire(blocking=False):
            raise QueueFull
        future = self._pool.submit(job)
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for running jobs, and cancel waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)
