"""Uploads that may come in parts: broken off, asked how far they are, and continued."""

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from velum.errors import BadInput, LimitExceeded, OutputFailed, Unavailable
from velum.storage.folder import PutResult, Store, missing_file, new_key

_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """A file on its way: `offset` bytes are here; `size` and `sha256` are what was announced, None where nothing was.

    `owner` is whoever began it.
    """

    id: str
    offset: int
    size: int | None = None
    sha256: str | None = None
    owner: str = ""
    key: str | None = None
    """Under which it is in the store, once it has been offered."""


class Occupied(BadInput):
    """Someone else works with the upload at this moment, or a job has taken it."""


class Uploads:
    """The uploads in a folder, which should be on the store's file system: then completing one copies nothing.

    Several processes may use it at a time. `most` is the largest upload, in bytes.
    """

    def __init__(self, folder: Path, store: Store, *, most: int) -> None:
        self._folder, self._store, self._most = folder, store, most

    def begin(self, *, size: int | None = None, sha256: str | None = None, owner: str = "") -> ResumableUpload:
        """Return a new upload, of which nothing is here. Raises `LimitExceeded`, `BadInput` and `OutputFailed`."""
        if size is not None and size < 0:
            raise BadInput(f"an upload of {size} bytes was announced; it must be at least 0")
        if size is not None and size > self._most:
            raise LimitExceeded("bytes", size, self._most, "the upload")
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise BadInput(f"sha256 {sha256[:80]!r} was announced; it must be 64 hexadecimal digits")
        upload = ResumableUpload(secrets.token_hex(16), 0, size, sha256, owner)
        folder = self._folder / upload.id
        self._store.check()  # where that is away, its folder may be of another disk
        with self._writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            (folder / "data").touch()
        self._note(upload)
        return upload

    def get(self, upload: str) -> ResumableUpload | None:
        """Return how far the upload of that id is; None when there is none."""
        if not _ID.fullmatch(upload):
            return None
        folder = self._folder / upload
        try:
            state = ResumableUpload(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
            # What is here is what counts: a crash may have kept less, or more, than anyone was told.
            offset = _size(folder / "data")
        except (FileNotFoundError, NotADirectoryError):
            self._store.check()  # where that is away, nobody knows
            return None
        except (OSError, ValueError) as error:
            raise Unavailable(f"upload {upload} cannot be read now: {error}") from error
        if offset is None and state.key is not None:
            offset = self._store.size(state.key)
        return None if offset is None else replace(state, offset=offset)

    def append(self, upload: str, offset: int, chunks: Iterable[bytes]) -> ResumableUpload:
        """Write on at exactly where the upload is, and return how far it is then.

        What came before a stream breaks off is kept. Raises `BadInput` for any other offset, for more than was
        announced, and while someone else writes; `LimitExceeded` for more than is accepted; `OutputFailed`.
        """
        with self._lock_upload(upload) as (at, data):
            if at.key is not None and not data.exists():
                raise BadInput(f"upload {upload} is at byte {at.offset} and was handed in so; begin a new one")
            if offset != at.offset:
                raise BadInput(f"upload {upload} is at byte {at.offset}, not {offset}; continue there")
            most, here = self._most if at.size is None else at.size, at.offset
            with self._writing(), data.open("ab") as file:
                for chunk in chunks:
                    here += len(chunk)
                    if here > most and at.size is None:
                        raise LimitExceeded("bytes", here, most, "the upload")
                    if here > most:
                        raise BadInput(f"upload {upload} has more than the {most} bytes announced; begin a new one")
                    file.write(chunk)
        return ResumableUpload(at.id, here, at.size, at.sha256, at.owner)

    def offer(self, upload: str) -> str:
        """Put what came into the store, and return its key; the same, when it is asked again.

        The upload stays until it is discarded: what becomes of it may fail, and be tried again. Raises `BadInput` when
        it is not what was announced, `Occupied` and `OutputFailed`. An upload whose hash is wrong is discarded: nothing
        that is added could make it right.
        """
        with self._lock_upload(upload) as (at, data):
            if at.size is not None and at.offset != at.size:
                raise BadInput(f"upload {upload} is at byte {at.offset} of {at.size}; send the rest first")
            key = at.key or new_key()
            if data.exists():
                self._note(replace(at, key=key))  # first: a crash may come when the file is no longer here
                try:
                    self._store.move_in(data, sha256=at.sha256, key=key)
                except BadInput:
                    shutil.rmtree(data.parent, ignore_errors=True)
                    raise
                data.with_name(key).unlink(missing_ok=True)  # as a bucket leaves it
            return key

    def complete(self, upload: str) -> PutResult:
        """Put what came into the store, as `offer` does, and end the upload."""
        key = self.offer(upload)
        at = self.get(upload)
        self.discard(upload)
        if at is None or at.key is None:
            raise missing_file(key)
        return PutResult(key, at.offset, at.sha256 or _hash(self._store.open(key)))

    def read(self, upload: str, most: int) -> bytes:
        """Return what came. Raises `LimitExceeded` when it is more than that many bytes, `BadInput`, `Occupied`."""
        with self._lock_upload(upload) as (at, data):
            if at.offset > most:
                raise LimitExceeded("bytes", at.offset, most, "the upload")
            if data.exists() or at.key is None:
                with self._writing():
                    return data.read_bytes()
            return b"".join(self._store.open(at.key))

    def discard(self, upload: str) -> str | None:
        """Delete what came, if there is such an upload; return its key in the store, if it has been offered."""
        if self.get(upload) is None:
            return None
        with self._lock_upload(upload) as (at, data):
            shutil.rmtree(data.parent, ignore_errors=True)
            return at.key

    def sweep(self, age_seconds: float) -> int:
        """Delete uploads to which nothing was added for that long, and return how many they were."""
        old = [path for path in self._folder.glob("*") if _age(path) >= age_seconds]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    @contextmanager
    def _lock_upload(self, upload: str) -> Iterator[tuple[ResumableUpload, Path]]:
        """Keep others from writing to an upload."""
        gone = BadInput(f"upload {upload[:40]!r} is not here: it was completed, discarded or never begun")
        if self.get(upload) is None:
            raise gone
        folder = self._folder / upload
        try:
            with FileLock(folder / "lock", blocking=False):
                if (at := self.get(upload)) is None:
                    raise gone
                yield at, folder / "data"
        except Timeout as error:
            raise Occupied(f"upload {upload} is being written to; wait until that ends") from error

    def _note(self, upload: ResumableUpload) -> None:
        with self._writing():
            part = self._folder / upload.id / "state.part"
            part.write_text(json.dumps(asdict(upload)), encoding="utf-8")
            part.replace(part.with_name("state.json"))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (BadInput, LimitExceeded, OutputFailed):
            raise
        except OSError as error:
            self._store.check()  # where that has gone away meanwhile, that is why
            raise OutputFailed(
                f"cannot write to {self._folder}: {error.strerror or error}; check that it can be written to, has room"
            ) from error


def _size(data: Path) -> int | None:
    try:
        return data.stat().st_size
    except FileNotFoundError:
        return None


def _hash(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _age(path: Path) -> float:
    """Return how long ago, in seconds, something was last added to the upload in a folder."""
    times = []
    for one in (path, path / "data"):
        try:
            times.append(os.stat(one).st_mtime)  # noqa: PTH116 - also of what is no folder
        except OSError:
            continue  # gone meanwhile, or never made
    return time.time() - max(times, default=time.time())
