"""Folders for temporary files, removed after their request; the next process removes those of a killed one."""

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
    """Temporary folders in `place`: on the disk of the published files, so that publishing is a rename."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._opening = threading.Lock()
        self._lock: FileLock | None = None
        self._room: Path | None = None

    def open(self) -> None:
        """Make `place` where it does not exist, and remove the folders that killed processes left.

        Raises `OutputFailed` when it cannot be written to.
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
        """Give a new folder, which is removed afterwards with its content. Raises `OutputFailed`."""
        self.open()
        try:
            folder = tempfile.TemporaryDirectory(dir=self._room, ignore_cleanup_errors=True)
        except OSError as error:
            raise OutputFailed(f"cannot write to {self._place}: {error.strerror or error}; make room there") from error
        with folder as name:
            yield Path(name)

    def close(self) -> None:
        """Remove all folders of this process."""
        if self._lock is not None:
            self._lock.release()
        if self._room is not None:
            shutil.rmtree(self._room, ignore_errors=True)
            self._room = None

    def _sweep(self) -> None:
        for remnant in self._place.glob(f"{_PREFIX}*"):
            lock = FileLock(remnant / ".lock", thread_local=False)
            try:
                # A living process holds its lock; a folder without a lock is just being made.
                if (remnant / ".lock").exists():
                    with lock.acquire(timeout=0):
                        shutil.rmtree(remnant, ignore_errors=True)
            except Timeout:
                continue


_LOCK = "lock"


class WorkerScratch:
    """The scratch folder of one worker, inside of one that workers share. Entering it removes those of dead workers.

    Entering raises `OutputFailed` when the folder cannot be made.
    """

    def __init__(self, shared: Path) -> None:
        self._shared, self.path = shared, shared / f"worker-{secrets.token_hex(8)}"
        self._lock = FileLock(self.path / _LOCK)

    def __enter__(self) -> Self:
        try:
            self._shared.mkdir(parents=True, exist_ok=True)
            # Under the shared lock: another worker would take a folder whose lock is not held yet for a dead worker's.
            with FileLock(self._shared / _LOCK):
                _sweep(self._shared)
                self.path.mkdir()
                self._lock.acquire()
        except OSError as error:
            raise OutputFailed(
                f"cannot write to {self._shared}: {error.strerror or error}; a worker needs a scratch folder"
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
    """Remove the folders of dead workers from the shared one. Raises `OutputFailed` when a folder cannot be removed."""
    try:
        if not any(shared.glob("worker-*")):
            return
        with FileLock(shared / _LOCK):
            remnants = _sweep(shared)
    except OSError as error:
        raise OutputFailed(
            f"cannot remove the folders of dead workers from {shared}: {error.strerror or error}"
        ) from error
    if remnants:
        raise OutputFailed(
            f"cannot remove {remnants[0].name}, the folder of a dead worker, from {shared}; delete it by hand"
        )


def _sweep(shared: Path) -> list[Path]:
    """Remove the folders of dead workers; return those that could not be removed."""
    remnant = []
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
            remnant.append(other)
    return remnant
