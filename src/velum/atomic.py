"""Files that appear complete or not at all."""

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from velum.errors import OutputFailed, VelumError


@contextmanager
def publish(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, that file becomes `target` in one step.

    The file lies in the target's folder. Whatever goes wrong, it is removed and the target is as before. Raises
    `OutputFailed` when the target exists and `overwrite` is False, when its folder is missing or cannot be written
    to, and when the disk is full.
    """
    ensure_free(target, overwrite=overwrite)
    # Not named after the target: that name may already be as long as the file system allows.
    part = target.parent / f".velum-{secrets.token_hex(8)}.part"
    try:
        part.touch(exist_ok=False)
        yield part
        _flush(part)
        _rename(part, target, overwrite=overwrite)
    except VelumError:
        raise
    except OSError as error:
        raise OutputFailed(
            f"cannot write {target}: {error.strerror or error}; nothing was published. "
            f"Check that the folder exists, can be written to and has room"
        ) from error
    finally:
        part.unlink(missing_ok=True)


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


def _flush(part: Path) -> None:
    """Flush a file to the disk before it is renamed: a crash must not leave half of a target."""
    descriptor = os.open(part, os.O_RDONLY)
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
    """A writer for a `with` block: leaving the block finishes the file, an error in the block discards it."""

    def __init__(self) -> None:
        self._stack = ExitStack()

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
