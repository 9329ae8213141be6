"""Request limits: every request gets an id, a size limit, a time limit and a log line, and every error a response."""

import asyncio
import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velum.service.middleware import CLIENT_GONE, FACTS, TOO_LARGE, TOO_MANY, TOO_SLOW, is_protected
from velum.service.problem_details import INTERNAL_ERROR, Refuse, refuse_with

LEAST_RATE = 1000
"""Least average speed, in bytes a second, at which a client must send a body."""

_CODES = {400: "Malformed", TOO_LARGE: "LimitExceeded", TOO_MANY: "Busy", 500: "Fault", 503: "Unavailable"}

UPLOADS = "/v1/uploads/"
"""Prefix of the paths that accept files of any size."""

REQUEST = "velum.request"
"""Key of the ASGI scope that has the id of the request."""

LOG = logging.getLogger("velum.service")


@dataclass(slots=True)
class RequestLimits:
    """Serves up to `requests` at a time, each with a body of at most `body_bytes`.

    Bodies sent to `UPLOADS` may have up to `upload_bytes`: they are streamed to disk and never held in memory.
    """

    app: ASGIApp
    requests: int
    body_bytes: int
    upload_bytes: int = 0
    idle_seconds: float = 60.0
    """How long a client may pause within a body."""
    refuse: Refuse = field(default_factory=lambda: refuse_with(None))
    """Returns the response to a request that is refused."""
    _inside: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        uploading = scope["path"].startswith(UPLOADS)
        most = max(self.body_bytes, self.upload_bytes) if uploading else self.body_bytes
        visit = _RequestContext(scope, receive, send, most, self.idle_seconds, self.refuse)
        self._inside += 1
        try:
            if self._inside > self.requests and not scope["path"].startswith("/health/"):
                await visit.refuse(
                    TOO_MANY, f"{self.requests} requests are in progress, the most allowed; try again later"
                )
            elif _has_two_lengths(Headers(scope=scope)):
                await visit.refuse(400, "the request has both Content-Length and Transfer-Encoding; send one of them")
            elif stated_bytes(Headers(scope=scope)) > most:
                await visit.refuse(TOO_LARGE, too_large(most))
            else:
                await visit.serve(self.app)
        finally:
            self._inside -= 1
            visit.log()


def too_large(allowed: int) -> str:
    """Return the message for a body that is too large."""
    return f"the upload is larger than the {allowed:,} bytes allowed"


def stated_bytes(headers: Headers) -> int:
    """Return the Content-Length of a body, 0 where the client does not state it."""
    stated = headers.get("content-length", "")
    return int(stated) if re.fullmatch(r"[0-9]{1,18}", stated) else 0


def _has_two_lengths(headers: Headers) -> bool:
    """Tell whether a body states two lengths: a proxy might use one, this server the other (RFC 9112, section 6.1)."""
    return "transfer-encoding" in headers and "content-length" in headers


@dataclass(slots=True)
class _RequestContext:
    """One request, from its head to its log line."""

    scope: Scope
    receive: Receive
    send: Send
    body_bytes: int
    idle_seconds: float
    respond: Refuse
    name: str = ""
    complete: bool = False
    waited: float = 0.0
    """Seconds spent waiting for the body."""
    status: int = 0
    received: int = 0
    begun: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        request_id = Headers(scope=self.scope).get("x-request-id", "")
        self.name = request_id if re.fullmatch(r"[\w.-]{1,64}", request_id, flags=re.ASCII) else secrets.token_hex(8)
        self.scope[REQUEST] = self.name

    async def serve(self, app: ASGIApp) -> None:
        """Pass the request to the app. An unexpected exception is logged, and answered with 500."""
        try:
            await app(self.scope, self._receive_within_limits, self._send_with_headers)
        except asyncio.CancelledError:
            self.note(cause="the service shut down before the request was served")
            if not self.status:
                await self.refuse(503, "the service is shutting down; try again later")
        except Exception as error:  # this is the outermost layer: without a response here the client gets none
            LOG.exception("fault", extra={"facts": {"id": self.name}})
            self.note(cause=f"{type(error).__name__}: {error}", fault=True)
            if not self.status:
                await self.refuse(500, INTERNAL_ERROR)

    async def refuse(self, status: int, text: str) -> None:
        """Send an error response without reading the body, and close the connection, which cannot be used again."""
        self.note(cause=text)
        headers = {"connection": "close"} | ({"retry-after": "1"} if status == TOO_MANY else {})
        response = self.respond(status, text, self.scope["path"], _CODES[status], headers)
        await response(self.scope, self.receive, self._send_with_headers)

    def note(self, **facts: Any) -> None:
        """Add facts to the request's log line."""
        self.scope.setdefault(FACTS, {}).update(facts)

    def log(self) -> None:
        """Write the request's log line."""
        facts = {
            "id": self.name, "method": self.scope["method"], "path": self.scope["path"][:200],
            "status": self.status or CLIENT_GONE, "ms": round((time.perf_counter() - self.begun) * 1000, 1),
            "received_bytes": self.received, **self.scope.get(FACTS, {}),
        }  # fmt: skip
        quiet = facts["path"].startswith("/health/") and self.status == 200
        level = logging.ERROR if facts.get("fault") else logging.DEBUG if quiet else logging.INFO
        LOG.log(level, "request", extra={"facts": facts})

    async def _receive_within_limits(self) -> Message:
        message = await (self.receive() if self.complete else self._receive_in_time())
        self.received += len(message.get("body", b""))
        if self.received > self.body_bytes:
            raise HTTPException(TOO_LARGE, too_large(self.body_bytes))
        return message

    async def _receive_in_time(self) -> Message:
        """Return the next message. Raises `HTTPException` (408) after too long a pause, or at too low a speed."""
        seconds_left = 2 * self.idle_seconds + self.received / LEAST_RATE - self.waited
        start = time.perf_counter()
        try:
            async with asyncio.timeout(max(0.0, min(self.idle_seconds, seconds_left))):
                message = await self.receive()
        except TimeoutError as error:
            raise HTTPException(
                TOO_SLOW, "the body comes too slowly; send it again over a faster connection"
            ) from error
        self.waited += time.perf_counter() - start
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def _send_with_headers(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.name
            headers["x-content-type-options"] = "nosniff"
            if is_protected(self.scope["path"]):
                headers.setdefault("cache-control", "no-store")
        await self.send(message)
