"""Messages of a running command: errors, each warning once, printed above the progress bar."""

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

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
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self.bars = progress and not quiet
        self._again: Counter[str] = Counter()

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
        self.console.print(Text(start, style=style).append(text, style="default"))


def command_again(option: str) -> str:
    """Return the command line of this process with `option` added, for the user to type again."""
    given = sys.argv[1:]
    return shlex.join(["velum", *given, *([] if option in given else [option])])
