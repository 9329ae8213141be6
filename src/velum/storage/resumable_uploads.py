"""Resumable uploads: a client that lost its connection asks for the offset and continues there."""

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
from velum.storage import PutResult, Store, missing_file, new_key

_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """An upload of which `offset` bytes have been received; `size` and `sha256` as announced, None where not announced.

    `owner` is the id of the caller who began it.
    """

    id: str
    offset: int
    size: int | None = None
    sha256: str | None = None
    owner: str = ""
    key: str | None = None
    """Key of the file in the store after `offer`."""


class Occupied(BadInput):
    """Another request is using the upload right now, or a job has taken it."""


class Uploads:
    """The uploads in a folder. On the file system of the store, an upload is completed without copying it.

    Several processes may use the folder at the same time. `most` is the size of the largest upload, in bytes.
    """

    def __init__(self, folder: Path, store: Store, *, most: int) -> None:
        self._folder, self._store, self._most = folder, store, most

    def begin(self, *, size: int | None = None, sha256: str | None = None, owner: str = "") -> ResumableUpload:
        """Begin an upload at offset 0. Raises `LimitExceeded`, `BadInput` and `OutputFailed`."""
        if size is not None and size < 0:
            raise BadInput(f"an upload of {size} bytes was announced; it must be at least 0")
        if size is not None and size > self._most:
            raise LimitExceeded("bytes", size, self._most, "the upload")
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise BadInput(f"sha256 {sha256[:80]!r} was announced; it must be 64 hexadecimal digits")
        upload = ResumableUpload(secrets.token_hex(16), 0, size, sha256, owner)
        folder = self._folder / upload.id
        self._store.check()  # while the store is not mounted, its folder lies on another disk
        with self._writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            (folder / "data").touch()
        self._note(upload)
        return upload

    def get(self, upload: str) -> ResumableUpload | None:
        """Return the upload of that id with its offset; None when there is none."""
        if not _ID.fullmatch(upload):
            return None
        folder = self._folder / upload
        try:
            state = ResumableUpload(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
            # The size of the file counts: after a crash it may be less or more than the offset last reported.
            offset = _size(folder / "data")
        except (FileNotFoundError, NotADirectoryError):
            self._store.check()  # while the store is away, it is not known whether the upload exists
            return None
        except (OSError, ValueError) as error:
            raise Unavailable(f"upload {upload} cannot be read now: {error}") from error
        if offset is None and state.key is not None:
            offset = self._store.size(state.key)
        return None if offset is None else replace(state, offset=offset)

    def append(self, upload: str, offset: int, chunks: Iterable[bytes]) -> ResumableUpload:
        """Append to the upload, whose offset must be `offset`, and return it with its new offset.

        When the stream breaks off, the bytes received before are kept. Raises `BadInput` for any other offset and for
        more bytes than announced, `Occupied` while another request writes, `LimitExceeded` for more bytes than are
        accepted, and `OutputFailed`.
        """
        with self._lock_upload(upload) as (at, data):
            if at.key is not None and not data.exists():
                raise BadInput(f"upload {upload} was completed at byte {at.offset}; begin a new one")
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
        """Put the received file into the store, and return its key; a second call returns the same key.

        The upload stays until `discard`, so that a caller whose next step fails can try again. Raises `BadInput` when
        size or hash are not the announced ones, `Occupied` and `OutputFailed`. An upload with a wrong hash is
        discarded: no further bytes could make it right.
        """
        with self._lock_upload(upload) as (at, data):
            if at.size is not None and at.offset != at.size:
                raise BadInput(f"upload {upload} is at byte {at.offset} of {at.size}; send the rest first")
            key = at.key or new_key()
            if data.exists():
                self._note(replace(at, key=key))  # before the move: after a crash the key is needed to find the file
                try:
                    self._store.move_in(data, sha256=at.sha256, key=key)
                except BadInput:
                    shutil.rmtree(data.parent, ignore_errors=True)
                    raise
                data.with_name(key).unlink(missing_ok=True)  # the copy that a bucket leaves
            return key

    def complete(self, upload: str) -> PutResult:
        """Put the received file into the store, as `offer` does, and discard the upload."""
        key = self.offer(upload)
        at = self.get(upload)
        self.discard(upload)
        if at is None or at.key is None:
            raise missing_file(key)
        return PutResult(key, at.offset, at.sha256 or _hash(self._store.open(key)))

    def read(self, upload: str, most: int) -> bytes:
        """Return the received bytes. Raises `LimitExceeded` for more than `most` bytes, `BadInput`, `Occupied`."""
        with self._lock_upload(upload) as (at, data):
            if at.offset > most:
                raise LimitExceeded("bytes", at.offset, most, "the upload")
            if data.exists() or at.key is None:
                with self._writing():
                    return data.read_bytes()
            return b"".join(self._store.open(at.key))

    @contextmanager
    def hold_file(self, upload: str) -> Iterator[Path]:
        """Give the path of the received bytes, which stay as they are meanwhile. Raises `BadInput`, `Occupied`."""
        with self._lock_upload(upload) as (_, data):
            if not data.exists():
                raise Occupied(f"upload {upload} has no bytes, or a job is about to take it over; begin a new one")
            yield data

    def discard(self, upload: str) -> str | None:
        """Delete the upload, if it exists; return its key in the store, if `offer` has put it there."""
        if self.get(upload) is None:
            return None
        with self._lock_upload(upload) as (at, data):
            shutil.rmtree(data.parent, ignore_errors=True)
            return at.key

    def sweep(self, age_seconds: float) -> int:
        """Delete uploads that received nothing for that many seconds; return their number."""
        old = [path for path in self._folder.glob("*") if _age(path) >= age_seconds]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    @contextmanager
    def _lock_upload(self, upload: str) -> Iterator[tuple[ResumableUpload, Path]]:
        """Lock an upload, also against other processes, and give it with the path of its data."""
        no_upload = BadInput(f"upload {upload[:40]!r} does not exist: it was completed, discarded or never begun")
        if self.get(upload) is None:
            raise no_upload
        folder = self._folder / upload
        try:
            with FileLock(folder / "lock", blocking=False):
                if (at := self.get(upload)) is None:
                    raise no_upload
                yield at, folder / "data"
        except Timeout as error:
            raise Occupied(f"another request is using upload {upload}; wait until it ends") from error

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
            self._store.check()  # raises the real cause where the store has been unmounted meanwhile
            raise OutputFailed(
                f"cannot write to {self._folder}: {error.strerror or error}; check its permissions and its free space"
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
    """Return the seconds since the upload in a folder last received bytes."""
    times = []
    for place in (path, path / "data"):
        try:
            times.append(os.stat(place).st_mtime)  # noqa: PTH116 - also of what is no folder
        except OSError:
            continue  # deleted meanwhile, or not made yet
    return time.time() - max(times, default=time.time())
