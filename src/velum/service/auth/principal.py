"""The caller of a request with scopes and quota, the errors of authentication, and what counts against quotas."""

import math
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from velum.errors import Unavailable

if TYPE_CHECKING:
    from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

Scope = Literal["anonymize", "review", "operate"]
"""anonymize: hide, locate, upload and submit jobs; review: correct regions and render again; operate: jobs of all
callers, the list of inference APIs, metrics. No scope includes another."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one caller; 0 stands for no limit."""

    requests_per_minute: int = 0
    bytes_per_day: int = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request; `name` owns the jobs that it submits."""

    name: str
    scopes: frozenset[Scope]
    allowance: Quota = field(default_factory=Quota)


ANYONE = Principal("anonymous", frozenset(SCOPES))
"""The caller of every request where no credentials are required."""


class AccessDenied(Unavailable):
    """The caller may not do this (403)."""

    code = "Denied"
    http_status = 403

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {}


class Unauthenticated(AccessDenied):
    """Credentials are missing or not valid (401)."""

    code = "NotKnown"
    http_status = 401

    @property
    def headers(self) -> dict[str, str]:
        """The authentication scheme to use (RFC 9110, section 11.6.1)."""
        return {"www-authenticate": 'Bearer realm="velum"'}


class RateLimited(AccessDenied):
    """The caller has used up a quota (429). `seconds` is how long to wait."""

    code = "TooMuch"
    http_status = 429

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds

    @property
    def headers(self) -> dict[str, str]:
        """When the client may try again."""
        return {"retry-after": str(self.seconds)}


class RateLimits:
    """Counts each caller's requests of the last minute, and bytes of a day that begins with the first of them.

    It counts in memory, so each process of the service counts for itself. A moving window for bytes would need the time
    of each single one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @cached_property
    def _limiters(self) -> "tuple[MovingWindowRateLimiter, FixedWindowRateLimiter]":
        """The limiters of requests and of bytes. Their library is imported once a caller has a quota."""
        from limits.storage import MemoryStorage  # noqa: PLC0415
        from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter  # noqa: PLC0415

        storage = MemoryStorage()
        return MovingWindowRateLimiter(storage), FixedWindowRateLimiter(storage)

    def request(self, caller: Principal) -> None:
        """Count one request. Raises `RateLimited` when the caller has reached the limit."""
        if not (most := caller.allowance.requests_per_minute):
            return
        from limits import RateLimitItemPerMinute  # noqa: PLC0415

        item, requests = RateLimitItemPerMinute(most, namespace="requests"), self._limiters[0]
        if not requests.hit(item, caller.name):
            seconds = _until(requests.get_window_stats(item, caller.name).reset_time)
            raise RateLimited(
                f"{caller.name} has reached the limit of {most:,} requests a minute; wait {seconds} s", seconds
            )

    def volume(self, caller: Principal, number: int) -> None:
        """Count bytes of uploads. Raises `RateLimited` when they exceed what the caller may still send."""
        if not (most := caller.allowance.bytes_per_day) or not number:
            return
        from limits import RateLimitItemPerDay  # noqa: PLC0415

        item, volume = RateLimitItemPerDay(most, namespace="bytes"), self._limiters[1]
        with self._lock:
            # `hit` alone would also count bytes that are refused.
            fits = volume.test(item, caller.name, cost=number)
            if fits:
                volume.hit(item, caller.name, cost=number)
        if not fits:
            stats = volume.get_window_stats(item, caller.name)
            raise RateLimited(
                f"{caller.name} may send {most:,} bytes a day, {stats.remaining:,} are left; "
                f"this upload has at least {number:,}",
                _until(stats.reset_time),
            )


def _until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
