"""`velum check`: a finished file, looked at as a stranger would."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common
from velum.cli.hide import Json, Labels, PlanFile, Rules

if TYPE_CHECKING:
    from velum.verify.values import Checked


def check(
    file: Annotated[Path, typer.Argument(metavar="OUT", help="A picture or a video in which was hidden.")],
    against: Annotated[
        Path | None, typer.Option("--against", metavar="IN", help="Its source: more can be told with it.")
    ] = None,
    regions: Annotated[
        Path | None, typer.Option("--regions", metavar="FILE", help="What was hidden in it (see velum locate).")
    ] = None,
    text: Annotated[
        bool,
        typer.Option(
            "--text",
            help="Read it for e-mail addresses, phone, account and card numbers and plates, whatever the plan hides.",
        ),
    ] = False,
    rule: Rules = [],
    hide_labels: Labels = [],
    plan: PlanFile = None,
    json: Json = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="FILE", help="Write what was found there as a picture, to look at: it shows it."
        ),
    ] = None,
) -> None:
    """Look for what is still to be seen in a finished file, and for what lies beside its pictures."""
    from velum.cli.progress import frames_shown
    from velum.settings import Settings
    from velum.verify.leak_check import Check

    wanted = common.PlanOptions(plan, rule, hide_labels).plan()
    findings = None if regions is None else common.findings_from(regions)
    settings = Settings.load()
    with common.engine(file) as engine, frames_shown(file.name) as progress:
        looked = Check(engine, settings.host(), settings.limits())
        checked = looked(file, wanted, against=against, regions=findings, text=text, progress=progress)
    if sheet is not None and not checked.passed:
        from velum.verify.contact_sheet import write

        write(sheet, file, checked, settings.limits())
    _tell(checked, json=json)
    if not checked.passed:
        raise typer.Exit(1)


def _tell(checked: "Checked", *, json: bool) -> None:
    for note in checked.notes:
        common.warn(note)
    if json:
        common.print_json(checked.to_json())
        return
    for leak in checked.leaks:
        where = "" if leak.frame is None else f"frame {leak.frame}: "
        typer.echo(f"{leak.kind}  {where}{leak.message}")
    looked = f"{checked.frames} frames by {', '.join(checked.detectors) or 'no detector'}"
    verified = f", {checked.regions} regions verified" if checked.regions else ""
    typer.echo(f"{checked.file}: {len(checked.leaks) or 'nothing'} found; {looked}{verified}")
