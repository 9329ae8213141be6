"""Quotas of callers, counted in memory: each process of the service counts for itself."""

import math
import threading
import time

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from velum.service.auth.principal import Principal, RateLimited


class RateLimits:
    """Counts each caller's requests of the last minute, and bytes of a day that begins with the first of them.

    A moving window for bytes would need the time of each single one.
    """

    def __init__(self) -> None:
        storage = MemoryStorage()
        self._requests, self._bytes = MovingWindowRateLimiter(storage), FixedWindowRateLimiter(storage)
        self._lock = threading.Lock()

    def request(self, caller: Principal) -> None:
        """Count one request. Raises `RateLimited` when the caller has reached the limit."""
        if not (most := caller.allowance.requests_per_minute):
            return
        item = RateLimitItemPerMinute(most, namespace="requests")
        if not self._requests.hit(item, caller.name):
            seconds = _until(self._requests.get_window_stats(item, caller.name).reset_time)
            raise RateLimited(
                f"{caller.name} has reached the limit of {most:,} requests a minute; wait {seconds} s", seconds
            )

    def volume(self, caller: Principal, number: int) -> None:
        """Count bytes of uploads. Raises `RateLimited` when they exceed what the caller may still send."""
        if not (most := caller.allowance.bytes_per_day) or not number:
            return
        item = RateLimitItemPerDay(most, namespace="bytes")
        with self._lock:
            # `hit` alone would also count bytes that are refused.
            fits = self._bytes.test(item, caller.name, cost=number)
            if fits:
                self._bytes.hit(item, caller.name, cost=number)
        if not fits:
            stats = self._bytes.get_window_stats(item, caller.name)
            raise RateLimited(
                f"{caller.name} may send {most:,} bytes a day, {stats.remaining:,} are left; "
                f"this upload has at least {number:,}",
                _until(stats.reset_time),
            )


def _until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
