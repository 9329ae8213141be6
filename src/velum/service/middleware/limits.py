"""The outermost edge: every request gets an id, a place, a limit and a line in the log, and no failure escapes it."""

import asyncio
import json
import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velum.bmw import wire
from velum.bmw.routes import FACTS
from velum.service import problem_details
from velum.service.paths import is_protected

TOO_SLOW, TOO_LARGE, TOO_MANY, CLIENT_GONE = 408, 413, 429, 499
LEAST_RATE = 1000
"""Bytes of a body in a second, on the average, below which a client is too slow."""

_CODES = {400: "Malformed", TOO_LARGE: "LimitExceeded", TOO_MANY: "Busy", 500: "Fault", 503: "Unavailable"}

UPLOADS = "/v1/uploads/"
"""Start of the paths that files of any size are sent to."""

REQUEST = "velum.request"
"""Key of a request's scope under which its id is found."""

LOG = logging.getLogger("velum.service")


@dataclass(slots=True)
class RequestLimits:
    """Serves up to `requests` at a time, each with a body of at most `body_bytes`.

    What is streamed to `UPLOADS` is counted there, and never in memory: it may have up to `upload_bytes`.
    """

    app: ASGIApp
    requests: int
    body_bytes: int
    upload_bytes: int = 0
    idle_seconds: float = 60.0
    """How long nothing of a body may come."""
    _inside: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        uploading = scope["path"].startswith(UPLOADS)
        most = max(self.body_bytes, self.upload_bytes) if uploading else self.body_bytes
        visit = _RequestContext(scope, receive, send, most, self.idle_seconds)
        self._inside += 1
        try:
            if self._inside > self.requests and not scope["path"].startswith("/health/"):
                await visit.refuse(TOO_MANY, "as many requests are in work as may be; try again later")
            elif _has_two_lengths(Headers(scope=scope)):
                await visit.refuse(400, "the request has both Content-Length and Transfer-Encoding; send one of them")
            elif stated_bytes(Headers(scope=scope)) > most:
                await visit.refuse(TOO_LARGE, too_large(most))
            else:
                await visit.through(self.app)
        finally:
            self._inside -= 1
            visit.log()


def too_large(allowed: int) -> str:
    """Return what is said of a body that is too large."""
    return f"the upload is larger than the {allowed:,} bytes allowed"


def stated_bytes(headers: Headers) -> int:
    """Return the size of a body, 0 where the client does not state it."""
    stated = headers.get("content-length", "")
    return int(stated) if re.fullmatch(r"[0-9]{1,18}", stated) else 0


def _has_two_lengths(headers: Headers) -> bool:
    """Tell whether a body's end is said twice: a proxy may believe one and we the other (RFC 9112, section 6.1)."""
    return "transfer-encoding" in headers and "content-length" in headers


@dataclass(slots=True)
class _RequestContext:
    """One request on its way through the service."""

    scope: Scope
    receive: Receive
    send: Send
    body_bytes: int
    idle_seconds: float
    name: str = ""
    complete: bool = False
    waited: float = 0.0
    """Seconds for which the body was waited for."""
    status: int = 0
    taken: int = 0
    begun: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        given = Headers(scope=self.scope).get("x-request-id", "")
        self.name = given if re.fullmatch(r"[\w.-]{1,64}", given, flags=re.ASCII) else secrets.token_hex(8)
        self.scope[REQUEST] = self.name

    async def through(self, app: ASGIApp) -> None:
        """Have the app serve it. What the app did not expect is a fault, which is logged and told as one."""
        try:
            await app(self.scope, self._counted, self._marked)
        except asyncio.CancelledError:
            self.note(cause="the service ended before it was done")
            if not self.status:
                await self.refuse(503, "the service is ending; try again later")
        except Exception as error:  # the outermost edge: nobody else would tell the client anything
            LOG.exception("fault", extra={"facts": {"id": self.name}})
            self.note(cause=f"{type(error).__name__}: {error}", fault=True)
            if not self.status:
                await self.refuse(500, wire.UNEXPECTED)

    async def refuse(self, status: int, text: str) -> None:
        """Answer without reading the body, after which the connection cannot be used again."""
        self.note(cause=text)
        headers = {"connection": "close"} | ({"retry-after": "1"} if status == TOO_MANY else {})
        response = Response(wire.envelope(error=text), status, headers, media_type="application/json")
        if problem_details.own(self.scope["path"]):
            response = problem_details.problem(status, text, self.scope["path"], code=_CODES[status], headers=headers)
        await response(self.scope, self.receive, self._marked)

    def note(self, **facts: Any) -> None:
        """Have the log say more."""
        self.scope.setdefault(FACTS, {}).update(facts)

    def log(self) -> None:
        """Write the line of the log."""
        facts = {
            "id": self.name, "method": self.scope["method"], "path": self.scope["path"][:200],
            "status": self.status or CLIENT_GONE, "ms": round((time.perf_counter() - self.begun) * 1000, 1),
            "received_bytes": self.taken, **self.scope.get(FACTS, {}),
        }  # fmt: skip
        quiet = facts["path"].startswith("/health/") and self.status == 200
        level = logging.ERROR if facts.get("fault") else logging.DEBUG if quiet else logging.INFO
        LOG.log(level, "request", extra={"facts": facts})

    async def _counted(self) -> Message:
        message = await (self.receive() if self.complete else self._in_time())
        self.taken += len(message.get("body", b""))
        if self.taken > self.body_bytes:
            raise HTTPException(TOO_LARGE, too_large(self.body_bytes))
        return message

    async def _in_time(self) -> Message:
        """Return what comes next of the body. Raises 408 when that takes too long, now or on the average."""
        left = 2 * self.idle_seconds + self.taken / LEAST_RATE - self.waited
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(max(0.0, min(self.idle_seconds, left))):
                message = await self.receive()
        except TimeoutError as error:
            raise HTTPException(TOO_SLOW, "the body comes too slowly; send it again, or over a better line") from error
        self.waited += time.perf_counter() - begun
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def _marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.name
            headers["x-content-type-options"] = "nosniff"
            if is_protected(self.scope["path"]):
                headers.setdefault("cache-control", "no-store")
        await self.send(message)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr() -> None:
    """Have the service, the server under it and libraries log lines of JSON on the standard error stream."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("velum", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING
