"""Reports of a command: printed, written to a file, or both; and what they say in a few words."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from velum.cli import common
from velum.errors import BadPlan, OutputFailed


class Reports(AbstractContextManager["Reports"]):
    """Takes the report of each source as it comes: a line of JSON each, which is there whatever comes after."""

    def __init__(self, file: IO[str] | None, *, printed: bool) -> None:
        """Write to `file` where there is one; with `printed`, print each as well."""
        self._file = file
        self.printed = printed

    @classmethod
    def open(cls, path: Path | None, others: Sequence[Path], *, append: bool, overwrite: bool, printed: bool) -> Self:
        """Return what takes the reports. `others` are files that must not be written to.

        With `append` lines follow those of an earlier run. Raises `BadPlan` for a path that is one of the others,
        `OutputFailed` when the file exists and may not be replaced, and when it cannot be written.
        """
        if path is None:
            return cls(None, printed=printed)
        if path.resolve() in {other.resolve() for other in others}:
            raise BadPlan(f"--report {path} is a source or target of this command; choose another name")
        try:
            return cls(path.open("a" if append else "w" if overwrite else "x", encoding="utf-8"), printed=printed)
        except FileExistsError as error:
            raise OutputFailed(f"cannot write {path}: it exists; choose another name, or --overwrite") from error
        except OSError as error:
            raise OutputFailed(f"cannot write {path}: {error.strerror or error}") from error

    def add(self, value: Mapping[str, Any], *, err: bool = False) -> None:
        """Take the report of one source; `err` prints it on the standard error stream."""
        if self.printed:
            common.print_json(value, err=err)
        if self._file is not None:
            try:
                self._file.write(json.dumps(value, ensure_ascii=False) + "\n")
                self._file.flush()
            except OSError as error:
                raise OutputFailed(f"cannot write {self._file.name}: {error.strerror or error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def counted(labels: Mapping[str, int]) -> str:
    """Return how many of each label there are, in words."""
    return ", ".join(f"{n} {label}{'s' * (n != 1)}" for label, n in sorted(labels.items())) or "nothing"
