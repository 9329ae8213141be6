"""Folders that the operator opens: names in them become files, and nothing outside of them is reached.

Every step from a folder to a file is opened relative to the step before (openat), and no link is followed: what is
checked is what is read, whatever others put in its place meanwhile.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, Unavailable, printable

READ_ONLY = ":ro"
"""Ends a folder that is only read."""

_MOST_SHOWN = 200
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder that assistants may use: its name for them, its path without links, its open descriptor."""

    name: str
    path: Path
    descriptor: int
    writable: bool


@dataclass(frozen=True, slots=True)
class SharedName:
    """The name of a file in a shared folder; `parts` are its folders below that one, and its own name."""

    folder: SharedFolder
    parts: tuple[str, ...]

    def __str__(self) -> str:
        """Return the name as assistants write it."""
        return "/".join((self.folder.name, *self.parts))

    def sibling(self, name: str) -> "SharedName":
        """Return the name of another file in the same place."""
        return SharedName(self.folder, (*self.parts[:-1], name))


def quote_name(text: object) -> str:
    """Return a name as data: in quotes, on one line, without characters that change how other text is shown."""
    shown = str(text)
    cut = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
    return printable(json.dumps(cut.encode("utf-8", "backslashreplace").decode(), ensure_ascii=False))


def open_folders(texts: Sequence[str]) -> tuple[SharedFolder, ...]:
    """Open the folders of texts such as `photos` and `originals:ro`; two of one name are numbered.

    Raises `BadInput` for a path that is no folder, and `BadPlan` for folders of which one lies in another.
    """
    if os.open not in os.supports_dir_fd:
        raise Unavailable("velum mcp needs openat, which this system lacks; run it on Linux or macOS")
    folders: list[SharedFolder] = []
    for text in texts:
        writable = not text.endswith(READ_ONLY)
        try:
            path = Path(text.removesuffix(READ_ONLY)).resolve(strict=True)
            descriptor = os.open(path, _FOLDER)
        except OSError as error:
            raise BadInput(f"--folder {text}: {error.strerror or error}; name a folder that exists") from error
        if near := next((other for other in folders if _overlap(other.path, path)), None):
            raise BadPlan(f"--folder {near.path} and {path} overlap; name each folder once, and none inside another")
        names = {other.name for other in folders}
        name, number = path.name or "root", 2
        while name in names:
            name, number = f"{path.name}-{number}", number + 1
        folders.append(SharedFolder(name, path, descriptor, writable))
    return tuple(folders)


def shared_name(folders: Sequence[SharedFolder], text: str) -> SharedName:
    """Return which file a text names: `FOLDER/file`, or a path inside an open folder. Raises `BadInput`."""
    path = PurePosixPath(text)
    for folder in folders:
        start = folder.path if path.is_absolute() else folder.name
        if path.is_relative_to(start):
            parts = path.relative_to(start).parts
            if not parts or ".." in parts or "\0" in text:
                break
            return SharedName(folder, parts)
    names = ", ".join(quote_name(f"{folder.name}/...") for folder in folders)
    raise BadInput(
        f"{quote_name(text)} is not the name of a file in an open folder; files are named {names}, without '..'"
    )


def copy_in(name: SharedName, target: Path, most_bytes: int) -> None:
    """Copy a regular file to `target`, a new file. Raises `BadInput` and `LimitExceeded`."""
    with _open_parent(name) as parent:
        descriptor = _open_regular(name, parent)
    with os.fdopen(descriptor, "rb") as source, target.open("xb") as copy:
        size = os.fstat(source.fileno()).st_size
        if size > most_bytes:
            raise LimitExceeded("bytes", size, most_bytes, quote_name(name))
        shutil.copyfileobj(source, copy)


def ensure_new(name: SharedName) -> None:
    """Raise `BadPlan` where the folder is only read, `OutputFailed` where the name is taken."""
    if not name.folder.writable:
        raise BadPlan(
            f"folder {quote_name(name.folder.name)} is open for reading only; name a result in another folder (output)"
        )
    with _open_parent(name) as parent:
        try:
            os.stat(name.parts[-1], dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputFailed(f"{quote_name(name)} cannot be written: {error.strerror}") from error
    raise _exists_error(name)


def publish_new(name: SharedName, file: Path) -> None:
    """Write `file` as a new file of that name, whole or not at all. Raises as `ensure_new` does."""
    ensure_new(name)
    part = f".velum-{secrets.token_hex(8)}.part"
    with _open_parent(name) as parent:
        try:
            with os.fdopen(os.open(part, _NEW, 0o666, dir_fd=parent), "wb") as copy, file.open("rb") as source:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
            # A link, unlike a rename, fails where the name was taken meanwhile.
            os.link(part, name.parts[-1], src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            raise _exists_error(name) from None
        except OSError as error:
            raise OutputFailed(
                f"{quote_name(name)} cannot be written: {error.strerror or error}; the folder must have room and allow "
                "hard links, without which an existing file could be overwritten"
            ) from error
        finally:
            with suppress(OSError):
                os.unlink(part, dir_fd=parent)


def remove_new(name: SharedName) -> None:
    """Remove a file that `publish_new` wrote."""
    with _open_parent(name) as parent:
        os.unlink(name.parts[-1], dir_fd=parent)


@contextmanager
def _open_parent(name: SharedName) -> Iterator[int]:
    """Give a descriptor of the folder that a file lies in. Raises `BadInput`."""
    descriptor = os.dup(name.folder.descriptor)
    try:
        for part in name.parts[:-1]:
            try:
                below = os.open(part, _FOLDER, dir_fd=descriptor)
            except (OSError, ValueError) as error:
                raise BadInput(
                    f"{quote_name(name)}: {quote_name(part)} is no folder here; links are not followed"
                ) from error
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _open_regular(name: SharedName, parent: int) -> int:
    """Return a descriptor of a regular file; a device or a pipe is not even opened."""
    last = name.parts[-1]
    try:
        kinds = [os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode]
        descriptor = os.open(last, _SOURCE, dir_fd=parent) if stat.S_ISREG(kinds[0]) else -1
    except FileNotFoundError as error:
        raise BadInput(f"{quote_name(name)}: there is no such file") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{quote_name(name)} cannot be read; links are not followed") from error
    if descriptor < 0 or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        if descriptor >= 0:
            os.close(descriptor)
        raise BadInput(f"{quote_name(name)} is no regular file; links, folders, pipes and devices are not read")
    return descriptor


def _overlap(first: Path, second: Path) -> bool:
    return first.is_relative_to(second) or second.is_relative_to(first)


def _exists_error(name: SharedName) -> OutputFailed:
    return OutputFailed(
        f"{quote_name(name)} exists, and existing files are never overwritten; name another result (output)"
    )
