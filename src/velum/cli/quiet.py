"""Silences what native libraries print to standard error: velum itself says what is wrong with a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_STANDARD_ERROR = 2


@contextmanager
def libraries_silent() -> Iterator[None]:
    """Discard what libraries write to file descriptor 2; `sys.stderr` of Python still prints."""
    kept, nowhere = os.dup(_STANDARD_ERROR), os.open(os.devnull, os.O_WRONLY)
    before = sys.stderr
    try:
        with os.fdopen(os.dup(kept), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as shown:
            before.flush()
            os.dup2(nowhere, _STANDARD_ERROR)
            if _is_standard_error(before):  # not a stream that somebody has put in its place
                sys.stderr = shown
            try:
                yield
            finally:
                sys.stderr = before
                os.dup2(kept, _STANDARD_ERROR)
    finally:
        os.close(kept)
        os.close(nowhere)


def _is_standard_error(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STANDARD_ERROR
    except (AttributeError, OSError):  # it has no descriptor
        return False
