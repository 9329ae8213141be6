"""`velum hide`: hide people in images, videos, folders and streams."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, stream_options, video_options
from velum.cli import evidence as signed
from velum.cli.hide_folder import FolderRun
from velum.cli.messages import Messages, NoProgress, Quiet, Verbose
from velum.cli.reports import Reports, count_labels

if TYPE_CHECKING:
    from velum.batch.local import BatchItem
    from velum.plan import Plan

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SRC...", help="Images, videos or folders; or one stream: -, rtsp://..., /dev/video0."),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DST",
        help="File or folder to write; - is standard output. Default: photo.hidden.jpg beside photo.jpg.",
    ),
]  # fmt: skip
Rules = Annotated[
    list[str],
    typer.Option(
        "--rule",
        "-r",
        metavar="RULE",
        help="A rule: 'LABEL: LOCALIZER -> TECHNIQUE', such as 'face: centerface -> blur'. Repeatable.",
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan", "-p", metavar="FILE", help="File with a plan (TOML or JSON), in place of --rule and --hide."
    ),
]
Labels = Annotated[
    list[str],
    typer.Option(
        "--hide", metavar="LABELS", help="Labels to hide: face,license_plate,person. List them: velum labels."
    ),
]
With = Annotated[
    str | None,
    typer.Option("--with", metavar="TECHNIQUE", help="Technique for --hide. Default: blacken. List: velum techniques."),
]
KeepOut = Annotated[
    list[str],
    typer.Option(
        "--keep-out", metavar="ZONE", help="Zone that is never hidden, such as 'fixed(box=[0,0,90,40])'. Repeatable."
    ),
]
Keep = Annotated[
    list[str],
    typer.Option("--keep", metavar="KINDS", help="Metadata to keep, such as datetime,gps. Default: none is kept."),
]
Quality = Annotated[
    int | None,
    typer.Option("--quality", min=1, max=100, help="Quality of lossy formats such as JPEG. Default: as in the source."),
]
Regions = Annotated[
    Path | None,
    typer.Option(
        "--regions", metavar="FILE", help="Hide the regions in this annotation file (see velum locate); detect nothing."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the plan and list the files that would be written; write nothing.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Skip files that an earlier run into the same folder finished.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist. Sources are never touched.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one line for each item, in place of text.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Run velum check on each result; write it only if the check finds nothing.")
]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        metavar="FILE",
        help="Write evidence of what was hidden to this file; see velum evidence.",
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
Workers = Annotated[
    int,
    typer.Option(
        "--workers", metavar="N", min=1, max=64, help="Images of a folder that are processed at the same time."
    ),
]


def hide(
    sources: Sources,
    output: Target = None,
    rule: Rules = [],
    hide_labels: Labels = [],
    technique: With = None,
    plan: PlanFile = None,
    keep: Keep = [],
    keep_out: KeepOut = [],
    quality: Quality = None,
    regions: Regions = None,
    verify: Verify = False,
    dry_run: DryRun = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    report: ReportFile = None,
    include: Include = [],
    exclude: Exclude = [],
    workers: Workers = 2,
    every: video_options.Every = None,
    two_pass: video_options.TwoPass = None,
    smart: video_options.Smart = None,
    track: video_options.Track = None,
    codec: video_options.Codec = None,
    crf: video_options.Crf = None,
    preset: video_options.Preset = None,
    audio: video_options.Audio = None,
    subtitles: video_options.Subtitles = None,
    on_damage: video_options.OnDamage = None,
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
    from velum.batch.local import FileFilter, arrange

    video = video_options.video_fields(
        every=every, two_pass=two_pass, smart=smart, track=track, codec=codec, crf=crf, preset=preset, audio=audio,
        subtitles=subtitles, on_damage=on_damage,
    )  # fmt: skip
    options = common.PlanOptions(plan, rule, hide_labels, technique, keep, keep_out, quality, video)
    wanted = options.plan()
    wanted = replace(wanted, verify=wanted.verify or verify)
    stream = stream_options.job(sources, output, format, timeout)
    paths, place = [Path(source) for source in sources], Path(output) if output else None
    jobs, folder = ([], None) if stream else arrange(paths, place, FileFilter(tuple(include), tuple(exclude)))
    messages = Messages(quiet=quiet, verbose=verbose, progress=not no_progress)
    if regions and folder:
        raise typer.BadParameter("--regions belongs to one image or video; give one source, not a folder or several")
    if resume and not folder:
        raise typer.BadParameter(
            "--resume continues a run over a folder or several files; leave it out for a single file"
        )
    if (key or reviewer or evaluation) and not evidence:
        raise typer.BadParameter(
            "--key, --reviewer and --evaluation say what goes into the evidence; add --evidence FILE"
        )
    if evidence and stream and not isinstance(stream.target, Path):
        raise typer.BadParameter("evidence needs a result file; replace -o - by -o FILE, or leave out --evidence")
    may_replace = overwrite or resume
    ends = [stream] if stream else jobs
    others = [path for job in ends for path in (job.source, job.target) if isinstance(path, Path)]
    others += [path for path in (key, plan, regions, evaluation) if path]
    reports = Reports.open(report, others, append=resume, overwrite=overwrite, printed=json)
    keeper = (
        signed.EvidenceWriter(
            evidence,
            key,
            passphrase_file,
            overwrite=may_replace,
            folder=folder,
            others=others,
            evaluation=evaluation,
            reviewers=reviewer,
        )
        if evidence
        else None
    )
    if dry_run:
        _print_dry_run([stream] if stream else jobs, wanted, json=json)
    elif folder is None:
        with reports:
            _hide_one(stream or jobs[0], wanted, regions, keeper, reports, messages, overwrite=overwrite)
    else:
        run = FolderRun(jobs, folder, wanted, keeper, reports, messages)
        with reports:
            run.hide(workers=workers, resume=resume, overwrite=overwrite)


def _print_dry_run(jobs: Sequence["BatchItem | stream_options.Stream"], plan: "Plan", *, json: bool) -> None:
    with common.engine() as engine:
        work = engine.check(plan)
    for warning in work.warnings:
        common.warn(warning)
    for job in jobs:
        if json:
            rules = [str(rule) for rule in plan.rules]
            common.print_json({"source": str(job.source), "target": str(job.target), "rules": rules})
        else:
            typer.echo(f"{job.source} -> {job.target}")
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
) -> None:
    start = time.perf_counter()
    findings = common.read_annotations(regions) if regions else None
    from velum.cli.progress import frame_progress

    with (
        stream_options.stoppable(job.source),
        stream_options.open_target(job.target) as target,
        common.engine(job.source) as engine,
        frame_progress(job.source.name, messages) as progress,
    ):
        report = engine.hide(job.source, target, plan, regions=findings, overwrite=overwrite, progress=progress)
        report = report if isinstance(job, stream_options.Stream) else job.with_note(report)
    aside = not isinstance(target, Path)
    if keeper and isinstance(target, Path):
        keeper.add_hidden(report, target)
        keeper.write(plan)
    for warning in report.warnings:
        messages.warn(warning)
    reports.add(report.to_json(), err=aside)
    if not reports.printed and not messages.quiet:
        frames = f" in {report.frames} frames" if report.frames > 1 else ""
        typer.echo(
            f"{job.target}: {count_labels(report.labels)} hidden{frames}, {time.perf_counter() - start:.2f} s",
            err=aside,
        )
