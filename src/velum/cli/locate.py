"""`velum locate` and `velum check`: what a plan would hide in a source, and what a finished file still shows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, options
from velum.cli.preview import is_preview
from velum.errors import VelumError, printable

if TYPE_CHECKING:
    from velum.verify.result import CheckResult, LeakRun

PREVIEW = "its name says that it is a preview (velum hide --preview), not the whole; hide and check the whole source"


def locate(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="An image or a video.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Annotation file to write. Default: standard output."),
    ] = None,
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    plan: options.PlanFile = None,
    effort: options.Effort = None,
    keep_person: options.KeepPerson = [],
    only_person: options.OnlyPerson = [],
    overwrite: options.Overwrite = False,
    every: options.Every = None,
    track: options.Track = None,
    on_damage: options.OnDamage = None,
) -> None:
    """Detect the regions to hide and write them to an annotation file, for velum hide --regions."""
    from velum.cli.progress import frame_progress

    chosen_plan = options.PlanOptions(
        plan, rule, hide_labels, effort=effort, video=options.video_fields(locals())
    ).plan()
    chosen_plan = options.with_people(chosen_plan, keep_person, only_person)
    with common.engine(source) as engine, frame_progress(source.name) as progress:
        for warning in engine.check(chosen_plan).substitutes:
            common.warn(warning)
        findings = engine.locate(source, chosen_plan, progress=progress)
    text = findings.to_text()
    if output is None:
        typer.echo(text)
    else:
        common.write_text(output, text + "\n", overwrite=overwrite)


def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="OUT", help="The finished images, videos, documents or archives to check.")
    ],
    against: Annotated[
        Path | None, typer.Option("--against", metavar="IN", help="The source of OUT; comparing with it finds more.")
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            "--regions", metavar="FILE", help="Annotation file with the regions that were hidden (see velum locate)."
        ),
    ] = None,
    text: Annotated[
        bool,
        typer.Option(
            "--text",
            help="Also read text: find e-mail addresses, plates, phone, account and card numbers.",
        ),
    ] = False,
    identity: Annotated[
        bool,
        typer.Option("--identity", help="Also compare hidden faces with their originals, by a trained network."),
    ] = False,
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    plan: options.PlanFile = None,
    effort: options.Effort = None,
    render: Annotated[
        bool, typer.Option("--render", help="OUT is a PDF whose pages velum hide --render made pictures.")
    ] = False,
    dpi: options.Dpi = None,
    json: options.Json = False,
    transcript: Annotated[
        Path | None,
        typer.Option("--transcript", metavar="FILE", help="The redacted transcript of OUT; with --mute, as for hide."),
    ] = None,
    mute: options.Mute = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="FILE", help="Write an image with a tile for each leak. It shows what was not hidden."
        ),
    ] = None,
) -> None:
    """Search finished files for people and metadata that are not hidden. Exit 1: something was found."""
    from velum.cli.progress import frame_progress
    from velum.settings import Settings
    from velum.verify.leak_check import Check
    from velum.verify.result import Leak, write_contact_sheet

    _check_arguments(files, {"--against": against, "--regions": regions, "--sheet": sheet, "--transcript": transcript})
    chosen_plan = options.PlanOptions(
        plan, rule, hide_labels, effort=effort, video=options.video_fields(locals())
    ).plan()
    chosen_plan = replace(
        chosen_plan,
        pdf_pages="render" if render else chosen_plan.pdf_pages,
        pdf_dpi=dpi or chosen_plan.pdf_dpi,
    )
    findings = None if regions is None else common.read_annotations(regions)
    settings = Settings.load()
    any_leak, failure = False, None
    with common.engine(*files) as engine:
        run_check = Check(engine, settings.host(), settings.limits())
        for file in files:
            try:
                with frame_progress(file.name) as progress:
                    checked = run_check(
                        file, chosen_plan, against=against, regions=findings, text=text, identity=identity,
                        progress=progress, **({"transcript": transcript} if transcript else {}),
                    )  # fmt: skip
            except VelumError as error:
                if len(files) == 1:
                    raise
                common.fail(str(error))
                failure = failure or error
                continue
            if sheet is not None and not checked.is_clean:
                write_contact_sheet(sheet, file, checked, settings.limits())
            if is_preview(file):
                checked = replace(checked, leaks=(*checked.leaks, Leak("frames", PREVIEW)))
            _print_result(checked, json=json)
            any_leak = any_leak or not checked.is_clean
    if any_leak or failure:
        raise typer.Exit(1 if any_leak or failure is None else failure.exit_code)


def _check_arguments(files: list[Path], of_one: Mapping[str, Path | None]) -> None:
    """Refuse options that belong to one file where there are several, and contact sheets of containers."""
    from velum.media.archive import container_of

    given = [name for name, value in of_one.items() if value is not None]
    if len(files) > 1 and given:
        raise typer.BadParameter(f"{given[0]} belongs to one file, and {len(files)} are named; check them one by one")
    if of_one["--sheet"] is not None and container_of(files[0]):
        raise typer.BadParameter("--sheet shows frames of one image or video; leave it out for archives and documents")


def _print_result(checked: "CheckResult", *, json: bool) -> None:
    from velum.verify.result import leak_runs

    for note in checked.notes:
        common.warn(note)
    if json:
        common.print_json(checked.to_json())
        return
    for run in leak_runs(checked.leaks):
        typer.echo(printable(f"{run.first.kind}  {_where(run)}{run.first.message}"))
    leaks = f"{_count(len(checked.leaks), 'leak')} found" if checked.leaks else "nothing found"
    coverage = f"{_count(checked.frames, 'frame')} searched by {', '.join(checked.detectors) or 'no detector'}"
    verified = f"; {_count(checked.regions, 'region')} verified by pixels" if checked.regions else ""
    typer.echo(f"{printable(str(checked.file))}: {leaks}; {coverage}{verified}")


def _where(run: "LeakRun") -> str:
    """Return the frames of a leak and their times, as the beginning of a line; nothing for a leak of the whole file."""
    first, last = run.first, run.last
    if first.frame is None:
        return ""
    if first.frame == last.frame:
        return f"frame {first.frame}{'' if first.seconds is None else f' ({first.seconds:.2f} s)'}: "
    times = "" if first.seconds is None or last.seconds is None else f" ({first.seconds:.2f} s to {last.seconds:.2f} s)"
    return f"frames {first.frame} to {last.frame}{times}: "


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
