"""Files that appear complete or not at all."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from velum.errors import OutputFailed, VelumError


class Part:
    """A file that is not complete yet: `here` are the bytes that are in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.here = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of what is in it."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """Write on."""
        self._file.write(data)
        self._hash.update(data)
        self.here += len(data)

    def restart(self) -> None:
        """Begin anew."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.here = hashlib.sha256(), 0

    def settle(self) -> None:
        """Have it on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def saved(target: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[Part]:
    """Give a file to write to; when the block ends well, it becomes `target` in one step.

    Whatever goes wrong, it is removed and the target is as before. Raises `OutputFailed` when the target is `source`,
    exists and `overwrite` is False, or cannot be written.
    """
    _ensure_free(target, source, overwrite=overwrite)
    part = target.parent / f".velum-{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            written = Part(file)
            yield written
            written.settle()
        _appear(part, target, overwrite=overwrite)
    except VelumError:
        raise
    except OSError as error:
        raise OutputFailed(
            f"cannot write {target}: {error.strerror or error}; nothing was published. "
            "Check that the folder exists, can be written to and has room"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _ensure_free(target: Path, source: Path | None, *, overwrite: bool) -> None:
    if target.is_dir():
        raise OutputFailed(f"cannot write {target}: it is a folder; give the name of a file in it")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise OutputFailed(f"cannot write {target}: it is the source itself, which is never touched; choose another")
    if not overwrite and os.path.lexists(target):
        raise _exists(target)


def _appear(part: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(target)
        return
    try:
        # A link, unlike a rename, fails when the name was taken in the meantime.
        os.link(part, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise _exists(target) from None
        part.replace(target)


def _exists(target: Path) -> OutputFailed:
    return OutputFailed(f"cannot write {target}: it exists; choose another name or allow overwriting")
