"""Folders for unfinished work: each gone with its request, and those of a process that was killed with the next one."""

import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from velum.errors import OutputFailed

_PREFIX = ".velum-work-"


class ScratchDirs:
    """Gives folders in `place`, on the disk of what is published there, so that publishing moves nothing."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._opening = threading.Lock()
        self._lock: FileLock | None = None
        self._room: Path | None = None

    def open(self) -> None:
        """Make the place where it is not made yet, and sweep what killed processes left.

        Raises `OutputFailed` where it cannot be written to.
        """
        try:
            with self._opening:
                if self._room is None or not self._room.is_dir():
                    self._open()
        except OSError as error:
            raise OutputFailed(
                f"cannot write to {self._place}: {error.strerror or error}; choose another folder with "
                "VELUM_BMW_VIDEOS, or make it writable"
            ) from error

    def _open(self) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._room = Path(tempfile.mkdtemp(dir=self._place, prefix=_PREFIX))
        self._lock = FileLock(self._room / ".lock", thread_local=False)
        self._lock.acquire(timeout=1)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a folder of its own, which is removed afterwards with all that is in it. Raises `OutputFailed`."""
        self.open()
        try:
            folder = tempfile.TemporaryDirectory(dir=self._room, ignore_cleanup_errors=True)
        except OSError as error:
            raise OutputFailed(f"cannot write to {self._place}: {error.strerror or error}; make room there") from error
        with folder as name:
            yield Path(name)

    def close(self) -> None:
        """Remove what is left."""
        if self._lock is not None:
            self._lock.release()
        if self._room is not None:
            shutil.rmtree(self._room, ignore_errors=True)
            self._room = None

    def _sweep(self) -> None:
        for left in self._place.glob(f"{_PREFIX}*"):
            lock = FileLock(left / ".lock", thread_local=False)
            try:
                # Whoever lives holds the lock; a folder without one is being made just now.
                if (left / ".lock").exists():
                    with lock.acquire(timeout=0):
                        shutil.rmtree(left, ignore_errors=True)
            except Timeout:
                continue


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
