"""Where requests wait for their turn: inference in threads, so many at once, so many waiting, no more."""

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
    """How much work is taken on."""

    parallel: int = 2
    """Pictures that are looked at side by side. Each look uses all cores already: more shares them more evenly."""
    waiting: int = 64
    """Requests that may wait for their turn; what comes on top is refused."""
    upload: int = 256 << 20
    """Bytes of one request."""

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("waiting", 0), ("upload", 1)):
            if getattr(self, name) < least:
                raise BadPlan(f"{name} is {getattr(self, name)}; it must be at least {least}")


class QueueFull(Exception):
    """As many requests are waiting as may."""


class BoundedExecutor:
    """Runs jobs in threads of its own."""

    def __init__(self, capacity: Capacity) -> None:
        self._pool = ThreadPoolExecutor(capacity.parallel, "velum-serve")
        self._places = threading.BoundedSemaphore(capacity.parallel + capacity.waiting)

    async def run(self, job: Callable[[], T]) -> T:
        """Return what the job returns. Raises `QueueFull`, and what the job raises.

        A job that nobody waits for any more is not begun.
        """
        if not self._places.acquire(blocking=False):
            raise QueueFull
        future = self._pool.submit(job)
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what was begun, and drop the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)
