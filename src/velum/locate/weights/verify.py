"""Verify files against the size and hash in the catalogue."""

import hashlib
from pathlib import Path
from typing import Protocol

from velum.errors import Unavailable


class Pinned(Protocol):
    """Anything with a known size and hash: an asset, a wheel."""

    @property
    def size(self) -> int:
        """Size in bytes."""
        ...

    @property
    def digest(self) -> tuple[str, str]:
        """Name of the hash, as hashlib spells it, and its value in hexadecimal."""
        ...


def fault(pinned: Pinned, path: Path) -> str | None:
    """Return why the file at `path` is not the pinned one, None when it is."""
    algorithm, expected = pinned.digest
    try:
        size = path.stat().st_size
        if size != pinned.size:
            return f"{path} has {size} bytes, expected {pinned.size}"
        with path.open("rb") as stream:
            got = hashlib.file_digest(stream, algorithm).hexdigest()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    return None if got == expected else f"{path} has {algorithm} {got}, expected {expected}"


def verify(pinned: Pinned, path: Path) -> None:
    """Raise `Unavailable` unless the file at `path` is the pinned one."""
    if wrong := fault(pinned, path):
        raise Unavailable(wrong)
