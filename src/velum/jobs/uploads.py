"""Uploads that may come in parts: broken off, asked how far they are, and continued."""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from velum.errors import BadInput, LimitExceeded, OutputFailed, Unavailable
from velum.jobs.store import Store, Stored

_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way: `offset` bytes are here; `size` and `sha256` are what was announced, None where nothing was.

    `owner` is whoever began it.
    """

    id: str
    offset: int
    size: int | None = None
    sha256: str | None = None
    owner: str = ""


class Uploads:
    """The uploads in a folder, which should be on the store's file system: then completing one copies nothing.

    Several processes may use it at a time. `most` is the largest upload, in bytes.
    """

    def __init__(self, folder: Path, store: Store, *, most: int) -> None:
        self._folder, self._store, self._most = folder, store, most

    def begin(self, *, size: int | None = None, sha256: str | None = None, owner: str = "") -> Upload:
        """Return a new upload, of which nothing is here. Raises `LimitExceeded`, `BadInput` and `OutputFailed`."""
        if size is not None and size < 0:
            raise BadInput(f"an upload of {size} bytes was announced; it must be at least 0")
        if size is not None and size > self._most:
            raise LimitExceeded("bytes", size, self._most, "the upload")
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise BadInput(f"sha256 {sha256[:80]!r} was announced; it must be 64 hexadecimal digits")
        upload = Upload(secrets.token_hex(16), 0, size, sha256, owner)
        folder = self._folder / upload.id
        self._store.check()  # where that is away, its folder may be of another disk
        with self._writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            (folder / "data").touch()
            part = folder / "state.part"
            part.write_text(json.dumps(asdict(upload)), encoding="utf-8")
            part.replace(folder / "state.json")
        return upload

    def get(self, upload: str) -> Upload | None:
        """Return how far the upload of that id is; None when there is none."""
        folder = self._folder / upload
        if not _ID.fullmatch(upload):
            return None
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            # What is here is what counts: a crash may have kept less, or more, than anyone was told.
            return Upload(**{**state, "offset": (folder / "data").stat().st_size})
        except (FileNotFoundError, NotADirectoryError):
            self._store.check()  # where that is away, nobody knows
            return None
        except (OSError, ValueError) as error:
            raise Unavailable(f"upload {upload} cannot be read now: {error}") from error

    def append(self, upload: str, offset: int, chunks: Iterable[bytes]) -> Upload:
        """Write on at exactly where the upload is, and return how far it is then.

        What came before a stream breaks off is kept. Raises `BadInput` for any other offset, for more than was
        announced, and while someone else writes; `LimitExceeded` for more than is accepted; `OutputFailed`.
        """
        with self._held(upload) as (at, data):
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
        return Upload(at.id, here, at.size, at.sha256, at.owner)

    def complete(self, upload: str) -> Stored:
        """Put what came into the store. Raises `BadInput` when it is not what was announced, `OutputFailed`.

        An upload whose hash is wrong is discarded: nothing that is added could make it right.
        """
        with self._held(upload) as (at, data):
            if at.size is not None and at.offset != at.size:
                raise BadInput(f"upload {upload} is at byte {at.offset} of {at.size}; send the rest first")
            try:
                stored = self._store.take(data, sha256=at.sha256)
            except BadInput:
                shutil.rmtree(data.parent, ignore_errors=True)
                raise
            shutil.rmtree(data.parent, ignore_errors=True)
            return stored

    def discard(self, upload: str) -> None:
        """Delete what came, if there is such an upload."""
        if self.get(upload) is not None:
            with self._held(upload) as (_, data):
                shutil.rmtree(data.parent, ignore_errors=True)

    def sweep(self, age_seconds: float) -> int:
        """Delete uploads to which nothing was added for that long, and return how many they were."""
        old = [path for path in self._folder.glob("*") if _age(path) >= age_seconds]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    @contextmanager
    def _held(self, upload: str) -> Iterator[tuple[Upload, Path]]:
        """Keep others from writing to an upload."""
        missing = BadInput(f"upload {upload[:40]!r} is not here: it was completed, discarded or never begun")
        if self.get(upload) is None:
            raise missing
        folder = self._folder / upload
        try:
            with FileLock(folder / "lock", blocking=False):
                if (at := self.get(upload)) is None:
                    raise missing
                yield at, folder / "data"
        except Timeout as error:
            raise BadInput(f"upload {upload} is being written to; wait until that ends") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (BadInput, LimitExceeded, OutputFailed):
            raise
        except OSError as error:
            raise OutputFailed(
                f"cannot write to {self._folder}: {error.strerror or error}; check that it can be written to, has room"
            ) from error


def _age(path: Path) -> float:
    """Return how long ago, in seconds, something was last added to the upload in a folder."""
    times = []
    for one in (path, path / "data"):
        try:
            times.append(os.stat(one).st_mtime)  # noqa: PTH116 - also of what is no folder
        except OSError:
            continue  # gone meanwhile, or never made
    return time.time() - max(times, default=time.time())
