"""How much a caller may ask for: counted in the memory of this process, so each process counts for itself."""

import math
import threading
import time

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from velum.service.auth.principal import Principal, RateLimited


class RateLimits:
    """Counts the requests of the last minute, and the bytes of a day, which begins with the first of them.

    A last day that moves would need a list of when each byte came.
    """

    def __init__(self) -> None:
        storage = MemoryStorage()
        self._requests, self._bytes = MovingWindowRateLimiter(storage), FixedWindowRateLimiter(storage)
        self._lock = threading.Lock()

    def request(self, caller: Principal) -> None:
        """Count one request. Raises `RateLimited` when the caller has sent as many as allowed."""
        if not (most := caller.allowance.requests_per_minute):
            return
        item = RateLimitItemPerMinute(most, namespace="requests")
        if not self._requests.hit(item, caller.name):
            seconds = _until(self._requests.get_window_stats(item, caller.name).reset_time)
            raise RateLimited(f"{caller.name} may send {most:,} requests a minute, and has; wait {seconds} s", seconds)

    def volume(self, caller: Principal, number: int) -> None:
        """Count bytes of uploads. Raises `RateLimited` when they are more than the caller may still send."""
        if not (most := caller.allowance.bytes_per_day) or not number:
            return
        item = RateLimitItemPerDay(most, namespace="bytes")
        with self._lock:
            # What is refused does not count, as it would if it were tried.
            fits = self._bytes.test(item, caller.name, cost=number)
            if fits:
                self._bytes.hit(item, caller.name, cost=number)
        if not fits:
            stats = self._bytes.get_window_stats(item, caller.name)
            raise RateLimited(
                f"{caller.name} may send {most:,} bytes a day, of which {stats.remaining:,} are left; "
                f"this upload has {number:,} or more",
                _until(stats.reset_time),
            )


def _until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
