"""`velum locate`: what would be hidden, as JSON, to be reviewed and rendered later."""

import json
from pathlib import Path
from typing import Annotated

import typer

from velum.cli import console
from velum.cli.hide import Labels, Overwrite, PlanFile, Rules


def locate(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A picture.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write to. Default: standard output.")
    ] = None,
    rule: Rules = [],  # noqa: B006 - typer reads the default and never changes it
    hide_labels: Labels = [],  # noqa: B006 - likewise
    plan: PlanFile = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the regions that the rules would hide, as JSON for velum hide --regions."""
    wanted = console.PlanOptions(plan, rule, hide_labels).plan()
    with console.engine() as engine:
        findings = engine.locate(source, wanted)
    text = json.dumps(findings.to_json(), ensure_ascii=False, indent=2)
    if output is None:
        typer.echo(text)
    else:
        console.write_text(output, text + "\n", overwrite=overwrite)
