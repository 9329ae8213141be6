"""Failures as problem details (RFC 9457): what velum's own part of the interface answers when it cannot serve."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from velum.bmw.routes import note
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, PluginFault, Unavailable, VelumError
from velum.net.guard import AddressRefused

KIND = "application/problem+json"

OWN = ("/v1/", "/blur/")
"""Paths that are velum's own; elsewhere failures are told in the words of the BMW interface."""

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What failed, what is allowed and what to do."},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "Name of the error, such as BadPlan: it stays the same."},
    },
    "required": ["type", "title", "status", "detail", "instance", "code"],
}

_MEANINGS = {
    400: ("Malformed", "The body or a header cannot be read."),
    401: ("NotKnown", "The request does not say who sends it."),
    403: ("Denied", "The caller may not do this."),
    404: ("NotFound", "There is no such thing, or it is someone else's."),
    409: ("Conflict", "This does not go in the present state."),
    410: ("Expired", "It was there, and was deleted after its time."),
    412: ("Overtaken", "Someone else has changed it since; look again."),
    413: ("LimitExceeded", "It is larger than the service accepts."),
    415: ("Unsupported", "The body is of a kind that is not taken here."),
    416: ("NotSatisfiable", "The range lies outside."),
    422: ("BadInput", "The source, the plan or a field is wrong."),
    429: ("Busy", "There is more to do than may wait; try again later."),
    500: ("OutputFailed", "A fault of the service. Nothing was published."),
    503: ("Unavailable", "Something that this needs is not there now; try again later."),
}
REFUSED_ADDRESS = (
    "the address may not be reached from this service; give another, or ask the operator, whose log says why"
)
"""Told in place of a message that names what a host's name stands for inside the operator's network."""

_HIDDEN = {
    OutputFailed: "the result could not be written, and nothing was published; the operator finds why in the log",
    PluginFault: "a part of the service failed, and nothing was published; the operator finds why in the log",
    Unavailable: "something that the request needs is not available; try again later, or ask the operator",
}
"""What clients are told in place of messages in which paths and addresses of the service may stand."""


class Problem(BadInput):
    """A request that cannot be served as it is. `headers` and `facts` go into the answer."""

    code = "Refused"
    http_status = 400

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})
        self.facts = facts


class Malformed(Problem):
    """The body or a header cannot be read."""


class NotFoundProblem(Problem):
    """There is no such thing, or it is someone else's."""

    code = "NotFound"
    http_status = 404


class ConflictProblem(Problem):
    """It does not go in the present state."""

    code = "Conflict"
    http_status = 409


class ExpiredProblem(Problem):
    """It was there, and was deleted after its time."""

    code = "Expired"
    http_status = 410


class Overtaken(Problem):
    """Someone else has changed it since the caller looked at it."""

    http_status = 412


class Unsupported(Problem):
    """The body is of a kind that is not taken here."""

    http_status = 415


class NotSatisfiable(Problem):
    """The range of bytes lies outside."""

    http_status = 416


class NotInstalled(Unavailable):
    """A model that the request needs is not on this machine. The message names no path: callers may read it."""


def own(path: str) -> bool:
    """Tell whether failures of a path are told as problems."""
    return path.startswith(OWN) or f"{path}/" in OWN


def problem(
    status: int, detail: str, path: str, *, code: str, headers: Mapping[str, str] | None = None, **facts: Any
) -> Response:
    """Return the answer that tells a failure."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Not served"
    values = {
        "type": "about:blank", "title": title, "status": status, "detail": detail, "instance": quote(path),
        "code": code,
    }  # fmt: skip
    return Response(json.dumps(values | facts), status, dict(headers or {}), media_type=KIND)


def told(error: VelumError, request: Request) -> Response:
    """Return the answer for an error; its cause is logged."""
    fault = isinstance(error, OutputFailed | PluginFault)
    note(request, cause=f"{type(error).__name__}: {error}", **({"fault": True} if fault else {}))
    status = error.http_status
    open_to_callers = isinstance(error, NotInstalled)
    headers = {"retry-after": "1"} if status in {429, 503} and not open_to_callers else {}
    headers |= dict(getattr(error, "headers", {}))
    facts = dict(getattr(error, "facts", {}))
    if isinstance(error, LimitExceeded):
        facts |= {"limit": error.limit, "value": error.value, "allowed": error.allowed}
    detail = REFUSED_ADDRESS if isinstance(error, AddressRefused) else str(error)
    if status >= 500 and not open_to_callers:
        detail = next((text for kind, text in _HIDDEN.items() if isinstance(error, kind)), "a fault of the service")
    return problem(status, detail, request.url.path, code=_code(error), headers=headers, **facts)


def _code(error: VelumError) -> str:
    """Return the name of the error that clients know: kinds of `Unavailable` are our own concern."""
    kind = type(error)
    if issubclass(kind, AddressRefused):
        return BadPlan.code
    if issubclass(kind, NotInstalled):
        return kind.code
    return Unavailable.code if issubclass(kind, Unavailable) and kind.http_status == 503 else kind.code


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of failures; those of every endpoint are added."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 403, 413, 422, 429, 500, 503, *statuses}):
        code, meaning = _MEANINGS[status]
        example = {
            "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": meaning,
            "instance": "/v1/jobs", "code": code,
        }  # fmt: skip
        described[status] = {"description": meaning, "content": {KIND: {"schema": SCHEMA, "example": example}}}
    return described
