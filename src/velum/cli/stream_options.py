"""Streams on the command line: recognize them, stop them with Ctrl-C, and keep standard output free of other text."""

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
    from velum.batch.arrange import BatchItem
    from velum.media import LiveSource, StreamSink

Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Container for -o -: mkv (default), webm, ts or mp4.",
        rich_help_panel="Streams",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", min=0.1, metavar="SECONDS", help="Give up when a stream sends nothing for this long. Default: 30.",
        rich_help_panel="Streams",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
    """A source and a target of which at least one is a stream."""

    source: "Path | LiveSource"
    target: Path | None
    """None: standard output."""
    format: str = "mkv"
    """Container that standard output gets."""


def job(sources: Sequence[str], output: str | None, format: str | None, timeout: float | None) -> Stream | None:
    """Return source and target when one of them is a stream; None for files.

    Raises `BadInput` for an address that is not allowed, `typer.BadParameter` for options that do not fit a stream.
    """
    from velum.media import LiveSource, source_of

    ends = [source_of(source) for source in sources]
    streams = [end for end in ends if isinstance(end, LiveSource)]
    if format and output != "-":
        raise typer.BadParameter("--format is only for -o -; for a file, choose the format by its suffix")
    if timeout and not streams:
        raise typer.BadParameter("--timeout is only for a stream as the source; leave it out for files")
    if not streams and output != "-":
        return None
    if len(ends) > 1:
        raise typer.BadParameter("a stream must be the only source; give it alone")
    if output is None:
        raise typer.BadParameter("a stream needs a file to write to: add -o FILE, or -o -")
    source = replace(streams[0], timeout_seconds=timeout) if streams and timeout else ends[0]
    return Stream(source, None if output == "-" else Path(output), format or "mkv")


def target_name(job: "BatchItem | Stream") -> str:
    """Return the target of a job as text."""
    return "standard output" if job.target is None else str(job.target)


@contextmanager
def open_target(job: "BatchItem | Stream") -> Iterator["Path | StreamSink"]:
    """Yield the target of a job, opened. Nothing else is printed on standard output while the target is that."""
    if job.target is not None:
        yield job.target
        return
    from velum.media import StreamSink

    sys.stdout.flush()
    standard_output = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(standard_output, "wb", buffering=0, closefd=False) as file:
            yield StreamSink(file, job.format)
    finally:
        os.dup2(standard_output, 1)
        os.close(standard_output)


@contextmanager
def stoppable(source: "Path | LiveSource") -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a stream and finish the frames received so far; a second signal exits at once."""
    if isinstance(source, Path):
        yield
        return

    def end(*_: object) -> None:
        if source.stopped.is_set():
            raise KeyboardInterrupt
        source.stop()
        common.warn(
            "stopping: the frames received so far are finished first; "
            "press Ctrl-C again to leave at once and write nothing"
        )

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
