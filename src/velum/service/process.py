"""Sets up a process of the service: a log in lines of JSON, and HTTP/1.1 with time-outs.

Output of libraries on standard error becomes lines of the log, too: decoders print their warnings there. A slow request
head, or a response that the client does not read, ends the connection.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from uvicorn.protocols.http.h11_impl import H11Protocol

LOG = logging.getLogger("velum.library")

LONGEST = 2000
"""Characters of a line; the rest is cut off."""

LEAVING_SECONDS = 1.0
"""How long to wait, at the end, for output of child processes."""


class JsonLines(logging.Formatter):
    """Formats log records as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON of a record."""
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
    """Log lines of JSON to standard error: those of velum, the HTTP server and libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("velum", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING


@contextmanager
def lines_of_libraries() -> Iterator[TextIO]:
    """Log each line that this process and its children write to file descriptor 2 inside the `with` block.

    Yields the original stream, to which the log's own handlers write meanwhile.
    """
    saved = os.dup(2)
    stream = os.fdopen(os.dup(saved), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    streams = {handler: handler.setStream(stream) for handler in _handlers()}
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    pump = threading.Thread(target=_pump, args=(reading,), name="velum-stderr", daemon=True)
    pump.start()
    try:
        yield stream
    finally:
        os.dup2(saved, 2)  # closes this process's last write end, so that the reader gets everything, then the end
        os.close(saved)
        pump.join(LEAVING_SECONDS)
        for handler, before in streams.items():
            if before is not None:
                handler.setStream(before)


def _pump(reading: int) -> None:
    with os.fdopen(reading, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if text := line.strip():
                LOG.warning("library", extra={"facts": {"text": text[:LONGEST]}})


def _handlers() -> list["logging.StreamHandler[Any]"]:
    loggers = [logging.getLogger(name) for name in ("", "velum", "uvicorn")]
    found = {handler for logger in loggers for handler in logger.handlers}
    return [handler for handler in found if type(handler) is logging.StreamHandler]


class TimedProtocol(H11Protocol):
    """Closes a connection whose request head takes over `head_seconds`, or whose response stalls for `idle_seconds`.

    Request bodies are timed where they are read; the server itself times idle connections.
    """

    head_seconds = 15.0
    idle_seconds = 60.0
    _head: asyncio.TimerHandle | None = None
    _answer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows the type, too
        """Start the timer of the first request head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes; the first ones after a response belong to the next request head."""
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)

    def handle_events(self) -> None:
        """Parse the received bytes; a complete head stops its timer."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._forget_head()

    def pause_writing(self) -> None:
        """Start the timer of a response that the client does not read."""
        super().pause_writing()
        self._answer = self.loop.call_later(self.idle_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer: the client reads again."""
        self._forget_answer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._forget_head()
        self._forget_answer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self.head_seconds, self.transport.close)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _forget_answer(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None


def timed_protocol(head_seconds: float, idle_seconds: float) -> type[TimedProtocol]:
    """Return a protocol class with these time-outs in seconds; the server instantiates it for each connection."""
    return type("Timed", (TimedProtocol,), {"head_seconds": head_seconds, "idle_seconds": idle_seconds})
