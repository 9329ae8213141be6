"""Shared by all commands: messages, reports, reading and writing of files, and the engine."""

import gc
import json
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Annotated, Any, Self, TextIO

import typer
from typer.core import TyperGroup

from velum.cli.screen_text import as_options, message_text
from velum.errors import BadInput, BadPlan, OutputFailed, printable

if TYPE_CHECKING:
    from rich.console import Console

    from velum.annotations import Annotations
    from velum.engine.engine import Engine
    from velum.engine.subprocess_engine import SubprocessPool
    from velum.media import LiveSource
    from velum.plugins import Precision
    from velum.plugins import Progress as Fetching


USUAL_THRESHOLDS = 700, 10, 10
"""Python's own thresholds of the search for garbage, for work that lasts."""


def default_command(name: str) -> type[TyperGroup]:
    """Return the class of a group of commands of which the one called `name` need not be named."""

    class DefaultCommandGroup(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Name the command where the first word is neither a command nor a call for help."""
            names = {*self.commands, *ctx.help_option_names}
            if (args and args[0] not in names) or (not args and not self.no_args_is_help):
                args = [name, *args]
            return super().parse_args(ctx, args)

    return DefaultCommandGroup


def fail(message: str) -> None:
    """Print an error message on the standard error stream."""
    typer.secho("velum: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(message_text(message), err=True)


def warn(message: str) -> None:
    """Print a warning on the standard error stream."""
    typer.secho("warning: ", fg=typer.colors.YELLOW, nl=False, err=True)
    typer.echo(message_text(message), err=True)


def read_annotations(path: Path) -> "Annotations":
    """Return the annotations in a file. Raises `BadInput` for what cannot be read."""
    from velum.annotations import Annotations

    try:
        return Annotations.from_json(parse_json(read_text(path, BadInput), path, BadInput))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


@contextmanager
def engine(*sources: "Path | LiveSource") -> Iterator["Engine"]:
    """Yield an engine with the settings of this machine; downloads of weights show a progress bar.

    Several sources, or a video, are processed for throughput; one image is processed for latency.
    """
    from velum.cli.progress import fetch_progress
    from velum.engine.engine import Engine
    from velum.media import VIDEO_SUFFIXES
    from velum.settings import Settings

    settings = Settings.load()
    many = len(sources) > 1 or any(
        not isinstance(source, Path) or source.suffix.lower() in VIDEO_SUFFIXES for source in sources
    )
    if many:
        gc.set_threshold(*USUAL_THRESHOLDS)
    with libraries_silent(), fetch_progress() as progress:
        host = settings.host(progress, mode="throughput" if many else "latency")
        with Engine(host=host, limits=settings.limits()) as ready:
            yield ready


@contextmanager
def engine_processes(
    count: int, *, threads: int | None = None, precision: "Precision | None" = None
) -> Iterator[tuple["SubprocessPool", "Fetching"]]:
    """Yield engines in up to `count` processes with the settings of this machine, and a progress bar for downloads.

    The processes share the cores of this machine; with `threads`, each has so many. `precision` replaces `auto`.
    """
    from velum.cli.progress import fetch_progress
    from velum.engine.subprocess_engine import SubprocessPool
    from velum.settings import Settings

    settings = Settings.load()
    pool = SubprocessPool(
        count, settings.host_factory(share=count, threads=threads, precision=precision), settings.limits()
    )
    with libraries_silent(), fetch_progress() as fetching, pool:
        yield pool, fetching


def print_json(value: Any, *, err: bool = False) -> None:
    """Print a value as one line of JSON; with `err` on the standard error stream."""
    typer.echo(_json_text(value), err=err)


def _json_text(value: Any) -> str:
    """Return a value as one line of JSON in UTF-8; names of files that are not UTF-8 keep their bytes as escapes."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def write_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a text file, whole or not at all. Raises `OutputFailed`."""
    from velum.atomic import publish

    with publish(path, overwrite=overwrite) as temporary:
        try:
            temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputFailed(f"cannot write {path}: {error.strerror or error}") from error


def parse_duration(text: str, option: str = "--budget") -> float:
    """Return the seconds of a time written as 90s, 10m, 2h, 7d or 90. Raises `BadPlan` with the name of the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower())
    if match is None:
        raise BadPlan(f"{option} is {text!r}; write it as 90s, 10m or 2h; days are 7d")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}[match[2]]


def split_commas(groups: Sequence[str]) -> list[str]:
    """Return the items of a repeated option whose values may hold several items, separated by commas."""
    return [item.strip() for group in groups for item in group.split(",") if item.strip()]


def read_text(path: Path, error: type[BadInput | BadPlan]) -> str:
    """Return the text of a file. Raises `error` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"cannot read {path}: {getattr(reason, 'strerror', None) or reason}") from reason


def parse_json(text: str, path: Path, error: type[BadInput | BadPlan]) -> Any:
    """Return the JSON value in the text of a file. Raises `error` when it is not valid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid JSON: {reason}") from reason


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel="Messages")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print a line for each file.", rich_help_panel="Messages")
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress bars.", rich_help_panel="Messages")]


class Messages:
    """Prints messages on standard error, above the progress bar.

    A warning that several files share is printed for the first file and counted for the others; see `summary`.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False, progress: bool = True) -> None:
        """`quiet` prints errors only, `verbose` a line for each file; `progress` shows bars."""
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self.bars = progress and not quiet
        self._again: Counter[str] = Counter()

    @cached_property
    def console(self) -> "Console":
        """The standard error stream."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Print an error."""
        self._print("velum: ", "bold red", text)

    def warn(self, text: str, of: Path | None = None) -> None:
        """Print a warning, or count it when it was already printed for another file."""
        if self.quiet:
            return
        if of is not None and not self.verbose and text in self._again:
            self._again[text] += 1
            return
        self._again[text] = 0
        self._print("warning: ", "yellow", text if of is None else f"{of}: {text}")

    def note(self, text: str) -> None:
        """Print the text when the command is verbose."""
        if self.verbose:
            self._print("", "", text)

    def summary(self) -> None:
        """Print, for each warning, how many further files have it."""
        for text, count in self._again.items():
            if count:
                self._print("warning: ", "yellow", f"the same for {count} more file{'s' * (count != 1)}: {text}")

    def _print(self, start: str, style: str, text: str) -> None:
        from rich.text import Text

        self.console.print(Text(start, style=style).append(as_options(printable(text)), style="default"))


def command_again(option: str) -> str:
    """Return the command line of this process with `option` added, for the user to type again."""
    given = sys.argv[1:]
    return shlex.join(["velum", *given, *([] if option in given else [option])])


_STANDARD_ERROR = 2


@contextmanager
def libraries_silent() -> Iterator[None]:
    """Discard what libraries write to file descriptor 2; `sys.stderr` of Python still prints."""
    original, discard = os.dup(_STANDARD_ERROR), os.open(os.devnull, os.O_WRONLY)
    before = sys.stderr
    try:
        with os.fdopen(os.dup(original), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as shown:
            before.flush()
            os.dup2(discard, _STANDARD_ERROR)
            if _is_standard_error(before):  # a replaced stream, as in tests, stays
                sys.stderr = shown
            try:
                yield
            finally:
                sys.stderr = before
                os.dup2(original, _STANDARD_ERROR)
    finally:
        os.close(original)
        os.close(discard)


def _is_standard_error(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STANDARD_ERROR
    except (AttributeError, OSError):  # it has no descriptor
        return False


class Reports(AbstractContextManager["Reports"]):
    """Writes the report of each source as a line of JSON, at once, so that it survives a later failure.

    The file is opened when the work begins: a run that stops before it leaves none.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        printed: bool,
        append: bool = False,
        overwrite: bool = False,
        others: Iterable[Path] = (),
        again: Iterable[Path] = (),
    ) -> None:
        """Write to the file `path` unless it is None; with `printed`, print each report, too.

        With `append`, new lines follow those of an earlier run, without its failures of `again`: sources that are tried
        once more. Raises `BadPlan` for a path that is one of `others`,
        which must not be overwritten, and `OutputFailed` for one that exists and may not be replaced.
        """
        from velum.atomic import ensure_free

        if path is not None:
            if path.resolve() in (other.resolve() for other in others):
                raise BadPlan(f"--report {path} is a source or target of this command; choose another name")
            ensure_free(path, overwrite=append or overwrite)
        self._again = again if append else ()
        self._path, self._mode = path, "a" if append else "w" if overwrite else "x"
        self._file: IO[str] | None = None
        self.printed = printed

    def __enter__(self) -> Self:
        """Open the file. Raises `OutputFailed` when it cannot be written."""
        if self._path is not None:
            _remove_failures(self._path, self._again)
            try:
                self._file = self._path.open(self._mode, encoding="utf-8")
            except OSError as error:
                raise OutputFailed(f"cannot write {self._path}: {error.strerror or error}") from error
        return self

    def add(self, value: Mapping[str, Any], *, err: bool = False) -> None:
        """Write the report of one source; with `err` it is printed on standard error."""
        if self.printed:
            print_json(value, err=err)
        if self._file is not None:
            try:
                self._file.write(_json_text(value) + "\n")
                self._file.flush()
            except OSError as error:
                raise OutputFailed(f"cannot write {self._path}: {error.strerror or error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _remove_failures(path: Path, sources: Iterable[Path]) -> None:
    """Remove the lines of a report file that say that one of these sources failed."""
    if not path.is_file():
        return
    lines = [line for line in read_text(path, BadInput).split("\n") if line]
    failed = {line: failure for line in lines if (failure := _failed_source(line)) is not None}
    tried = {str(source) for source in sources} if failed else set()
    if any(source in tried for source in failed.values()):
        rest = [line for line in lines if failed.get(line) not in tried]
        write_text(path, "".join(f"{line}\n" for line in rest), overwrite=True)


def _failed_source(line: str) -> str | None:
    try:
        value = json.loads(line)
    except ValueError:  # the last line of a run that was killed
        return None
    return str(value.get("source")) if isinstance(value, dict) and "error" in value else None


def count_labels(labels: Mapping[str, int]) -> str:
    """Return the counts by label as text, such as "2 faces, 1 person"; "nothing" for none."""
    return ", ".join(f"{n} {label}{'s' * (n != 1)}" for label, n in sorted(labels.items())) or "nothing"
