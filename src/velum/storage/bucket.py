"""A store in a bucket: S3 and what speaks it, Google Cloud Storage, Azure Blob Storage. Errors of obstore end here."""

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed
from velum.storage.folder import (
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

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")

READ_BYTES = 4 << 20
"""What is fetched at a time."""

PART_BYTES = 8 << 20
"""What is sent at a time; obstore gives it 30 s. S3 takes 10,000 parts, so a file may have 78 GiB."""

AT_ONCE = 2
"""Parts of one file on their way at a time: all of them are in memory."""

_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class BucketStore:
    """Files as objects of a bucket, shared by as many machines as may reach it.

    An object appears when all of it is there, and never changes. Parts of a broken upload are never seen; a rule of the
    bucket deletes them. Raises `StoreAway` where `Store` says nothing else and the bucket does not answer.
    """

    def __init__(self, objects: "ObjectStore", name: str = "the bucket") -> None:
        self._objects, self._name = objects, name
        self._identity: str | None = None

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the store at `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.

        Credentials, endpoint and region come from the variables that each provider's own tools read. Raises `BadPlan`.
        """
        try:
            parts = urlsplit(url)
            right = parts.scheme in SCHEMES and parts.netloc and "@" not in parts.netloc and not parts.query
        except ValueError:
            right = False
        if not right:
            told = re.sub(r"//[^/]*@", "//***@", url)[:200]
            raise BadPlan(
                f"the store {told!r} is no bucket; write s3://, gs:// or az://, its name, / and a prefix if it is "
                "shared; credentials are taken from the environment"
            )
        # One object at a time is deleted, which every service understands; not all know how to delete many.
        config: Any = {"disable_bulk_delete": True} if parts.scheme == "s3" else None
        try:
            objects = from_url(url, config=config, retry_config=_RETRIES)
        except (BaseError, ValueError) as error:
            raise BadPlan(f"the store {url[:200]!r} cannot be used: {_first_line(error)}") from error
        return cls(objects, url)

    def identity(self) -> str | None:
        """Return what the mark says; see `Store.identity`."""
        try:
            with self._reading():
                return bytes(obstore.get(self._objects, MARK).bytes())[:64].decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None

    def establish(self, identity: str) -> None:
        """Put the mark there; see `Store.establish`."""
        with self._translate_write_errors():
            obstore.put(self._objects, MARK, f"{identity}\n".encode(), use_multipart=False)

    def hold(self, identity: str) -> None:
        """Take no other for this store; see `Store.hold`."""
        self._identity = identity

    def check(self) -> None:
        """Ask for the mark; see `Store.check`. Unlike a folder, a bucket is asked only where something is missing."""
        if self._identity is not None and (found := self.identity()) != self._identity:
            raise wrong_store(self._name, f"its object {MARK}", self._identity, found)

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, most: int | None = None) -> PutResult:
        """Keep a stream; see `Store.put`."""
        return self._put(new_key(), _Checked(chunks, sha256, most))

    def _put(self, key: str, stream: "_Checked") -> PutResult:
        body, head = iter(stream), bytearray()
        for chunk in body:
            head += chunk
            if len(head) > PART_BYTES:
                break
        # What the stream raises comes through, and then nothing is kept: only whole objects are completed.
        whole = bytes(head) if len(head) <= PART_BYTES else chain([bytes(head)], body)
        with self._translate_write_errors():
            obstore.put(
                self._objects, _path(key), whole, use_multipart=not isinstance(whole, bytes), chunk_size=PART_BYTES,
                max_concurrency=AT_ONCE,
            )  # fmt: skip
        return stream.result(key)

    def move_in(self, file: Path, *, sha256: str | None = None, key: str | None = None) -> PutResult:
        """Keep a file; see `Store.move_in`. It stays in its folder under its key, for `fetch`."""
        try:
            with file.open("rb") as stream:
                result = self._put(key or new_key(), _Checked(iter(lambda: stream.read(CHUNK), b""), sha256, None))
            file.replace(file.with_name(result.key))
        except OSError as error:
            if isinstance(error, OutputFailed):
                raise
            raise OutputFailed(f"cannot put {file.name} into {self._name}: {error.strerror or error}") from error
        return result

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Generator[bytes]:
        """Return a range of bytes; see `Store.open`. Raises `StoreAway` while they are read, too."""
        size = self._size(key)
        return self._read_range(key, start, size if stop is None else min(stop, size))

    def _read_range(self, key: str, start: int, stop: int) -> Generator[bytes]:
        """Yield a range of bytes; each part is a request of its own, which may be repeated."""
        while start < stop:
            if not (data := self.part(key, start, min(start + READ_BYTES, stop))):
                raise missing_file(key)
            start += len(data)
            for offset in range(0, len(data), CHUNK):
                yield data[offset : offset + CHUNK]

    def fetch(self, key: str, folder: Path) -> Path:
        """Return a copy in `folder`; see `Store.fetch`."""
        size = self._size(key)
        place, part = folder / key, folder / f"{key}.part"
        try:
            if place.is_file() and place.stat().st_size == size:
                return place
            with part.open("wb") as file, closing(self.open(key)) as chunks:
                for chunk in chunks:
                    file.write(chunk)
            part.replace(place)
        except OSError as error:
            if isinstance(error, OutputFailed):
                raise
            raise OutputFailed(f"cannot write to {folder}: {error.strerror or error}; it needs room") from error
        return place

    def size(self, key: str) -> int | None:
        """Return how many bytes it has, None when there is no such file."""
        if not KEY.fullmatch(key):
            return None
        try:
            with self._reading():
                return int(obstore.head(self._objects, _path(key))["size"])
        except FileNotFoundError:
            self.check()
            return None

    def delete(self, key: str) -> None:
        """Delete it, if it is there."""
        if not KEY.fullmatch(key):
            raise invalid_key(key)
        try:
            obstore.delete(self._objects, _path(key))
        except FileNotFoundError:
            return
        except BaseError as error:
            raise OutputFailed(f"{self._name} does not delete a file: {_first_line(error)}") from error

    def list(self, start: str = "") -> Iterator[StoredObject]:
        """Yield what is kept; see `Store.list`."""
        now, batches = datetime.now(UTC), iter(obstore.list(self._objects, prefix=start or None))
        while True:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            for one in batch:
                folder, _, key = one["path"].rpartition("/")
                if KEY.fullmatch(key) and folder == key[:2]:
                    # By the bucket's clock, which may be ahead of ours.
                    age = max((now - one["last_modified"]).total_seconds(), 0.0)
                    yield StoredObject(key, one["size"], age)

    def sweep(self, age_seconds: float) -> int:  # noqa: ARG002 - of the protocol: a bucket has nothing to be seen
        """Return 0: what broke off half-way is no object, and a rule of the bucket deletes it."""
        return 0

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Return that range of bytes, which must lie inside the file. Raises `Unavailable`."""
        try:
            with self._reading():
                return bytes(obstore.get_range(self._objects, _path(key), start=start, end=stop))
        except FileNotFoundError as error:
            self.check()
            raise missing_file(key) from error

    def _size(self, key: str) -> int:
        """Return how many bytes a file has, which should be there."""
        if not KEY.fullmatch(key):
            raise invalid_key(key)
        if (size := self.size(key)) is None:
            raise missing_file(key)
        return size

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Translate errors of the library, but for `FileNotFoundError`."""
        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as error:
            raise StoreAway(f"cannot read from {self._name}: {_first_line(error)}") from error

    @contextmanager
    def _translate_write_errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise OutputFailed(
                f"cannot write to {self._name}: {_first_line(error)}; check that the bucket exists, and who may write"
            ) from error


class _Checked:
    """A stream that counts and hashes what passes, and ends with an error when it is not what was announced."""

    def __init__(self, chunks: Iterable[bytes], sha256: str | None, most: int | None) -> None:
        self._chunks, self._sha256, self._most = chunks, sha256, most
        self._digest, self._size = hashlib.sha256(), 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._size += len(chunk)
            if self._most is not None and self._size > self._most:
                raise LimitExceeded("bytes", self._size, self._most, "the upload")
            self._digest.update(chunk)
            if chunk:
                yield chunk
        found = self._digest.hexdigest()
        if self._sha256 is not None and found != self._sha256.lower():
            raise BadInput(f"what came has sha256 {found}, not {self._sha256[:80]} as announced; send it again")

    def result(self, key: str) -> PutResult:
        """Return what passed."""
        return PutResult(key, self._size, self._digest.hexdigest())


def _path(key: str) -> str:
    return f"{key[:2]}/{key}"


def _first_line(error: Exception) -> str:
    """Return what an error says, without the library's own notes behind it."""
    return str(error).partition("\n")[0][:500]
