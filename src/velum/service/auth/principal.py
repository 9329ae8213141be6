"""Who asks, what they may do, and how they are refused: plain values."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from velum.errors import Unavailable

Scope = Literal["anonymize", "review", "operate"]
"""anonymize: hide, locate, upload and have jobs done; review: correct regions and render anew; operate: everyone's
jobs, the list of inference APIs, metrics. None holds another."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one caller may ask for; 0 is without a limit."""

    requests_per_minute: int = 0
    bytes_per_day: int = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `name` owns the jobs that are handed in."""

    name: str
    scopes: frozenset[Scope]
    allowance: Quota = field(default_factory=Quota)


ANYONE = Principal("anonymous", frozenset(SCOPES))
"""Everyone, where access is not restricted."""


class AccessDenied(Unavailable):
    """A request is not served because of who asks for it."""

    code = "Denied"
    http_status = 403

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {}


class Unauthenticated(AccessDenied):
    """The request names nobody who is known."""

    code = "NotKnown"
    http_status = 401

    @property
    def headers(self) -> dict[str, str]:
        """How to say who asks (RFC 9110, section 11.6.1)."""
        return {"www-authenticate": 'Bearer realm="velum"'}


class RateLimited(AccessDenied):
    """The caller has asked for as much as is allowed. `seconds` is how long to wait."""

    code = "TooMuch"
    http_status = 429

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds

    @property
    def headers(self) -> dict[str, str]:
        """When to try again."""
        return {"retry-after": str(self.seconds)}
