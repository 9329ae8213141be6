"""The audit log: who had what done when, told by hashes. It holds no content, no file names and nothing of the plan.

Every line has the SHA-256 of the line before it, so that lines cannot be changed or taken out of the middle unseen.
That the end is missing shows when its last hash was noted elsewhere.
"""

import fcntl
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from velum.errors import BadInput, OutputFailed
from velum.settings import Settings

STDOUT = Path("-")

FIRST = "0" * 64
"""What stands for the hash of the line before, where there is none."""

LONGEST = 1 << 16
"""Bytes of one line."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A log whose chain holds: how many lines, the hash that its first names, and that of its last."""

    lines: int
    before: str
    last: str


class Audit:
    """Appends to a log; other processes may append to the same file. Called from several threads at once."""

    def __init__(self, file: Path) -> None:
        """Prepare. Raises `OutputFailed` when the file cannot be appended to."""
        self._file = file
        self._lock = threading.Lock()
        self._last = FIRST
        if file != STDOUT:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                _opened(file).close()
            except OSError as error:
                raise OutputFailed(f"cannot append to {file}: {error.strerror or error}; make it writable") from error

    def write(self, facts: Mapping[str, Any]) -> None:
        """Append one line. Raises `OutputFailed`."""
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        with self._lock:
            try:
                self._append({"time": moment, **facts})
            except OSError as error:
                raise OutputFailed(
                    f"cannot append to {self._file}: {error.strerror or error}; make it writable, and room for it"
                ) from error

    def _append(self, facts: Mapping[str, Any]) -> None:
        if self._file == STDOUT:
            line = json.dumps({**facts, "before": self._last}).encode()
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        else:
            with _opened(self._file) as file:
                # Others append, and files are rotated: what the last line is, only the file knows.
                line = json.dumps({**facts, "before": _last_of(file, self._last)}).encode()
                file.write(line + b"\n")
                file.flush()
        self._last = hashlib.sha256(line).hexdigest()


def audit_of(settings: Settings) -> Audit | None:
    """Return the log that the settings name. Raises `OutputFailed` when it cannot be appended to."""
    return None if settings.watch.audit is None else Audit(settings.watch.audit)


def verify(file: Path) -> Verified:
    """Return how many lines a log has. Raises `BadInput` that names the first line where the chain breaks."""
    number, first, last = 0, FIRST, None
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                before = _before(line, f"line {number} of {file}")
                if last is None:
                    first = before
                elif before != last:
                    raise BadInput(
                        f"line {number} of {file} does not follow the one before it: a line was changed, or taken out"
                    )
                last = hashlib.sha256(line.rstrip(b"\n")).hexdigest()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
    return Verified(number, first, last or first)


def _before(line: bytes, where: str) -> str:
    try:
        value = json.loads(line)["before"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where} is no line of an audit log") from error
    return str(value)


def _opened(file: Path) -> BinaryIO:
    """Open a log for appending, for this process alone until it is closed."""
    number = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    opened = os.fdopen(number, "r+b")
    fcntl.flock(number, fcntl.LOCK_EX)
    return opened


def _last_of(file: BinaryIO, known: str) -> str:
    """Return the hash of the last line; of the one written last elsewhere, where there is none (a rotated file)."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - LONGEST)
    file.seek(start)
    lines = file.read(LONGEST).rstrip(b"\n").rsplit(b"\n", 1)
    return hashlib.sha256(lines[-1]).hexdigest() if lines[-1] else known
