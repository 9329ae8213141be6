"""TAR archives, also with gzip: read once, from front to back; the result has new headers around the same bytes."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from velum.errors import BadInput
from velum.media.archive.member import Budget, Member, MemberBudget, why_unsafe

CHUNK = 1 << 20
MOST_HEADER = 16 << 20
"""Most bytes of one header: tarfile holds it in memory."""


class TarContainer:
    """A TAR archive that is read, for a `with` block. Each member can be unpacked while it is the last one yielded."""

    names: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    has_text = True

    def __init__(self, path: Path, budget: Budget, name: str, *, packed: bool) -> None:
        """Open `path`, which is `packed` by gzip or not; messages call it `name`."""
        self._path, self._budget, self._name, self.packed = path, budget, name, packed
        self._stack = ExitStack()
        self._infos: list[tarfile.TarInfo] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                file: IO[bytes] = stack.enter_context(self._path.open("rb"))
                size = self._path.stat().st_size
                if self.packed:
                    file = stack.enter_context(cast("IO[bytes]", gzip.GzipFile(fileobj=file)))
                source = _CountedFile(file, self._budget.reader(self._name, size))
                with _translate(self._name):
                    opened = tarfile.open(fileobj=source, mode="r|", tarinfo=_Header)
                self._tar = stack.enter_context(opened)
            except OSError as error:
                raise BadInput(f"cannot read {self._name}: {error.strerror or error}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def members(self) -> Iterator[Member]:
        """Yield all members in their order. Raises `BadInput` for a damaged archive, and `LimitExceeded`."""
        while True:
            with _translate(self._name):
                info = self._tar.next()
            if info is None:
                return
            self._budget.count_members(1, self._name)
            self._infos.append(info)
            yield Member(info.name, info.size, len(self._infos) - 1, info.isdir(), _why_refused(info))

    def unpack(self, member: Member, target: Path) -> None:
        """Write the bytes of a member to `target`. Raises as `members` does."""
        source = self._tar.extractfile(self._infos[member.number])
        remaining = member.size
        with target.open("wb") as file:
            while remaining and source is not None:
                with _translate(self._name):
                    chunk = source.read(min(CHUNK, remaining))
                if not chunk:
                    raise BadInput(f"cannot read {self._name}: it is cut off")
                remaining -= len(chunk)
                file.write(chunk)

    def read(self, name: str) -> bytes:
        """Raise `BadInput`: members of a TAR are not read by name."""
        raise BadInput(f"cannot read {name} of {self._name}: a TAR is read from front to back")

    def info(self, member: Member) -> tarfile.TarInfo:
        """Return the header of a member."""
        return self._infos[member.number]

    def writer(self, target: Path, metadata: frozenset[str]) -> "TarWriter":
        """Return a writer of an archive like this one to `target`."""
        return TarWriter(self, target, metadata)


class TarWriter:
    """Writes a TAR archive, member by member, in a `with` block; without owners, and without dates unless kept."""

    def __init__(self, source: TarContainer, target: Path, metadata: frozenset[str]) -> None:
        self._source, self._target, self._dates = source, target, "datetime" in metadata
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(self._target.open("wb"))
            if self._source.packed:
                file = stack.enter_context(cast("IO[bytes]", gzip.GzipFile("", "wb", 6, file, mtime=0)))
            self._tar = stack.enter_context(tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def copy(self, member: Member, file: Path) -> None:
        """Write a member with the bytes of `file`, which is where it was unpacked."""
        self.replace(member, file, hidden=False)

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:  # noqa: ARG002 - pages of a PDF need it
        """Write a member with the bytes of `file`; a folder has none."""
        old = self._source.info(member)
        info = tarfile.TarInfo(old.name)
        info.mode, info.type = old.mode & 0o777, tarfile.DIRTYPE if old.isdir() else tarfile.REGTYPE
        info.mtime = old.mtime if self._dates else 0
        if old.isdir():
            self._tar.addfile(info)
            return
        info.size = file.stat().st_size
        with file.open("rb") as data:
            self._tar.addfile(info, data)


class _CountedFile:
    """A file that is read, with what its bytes cost."""

    def __init__(self, file: IO[bytes], budget: MemberBudget) -> None:
        self._file, self._budget = file, budget

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._budget.count(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Header(tarfile.TarInfo):
    """A header that is whole, and not too large; tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, tarfile_: tarfile.TarFile) -> Any:
        if self.type not in tarfile.REGULAR_TYPES and self.size > MOST_HEADER:
            raise tarfile.ReadError(f"a header has {self.size} bytes")
        return super()._proc_member(tarfile_)  # type: ignore[misc]  # it is there in every version


@contextmanager
def _translate(name: str) -> Iterator[None]:
    """Raise `BadInput` for what a damaged archive raises in the block."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, UnicodeError, OverflowError) as error:
        raise BadInput(f"cannot read {name}: it is no whole TAR archive: {error}") from error


def _why_refused(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "it is a link to another file"
    if not (info.isreg() or info.isdir()) or info.sparse is not None:
        return "it is neither a file nor a folder" if info.sparse is None else "it is stored with holes"
    return why_unsafe(info.name)
