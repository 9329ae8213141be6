"""The audit log: who had what done when, told by hashes. It holds no content, no file names and nothing of the plan.

Every line has the SHA-256 of the line before it, so that lines cannot be changed or taken out of the middle unseen, and
a code (HMAC-SHA-256, RFC 2104) that takes the key of the log, so that nobody without it can write the chain anew. That
the end is missing shows when its last hash was noted elsewhere.
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
"""What stands for the hash of the line before, where there is none."""

LONGEST = 1 << 16
"""Bytes of one line."""

KEY_BYTES = 32

_CODE = b', "code": "%s"}'


@dataclass(frozen=True, slots=True)
class Verified:
    """A log whose chain holds: how many lines, the hash that its first names, and that of its last.

    `torn` are lines that a crash left unfinished, `sealed` those whose code was checked.
    """

    lines: int
    before: str
    last: str
    torn: int = 0
    sealed: int = 0


class Audit:
    """Appends to a log; other processes may append to the same file. Called from several threads at once."""

    def __init__(self, file: Path, key: bytes | None = None) -> None:
        """Prepare; with `key`, lines get codes. Raises `OutputFailed` when the file cannot be appended to."""
        self._file, self._key = file, key
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
            line = self._line({**facts, "before": self._last})
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        else:
            with _opened(self._file) as file:
                # Others append, and files are rotated: what the last line is, only the file knows.
                before, torn = _last_of(file, self._last)
                line = self._line({**facts, **({"torn": True} if torn else {}), "before": before})
                file.write((b"\n" if torn else b"") + line + b"\n")
                file.flush()
        self._last = hashlib.sha256(line).hexdigest()

    def _line(self, facts: Mapping[str, Any]) -> bytes:
        line = json.dumps(facts).encode()
        return line if self._key is None else line[:-1] + _CODE % _code(self._key, line)


def audit_of(settings: Settings) -> Audit | None:
    """Return the log that the settings name. Raises `OutputFailed` when it, or its key, cannot be written."""
    return (
        None
        if settings.observability.audit is None
        else Audit(settings.observability.audit, _made_key(key_file(settings)))
    )


def key_file(settings: Settings) -> Path:
    """Return where the key of the log is kept."""
    return settings.observability.audit_key or settings.jobs.data / "audit.key"


def read_key(file: Path) -> bytes:
    """Return the key in a file. Raises `BadInput` when there is none."""
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read as the key of an audit log: {error}") from error
    if len(key) < KEY_BYTES:
        raise BadInput(f"{file} is no key of an audit log: it has {len(key)} bytes of the {KEY_BYTES} needed")
    return key


def _made_key(file: Path) -> bytes:
    """Return the key in a file, which is made where there is none: whole or not at all, for others may read it now."""
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
                opened.write(secrets.token_hex(KEY_BYTES))
            with suppress(FileExistsError):  # somebody was quicker
                os.link(part, file)
            part.unlink()
    except OSError as error:
        raise OutputFailed(f"cannot write {file}: {error.strerror or error}; make it writable") from error
    return read_key(file)


def _code(key: bytes, line: bytes) -> bytes:
    return hmac.new(key, line, hashlib.sha256).hexdigest().encode()


def verify(file: Path, *, key: bytes | None = None, noted: str | None = None) -> Verified:
    """Return how many lines a log has. Raises `BadInput` that names the first line where the chain breaks.

    With `key`, the codes of lines must hold; lines from before there were codes may only come first. With `noted`, a
    hash that was the last once, it must still be there: else the end was cut off.
    """
    chain = _Chain(file, key, noted=None if noted is None else noted.lower())
    try:
        with file.open("rb") as lines:
            for line in lines:
                chain.add(line.rstrip(b"\n"))
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
    if chain.open:
        raise BadInput(f"line {chain.number} of {file} is torn, and nothing follows it: the end is missing")
    if key is not None and chain.number and not chain.sealed:
        raise BadInput(f"no line of {file} has a code of the key: it was written anew, or without that key")
    if noted is not None and not chain.found:
        raise BadInput(f"{file} has no line whose hash is {noted[:64]!r}: its end was cut off, or it is another log")
    return Verified(chain.number, chain.first, chain.last or chain.first, chain.torn, chain.sealed)


@dataclass(slots=True, eq=False)
class _Chain:
    """A log as far as it was read."""

    file: Path
    key: bytes | None
    number: int = 0
    first: str = FIRST
    last: str | None = None
    torn: int = 0
    sealed: int = 0
    open: bool = False
    """True after a torn line, until one follows that knows of it."""
    noted: str | None = None
    found: bool = False
    """True when the noted hash was met."""

    def add(self, line: bytes) -> None:
        """Take the next line. Raises `BadInput` where the chain breaks."""
        self.number += 1
        where = f"line {self.number} of {self.file}"
        value = _value(line)
        if value is None:
            if self.open:
                raise BadInput(f"{where} is no line of an audit log")
            self.open, self.torn = True, self.torn + 1
        else:
            self._follow(value, where)
            self._check_code(line, value, where)
        self.last = hashlib.sha256(line).hexdigest()
        self.found |= self.last == self.noted

    def _follow(self, value: Mapping[str, Any], where: str) -> None:
        before = str(value["before"])
        if self.last is None:
            self.first = before
            self.found |= before == self.noted
        elif before != self.last or (self.open and not value.get("torn")):
            raise BadInput(f"{where} does not follow the one before it: a line was changed, or taken out")
        self.open = False

    def _check_code(self, line: bytes, value: Mapping[str, Any], where: str) -> None:
        if self.key is None:
            return
        plain = line[: -len(_CODE % (b"0" * 64))] + b"}"
        if "code" not in value and not self.sealed:
            return  # from before there were codes; the chain of those that follow holds it
        if line != plain[:-1] + _CODE % _code(self.key, plain):
            raise BadInput(f"{where} has no code of the key: it was written by somebody else")
        self.sealed += 1


def _value(line: bytes) -> Mapping[str, Any] | None:
    """Return what a line says; None where it is no whole line of an audit log."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "before" in value else None


def _opened(file: Path) -> BinaryIO:
    """Open a log for appending, for this process alone until it is closed."""
    number = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    opened = os.fdopen(number, "r+b")
    fcntl.flock(number, fcntl.LOCK_EX)
    return opened


def _last_of(file: BinaryIO, known: str) -> tuple[str, bool]:
    """Return the hash of the last line, and whether it is torn; the one written last where there is no line (rotated).

    A line without its end is what a crash, or a full disk, left of it.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST))
    data = file.read(LONGEST)
    last = data.removesuffix(b"\n").rsplit(b"\n", 1)[-1]
    return (hashlib.sha256(last).hexdigest(), not data.endswith(b"\n")) if last else (known, False)
