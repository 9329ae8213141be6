"""Objects of a bucket under keys that others chose. Errors of obstore are translated here."""

import mimetypes
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import MemoryStore

from velum.errors import BadInput, BadPlan, OutputFailed
from velum.storage import StoreAway
from velum.storage.bucket import AT_ONCE, CREDENTIALS, PART_BYTES, READ_BYTES, BucketStore, first_line
from velum.storage.objects import ObjectChanged, ObjectGone, ObjectInfo

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

MEMORY = "memory://"

_MEMORY: dict[str, MemoryStore] = {}
"""Stores of this process, for tests, by the name in their URL."""


_DENIED = re.compile(r"\b(401|403|AccessDenied)\b")

_SKEWED = re.compile("RequestTimeTooSkewed|RequestExpired")
_CLOCK = "set the clock of this machine: the service refuses requests whose time differs by more than minutes"

_NO_CREDENTIALS = re.compile(r"169\.254\.|metadata\.google|locate credentials")
"""In errors where no credentials were given: the libraries then ask the metadata service of the cloud's machines."""

_ODD_KEY = re.compile(r"(^|/)(\.{0,2})(/|$)|[\x00-\x1f\x7f]")
"""Keys that obstore refuses, or takes for another one: with empty segments, `.` or `..`, or control characters."""


def open_bucket(url: str) -> "BucketTree":
    """Return the objects at `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `memory://name`.

    Credentials, endpoint and region come from the variables that each provider's own tools read. Raises `BadPlan`.
    """
    if url.startswith(MEMORY):
        name = url.removeprefix(MEMORY)
        if not name or "/" in name:
            raise BadPlan(f"the store {url[:200]!r} is no name of a store in memory; write memory://NAME")
        return BucketTree(_MEMORY.setdefault(name, MemoryStore()), url)
    objects = BucketStore.at(url).objects
    if url.startswith("s3:") and find_spec("boto3") is not None:
        return S3Tree(objects, url.rstrip("/"))
    return BucketTree(objects, url.rstrip("/"))


class BucketTree:
    """Objects under a prefix of a bucket; any number of machines may share it.

    obstore, which sends the requests, cannot name some keys (`_ODD_KEY`): `list` raises `BadInput` at one, so that
    nothing is left out, and `put_file` refuses it.
    """

    def __init__(self, objects: "ObjectStore", url: str) -> None:
        self._objects, self.url = objects, url

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
                yield self._info(entry["path"], entry)

    def head(self, key: str) -> ObjectInfo:
        """Return an object's size and ETag."""
        if _ODD_KEY.search(key):
            raise ObjectGone
        with self._reading("read"):
            entry = obstore.head(self._objects, key)
        return self._info(key, entry)

    def _info(self, key: str, entry: "ObjectMeta") -> ObjectInfo:
        tag = entry["e_tag"]
        if tag and self.url.startswith(("az:", "gs:")) and not tag.endswith('"'):
            tag = f'"{tag}"'  # Azure writes it without quotes in lists, and with them in headers; so may others
        return ObjectInfo(key, entry["size"], tag or str(entry["last_modified"]))

    def fetch(self, item: ObjectInfo, file: Path) -> None:
        """Write an object into a file, in ranges; each is read only while the ETag is the same."""
        try:
            with file.open("xb") as target:
                for start in range(0, item.size, READ_BYTES):
                    with self._reading("read"):
                        target.write(self._read_range(item, start, min(start + READ_BYTES, item.size)))
        except OSError as error:
            if isinstance(error, OutputFailed):
                raise
            raise OutputFailed(f"cannot write {file}: {error.strerror or error}; make room on the disk") from error

    def _read_range(self, item: ObjectInfo, start: int, stop: int) -> Any:
        if _ODD_KEY.search(item.key):
            raise self._no_name(item.key)
        options: Any = {"range": (start, stop), "if_match": item.etag}
        return obstore.get(self._objects, item.key, options=options).bytes()

    def read(self, key: str) -> bytes:
        """Return a small object."""
        with self._reading("read"):
            return bytes(obstore.get(self._objects, key).bytes())

    def metadata(self, key: str) -> Mapping[str, str]:
        """Return the metadata of an object."""
        if _ODD_KEY.search(key):
            return {}
        try:
            with self._reading("read"):
                attributes = obstore.get(self._objects, key, options={"head": True}).attributes
        except ObjectGone:
            return {}
        return {str(name).lower(): str(value) for name, value in attributes.items()}

    def put_file(self, key: str, file: Path, metadata: Mapping[str, str]) -> None:
        """Store a file, in parts where it is large."""
        if _ODD_KEY.search(key):
            raise self._no_name(key)
        with self._writing(key):
            obstore.put(
                self._objects, key, file, attributes={"Content-Type": _content_type(key), **metadata},
                chunk_size=PART_BYTES, max_concurrency=AT_ONCE,
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
            with self._writing(key, "delete"):
                obstore.delete(self._objects, key)
        except OutputFailed as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    def _no_name(self, key: str) -> BadInput:
        return BadInput(
            f"{key[:200]!r} cannot be named in {self.url}: a segment is empty, '.' or '..', or it has a control "
            "character; rename the object"
        )

    @contextmanager
    def _reading(self, verb: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectGone from error
        except PreconditionError as error:
            raise ObjectChanged from error
        except InvalidPathError as error:
            library = "install boto3, which can" if self.url.startswith("s3:") else "give a prefix without it"
            raise BadInput(
                f"{self.url} holds a key that velum cannot name ({first_line(error)}); rename the object, or {library}"
            ) from error
        except BaseError as error:
            raise self._away(error, verb) from error

    def _away(self, error: Exception, verb: str) -> StoreAway:
        reason = first_line(error)
        if _NO_CREDENTIALS.search(reason):
            return StoreAway(f"cannot {verb} {self.url}: {self._missing_credentials()}")
        if "ContainerNotFound" in reason:
            return StoreAway(f"cannot {verb} {self.url}: there is no such container; check its name")
        denied = isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(reason)
        advice = f"give the credentials the right to {verb}" if denied else "check the address and the service"
        return StoreAway(f"cannot {verb} {self.url}: {reason}; {_CLOCK if _SKEWED.search(reason) else advice}")

    def _missing_credentials(self) -> str:
        names = CREDENTIALS[self.url[:2]]
        return f"no credentials were found; set {names}, or run where the machine itself has the right"

    @contextmanager
    def _writing(self, key: str, verb: str = "write") -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            reason = first_line(error)
            advice = f"check that the bucket exists, and give the credentials the right to {verb}"
            why = f"{reason}; {_CLOCK if _SKEWED.search(reason) else advice}"
            if _NO_CREDENTIALS.search(reason):
                why = self._missing_credentials()
            raise OutputFailed(f"cannot {verb} {key!r} in {self.url}: {why}") from error


class S3Tree(BucketTree):
    """Objects of S3, with all keys: boto3 lists them, and carries those that obstore cannot name."""

    def __init__(self, objects: "ObjectStore", url: str) -> None:
        super().__init__(objects, url)
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @cached_property
    def _client(self) -> Any:
        """A client of boto3, by the variables that obstore reads, too; safe to share between threads."""
        import boto3  # noqa: PLC0415 - takes 0.3 s
        from botocore import UNSIGNED  # noqa: PLC0415 - likewise
        from botocore.config import Config  # noqa: PLC0415 - likewise

        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        config = Config(
            retries={"max_attempts": 6, "mode": "standard"},
            s3={"addressing_style": "path" if endpoint else "auto"},
            signature_version=UNSIGNED if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true"} else None,
        )
        return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects by key; those that velum wrote under a prefix of its own have no odd keys."""
        if prefix:
            yield from super().list(prefix)
            return
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        pages = iter(pages)
        while True:
            try:
                with self._reading("list"), self._translate():
                    page = next(pages, None)
            except ObjectGone as error:
                raise StoreAway(f"cannot list {self.url}: NoSuchBucket; check its name") from error
            if page is None:
                return
            for entry in page.get("Contents", ()):
                yield ObjectInfo(entry["Key"].removeprefix(self._prefix), entry["Size"], entry["ETag"])

    def head(self, key: str) -> ObjectInfo:
        """Return an object's size and ETag."""
        if not _ODD_KEY.search(key):
            return super().head(key)
        info = self._head(key)
        return ObjectInfo(key, info["ContentLength"], info["ETag"])

    def metadata(self, key: str) -> Mapping[str, str]:
        """Return the metadata of an object."""
        if not _ODD_KEY.search(key):
            return super().metadata(key)
        try:
            return {name.lower(): value for name, value in self._head(key)["Metadata"].items()}
        except ObjectGone:
            return {}

    def put_file(self, key: str, file: Path, metadata: Mapping[str, str]) -> None:
        """Store a file, in parts where it is large."""
        if not _ODD_KEY.search(key):
            super().put_file(key, file, metadata)
            return
        arguments = {"ContentType": _content_type(key), "Metadata": dict(metadata)}
        with self._writing(key), self._translate():
            self._client.upload_file(str(file), self._bucket, self._prefix + key, ExtraArgs=arguments)

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        if not _ODD_KEY.search(key):
            super().delete(key)
            return
        with self._writing(key, "delete"), self._translate():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _read_range(self, item: ObjectInfo, start: int, stop: int) -> Any:
        if not _ODD_KEY.search(item.key):
            return super()._read_range(item, start, stop)
        with self._translate():
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + item.key, Range=f"bytes={start}-{stop - 1}", IfMatch=item.etag
            )
            return answer["Body"].read()

    def _head(self, key: str) -> Any:
        with self._reading("read"), self._translate():
            return self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)

    @contextmanager
    def _translate(self) -> Iterator[None]:
        """Raise errors of boto3 as obstore would raise them."""
        from boto3.exceptions import Boto3Error  # noqa: PLC0415 - takes 0.3 s
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - likewise

        try:
            yield
        except ClientError as error:
            kinds = {404: FileNotFoundError, 412: PreconditionError}
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            raise kinds.get(status, GenericError)(str(error)) from error
        except (BotoCoreError, Boto3Error) as error:
            raise GenericError(str(error)) from error


def _content_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"
