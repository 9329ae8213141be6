"""`velum models quantize`: make an 8-bit copy of a detector and compare both."""

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
    Path, typer.Option("--images", metavar="DIR", help="Some dozens of typical images that contain objects to find.")
]
NewName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the copy. Default: NAME-int8.")]
Ranges = Annotated[
    str, typer.Option("--preset", metavar="PRESET", help="mixed: more exact; performance: slightly faster.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")]
Json = Annotated[bool, typer.Option("--json", help="Print the comparison as a line of JSON.")]


def quantize(
    name: Name, images: Images, new_name: NewName = None, preset: Ranges = "mixed",
    replace: Replace = False, json: Json = False,
) -> None:  # fmt: skip
    """Make a faster 8-bit copy of a model, and compare speed and detections on your images."""
    from functools import partial

    from velum.batch.local import arrange
    from velum.cli.progress import fetch_progress
    from velum.locate import quantize as work
    from velum.settings import Settings

    settings = Settings.load()
    jobs, _ = arrange([images], None)
    pictures = [partial(_read, job.source, settings.limits()) for job in jobs]
    # NNCF prints to standard output; keep that free for the result.
    with fetch_progress() as progress, redirect_stdout(sys.stderr):
        made = work.quantize(
            name, settings.host(progress), pictures,
            new_name=new_name, preset=_preset(preset), replace_old=replace, say=_print_step,
        )  # fmt: skip
    if json:
        trials = [trial.to_json() for trial in made.trials]
        common.print_json(
            {"name": made.model.name, "pictures": made.pictures, "held_back": made.held_back, "trials": trials}
        )
    else:
        _print(name, made)


def _print_step(what: str) -> None:
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
    source = "images that were not used for calibration" if made.held_back else "images, the same as for calibration"
    typer.echo(f"{made.model.name}: made from {name}, compared on {made.pictures} {source}")
    if not made.trials[0].share.of:
        common.warn(
            "the original model finds nothing in these images, so nothing can be compared; give images with objects"
        )


def _row(trial: "QuantizationTrial", sizes: list[str]) -> list[str]:
    found = [_share(trial.by_size[size]) for size in sizes]
    return [
        trial.precision, f"{trial.ms_per_picture:.1f}", _share(trial.share), str(trial.more),
        f"{trial.largest_drop:.2f}", *found,
    ]  # fmt: skip


def _share(share: "Share") -> str:
    return "-" if share.value is None else f"{share.again}/{share.of}"
