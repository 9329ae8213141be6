"""Progress on the standard error stream, as bars. The library that draws them is loaded with the first bar."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from velum.cli.common import Messages
from velum.errors import printable
from velum.plugins import Progress as Fetching

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from velum.client import Client, Job

T = TypeVar("T")


@contextmanager
def fetch_progress(verb: str = "fetching") -> Iterator[Fetching]:
    """Yield a callback `(name, done, total)` in bytes with a bar for each file; `verb` says what happens."""
    bars: list[Progress] = []
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if not bars:
            bars.append(download_bar(verb))
            bars[0].start()
        if name not in tasks:
            tasks[name] = bars[0].add_task(name, total=total)
        bars[0].update(tasks[name], completed=done, total=total)

    try:
        yield show
    finally:
        for bar in bars:
            bar.stop()


def batch_progress(items: Iterable[T], total: int, messages: Messages) -> Iterator[T]:
    """Yield the items, showing a bar with the number done, the rate and the time left."""
    with count_bar("hiding", messages.console, enabled=messages.bars) as bar:
        task = bar.add_task("hiding", total=total)
        for item in items:
            yield item
            bar.advance(task)


@contextmanager
def frame_progress(name: str, messages: Messages | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a callback `(done, total)` that shows frames done, rate and time left; no bar for a single frame."""
    messages = messages or Messages()
    shown: list[tuple[Progress, TaskID]] = []

    def show(done: int, total: int | None) -> None:
        if total == 1:
            return
        if not shown:
            from rich.markup import escape

            bar = count_bar("{task.description}", messages.console, enabled=messages.bars)
            bar.start()
            shown.append((bar, bar.add_task(escape(printable(name)), total=total)))
        bar, task = shown[0]
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        for bar, _ in shown:
            bar.stop()


@contextmanager
def file_progress(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback `(done, total)` that shows files done, their rate and the time left; at 1 it starts again."""
    with count_bar(verb) as bar:
        task = bar.add_task(verb, total=None)

        def show(done: int, total: int) -> None:
            if done == 1:
                bar.reset(task, total=total)
            bar.update(task, completed=done)

        yield show


def download_bar(verb: str) -> "Progress":
    """Return a bar with bytes, their rate and the time left, on the standard error stream where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn(f"{verb} {{task.description}}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


def count_bar(text: str, console: "Console | None" = None, *, enabled: bool = True) -> "Progress":
    """Return a bar with the number done, the rate and the time left; it shows nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Images or frames per second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "-/s")

    console = console or Console(stderr=True)
    return Progress(
        TextColumn(text), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not (enabled and console.is_terminal),
    )  # fmt: skip


def wait_for_end(client: "Client", job: "Job | str") -> "Job":
    """Wait for the end of a job, showing a progress bar; return the job as it then is."""
    current = client.job(job)
    with frame_progress(current.name) as progress:
        for event_job in client.events(job):
            current = event_job
            if current.state == "running":
                progress(current.frames_done, current.frames_total)
    return current


def fetch_result(client: "Client", job: "Job", target: Path, *, overwrite: bool) -> Path:
    """Download the result of a job to `target`, showing a progress bar; return the path written."""
    with fetch_progress() as progress:
        name = target.name
        return client.result(
            job, target, overwrite=overwrite, progress=lambda done, total: progress(name, done, total)
        )  # fmt: skip
