"""Standard error of libraries as lines of the log: decoders print their complaints there."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

LOG = logging.getLogger("velum.library")

LONGEST = 2000
"""Characters of a line; the rest is cut off."""

LEAVING_SECONDS = 1.0
"""How long to wait, at the end, for output of child processes."""


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
        os.dup2(saved, 2)  # the last end of ours: what is written is read to its end
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
