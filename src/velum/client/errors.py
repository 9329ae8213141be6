"""Errors that the service reports, as exceptions of velum: problem details (RFC 9457) read back.

BadInput
├── NotFound       there is no such job or upload, or it is someone else's
├── Conflict       the job's current state does not allow this
└── Expired        the file existed, and was deleted after its time
LimitExceeded
└── Oversized      the service accepts less
Unavailable
├── Denied         credentials are missing or wrong, or do not allow this
└── Busy           the queue of the service is full; `seconds` is how long it asks to wait
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from velum.errors import BadInput, BadPlan, LimitExceeded, NotHidden, OutputFailed, PluginFault, Unavailable, VelumError

KIND = "application/problem+json"


class NotFound(BadInput):
    """There is no such job or upload, or it is someone else's."""


class Conflict(BadInput):
    """The job's current state does not allow this."""


class Expired(BadInput):
    """The file existed, and was deleted after its time."""


class Oversized(LimitExceeded):
    """The service accepts less. `limit`, `value` and `allowed` are "", 0 and 0 where it did not say more."""

    def __init__(self, message: str, limit: str = "", value: float = 0, allowed: float = 0) -> None:
        VelumError.__init__(self, message)
        self.limit, self.value, self.allowed = limit, value, allowed


class Denied(Unavailable):
    """Credentials are missing or wrong, or do not allow this."""


class Busy(Unavailable):
    """The queue of the service is full; `seconds` is how long it asks to wait."""

    def __init__(self, message: str, seconds: float = 1.0) -> None:
        super().__init__(message)
        self.seconds = seconds


_CODES: Mapping[str, Callable[[str], VelumError]] = MappingProxyType(
    {
        "BadInput": BadInput,
        "BadPlan": BadPlan,
        "Busy": Busy,
        "Conflict": Conflict,
        "Denied": Denied,
        "Expired": Expired,
        "LimitExceeded": Oversized,
        "NotFound": NotFound,
        "NotKnown": Denied,
        "OutputFailed": OutputFailed,
        "NotHidden": NotHidden,
        "PluginFault": PluginFault,
        "TooMuch": Busy,
        "Unavailable": Unavailable,
    }
)
_STATUSES: Mapping[int, Callable[[str], VelumError]] = MappingProxyType(
    {401: Denied, 403: Denied, 413: Oversized, 429: Busy}
)


def failure(code: str, message: str) -> VelumError:
    """Return the error of that name, with that text; `Unavailable` for a name that is unknown here."""
    return _CODES.get(code, Unavailable)(message)


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: str) -> VelumError:
    """Return the error of a response with status 300 or above. `where` is the URL of the request."""
    problem = _problem(headers, body)
    if problem is None:
        text = f"{where} answered {status}, and not as velum's service does; check the address"
        error = _STATUSES.get(status, Unavailable)(text)
    else:
        code, text = str(problem.get("code", "")), printable(str(problem["detail"]))
        if status >= 500 and (request := headers.get("x-request-id")):
            text += f" (request {printable(request)})"
        kind = _CODES.get(code) or _STATUSES.get(status) or (BadInput if status < 500 else Unavailable)
        error = kind(text)
    if isinstance(error, Busy):
        error.seconds = _seconds(headers.get("retry-after", ""))
    if isinstance(error, Oversized) and problem is not None:
        numbers = (problem.get("value"), problem.get("allowed"))
        error.value, error.allowed = (number if isinstance(number, int | float) else 0 for number in numbers)
        error.limit = str(problem.get("limit", ""))
    return error


def printable(text: str) -> str:
    """Return a text of the service with `?` for control characters, which a terminal would interpret."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _problem(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any] | None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        return None
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return problem if isinstance(problem, dict) and isinstance(problem.get("detail"), str) else None


def _seconds(text: str) -> float:
    return min(float(text), 60.0) if text.isascii() and text.isdecimal() and len(text) < 10 else 1.0
