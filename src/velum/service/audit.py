"""The audit log: who processed what and when, by hashes. It has no content, no file names and nothing of the plan.

Every line has the SHA-256 of the line before it, so that no line in the middle can be changed or removed unnoticed, and
a code (HMAC-SHA-256, RFC 2104) by the log's key, so that nobody without the key can rewrite the chain. Whoever noted
the last hash elsewhere notices a missing end.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from velum.errors import BadInput, OutputFailed
from velum.settings import Settings

STDOUT = Path("-")

FIRST = "0" * 64
"""Hash of the line before the first one."""

LONGEST = 1 << 16
"""Bytes of one line."""

KEY_BYTES = 32

_CODE = b', "code": "%s"}'


@dataclass(frozen=True, slots=True)
class Verified:
    """A log with an intact chain: its number of lines, the `before` hash of the first and the hash of the last.

    `torn` counts lines that a crash left incomplete, `sealed` those whose code was checked.
    """

    lines: int
    before: str
    last: str
    torn: int = 0
    sealed: int = 0


class Audit:
    """Appends to a log. Safe to share between threads, and the file between processes."""

    def __init__(self, file: Path, key: bytes | None = None) -> None:
        """Open the log; with `key`, lines get codes. Raises `OutputFailed` when the file cannot be appended to."""
        self._file, self._key = file, key
        self._lock = threading.Lock()
        self._last = FIRST
        if file != STDOUT:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                _open_locked(file).close()
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
                    f"cannot append to {self._file}: {error.strerror or error}; make it writable, make room on the disk"
                ) from error

    def _append(self, facts: Mapping[str, Any]) -> None:
        if self._file == STDOUT:
            line = self._line({**facts, "before": self._last})
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        else:
            with _open_locked(self._file) as file:
                # Other processes append and rotate the file, so the last line must be read from the file each time.
                before, torn = _last_of(file, self._last)
                line = self._line({**facts, **({"torn": True} if torn else {}), "before": before})
                file.write((b"\n" if torn else b"") + line + b"\n")
                file.flush()
        self._last = hashlib.sha256(line).hexdigest()

    def _line(self, facts: Mapping[str, Any]) -> bytes:
        line = json.dumps(facts).encode()
        return line if self._key is None else line[:-1] + _CODE % _code(self._key, line)


def audit_of(settings: Settings) -> Audit | None:
    """Return the log that the settings name, None without one. Raises `OutputFailed` when it cannot be written."""
    return (
        None
        if settings.observability.audit is None
        else Audit(settings.observability.audit, _read_or_make_key(key_file(settings)))
    )


def key_file(settings: Settings) -> Path:
    """Return the path of the log's key."""
    return settings.observability.audit_key or settings.jobs.data / "audit.key"


def read_key(file: Path) -> bytes:
    """Return the key in a file. Raises `BadInput` when the file cannot be read or has no such key."""
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read as the key of an audit log: {error}") from error
    if len(key) < KEY_BYTES:
        raise BadInput(f"{file} is not a key of an audit log: it has {len(key)} bytes, {KEY_BYTES} are needed")
    return key


def _read_or_make_key(file: Path) -> bytes:
    """Return the key in a file, which is created atomically where it is missing: another process may read it now."""
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
                opened.write(secrets.token_hex(KEY_BYTES))
            with suppress(FileExistsError):  # another process has created it meanwhile
                os.link(part, file)
            part.unlink()
    except OSError as error:
        raise OutputFailed(f"cannot write {file}: {error.strerror or error}; make it writable") from error
    return read_key(file)


def _code(key: bytes, line: bytes) -> bytes:
    return hmac.new(key, line, hashlib.sha256).hexdigest().encode()


def verify(file: Path, *, key: bytes | None = None, noted: str | None = None) -> Verified:
    """Check a log and return its counts. Raises `BadInput` that names the first line where the chain breaks.

    With `key`, the codes must match it; only lines before the first code may have none. With `noted`, which was the
    hash of the last line once, that line must still exist: else the end was cut off.
    """
    chain = _Chain(file, key, noted=None if noted is None else noted.lower())
    try:
        with file.open("rb") as lines:
            for line in lines:
                chain.add(line.rstrip(b"\n"))
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
    if chain.open:
        raise BadInput(f"line {chain.number} of {file} is incomplete, and no line follows it: the end is missing")
    if key is not None and chain.number and not chain.sealed:
        raise BadInput(f"no line of {file} has a code by the key: the log was rewritten, or written without that key")
    if noted is not None and not chain.found:
        raise BadInput(f"{file} has no line whose hash is {noted[:64]!r}: its end was cut off, or this is another log")
    return Verified(chain.number, chain.first, chain.last or chain.first, chain.torn, chain.sealed)


@dataclass(slots=True, eq=False)
class _Chain:
    """State of the check after the lines read so far."""

    file: Path
    key: bytes | None
    number: int = 0
    first: str = FIRST
    last: str | None = None
    torn: int = 0
    sealed: int = 0
    open: bool = False
    """True after an incomplete line, until a line follows that is marked `torn`."""
    noted: str | None = None
    found: bool = False
    """Whether the noted hash has been found."""

    def add(self, line: bytes) -> None:
        """Check the next line. Raises `BadInput` where the chain breaks."""
        self.number += 1
        place = f"line {self.number} of {self.file}"
        value = _parse_line(line)
        if value is None:
            if self.open:
                raise BadInput(f"{place} is not a line of an audit log")
            self.open, self.torn = True, self.torn + 1
        else:
            self._follow(value, place)
            self._check_code(line, value, place)
        self.last = hashlib.sha256(line).hexdigest()
        self.found |= self.last == self.noted

    def _follow(self, value: Mapping[str, Any], place: str) -> None:
        before = str(value["before"])
        if self.last is None:
            self.first = before
            self.found |= before == self.noted
        elif before != self.last or (self.open and not value.get("torn")):
            raise BadInput(f"{place} does not match the hash of the line before it: a line was changed or removed")
        self.open = False

    def _check_code(self, line: bytes, value: Mapping[str, Any], place: str) -> None:
        if self.key is None:
            return
        plain = line[: -len(_CODE % (b"0" * 64))] + b"}"
        if "code" not in value and not self.sealed:
            return  # written before codes were used; the chain of the lines that follow protects it
        if line != plain[:-1] + _CODE % _code(self.key, plain):
            raise BadInput(f"{place} has no code by the key: it was written without it")
        self.sealed += 1


def _parse_line(line: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object of a line; None where it is not a complete line of an audit log."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "before" in value else None


def _open_locked(file: Path) -> BinaryIO:
    """Open a log for appending, locked for other processes until it is closed."""
    number = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    opened = os.fdopen(number, "r+b")
    fcntl.flock(number, fcntl.LOCK_EX)
    return opened


def _last_of(file: BinaryIO, default: str) -> tuple[str, bool]:
    """Return the hash of the last line, and whether that line is incomplete (after a crash, or on a full disk).

    An empty file was rotated: then the hash is `default`, that of the line written last.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST))
    data = file.read(LONGEST)
    last = data.removesuffix(b"\n").rsplit(b"\n", 1)[-1]
    return (hashlib.sha256(last).hexdigest(), not data.endswith(b"\n")) if last else (default, False)
