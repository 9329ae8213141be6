"""Error responses: problem details (RFC 9457), and the bodies of another API that is served next to velum's own."""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, PluginFault, Unavailable, VelumError
from velum.net.guard import AddressRefused
from velum.service.middleware import CLIENT_GONE, TOO_LARGE, TOO_SLOW, note

KIND = "application/problem+json"

OWN = ("/v1/", "/blur/")
"""Paths of velum's own API, where errors are always problem details."""

Refuse = Callable[[int, str, str, str, Mapping[str, str]], Response]
"""Returns the response to a refused request, by status, message, path, error code and headers."""

ErrorBody = Callable[[int, str], bytes]
"""Returns the JSON body of an error response of another API, by status and message."""

INTERNAL_ERROR = "internal error; the operator finds the cause in the log"

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
    401: ("NotKnown", "Credentials are missing or not valid."),
    403: ("Denied", "The caller may not do this."),
    404: ("NotFound", "It does not exist, or it belongs to another caller."),
    409: ("Conflict", "The job's or upload's current state does not allow this."),
    410: ("Expired", "It has been deleted after its retention time."),
    412: ("Overtaken", "Somebody else has changed it since; fetch it again."),
    413: ("LimitExceeded", "It is larger than the service accepts."),
    415: ("Unsupported", "The media type of the body is not supported here."),
    416: ("NotSatisfiable", "The byte range lies outside the file."),
    422: ("BadInput", "The source, the plan or a field is wrong."),
    429: ("Busy", "Too many requests, or the queue is full; try again later."),
    500: ("OutputFailed", "Internal error. Nothing was published."),
    503: ("Unavailable", "Something that the request needs is not available now; try again later."),
}
REFUSED_ADDRESS = (
    "this service is not allowed to connect to the address; use another one, or ask the operator, whose log says why"
)
"""Replaces a message that has the IP address of a host name inside the operator's network."""

_HIDDEN = {
    OutputFailed: "the result could not be written, and nothing was published; the operator finds the cause in the log",
    PluginFault: "a plugin of the service failed, and nothing was published; the operator finds the cause in the log",
    Unavailable: "something that the request needs is not available; try again later, or ask the operator",
}
"""Replaces messages that may have paths and addresses of the service."""


class Problem(BadInput):
    """A request that cannot be served: `status` is one of `_MEANINGS`, which has the usual error code, too.

    The response has `headers`, and `facts` as further members of its JSON.
    """

    def __init__(
        self, status: int, message: str, *, code: str = "", headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(message)
        self.status, self.error_code = status, code or _MEANINGS[status][0]
        self.headers, self.facts = dict(headers or {}), facts


class NotInstalled(Unavailable):
    """A model that the request needs is not installed. Callers get the message, so it names no path."""


def uses_problem_details(path: str) -> bool:
    """Tell whether errors of a path are problem details: it belongs to velum's own API."""
    return path.startswith(OWN) or f"{path}/" in OWN


def problem(
    status: int, detail: str, path: str, *, code: str, headers: Mapping[str, str] | None = None, **facts: Any
) -> Response:
    """Return a response with problem details; `facts` are further members of its JSON."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Not served"
    values = {
        "type": "about:blank", "title": title, "status": status, "detail": detail, "instance": quote(path),
        "code": code,
    }  # fmt: skip
    return Response(json.dumps(values | facts), status, dict(headers or {}), media_type=KIND)


def problem_of(error: VelumError, request: Request) -> Response:
    """Return the response for an error, and note its cause for the request's log line."""
    fault = isinstance(error, OutputFailed | PluginFault)
    note(request, cause=f"{type(error).__name__}: {error}", **({"fault": True} if fault else {}))
    status = error.status if isinstance(error, Problem) else error.http_status
    open_to_callers = isinstance(error, NotInstalled)
    headers = {"retry-after": "1"} if status in {429, 503} and not open_to_callers else {}
    headers |= dict(getattr(error, "headers", {}))
    facts = dict(getattr(error, "facts", {}))
    if isinstance(error, LimitExceeded):
        facts |= {"limit": error.limit, "value": error.value, "allowed": error.allowed}
    detail = REFUSED_ADDRESS if isinstance(error, AddressRefused) else str(error)
    if status >= 500 and not open_to_callers:
        detail = next(
            (text for kind, text in _HIDDEN.items() if isinstance(error, kind)),
            INTERNAL_ERROR,
        )
    return problem(status, detail, request.url.path, code=_code(error), headers=headers, **facts)


def _code(error: VelumError) -> str:
    """Return the error code for clients, who need not tell the subclasses of `Unavailable` apart."""
    if isinstance(error, Problem):
        return error.error_code
    kind = type(error)
    if issubclass(kind, AddressRefused):
        return BadPlan.code
    if issubclass(kind, NotInstalled):
        return kind.code
    return Unavailable.code if issubclass(kind, Unavailable) and kind.http_status == 503 else kind.code


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of error responses: these statuses, and those that every endpoint can have."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 403, 413, 422, 429, 500, 503, *statuses}):
        code, meaning = _MEANINGS[status]
        example = {
            "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": meaning,
            "instance": "/v1/jobs", "code": code,
        }  # fmt: skip
        described[status] = {"description": meaning, "content": {KIND: {"schema": SCHEMA, "example": example}}}
    return described


def refuse_with(error_body: ErrorBody | None) -> Refuse:
    """Return the function that answers refused requests: with problem details, outside `OWN` with `error_body`."""

    def refuse(status: int, text: str, path: str, code: str, headers: Mapping[str, str]) -> Response:
        if error_body is None or uses_problem_details(path):
            return problem(status, text, path, code=code, headers=headers)
        return Response(error_body(status, text), status, headers, media_type="application/json")

    return refuse


def add_error_handlers(
    app: FastAPI, error_body: ErrorBody | None = None, invalid_body: Callable[[Sequence[Any]], bytes] | None = None
) -> None:
    """Have the application answer errors with problem details; outside `OWN` with these bodies, where they are given.

    `invalid_body` returns the body of status 422 for the errors of pydantic.
    """

    @app.exception_handler(RequestValidationError)
    async def on_invalid_request(request: Request, error: RequestValidationError) -> Response:
        if invalid_body is None or uses_problem_details(request.url.path):
            return _fields_problem(request, error)
        return Response(invalid_body(error.errors()), 422, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        if error_body is None or uses_problem_details(request.url.path):
            return _http_problem(request, error)
        if error.status_code in {TOO_SLOW, TOO_LARGE}:
            # The rest of the body is never read, so the connection cannot be used again.
            headers = {"connection": "close"}
            body = error_body(error.status_code, str(error.detail))
            return Response(body, error.status_code, headers, media_type="application/json")
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(VelumError)
    async def on_velum_error(request: Request, error: VelumError) -> Response:
        return problem_of(error, request)

    @app.exception_handler(ClientDisconnect)
    async def on_client_gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)


def _fields_problem(request: Request, error: RequestValidationError) -> Response:
    """Return a 422 response that lists the faults by field, without the values that were sent."""
    wrong = [{"at": ".".join(map(str, fault["loc"])), "problem": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['at']}: {fault['problem']}" for fault in wrong)
    return problem(422, detail, request.url.path, code="BadInput", errors=wrong)


def _http_problem(request: Request, error: HTTPException) -> Response:
    unread = error.status_code in {TOO_SLOW, TOO_LARGE}
    codes = {TOO_SLOW: "TooSlow", 404: "NotFound", 405: "NotAllowed", TOO_LARGE: "LimitExceeded", 429: "Busy"}
    # The rest of such a body is never read, so the connection cannot be used again.
    headers = {**(error.headers or {}), **({"connection": "close"} if unread else {})}
    code = codes.get(error.status_code, "Malformed")
    return problem(error.status_code, str(error.detail), request.url.path, code=code, headers=headers)
