"""Objects of a bucket under keys that others chose. Errors of obstore are translated here."""

import mimetypes
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import MemoryStore

from velum.errors import BadInput, BadPlan, OutputFailed
from velum.storage import StoreAway
from velum.storage.bucket import AT_ONCE, PART_BYTES, READ_BYTES, BucketStore, first_line
from velum.storage.objects import ObjectChanged, ObjectGone, ObjectInfo

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MEMORY = "memory://"

_MEMORY: dict[str, MemoryStore] = {}
"""Stores of this process, for tests, by the name in their URL."""


_DENIED = re.compile(r"\b(401|403|AccessDenied)\b")


class BucketTree:
    """Objects under a prefix of a bucket; any number of machines may share it.

    The library that sends the requests cannot name keys with empty segments (`a//b`), segments `.` or `..`, or control
    characters: `list` raises `BadInput` at one, so that nothing is left out.
    """

    def __init__(self, objects: "ObjectStore", url: str) -> None:
        self._objects, self.url = objects, url

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the objects at `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `memory://name`.

        Credentials, endpoint and region come from the variables that each provider's own tools read. Raises `BadPlan`.
        """
        if url.startswith(MEMORY):
            name = url.removeprefix(MEMORY)
            if not name or "/" in name:
                raise BadPlan(f"the store {url[:200]!r} is no name of a store in memory; write memory://NAME")
            return cls(_MEMORY.setdefault(name, MemoryStore()), url)
        return cls(BucketStore.at(url).objects, url.rstrip("/"))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects by key; see `ObjectTree.list`."""
        pages = iter(obstore.list(self._objects, prefix=prefix or None, chunk_size=1000))
        while True:
            try:
                with self._reading("list"):
                    page = next(pages, None)
            except ObjectGone as error:
                raise StoreAway(f"cannot list {self.url}: there is no such bucket; check its name") from error
            if page is None:
                return
            for entry in page:
                yield ObjectInfo(entry["path"], entry["size"], entry["e_tag"] or str(entry["last_modified"]))

    def head(self, key: str) -> ObjectInfo:
        """Return an object's size and ETag."""
        with self._reading("read"):
            entry = obstore.head(self._objects, key)
        return ObjectInfo(key, entry["size"], entry["e_tag"] or str(entry["last_modified"]))

    def fetch(self, item: ObjectInfo, file: Path) -> None:
        """Write an object into a file, in ranges; each is read only while the ETag is the same."""
        try:
            with file.open("xb") as target:
                for start in range(0, item.size, READ_BYTES):
                    stop = min(start + READ_BYTES, item.size)
                    options: Any = {"range": (start, stop), "if_match": item.etag}
                    with self._reading("read"):
                        target.write(obstore.get(self._objects, item.key, options=options).bytes())
        except OSError as error:
            if isinstance(error, OutputFailed):
                raise
            raise OutputFailed(f"cannot write {file}: {error.strerror or error}; make room on the disk") from error

    def read(self, key: str) -> bytes:
        """Return a small object."""
        with self._reading("read"):
            return bytes(obstore.get(self._objects, key).bytes())

    def metadata(self, key: str) -> Mapping[str, str]:
        """Return the metadata of an object."""
        try:
            with self._reading("read"):
                found = obstore.get(self._objects, key, options={"head": True}).attributes
        except ObjectGone:
            return {}
        return {str(name).lower(): str(value) for name, value in found.items()}

    def put_file(self, key: str, file: Path, metadata: Mapping[str, str]) -> None:
        """Store a file, in parts where it is large."""
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with self._writing(key):
            obstore.put(
                self._objects, key, file, attributes={"Content-Type": kind, **metadata}, chunk_size=PART_BYTES,
                max_concurrency=AT_ONCE,
            )  # fmt: skip

    def put_new(self, key: str, data: bytes) -> bool:
        """Store a new object; see `ObjectTree.put_new`."""
        try:
            with self._writing(key):
                obstore.put(self._objects, key, data, mode="create", use_multipart=False)
        except OutputFailed as error:
            if isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
                return False
            raise
        return True

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        try:
            with self._writing(key):
                obstore.delete(self._objects, key)
        except OutputFailed as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    @contextmanager
    def _reading(self, verb: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectGone from error
        except PreconditionError as error:
            raise ObjectChanged from error
        except InvalidPathError as error:
            raise BadInput(
                f"{self.url} holds a key that velum cannot name ({first_line(error)}); rename the object, or give a "
                "prefix without it"
            ) from error
        except BaseError as error:
            reason = first_line(error)
            denied = isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(reason)
            advice = f"give the credentials the right to {verb}" if denied else "check the address and the service"
            raise StoreAway(f"cannot {verb} {self.url}: {reason}; {advice}") from error

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise OutputFailed(
                f"cannot write {key!r} to {self.url}: {first_line(error)}; check that the bucket exists and that the "
                "credentials allow writing"
            ) from error
