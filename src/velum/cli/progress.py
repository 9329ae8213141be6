"""Progress bars on the standard error stream."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from velum.cli.common import Messages
from velum.plugins import Progress as Fetching

T = TypeVar("T")


class _RateColumn(ProgressColumn):
    """Images or frames per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "-/s")


@contextmanager
def fetch_progress(verb: str = "fetching") -> Iterator[Fetching]:
    """Yield a callback `(name, done, total)` in bytes with a bar for each file; `verb` says what happens."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(f"{verb} {{task.description}}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if name not in tasks:
            bar.start()
            tasks[name] = bar.add_task(name, total=total)
        bar.update(tasks[name], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:
            bar.stop()


def batch_progress(items: Iterable[T], total: int, messages: Messages) -> Iterator[T]:
    """Yield the items, showing a bar with the number done, the rate and the time left."""
    console = messages.console
    with Progress(
        TextColumn("hiding"), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not (messages.bars and console.is_terminal),
    ) as bar:  # fmt: skip
        task = bar.add_task("hiding", total=total)
        for item in items:
            yield item
            bar.advance(task)


@contextmanager
def frame_progress(name: str, messages: Messages | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a callback `(done, total)` that shows frames done, rate and time left; no bar for a single frame."""
    messages = messages or Messages()
    console = messages.console
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not (messages.bars and console.is_terminal),
    )  # fmt: skip
    tasks: list[TaskID] = []

    def show(done: int, total: int | None) -> None:
        if total == 1:
            return
        if not tasks:
            bar.start()
            tasks.append(bar.add_task(name, total=total))
        bar.update(tasks[0], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:
            bar.stop()


@contextmanager
def file_progress(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback `(done, total)` that shows files done, their rate and the time left; at 1 it starts again."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(verb), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task(verb, total=None)

        def show(done: int, total: int) -> None:
            if done == 1:
                bar.reset(task, total=total)
            bar.update(task, completed=done)

        yield show
