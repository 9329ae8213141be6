"""Objects under keys that their owner chose: the files of a folder, or the objects under a prefix of a bucket."""

import errno
import heapq
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Protocol, TextIO

from velum.atomic import is_temporary, publish
from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable
from velum.storage import StoreAway

ATTRIBUTE = "user."
"""Start of the names of extended attributes that programs may set (xattr(7)); they are the metadata of a file."""


_NO_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST})
"""Errors of the operating system for a key that no file can have beside those of other keys."""

_NO_FILE = re.compile(r"(^|/)(\.{0,2})(/|$)|\0")
"""Keys that are no path of a file inside a folder."""

_SCHEMES = frozenset({"s3", "gs", "az", "memory"})

_NOT_UTF8 = "the name of the file is not UTF-8; rename it"

_DEAD_LINK = "link to nothing; restore the file that it names"
_FOLDER_LINK = "link to a folder; give that folder as a source of its own"
_NO_REGULAR_FILE = "no regular file; save what comes from the pipe or device as one"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object: its key, its size in bytes, and its ETag, which changes with its content."""

    key: str
    size: int
    etag: str
    fault: str = ""
    """Why it cannot be read under its key; empty for almost all."""


class ObjectChanged(Exception):
    """An object has another ETag than expected."""


class ObjectGone(Exception):
    """There is no object of that key."""


class ObjectTree(Protocol):
    """Objects by key. Safe to share between threads.

    Methods that read raise `StoreAway` when the store cannot be read, those that write raise `OutputFailed`.
    """

    url: str

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield all objects whose key starts with the segments of `prefix`, by key, a page at a time."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """Return an object's size and ETag. Raises `ObjectGone`."""
        ...

    def fetch(self, item: ObjectInfo, file: Path) -> None:
        """Write an object into a new file. Raises `ObjectGone`, and `ObjectChanged` when its ETag is another."""
        ...

    def read(self, key: str) -> bytes:
        """Return a small object. Raises `ObjectGone`."""
        ...

    def metadata(self, key: str) -> Mapping[str, str]:
        """Return what `put_file` stored with an object; nothing where the store keeps no metadata, or no object."""
        ...

    def put_file(self, key: str, file: Path, metadata: Mapping[str, str]) -> None:
        """Store a file, whole or not at all, in the place of an object that exists. Raises `BadInput` for some keys."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """Store a small object and return True; False, and nothing stored, where one exists."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        ...


def open_tree(place: str) -> ObjectTree:
    """Open a folder, or a prefix of a bucket by its URL: `s3://`, `gs://`, `az://`, `file://`, or `memory://NAME`.

    Raises `BadPlan` for a malformed URL, `Unavailable` when the extra is missing.
    """
    if place.startswith("file://"):
        return FolderTree(Path(place.removeprefix("file://")))
    if "://" not in place:
        return FolderTree(Path(place))
    if (scheme := place.partition("://")[0]) not in _SCHEMES:
        raise BadPlan(
            f"the place {scheme}://... is no URL of a store; write s3://bucket/prefix, gs://bucket/prefix, "
            "az://container/prefix, file:///folder, memory://NAME, or the path of a folder"
        )
    if find_spec("obstore") is None:
        raise Unavailable(f"{place} needs a library that is not installed; pip install 'velum-anonymizer[cloud]'")
    from velum.storage.bucket_objects import open_bucket  # noqa: PLC0415 - of an extra

    return open_bucket(place)


class FolderTree:
    """The files of a folder; keys are paths in it, with `/`. What is no file, as a link to a folder, is a fault."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.url = str(self._folder)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the files by key; see `ObjectTree.list`. A name that is not UTF-8 is a fault; its bytes are escaped."""
        start = f"{prefix.strip('/')}/" if prefix else ""
        if start and self._folder.is_dir() and not (self._folder / start).is_dir():
            return
        yield from self._list(start)

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with self._reading():
                entries = sort_texts(
                    f"{entry.name}{'/' * entry.is_dir(follow_symlinks=False)}"
                    for entry in os.scandir(self._folder / prefix)
                    if not is_temporary(entry.name)
                )
        except ObjectGone:  # deleted since its own folder was listed
            return
        for name in entries:
            key = prefix + name
            if key.endswith("/"):
                yield from self._list(key)
            else:
                with suppress(ObjectGone):
                    yield self._info(key)

    def _info(self, key: str) -> ObjectInfo:
        path, shown = self._folder / key, _escape(key)
        if path.is_file():
            head = self.head(key)
            return head if shown == key else replace(head, key=shown, fault=_NOT_UTF8)
        with self._reading():
            stat = path.lstat()
        fault = _NO_REGULAR_FILE if not path.is_symlink() else _FOLDER_LINK if path.is_dir() else _DEAD_LINK
        return ObjectInfo(shown, 0, f"{stat.st_mtime_ns:x}", fault)

    def head(self, key: str) -> ObjectInfo:
        """Return the size of a file, and an ETag of its time of change and its size."""
        with self._reading():
            stat = self._path(key).stat()
        return ObjectInfo(key, stat.st_size, f"{stat.st_mtime_ns:x}-{stat.st_size:x}")

    def fetch(self, item: ObjectInfo, file: Path) -> None:
        """Copy a file; see `ObjectTree.fetch`."""
        if self.head(item.key).etag != item.etag:
            raise ObjectChanged
        if not os.access(self._path(item.key), os.R_OK):
            raise BadInput(f"cannot read {item.key}: permission denied; make it readable, and try refused files again")
        with self._reading(), self._path(item.key).open("rb") as source, _writing(file), file.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        if self.head(item.key).etag != item.etag:
            raise ObjectChanged

    def read(self, key: str) -> bytes:
        """Return the bytes of a file."""
        with self._reading():
            return self._path(key).read_bytes()

    def metadata(self, key: str) -> Mapping[str, str]:
        """Return the extended attributes of a file."""
        values = {}
        with suppress(OSError, ObjectGone):
            path = self._path(key)
            for name in os.listxattr(path):
                if name.startswith(ATTRIBUTE):
                    values[name.removeprefix(ATTRIBUTE)] = os.getxattr(path, name).decode("utf-8", "replace")
        return values

    def put_file(self, key: str, file: Path, metadata: Mapping[str, str]) -> None:
        """Copy a file to its place; the metadata become extended attributes where the file system has them.

        Raises `BadInput` for a key that no file here can have: one that is too long, or the start of another key.
        """
        try:
            target = self._make_folder(key)
            is_folder = target.is_dir()
        except OSError as error:
            cause = error.__cause__ if isinstance(error, OutputFailed) else error
            if not isinstance(cause, OSError) or cause.errno not in _NO_NAME:
                raise
            raise self._no_name(key, cause.strerror or str(cause)) from error
        if is_folder:
            raise self._no_name(key, "it is a folder")
        with publish(target, overwrite=True) as part:
            shutil.copyfile(file, part)
            with suppress(OSError):
                for name, value in metadata.items():
                    os.setxattr(part, ATTRIBUTE + name, value.encode())

    def put_new(self, key: str, data: bytes) -> bool:
        """Write a new file; see `ObjectTree.put_new`."""
        target = self._make_folder(key)
        try:
            with publish(target) as part:
                part.write_bytes(data)
        except OutputFailed:
            if target.exists():
                return False
            raise
        return True

    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""
        with suppress(ObjectGone), _writing(self._folder / key):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        """Return the path of a key. Raises `ObjectGone` for one that no file in the folder can have, such as `../a`."""
        if _NO_FILE.search(key):
            raise ObjectGone
        return self._folder / key

    def _no_name(self, key: str, reason: str) -> BadInput:
        return BadInput(
            f"{key[:200]!r} cannot be a file in {self._folder}: {reason}; write to a bucket, or rename the source"
        )

    def _make_folder(self, key: str) -> Path:
        if _NO_FILE.search(key):
            raise self._no_name(key, "a segment is empty, '.' or '..', or it has a null character")
        target = self._folder / key
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        return target

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise StoreAway(f"{self._folder} does not exist; check the path, and that it is mounted") from error
            raise ObjectGone from error
        except OSError as error:
            if isinstance(error, OutputFailed):
                raise
            raise StoreAway(
                f"cannot read {error.filename or self._folder}: {error.strerror or error}; check that it may be read"
            ) from error


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFailed(
            f"cannot write {target}: {error.strerror or error}; check that it may be written and has room"
        ) from error


def _escape(key: str) -> str:
    """Return a path with backslash escapes for the bytes that are not UTF-8."""
    return os.fsencode(key).decode("utf-8", "backslashreplace")


SORTED_IN_MEMORY = 50_000
"""Texts that are sorted in memory; more of them are sorted in parts, in a temporary file."""


def sort_texts(texts: Iterable[str]) -> Iterator[str]:
    """Return texts in the order of their code points, which is that of keys; any number of them in little memory.

    All of them are read before the first one is returned. Surrogates, which stand for bytes that are not UTF-8 in names
    of files, sort as the escapes of `_escape` do.
    """
    waiting = iter(texts)
    parts: list[Iterator[str]] = []
    while True:
        part = sorted(islice(waiting, SORTED_IN_MEMORY), key=_escape)
        if not parts and len(part) < SORTED_IN_MEMORY:
            return iter(part)
        if not part:
            return heapq.merge(*parts, key=_escape)
        parts.append(_spill(part))


def _spill(texts: Iterable[str]) -> Iterator[str]:
    """Write texts to a temporary file, and return them as they are read from it."""
    file = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed with the iterator that reads it
    try:
        file.writelines(f"{json.dumps(text)}\n" for text in texts)
        file.seek(0)
    except OSError as error:
        file.close()
        raise OutputFailed(
            f"cannot sort a long list of files: {error.strerror or error}; make room in {gettempdir()}"
        ) from error
    return _read_spilled(file)


def _read_spilled(file: TextIO) -> Iterator[str]:
    with file:
        for line in file:
            yield json.loads(line)
