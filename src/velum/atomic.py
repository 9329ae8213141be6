"""Files that appear complete or not at all."""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from velum.errors import OutputFailed, VelumError

_TEMPORARY = re.compile(r"\.velum-(?:([0-9a-f]{8})-)?[0-9a-f]{16}(?:\.part)?")
"""Names of unfinished files and folders; group 1 is the machine that holds a lock on it."""

_DAY_SECONDS = 86_400


def is_temporary(name: str) -> bool:
    """Tell whether a file or folder of this name is one that velum has not finished, and so no source."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def publish(target: Path, *, overwrite: bool = False, mode: int | None = None) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, that file becomes `target` in one step.

    The file lies in the target's folder, with the permissions `mode` from its first byte on (None: the usual ones).
    Whatever goes wrong, it is removed and the target is as before. Raises `OutputFailed` when the target exists and
    `overwrite` is False, when its folder is missing or cannot be written to, and when the disk is full. Unfinished
    files that killed processes left in that folder are removed.
    """
    ensure_free(target, overwrite=overwrite)
    _remove_abandoned(target.parent)
    # Not named after the target: that name may already be as long as the file system allows.
    fresh, part = _temporary_paths(target.parent, ".part")
    try:
        fresh.touch(0o666 if mode is None else 0o600, exist_ok=False)
        if mode is not None:
            fresh.chmod(mode)
        with _lock(fresh):
            fresh.rename(part)
            yield part
            # Whoever writes may have put another file in its place, which nobody has locked.
            with _lock(part):
                flush(part)
                _rename(part, target, overwrite=overwrite)
    except VelumError:
        raise
    except OSError as error:
        raise OutputFailed(
            f"cannot write {target}: {error.strerror or error}; nothing was published. "
            f"Check that the folder exists, can be written to and has room"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


@contextmanager
def keep_earlier(target: Path) -> Iterator[Callable[[], None]]:
    """Hold the file at `target` for the length of a block; the function given puts it back, or removes a new one."""
    fresh, held = _temporary_paths(target.parent, ".part")
    try:
        with ExitStack() as stack:
            if target.is_file():
                try:
                    os.link(target, fresh)
                except OSError:  # a file system without hard links
                    shutil.copy2(target, fresh)
                stack.enter_context(_lock(fresh))
                fresh.rename(held)
            yield partial(os.replace, held, target) if held.exists() else partial(target.unlink, missing_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot write {target}: {error.strerror or error}; nothing was published") from error
    finally:
        fresh.unlink(missing_ok=True)
        held.unlink(missing_ok=True)


@contextmanager
def folder_next_to(target: Path) -> Iterator[Path]:
    """Give a folder on the target's file system that is removed afterwards. Raises `OutputFailed`."""
    _remove_abandoned(target.parent)
    fresh, folder = _temporary_paths(target.parent)
    try:
        fresh.mkdir(mode=0o700)
        with _lock(fresh):
            fresh.rename(folder)
            yield folder
    except OutputFailed:
        raise
    except OSError as error:
        raise OutputFailed(f"cannot write {target}: {error.strerror or error}; nothing was published") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def ensure_free(target: Path, *, overwrite: bool) -> None:
    """Raise `OutputFailed` when it is clear before anything is written that `target` cannot be published."""
    if target.is_dir():
        raise OutputFailed(f"cannot write {target}: it is a folder; give the name of a file in it")
    if not overwrite and os.path.lexists(target):
        raise _exists_error(target)
    if not target.parent.is_dir():
        raise OutputFailed(f"cannot write {target}: there is no folder {target.parent}; create it first")


def keep_original(target: Path, source: Path) -> None:
    """Raise `OutputFailed` when target and source are the same file, by whatever names."""
    try:
        same = target.samefile(source)
    except OSError:
        same = target.resolve() == source.resolve()
    if same:
        raise OutputFailed(
            f"cannot write {target}: it is the source itself, which is never touched; choose another name"
        )


@lru_cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _temporary_paths(folder: Path, suffix: str = "") -> tuple[Path, Path]:
    """Return a new name, to be locked under, and the name after that: only the latter says that there is a lock."""
    token = secrets.token_hex(8)
    return folder / f".velum-{token}{suffix}", folder / f".velum-{_host()}-{token}{suffix}"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock on a temporary file or folder: when this process dies, the system frees it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems know no locks, and there nothing is taken for abandoned
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@lru_cache(maxsize=256)
def _remove_abandoned(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder; looks there once in the life of a process.

    Locks of other machines are not seen on every file system: what they left goes after a day.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_temporary(entry.name)]
        for name in names:
            with suppress(OSError):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(path: Path) -> None:
    match = _TEMPORARY.fullmatch(path.name)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        is_own = match is not None and match[1] == _host()
        if not is_own and time.time() - os.fstat(descriptor).st_mtime < _DAY_SECONDS:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Flush a file or a folder to the disk. Before a file is renamed: a crash must not leave half of a target."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(part: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(target)
        return
    try:
        # A link, unlike a rename, fails when the name was taken in the meantime.
        os.link(part, target)
    except FileExistsError:
        raise _exists_error(target) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise _exists_error(target) from None
        part.replace(target)


def _exists_error(target: Path) -> OutputFailed:
    return OutputFailed(f"cannot write {target}: it exists; choose another name, or allow overwriting (--overwrite)")


class AtomicWriter(ABC):
    """A writer for a `with` block: leaving the block finishes the file, an error in the block discards it.

    `sound` says what was done to each audio track, for the report.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.sound: tuple[Mapping[str, Any], ...] = ()

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open the target, and push onto the stack how to publish or discard it."""

    @abstractmethod
    def _finish(self) -> None:
        """Write the rest of the file. An error here discards it, too."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)
