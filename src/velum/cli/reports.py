"""Reports of a command, printed or written to a file, and their short form."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from velum.cli import common
from velum.errors import BadPlan, OutputFailed


class Reports(AbstractContextManager["Reports"]):
    """Writes the report of each source as a line of JSON, at once, so that it survives a later failure."""

    def __init__(self, file: IO[str] | None, *, printed: bool) -> None:
        """Write to `file` unless it is None; with `printed`, print each report, too."""
        self._file = file
        self.printed = printed

    @classmethod
    def open(cls, path: Path | None, others: Sequence[Path], *, append: bool, overwrite: bool, printed: bool) -> Self:
        """Open the report file. `others` are files that must not be overwritten.

        With `append`, new lines follow those of an earlier run. Raises `BadPlan` for a path that is one of the others,
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
        """Write the report of one source; with `err` it is printed on standard error."""
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


def count_labels(labels: Mapping[str, int]) -> str:
    """Return the counts by label as text, such as "2 faces, 1 person"; "nothing" for none."""
    return ", ".join(f"{n} {label}{'s' * (n != 1)}" for label, n in sorted(labels.items())) or "nothing"
