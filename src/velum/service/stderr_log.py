"""What libraries write on the standard error stream, as lines of the log: decoders complain there of what they read."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

LOG = logging.getLogger("velum.library")

LONGEST = 2000
"""Letters of one line; more is cut off."""

LEAVING_SECONDS = 1.0
"""How long is waited, at the end, for what child processes still write."""


@contextmanager
def lines_of_libraries() -> Iterator[TextIO]:
    """Have all that is written to file descriptor 2 inside, by this process and its children, logged line by line.

    The handlers of the log write to the stream itself, which is given.
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
    found = {one for logger in loggers for one in logger.handlers}
    return [one for one in found if type(one) is logging.StreamHandler]
