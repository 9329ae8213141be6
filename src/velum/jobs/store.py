"""Where sources, pieces and results are kept: files under generated keys, whole or not at all."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from velum.errors import BadInput, LimitExceeded, OutputFailed

CHUNK = 1 << 20

KEY = re.compile(r"[0-9a-f]{32}")
"""What a key looks like."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was put into a store."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is in a store, and how long ago it was put there."""

    key: str
    size: int
    age_seconds: float


class Store(Protocol):
    """Files by key. Keys are made here, from chance: nobody can choose or guess one. Safe to share between threads."""

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, most: int | None = None) -> Stored:
        """Keep a stream, of at most that many bytes. Once it is returned it survives a crash; before, nothing is there.

        Raises `BadInput` when it is not what `sha256` says, `LimitExceeded` when it is too large, and `OutputFailed`.
        """
        ...

    def take(self, file: Path, *, sha256: str | None = None) -> Stored:
        """Keep a file and remove it from where it is. Raises as `put` does.

        It may stay in its folder under its key, so that `fetch` into that folder has no way to go.
        """
        ...

    def open(self, key: str, start: int = 0, stop: int | None = None) -> "Chunks":
        """Return the bytes from `start` up to, not including, `stop`. Raises `BadInput` when there is no such file."""
        ...

    def fetch(self, key: str, folder: Path) -> Path:
        """Return a file to read and not to change, in `folder` or where the store has it. Raises as `open` does."""
        ...

    def size(self, key: str) -> int | None:
        """Return how many bytes it has; None when there is no such file."""
        ...

    def delete(self, key: str) -> None:
        """Delete it, if it is there. Raises `OutputFailed`."""
        ...

    def list(self) -> Iterator[Kept]:
        """Yield all that is kept."""
        ...

    def sweep(self, age_seconds: float) -> int:
        """Delete what crashes left half-written for that long, and return how many files that were."""
        ...


class Chunks(Iterator[bytes]):
    """A range of a file, piece by piece. Whoever does not read it to its end closes it."""

    def __init__(self, file: BinaryIO, start: int, stop: int | None) -> None:
        self._file = file
        self._left = None if stop is None else max(stop - start, 0)
        file.seek(start)

    def __next__(self) -> bytes:
        chunk = b"" if self._left == 0 else self._file.read(CHUNK if self._left is None else min(CHUNK, self._left))
        if not chunk:
            self.close()
            raise StopIteration
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class FolderStore:
    """A store in a folder, which several machines may share. Raises `OutputFailed` when it cannot be made."""

    def __init__(self, path: Path) -> None:
        self._path, self._parts = path, path / "parts"
        with _writing(path):
            self._parts.mkdir(parents=True, exist_ok=True)

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, most: int | None = None) -> Stored:
        """Keep a stream; see `Store.put`."""
        part = self._parts / secrets.token_hex(16)
        digest, size = hashlib.sha256(), 0
        try:
            with _writing(self._path), part.open("xb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if most is not None and size > most:
                        raise LimitExceeded("bytes", size, most, "the upload")
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            return self._keep(part, size, digest.hexdigest(), sha256)
        finally:
            part.unlink(missing_ok=True)

    def take(self, file: Path, *, sha256: str | None = None) -> Stored:
        """Keep a file; see `Store.take`. On the same file system it is renamed."""
        part = self._parts / secrets.token_hex(16)
        try:
            with _writing(self._path):
                _move(file, part)
                size, digest = part.stat().st_size, hash_of(part)
            return self._keep(part, size, digest, sha256)
        finally:
            part.unlink(missing_ok=True)

    def open(self, key: str, start: int = 0, stop: int | None = None) -> "Chunks":
        """Return a range of bytes; see `Store.open`."""
        try:
            file = self._place(key).open("rb")
        except OSError as error:
            raise missing(key) from error
        return Chunks(file, start, stop)

    def fetch(self, key: str, folder: Path) -> Path:  # noqa: ARG002 - of the protocol: stores elsewhere need a folder
        """Return the file itself; see `Store.fetch`."""
        if not (place := self._place(key)).is_file():
            raise missing(key)
        return place

    def size(self, key: str) -> int | None:
        """Return how many bytes it has, None when there is no such file."""
        try:
            return self._place(key).stat().st_size
        except (FileNotFoundError, BadInput):
            return None

    def delete(self, key: str) -> None:
        """Delete it, if it is there."""
        with _writing(self._path):
            self._place(key).unlink(missing_ok=True)

    def list(self) -> Iterator[Kept]:
        """Yield all that is kept, in no order."""
        now = time.time()
        for folder in self._path.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:
                        continue  # deleted meanwhile
                    if KEY.fullmatch(entry.name):
                        yield Kept(entry.name, stat.st_size, now - stat.st_mtime)

    def sweep(self, age_seconds: float) -> int:
        """Delete what crashes left half-written, and return how many files that were."""
        swept = 0
        for part in self._parts.iterdir():
            with _writing(self._path):
                try:
                    old = time.time() - part.stat().st_mtime >= age_seconds
                except FileNotFoundError:
                    continue  # finished meanwhile
                if old:
                    part.unlink(missing_ok=True)
                    swept += 1
        return swept

    def _keep(self, part: Path, size: int, digest: str, expected: str | None) -> Stored:
        if expected is not None and digest != expected.lower():
            raise BadInput(f"what came has sha256 {digest}, not {expected[:80]} as announced; send it again")
        key = secrets.token_hex(16)
        with _writing(self._path):
            place = self._place(key)
            place.parent.mkdir(exist_ok=True)
            os.utime(part)  # its age counts from now, however old a file that was taken is
            part.replace(place)
            for folder in (place.parent, self._path):
                _settle_folder(folder)
        return Stored(key, size, digest)

    def _place(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise missing(key)
        return self._path / key[:2] / key


def hash_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _move(file: Path, part: Path) -> None:
    """Have `file` at `part`, settled, and no longer where it was."""
    try:
        file.replace(part)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(file, part)
        file.unlink()
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settle_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (BadInput, LimitExceeded, OutputFailed):
        raise
    except OSError as error:
        raise OutputFailed(
            f"cannot write to the store {path}: {error.strerror or error}; "
            "check that it exists, can be written to and has room"
        ) from error


def missing(key: str) -> BadInput:
    """Return the error for a file that is not there."""
    return BadInput(f"file {key[:40]!r} is not in the store; it was never there, or was deleted after its time")
