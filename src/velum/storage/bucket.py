"""A store in a bucket of S3 or a compatible service, Google Cloud Storage or Azure Blob Storage.

Errors of obstore are translated here.
"""

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

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")

READ_BYTES = 4 << 20
"""Bytes of one read request."""

PART_BYTES = 8 << 20
"""Bytes of a part of a multipart upload; obstore gives each 30 s. S3 takes 10,000 parts: files of up to 78 GiB."""

AT_ONCE = 2
"""Parts of one file that are sent at the same time; all of them are held in memory."""

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""Variables of each provider by the scheme of its URLs."""

_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class BucketStore:
    """Files as objects of a bucket; any number of machines may share it.

    An object appears when its upload is complete, and never changes. Parts of an incomplete upload are not listed; a
    lifecycle rule of the bucket deletes them. When the bucket does not answer, methods raise `StoreAway`, unless
    `Store` names another error.
    """

    def __init__(self, objects: "ObjectStore", name: str = "the bucket") -> None:
        self.objects, self._name = objects, name
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
            address = re.sub(r"//[^/]*@", "//***@", url)[:200]
            raise BadPlan(
                f"the store {address!r} is not the URL of a bucket; write s3://, gs:// or az://, then the name of the "
                "bucket, "
                "and / and a prefix if others use the bucket, too; credentials are taken from the environment"
            )
        # Objects are deleted one by one, which every service can do; not all can delete many with one request.
        config: Any = {"disable_bulk_delete": True} if parts.scheme == "s3" else None
        try:
            objects = from_url(url, config=config, retry_config=_RETRIES)
        except (BaseError, ValueError) as error:
            advice = f"; set {CREDENTIALS['az']}" if "Account must be specified" in str(error) else ""
            raise BadPlan(f"the store {url[:200]!r} cannot be used: {first_line(error)}{advice}") from error
        return cls(objects, url)

    def identity(self) -> str | None:
        """Return the identity in the object `MARK`; see `Store.identity`."""
        try:
            with self._reading():
                return bytes(obstore.get(self.objects, MARK).bytes())[:64].decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None

    def establish(self, identity: str) -> None:
        """Write the identity to the object `MARK`; see `Store.establish`."""
        with self._translate_write_errors():
            obstore.put(self.objects, MARK, f"{identity}\n".encode(), use_multipart=False)

    def hold(self, identity: str) -> None:
        """Accept only the store with this identity; see `Store.hold`."""
        self._identity = identity

    def check(self) -> None:
        """Read the identity; see `Store.check`. Unlike a folder, a bucket is checked only when a file is missing."""
        if self._identity is not None and (identity := self.identity()) != self._identity:
            raise wrong_store(self._name, f"its object {MARK}", self._identity, identity)

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, most: int | None = None) -> PutResult:
        """Store a stream; see `Store.put`."""
        return self._put(new_key(), _Checked(chunks, sha256, most))

    def _put(self, key: str, stream: "_Checked") -> PutResult:
        body, head = iter(stream), bytearray()
        for chunk in body:
            head += chunk
            if len(head) > PART_BYTES:
                break
        # Errors of the stream pass through; then obstore does not complete the upload, and no object appears.
        whole = bytes(head) if len(head) <= PART_BYTES else chain([bytes(head)], body)
        with self._translate_write_errors():
            obstore.put(
                self.objects, _path(key), whole, use_multipart=not isinstance(whole, bytes), chunk_size=PART_BYTES,
                max_concurrency=AT_ONCE,
            )  # fmt: skip
        return stream.result(key)

    def move_in(self, file: Path, *, sha256: str | None = None, key: str | None = None) -> PutResult:
        """Store a file; see `Store.move_in`. A copy stays in its folder, named by its key, for `fetch`."""
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
        """Yield a range of bytes. Each `READ_BYTES` are one request, which is repeated after a failure."""
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
            raise OutputFailed(f"cannot write to {folder}: {error.strerror or error}; make room there") from error
        return place

    def size(self, key: str) -> int | None:
        """Return the number of bytes of a file; see `Store.size`."""
        if not KEY.fullmatch(key):
            return None
        try:
            with self._reading():
                return int(obstore.head(self.objects, _path(key))["size"])
        except FileNotFoundError:
            self.check()
            return None

    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""
        if not KEY.fullmatch(key):
            raise invalid_key(key)
        try:
            obstore.delete(self.objects, _path(key))
        except FileNotFoundError:
            return
        except BaseError as error:
            raise OutputFailed(f"cannot delete a file from {self._name}: {first_line(error)}") from error

    def list(self, start: str = "") -> Iterator[StoredObject]:
        """Yield the stored files; see `Store.list`."""
        now, batches = datetime.now(UTC), iter(obstore.list(self.objects, prefix=start or None))
        while True:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            for entry in batch:
                folder, _, key = entry["path"].rpartition("/")
                if KEY.fullmatch(key) and folder == key[:2]:
                    # The bucket's clock may be ahead of this machine's.
                    age = max((now - entry["last_modified"]).total_seconds(), 0.0)
                    yield StoredObject(key, entry["size"], age)

    def sweep(self, age_seconds: float) -> int:  # noqa: ARG002 - part of the protocol
        """Return 0: an incomplete upload is not an object; a lifecycle rule of the bucket deletes it."""
        return 0

    def part(self, key: str, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`, which must lie in the file. Raises `Unavailable`."""
        try:
            with self._reading():
                return bytes(obstore.get_range(self.objects, _path(key), start=start, end=stop))
        except FileNotFoundError as error:
            self.check()
            raise missing_file(key) from error

    def _size(self, key: str) -> int:
        """Return the size of a file in bytes. Raises `BadInput` for an invalid key, `Unavailable` for a missing one."""
        if not KEY.fullmatch(key):
            raise invalid_key(key)
        if (size := self.size(key)) is None:
            raise missing_file(key)
        return size

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Translate all errors of obstore but `FileNotFoundError`."""
        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as error:
            raise StoreAway(f"cannot read from {self._name}: {first_line(error)}") from error

    @contextmanager
    def _translate_write_errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise OutputFailed(
                f"cannot write to {self._name}: {first_line(error)}; check that the bucket exists and that the "
                "credentials allow writing"
            ) from error


class _Checked:
    """Counts and hashes the chunks that pass; raises an error when the size or the hash is not the announced one."""

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
        digest = self._digest.hexdigest()
        if self._sha256 is not None and digest != self._sha256.lower():
            raise BadInput(
                f"the received bytes have sha256 {digest}, not {self._sha256[:80]} as announced; send them again"
            )

    def result(self, key: str) -> PutResult:
        """Return the size and hash of the whole stream."""
        return PutResult(key, self._size, self._digest.hexdigest())


def _path(key: str) -> str:
    return f"{key[:2]}/{key}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, and the code in the answer of S3; obstore adds debugging notes."""
    text = str(error)
    line, code = (
        text.partition("\n")[0].partition("<?xml")[0][:500].rstrip(": "),
        re.search(r"<Code>(\w+)</Code>", text),
    )
    return f"{line} ({code[1]})" if code and code[1] not in line else line
