"""The bars that `velum.cli.progress` shows; loaded when the first one is shown."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class _RateColumn(ProgressColumn):
    """Images or frames per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "-/s")


def download_bar(verb: str) -> Progress:
    """Return a bar with bytes, their rate and the time left, on the standard error stream where that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn(f"{verb} {{task.description}}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


def count_bar(text: str, console: Console | None = None, *, enabled: bool = True) -> Progress:
    """Return a bar with the number done, the rate and the time left; it shows nothing where there is no terminal."""
    console = console or Console(stderr=True)
    return Progress(
        TextColumn(text), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not (enabled and console.is_terminal),
    )  # fmt: skip
