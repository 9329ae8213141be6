"""Files that appear complete or not at all."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from velum.atomic import keep_original, publish


class PartialFile:
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


@contextmanager
def saved(target: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[PartialFile]:
    """Give a file to write to; when the block ends well, it becomes `target` in one step.

    Whatever goes wrong, it is removed and the target is as before. Raises `OutputFailed` when the target is `source`,
    exists and `overwrite` is False, or cannot be written.
    """
    if source is not None:
        keep_original(target, source)
    with publish(target, overwrite=overwrite) as path, path.open("r+b") as file:
        yield PartialFile(file)
