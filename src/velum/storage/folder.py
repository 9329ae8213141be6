"""The store in a folder, which several machines may share."""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from velum.atomic import flush
from velum.errors import BadInput, LimitExceeded, OutputFailed
from velum.file_hash import sha256_of_stream
from velum.storage import (
    CHUNK,
    KEY,
    MARK,
    PutResult,
    StoreAway,
    StoredObject,
    invalid_key,
    missing_file,
    new_key,
    wrong_store,
)


class FolderStore:
    """A store in a folder, which several machines may share. The folder is made when it is first needed.

    After `hold`, the folder is never made: while a disk is not mounted, files must not go to its empty mount point.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._parts = path, path / "parts"
        self._identity: str | None = None

    def identity(self) -> str | None:
        """Return the identity in the file `MARK`; see `Store.identity`."""
        try:
            with _reading(self._path):
                return (self._path / MARK).read_bytes()[:64].decode("ascii", "replace").strip()
        except StoreAway as error:
            if _absent(error):
                return None
            raise

    def establish(self, identity: str) -> None:
        """Make the folder and the file `MARK` in it; see `Store.establish`."""
        part = self._path / f"{MARK}.{secrets.token_hex(8)}"
        with self._writing():
            self._parts.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("x", encoding="ascii") as file:
                    file.write(f"{identity}\n")
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self._path / MARK)
                flush(self._path)
            finally:
                _drop(part)

    def hold(self, identity: str) -> None:
        """Accept only the store with this identity; see `Store.hold`."""
        self._identity = identity

    def check(self) -> None:
        """Read the identity; see `Store.check`."""
        if self._identity is not None and (identity := self.identity()) != self._identity:
            raise wrong_store(str(self._path), str(self._path / MARK), self._identity, identity)

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, most: int | None = None) -> PutResult:
        """Store a stream; see `Store.put`."""
        part = self._part()
        digest, size = hashlib.sha256(), 0
        try:
            with self._writing(), part.open("xb") as file:
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
            _drop(part)

    def move_in(self, file: Path, *, sha256: str | None = None, key: str | None = None) -> PutResult:
        """Store a file; see `Store.move_in`. On the same file system it is renamed."""
        part = self._part()
        try:
            with self._writing():
                # Hash before the move, since that takes long: after a crash between move and commit the file is in
                # neither place.
                size, digest = file.stat().st_size, hash_of(file)
                _move(file, part)
            return self._keep(part, size, digest, sha256, key)
        finally:
            _drop(part)

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Generator[bytes]:
        """Return a range of bytes; see `Store.open`."""
        with self._there(key):
            file = self._place(key).open("rb")
        chunks = _read_range(file, start, stop)
        next(chunks)  # from here on, closing it closes the file
        return chunks

    def fetch(self, key: str, folder: Path) -> Path:  # noqa: ARG002 - part of the protocol: a bucket needs the folder
        """Return the file itself; see `Store.fetch`."""
        with self._there(key):
            (place := self._place(key)).stat()
        return place

    def size(self, key: str) -> int | None:
        """Return the number of bytes of a file, None when there is no such file."""
        if not KEY.fullmatch(key):
            return None
        try:
            with _reading(self._path):
                return self._place(key).stat().st_size
        except StoreAway as error:
            if not _absent(error):
                raise
            self.check()
            return None

    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""
        place = self._place(key)
        self.check()  # while the store is away, its file is not deleted
        with self._writing():
            place.unlink(missing_ok=True)

    def list(self, start: str = "") -> Iterator[StoredObject]:
        """Yield the stored files, in no order; see `Store.list`."""
        self.check()
        now = time.time()
        for folder in self._path.glob(start or "[0-9a-f][0-9a-f]"):
            with _reading(self._path), os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:
                        continue  # deleted meanwhile
                    if KEY.fullmatch(entry.name):
                        yield StoredObject(entry.name, stat.st_size, now - stat.st_mtime)

    def sweep(self, age_seconds: float) -> int:
        """Delete unfinished files that crashes left, and return their number."""
        self.check()
        swept = 0
        for part in self._parts.glob("*"):
            with self._writing():
                try:
                    old = time.time() - part.stat().st_mtime >= age_seconds
                except FileNotFoundError:
                    continue  # finished meanwhile
                if old:
                    part.unlink(missing_ok=True)
                    swept += 1
        return swept

    def _keep(self, part: Path, size: int, digest: str, expected: str | None, key: str | None = None) -> PutResult:
        if expected is not None and digest != expected.lower():
            raise BadInput(
                f"the received bytes have sha256 {digest}, not {expected[:80]} as announced; send them again"
            )
        key = key or new_key()
        with self._writing():
            place = self._place(key)
            place.parent.mkdir(exist_ok=True)
            os.utime(part)  # the age of a stored file counts from now, not from when it was written elsewhere
            part.replace(place)
            for folder in (place.parent, self._path):
                flush(folder)
        self.check()  # the store may have been unmounted meanwhile, and another folder be in its place
        return PutResult(key, size, digest)

    def _part(self) -> Path:
        """Return the path for a new unfinished file."""
        self.check()
        with self._writing():
            self._parts.mkdir(parents=self._identity is None, exist_ok=True)
        return self._parts / secrets.token_hex(16)

    def _place(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise invalid_key(key)
        return self._path / key[:2] / key

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (BadInput, LimitExceeded, OutputFailed):
            raise
        except OSError as error:
            self.check()  # raises the real cause where the store has been unmounted meanwhile
            raise OutputFailed(
                f"cannot write to the store {self._path}: {error.strerror or error}; "
                "check that it exists, can be written to and has room"
            ) from error

    @contextmanager
    def _there(self, key: str) -> Iterator[None]:
        """Report a file as missing only when the store itself can be reached."""
        try:
            with _reading(self._path):
                yield
        except StoreAway as error:
            if not _absent(error):
                raise
            self.check()
            raise missing_file(key) from error


def _read_range(file: BinaryIO, start: int, stop: int | None) -> Generator[bytes]:
    """Yield an empty chunk first, then the bytes of a range of a file; close the file at the end."""
    with file:
        yield b""
        with _reading("the store"):
            file.seek(start)
        while stop is None or start < stop:
            with _reading("the store"):
                chunk = file.read(CHUNK if stop is None else min(CHUNK, stop - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk


def hash_of(file: Path) -> str:
    """Return the SHA-256 of a file of this process in hexadecimal. Raises `OSError` when the file cannot be read."""
    with file.open("rb") as stream:
        return sha256_of_stream(stream)


def _move(file: Path, part: Path) -> None:
    """Move `file` to `part`, and sync it to disk."""
    try:
        file.replace(part)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(file, part)
        file.unlink()
    flush(part)


def _drop(part: Path) -> None:
    with suppress(OSError):  # a later sweep deletes what cannot be deleted now
        part.unlink(missing_ok=True)


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreAway(
            f"cannot read from {path}: {error.strerror or error}; check that it is mounted and may be read"
        ) from error


def _absent(error: StoreAway) -> bool:
    return isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
