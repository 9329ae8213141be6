"""`velum models quantize`: a quicker copy of a detector, and what it costs."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common

if TYPE_CHECKING:
    from velum.frame import Frame
    from velum.limits import Limits
    from velum.locate.quantize import QuantizationTrial, Quantized, Share
    from velum.locate.runtime.int8 import Preset

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as 'velum models list' names it.")]
Images = Annotated[
    Path, typer.Option("--images", metavar="DIR", help="Pictures such as it will look at; a few dozen, with finds.")
]
NewName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it. Default: NAME-int8.")]
Ranges = Annotated[
    str, typer.Option("--preset", metavar="PRESET", help="mixed: more exact; performance: a little quicker.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of a model of the same name.")]
Json = Annotated[bool, typer.Option("--json", help="Print the comparison as a line of JSON.")]


def quantize(
    name: Name, images: Images, new_name: NewName = None, preset: Ranges = "mixed",
    replace: Replace = False, json: Json = False,
) -> None:  # fmt: skip
    """Make a copy of a model with 8-bit arithmetic, and show what it gains and loses on your pictures."""
    from functools import partial

    from velum.batch.local import arrange
    from velum.cli.progress import fetch_progress
    from velum.locate import quantize as work
    from velum.settings import Settings

    settings = Settings.load()
    jobs, _ = arrange([images], None)
    pictures = [partial(_read, job.source, settings.limits()) for job in jobs]
    # What NNCF prints is no part of the result.
    with fetch_progress() as progress, redirect_stdout(sys.stderr):
        made = work.quantize(
            name, settings.host(progress), pictures,
            new_name=new_name, preset=_preset(preset), replace_old=replace, say=_say,
        )  # fmt: skip
    if json:
        trials = [trial.to_json() for trial in made.trials]
        common.print_json(
            {"name": made.model.name, "pictures": made.pictures, "held_back": made.held_back, "trials": trials}
        )
    else:
        _print(name, made)


def _say(what: str) -> None:
    typer.echo(f"{what} ...", err=True)


def _preset(text: str) -> "Preset":
    match text:
        case "mixed" | "performance":
            return text
    raise typer.BadParameter(f"--preset is {text!r}; it must be mixed or performance")


def _read(path: Path, limits: "Limits") -> "Frame":
    from velum.media import read

    with read(path, limits) as reader:
        return next(reader.frames())


def _print(name: str, made: "Quantized") -> None:
    from rich.console import Console
    from rich.table import Table

    sizes = list(made.trials[0].by_size)
    table = Table(box=None, pad_edge=False)
    for title in ("arithmetic", "ms", "found again", "more", "score drop", *(f"{size} px" for size in sizes)):
        table.add_column(title, justify="left" if title == "arithmetic" else "right", no_wrap=True)
    for trial in made.trials:
        table.add_row(*_row(trial, sizes))
    Console().print(table)
    which = "pictures that it did not learn from" if made.held_back else "pictures, the same that it learnt from"
    typer.echo(f"{made.model.name}: made from {name}, compared on {made.pictures} {which}")
    if not made.trials[0].share.of:
        common.warn("the original found nothing in these pictures: they say nothing of what is lost")


def _row(trial: "QuantizationTrial", sizes: list[str]) -> list[str]:
    found = [_share(trial.by_size[size]) for size in sizes]
    return [
        trial.precision, f"{trial.ms_per_picture:.1f}", _share(trial.share), str(trial.more),
        f"{trial.largest_drop:.2f}", *found,
    ]  # fmt: skip


def _share(share: "Share") -> str:
    return "-" if share.value is None else f"{share.again}/{share.of}"
