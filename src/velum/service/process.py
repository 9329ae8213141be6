"""Sets up a process of the service: its log, as lines of JSON, and its memory.

Output of libraries on standard error becomes lines of the log, too: decoders print their warnings there.
"""

import ctypes
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

LOG = logging.getLogger("velum.library")

LONGEST = 2000
"""Characters of a line; the rest is cut off."""

LEAVING_SECONDS = 1.0
"""How long to wait, at the end, for output of child processes."""

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Parameters of `mallopt` (malloc.h of glibc)."""

LARGEST_REUSED, MOST_KEPT = 64 << 20, 256 << 20
"""Bytes of the largest block that is not returned to the system at once, and of all free memory that is kept."""


def reuse_memory() -> None:
    """Let this process use the memory of one image for the next, where the C library is glibc; elsewhere do nothing.

    glibc returns large blocks to the system, which clears each page anew for the next image: a quarter of the
    processor time of a JPEG of 4K. All threads share one arena, else each would keep memory of its own.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, LARGEST_REUSED), (_TRIM_THRESHOLD, MOST_KEPT)):
            mallopt(parameter, value)


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
    handlers = {handler for logger in loggers for handler in logger.handlers}
    return [handler for handler in handlers if type(handler) is logging.StreamHandler]
