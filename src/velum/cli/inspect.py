"""`velum inspect`: what a stranger would learn from a file."""

import shlex
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, options

if TYPE_CHECKING:
    from velum.verify.inspection import Inspection

_WIDTH, _INDENT = 80, 18


def inspect(
    files: Annotated[
        list[Path], typer.Argument(metavar="SRC", help="Images, videos, documents or archives; nothing is changed.")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the findings of all files.")
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Tell what a stranger would see in a file: people, text, codes, sound, metadata; and how to hide it."""
    from velum.atomic import ensure_free
    from velum.cli.progress import frame_progress
    from velum.settings import Settings
    from velum.verify.inspection import inspect as inspect_file
    from velum.verify.inspection import write_page
    from velum.verify.leak_check import Check

    if html is not None:
        ensure_free(html, overwrite=overwrite)
    settings = Settings.load()
    inspections = []
    with common.engine(*files) as engine:
        check = Check(engine, settings.host(), settings.limits())
        for file in files:
            with frame_progress(file.name) as progress:
                inspection = inspect_file(check, file, progress)
            inspections.append(inspection)
            if json:
                common.print_json(inspection.to_json())
            else:
                _print(inspection, file)
    for note in dict.fromkeys(note for inspection in inspections for note in inspection.notes):
        common.warn(note)
    if html is not None:
        write_page(html, inspections, overwrite=overwrite)


def _print(inspection: "Inspection", file: Path) -> None:
    from velum.verify.inspection import MEANING, NAMES

    typer.secho(f"{file}: {inspection.grade}", bold=True, nl=False)
    typer.echo(f" - {MEANING[inspection.grade]}")
    for finding in inspection.findings:
        name = NAMES.get(finding.subject, finding.subject)
        lines = wrap("; ".join(finding.lines(inspection.frames)), _WIDTH - _INDENT) or [""]
        typer.echo("\n".join(f"  {name if n == 0 else '':{_INDENT - 2}}{line}" for n, line in enumerate(lines)))
    if inspection.findings:
        typer.echo(f"  {'hide it':{_INDENT - 2}}{_command(inspection, file)}")


def _command(inspection: "Inspection", file: Path) -> str:
    """Return the command line that hides what was found."""
    plan = inspection.plan
    plain = [rule.label for rule in plan.rules if rule.label != "text" and inspection.audio == "drop"]
    words = ["velum", "hide", str(file), *(["--hide", ",".join(plain)] if plain else [])]
    words += [word for rule in plan.rules if rule.label == "text" for word in ("--rule", str(rule))]
    words += ["--audio", plan.video.audio] if plan.video.audio != "copy" else []
    words += ["--subtitles", "drop"] if plan.video.subtitles == "drop" else []
    words += [word for name in plan.drop_members for word in ("--drop-member", name)]
    return shlex.join(words)
