"""`velum hide`: hide people in images, videos, documents, archives, folders and streams."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, options, stream_options
from velum.cli import evidence as signed
from velum.cli.common import Messages, NoProgress, Quiet, Reports, Verbose
from velum.cli.hide_bag import arrange_bag, hide_bag
from velum.cli.hide_folder import FolderRun, say_hidden
from velum.cli.preview import Preview, check_options, hide_preview
from velum.errors import BadPlan, printable

if TYPE_CHECKING:
    from velum.batch.arrange import BatchItem
    from velum.plan import Plan

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC", help="Images, videos, documents, archives or folders; or one stream: -, rtsp://..., /dev/video0."
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DST",
        help="File or folder to write; - is standard output. Default: photo.hidden.jpg beside photo.jpg.",
    ),
]  # fmt: skip
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the plan and list the files that would be written; write nothing.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Skip files that an earlier run into the same folder finished.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Run velum check on each result; write it only if the check finds nothing.")
]
VerifyIdentity = Annotated[
    bool,
    typer.Option(
        "--verify-identity",
        help="As --verify, and compare hidden faces with their originals by a trained network.",
    ),
]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        metavar="FILE",
        help="Also write a JSON file that says what was hidden, by which plan and models, with hashes of the files; "
        "sign and check it with velum evidence.",
        rich_help_panel="Evidence",
    ),
]
Include = Annotated[
    list[str],
    typer.Option(
        "--include", metavar="GLOB", help="In folders, take only files that match, such as '2024/*.jpg'. Repeatable."
    ),
]
Exclude = Annotated[
    list[str],
    typer.Option(
        "--exclude", metavar="GLOB", help="In folders, skip files that match, such as '*_thumb.jpg'. Repeatable."
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write the report to this file, one line of JSON for each source."),
]
Transcript = Annotated[
    Path | None,
    typer.Option(
        "--transcript", metavar="FILE", rich_help_panel="Video",
        help="Says when words are said, for --mute: VTT, SRT or Whisper's JSON. It is written without them, too.",
    ),
]  # fmt: skip
Workers = Annotated[
    int,
    typer.Option(
        "--workers", metavar="N", min=1, max=64, help="Images of a folder that are processed at the same time."
    ),
]


def hide(
    sources: Sources,
    output: Target = None,
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    technique: options.With = None,
    plan: options.PlanFile = None,
    keep: options.Keep = [],
    keep_out: options.KeepOut = [],
    quality: options.Quality = None,
    effort: options.Effort = None,
    regions: options.Regions = None,
    keep_person: options.KeepPerson = [],
    only_person: options.OnlyPerson = [],
    verify: Verify = False,
    verify_identity: VerifyIdentity = False,
    dry_run: DryRun = False,
    preview: Preview = None,
    resume: Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    report: ReportFile = None,
    include: Include = [],
    exclude: Exclude = [],
    workers: Workers = 2,
    every: options.Every = None,
    two_pass: options.TwoPass = None,
    smart: options.Smart = None,
    track: options.Track = None,
    codec: options.Codec = None,
    crf: options.Crf = None,
    preset: options.Preset = None,
    size: options.Size = None,
    audio: options.Audio = None,
    transcript: Transcript = None,
    mute: options.Mute = None,
    bleep: options.Bleep = None,
    subtitles: options.Subtitles = None,
    on_damage: options.OnDamage = None,
    drop_member: options.DropMember = [],
    copy_member: options.CopyMember = [],
    topics: options.Topics = [],
    render: options.Render = False,
    dpi: options.Dpi = None,
    format: stream_options.Format = None,
    timeout: stream_options.Timeout = None,
    evidence: Evidence = None,
    key: signed.Key = None,
    passphrase_file: signed.Passphrase = None,
    reviewer: signed.Reviewers = [],
    evaluation: signed.Evaluation = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> None:
    """Hide what identifies people. By default, blacken each face and write photo.hidden.jpg."""
    from velum.batch.arrange import arrange

    options.check_people(regions, keep_person, only_person)
    chosen_plan = options.PlanOptions(
        plan, rule, hide_labels, technique, keep, keep_out, quality, effort, options.video_fields(locals())
    ).plan()
    chosen_plan = replace(
        chosen_plan,
        verify="identity" if verify_identity else chosen_plan.verify or verify,
        drop_members=(*chosen_plan.drop_members, *drop_member),
        copy_members=(*chosen_plan.copy_members, *copy_member),
        topics=(*chosen_plan.topics, *topics),
        pdf_pages="render" if render else chosen_plan.pdf_pages,
        pdf_dpi=dpi or chosen_plan.pdf_dpi,
    )
    chosen_plan = options.with_people(chosen_plan, keep_person, only_person)
    if "" in sources or output == "":
        raise BadPlan("SRC or DST is empty; name a file or a folder, such as . for this one")
    stream = stream_options.job(sources, output, format, timeout)
    paths, place = [Path(source) for source in sources], Path(output) if output else None
    bag = None if stream else arrange_bag(paths, place, selects=bool(include or exclude), resume=resume)
    jobs, folder = bag or (
        ([], None)
        if stream
        else arrange(
            paths, place, include, exclude, sound=chosen_plan.video.mutes_spans or chosen_plan.video.audio == "silence"
        )
    )
    messages = Messages(quiet=quiet, verbose=verbose, progress=not no_progress)
    _check_options(
        stream,
        folder,
        of_one={"--regions": regions, "--transcript": transcript},
        resume=resume,
        evidence=evidence,
        signed_by=bool(key or reviewer or evaluation),
    )
    ends = [stream] if stream else jobs
    read_files = [Path(path) for path in (key, plan, regions, evaluation, transcript) if path]

    def others() -> Iterator[Path]:
        yield from read_files
        yield from (path for job in ends for path in (job.source, job.target) if isinstance(path, Path))

    reports = Reports(report, printed=json, append=resume, overwrite=overwrite, others=others(), again=others())
    keeper = None if evidence is None else signed.EvidenceWriter(
        evidence, key, passphrase_file, overwrite=overwrite or resume, folder=folder, others=others(),
        evaluation=evaluation, reviewers=reviewer,
    )  # fmt: skip
    if preview is not None:
        check_options({
            "--dry-run": dry_run, "--resume": resume, "--json": json, "--report": report, "--evidence": evidence,
            "--regions": regions, "--transcript": transcript, "a stream": stream, "a folder of DICOM or a log": bag,
        })  # fmt: skip
        hide_preview(preview, jobs, chosen_plan, messages, folder=folder, overwrite=overwrite)
    elif dry_run:
        _print_dry_run([stream] if stream else jobs, chosen_plan, json=json)
    elif folder is None:
        with reports:
            _hide_one(
                stream or next(iter(jobs)), chosen_plan, regions, keeper, reports, messages, overwrite=overwrite,
                transcript=transcript,
            )  # fmt: skip
    elif bag:
        with reports:
            hide_bag(*bag, chosen_plan, keeper, reports, messages)
    else:
        run = FolderRun(jobs, folder, chosen_plan, keeper, reports, messages)
        with reports:
            run.hide(workers=workers, resume=resume, overwrite=overwrite)


def _check_options(
    stream: "stream_options.Stream | None", folder: Path | None, *, of_one: Mapping[str, Path | None], resume: bool,
    evidence: Path | None, signed_by: bool,
) -> None:  # fmt: skip
    """Raise `BadParameter` for options that do not go together, or not with the kind of source."""
    if folder and (given := next((name for name, path in of_one.items() if path), None)):
        raise typer.BadParameter(f"{given} belongs to one image or video; give one source, not a folder or several")
    if resume and not folder:
        raise typer.BadParameter(
            "--resume continues a run over a folder or several files; leave it out for a single file"
        )
    if signed_by and not evidence:
        raise typer.BadParameter(
            "--key, --reviewer and --evaluation say what goes into the evidence; add --evidence FILE"
        )
    if evidence and stream and stream.target is None:
        raise typer.BadParameter("evidence needs a result file; replace -o - by -o FILE, or leave out --evidence")


def _print_dry_run(jobs: Iterable["BatchItem | stream_options.Stream"], plan: "Plan", *, json: bool) -> None:
    with common.engine() as engine:
        work = engine.check(plan)
    for warning in work.warnings:
        common.warn(warning)
    for job in jobs:
        if json:
            rules = [str(rule) for rule in plan.rules]
            common.print_json({"source": str(job.source), "target": stream_options.target_name(job), "rules": rules})
        else:
            typer.echo(printable(f"{job.source} -> {stream_options.target_name(job)}"))
    if not json:
        typer.echo(
            "\n".join(
                [
                    "nothing was written; these rules would be applied to each file:",
                    *(f"  {rule}" for rule in plan.rules),
                ]
            )
        )


def _hide_one(
    job: "BatchItem | stream_options.Stream",
    plan: "Plan",
    regions: Path | None,
    keeper: signed.EvidenceWriter | None,
    reports: Reports,
    messages: Messages,
    *,
    overwrite: bool,
    transcript: Path | None,
) -> None:
    start = time.perf_counter()
    findings = common.read_annotations(regions) if regions else None
    from velum.cli.progress import frame_progress

    with (
        stream_options.stoppable(job.source),
        stream_options.open_target(job) as target,
        common.engine(job.source) as engine,
        frame_progress(job.source.name, messages) as progress,
    ):
        report = engine.hide(
            job.source, target, plan, regions=findings, overwrite=overwrite, progress=progress, transcript=transcript
        )
        report = report if isinstance(job, stream_options.Stream) else job.with_note(report)
    aside = not isinstance(target, Path)
    if keeper and isinstance(target, Path):
        keeper.add_hidden(report, target)
        keeper.write(plan)
    for warning in report.warnings:
        messages.warn(warning)
    reports.add(report.to_json(), err=aside)
    if not reports.printed and not messages.quiet:
        seconds = time.perf_counter() - start
        target_name = printable(stream_options.target_name(job))
        typer.echo(f"{target_name}: {say_hidden(report)}, {seconds:.2f} s", err=aside)
