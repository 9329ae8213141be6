"""Folders for work in progress, which are gone when their worker is, however that ended."""

import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from velum.errors import OutputFailed

_LOCK = "lock"


class WorkerScratch:
    """A folder of one worker, in one that its fellows share. Entering it removes those of workers that are dead.

    Raises `OutputFailed` when it cannot be made.
    """

    def __init__(self, shared: Path) -> None:
        self._shared, self.path = shared, shared / f"worker-{secrets.token_hex(8)}"
        self._lock = FileLock(self.path / _LOCK)

    def __enter__(self) -> Self:
        try:
            self._shared.mkdir(parents=True, exist_ok=True)
            # First others, then ours: a folder without its lock held would be taken for a dead one's.
            with FileLock(self._shared / _LOCK):
                _sweep(self._shared)
                self.path.mkdir()
                self._lock.acquire()
        except OSError as error:
            raise OutputFailed(
                f"cannot write to {self._shared}: {error.strerror or error}; work in progress needs a folder"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()

    def folder(self) -> Path:
        """Return a new, empty folder."""
        try:
            path = self.path / secrets.token_hex(8)
            path.mkdir()
        except OSError as error:
            raise OutputFailed(f"cannot write to {self.path}: {error.strerror or error}") from error
        return path


def sweep_dead(shared: Path) -> None:
    """Remove what dead workers left in the folder that they shared. Raises `OutputFailed` when something stays."""
    try:
        if not any(shared.glob("worker-*")):
            return
        with FileLock(shared / _LOCK):
            left = _sweep(shared)
    except OSError as error:
        raise OutputFailed(f"cannot clear {shared} of what dead workers left: {error.strerror or error}") from error
    if left:
        raise OutputFailed(f"cannot clear {shared} of what dead workers left: {left[0].name} stays; delete it by hand")


def _sweep(shared: Path) -> list[Path]:
    """Return what could not be removed."""
    left = []
    for other in shared.glob("worker-*"):
        try:
            # The lock of a dead process is free.
            with FileLock(other / _LOCK, blocking=False):
                shutil.rmtree(other, ignore_errors=True)
        except Timeout:
            continue
        except FileNotFoundError:
            continue  # its worker has just ended
        if other.exists():
            left.append(other)
    return left
