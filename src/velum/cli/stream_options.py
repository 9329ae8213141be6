"""Streams on the command line: which source or target is one, how it is stopped, and a clean standard output."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common

if TYPE_CHECKING:
    from velum.media import LiveSource, StreamSink

Format = Annotated[
    str | None,
    typer.Option("--format", help="Container of -o -: mkv (default), webm, ts or mp4.", rich_help_panel="Streams"),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", min=0.1, metavar="SECONDS", help="Longest wait for a stream's data. Default: 30.",
        rich_help_panel="Streams",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StandardOutput:
    """The target `-`, not opened yet."""

    format: str

    def __str__(self) -> str:
        return "standard output"


@dataclass(frozen=True, slots=True)
class Stream:
    """A job of which an end, or both, is a stream."""

    source: "Path | LiveSource"
    target: Path | StandardOutput


def job(sources: Sequence[str], output: str | None, format: str | None, timeout: float | None) -> Stream | None:
    """Return the job when a stream is in it, None for files. Raises `BadInput` for an address that is not allowed."""
    from velum.media import LiveSource, source_of

    ends = [source_of(source) for source in sources]
    streams = [end for end in ends if isinstance(end, LiveSource)]
    if format and output != "-":
        raise typer.BadParameter("--format goes with -o -; a file has its format from its suffix")
    if timeout and not streams:
        raise typer.BadParameter("--timeout goes with a stream as the source")
    if not streams and output != "-":
        return None
    if len(ends) > 1:
        raise typer.BadParameter("a stream goes alone; give one source")
    if output is None:
        raise typer.BadParameter("a stream needs a file to write to: add -o FILE, or -o -")
    source = replace(streams[0], timeout_seconds=timeout) if streams and timeout else ends[0]
    return Stream(source, StandardOutput(format or "mkv") if output == "-" else Path(output))


@contextmanager
def opened(target: Path | StandardOutput) -> Iterator["Path | StreamSink"]:
    """Yield what to write to. While it is the standard output, what others print goes to the standard error stream."""
    if isinstance(target, Path):
        yield target
        return
    from velum.media import StreamSink

    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "wb", buffering=0, closefd=False) as file:
            yield StreamSink(file, target.format)
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def stoppable(source: "Path | LiveSource") -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end a stream, so that what has come is finished; a second time leaves at once."""
    if isinstance(source, Path):
        yield
        return

    def end(*_: object) -> None:
        if source.stopped.is_set():
            raise KeyboardInterrupt
        source.stop()
        common.warn("stopping: what has come is finished first; once more to leave at once, with nothing published")

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
