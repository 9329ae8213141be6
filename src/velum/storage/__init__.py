"""Storage of sources, pieces and results: stores keep whole files under generated keys, in a folder or a bucket."""

import re
import secrets
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from velum.errors import BadInput, Unavailable

CHUNK = 1 << 20

KEY = re.compile(r"[0-9a-f]{32}")
"""Pattern of a key: 32 hexadecimal digits."""

MARK = "velum-store"
"""Name of the file of a store that holds its identity."""


class StoreAway(Unavailable):
    """The store cannot be reached, or a different store is in its place. Nothing is read, written or deleted then."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """A file that was put into a store."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file in a store, and the seconds since it was put there."""

    key: str
    size: int
    age_seconds: float


class Store(Protocol):
    """Files by key. The store generates random keys, which nobody can choose or guess. Safe to share between threads.

    A store has an identity, so that velum does not take an empty folder for the store while a disk is not mounted.
    After `hold`, every method raises `StoreAway` when the store has another identity.
    """

    def identity(self) -> str | None:
        """Read the identity of the store; None when it has none. Raises `StoreAway`."""
        ...

    def establish(self, identity: str) -> None:
        """Write the identity into the store. Raises `OutputFailed`."""
        ...

    def hold(self, identity: str) -> None:
        """From now on, raise `StoreAway` unless the store has that identity."""
        ...

    def check(self) -> None:
        """Raise `StoreAway` unless the store can be reached and has the identity given to `hold`."""
        ...

    def put(self, chunks: Iterable[bytes], *, sha256: str | None = None, most: int | None = None) -> PutResult:
        """Store a stream of at most `most` bytes. On return the file survives a crash; before, no file is visible.

        Raises `BadInput` when its hash is not `sha256`, `LimitExceeded` when it is too large, and `OutputFailed`.
        """
        ...

    def move_in(self, file: Path, *, sha256: str | None = None, key: str | None = None) -> PutResult:
        """Store a file and remove it from its path. Raises as `put` does.

        A copy may stay in its folder, named by its key, so that `fetch` into that folder copies nothing. A caller that
        must know the `key` in advance, to find the file after a crash, generates it with `new_key`.
        """
        ...

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Generator[bytes]:
        """Return the bytes from `start` to before `stop`, in chunks. Close the generator unless you read all of it.

        Raises `Unavailable` when there is no such file, `BadInput` when `key` is not a key.
        """
        ...

    def fetch(self, key: str, folder: Path) -> Path:
        """Return the path of a file for reading only: a copy in `folder`, or the stored file. Raises as `open` does."""
        ...

    def size(self, key: str) -> int | None:
        """Return the number of bytes of a file; None when the store is reachable and has no such file."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file, if it exists. Raises `OutputFailed`."""
        ...

    def list(self, start: str = "") -> Iterator[StoredObject]:
        """Yield all files; with `start`, two hexadecimal digits, the files whose keys begin with them."""
        ...

    def sweep(self, age_seconds: float) -> int:
        """Delete unfinished files that crashes left and that are at least that old; return their number."""
        ...


def open_store(place: Path | str) -> Store:
    """Open the store at a folder or a bucket URL; see `BucketStore.at`.

    Raises `BadPlan` for a malformed URL, `Unavailable` when the extra is missing. The store itself is first contacted
    when it is used.
    """
    if isinstance(place, Path):
        from velum.storage.folder import FolderStore  # noqa: PLC0415 - it imports the protocol

        return FolderStore(place)
    if find_spec("obstore") is None:
        raise Unavailable(
            f"the store {place} needs a library that is not installed; pip install 'velum-anonymizer[cloud]'"
        )
    from velum.storage.bucket import BucketStore  # noqa: PLC0415 - of an extra

    return BucketStore.at(place)


def new_key() -> str:
    """Return a random key."""
    return secrets.token_hex(16)


def wrong_store(name: str, mark: str, identity: str, other_identity: str | None) -> StoreAway:
    """Return the error for a store whose identity is not the expected one."""
    fault = "has no identity" if other_identity is None else f"is a different store, {other_identity[:40]!r}"
    return StoreAway(
        f"the store {name} {fault}: {mark} must hold {identity}; check that the right one is mounted (where all its "
        "files are lost for good, write that there: velum then goes on with an empty one)"
    )


def missing_file(key: str) -> Unavailable:
    """Return the error for a file that velum stored and that is missing now."""
    return Unavailable(f"file {key[:40]!r} is missing from the store; bring it back, then retry the job")


def invalid_key(key: str) -> BadInput:
    """Return the error for text that is not a key."""
    return BadInput(f"{key[:40]!r} is not in the store: keys are 32 hexadecimal digits")
