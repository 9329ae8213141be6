"""What the service refuses, as the errors of velum: problem details (RFC 9457) read back.

BadInput
├── NotFound       there is no such job or upload, or it is someone else's
├── Conflict       it does not go in the present state
└── Expired        it was there, and was deleted after its time
LimitExceeded
└── Oversized      told by the service
Unavailable
├── Denied         the service does not know who asks, or they may not do this
└── Busy           the service has more to do than may wait; `seconds` is how long it asks to wait
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
    """It does not go in the present state."""


class Expired(BadInput):
    """It was there, and was deleted after its time."""


class Oversized(LimitExceeded):
    """The service accepts less. `limit`, `value` and `allowed` are "", 0 and 0 where it did not say more."""

    def __init__(self, message: str, limit: str = "", value: float = 0, allowed: float = 0) -> None:
        VelumError.__init__(self, message)
        self.limit, self.value, self.allowed = limit, value, allowed


class Denied(Unavailable):
    """The service does not know who asks, or they may not do this."""


class Busy(Unavailable):
    """The service has more to do than may wait; `seconds` is how long it asks to wait."""

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
    """Return the error of which the service tells the name and the text."""
    return _CODES.get(code, Unavailable)(message)


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: str) -> VelumError:
    """Return the error that an answer of status 300 and above tells. `where` is the address that was asked."""
    told = _problem(headers, body)
    if told is None:
        text = f"{where} answered {status}, and not as velum's service does; check the address"
        error = _STATUSES.get(status, Unavailable)(text)
    else:
        code, text = str(told.get("code", "")), printable(str(told["detail"]))
        if status >= 500 and (request := headers.get("x-request-id")):
            text += f" (request {printable(request)})"
        known = _CODES.get(code) or _STATUSES.get(status) or (BadInput if status < 500 else Unavailable)
        error = known(text)
    if isinstance(error, Busy):
        error.seconds = _seconds(headers.get("retry-after", ""))
    if isinstance(error, Oversized) and told is not None:
        numbers = (told.get("value"), told.get("allowed"))
        error.value, error.allowed = (one if isinstance(one, int | float) else 0 for one in numbers)
        error.limit = str(told.get("limit", ""))
    return error


def printable(text: str) -> str:
    """Return a text of the service without characters that could do something to a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _problem(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any] | None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        return None
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("detail"), str) else None


def _seconds(text: str) -> float:
    return min(float(text), 60.0) if text.isascii() and text.isdecimal() and len(text) < 10 else 1.0
