"""The caller of a request, scopes, quotas, and the errors of authentication: plain values."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from velum.errors import Unavailable

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
