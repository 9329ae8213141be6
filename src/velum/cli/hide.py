"""`velum hide`: the main job."""

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
from velum.cli.reports import Reports, counted

if TYPE_CHECKING:
    from velum.batch.local import BatchItem
    from velum.plan import Plan

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SRC...", help="Pictures, videos, folders of them; a stream: - or rtsp://..., /dev/video0."),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DST",
        help="File or folder to write to, - for standard output. Default: photo.hidden.jpg next to it.",
    ),
]  # fmt: skip
Rules = Annotated[
    list[str],
    typer.Option("--rule", "-r", metavar="RULE", help="'face: centerface -> pixelate(degree=0.1)'. Repeatable."),
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", "-p", metavar="FILE", help="Plan in TOML or JSON, instead of rules.")
]
Labels = Annotated[
    list[str],
    typer.Option(
        "--hide", metavar="LABELS", help="What to hide, by name: face,license_plate,person. See velum labels."
    ),
]
With = Annotated[
    str | None, typer.Option("--with", metavar="TECHNIQUE", help="Technique for --hide. Default: blacken.")
]
KeepOut = Annotated[
    list[str], typer.Option("--keep-out", metavar="ZONE", help="'fixed(box=[0,0,90,40])': never hidden. Repeatable.")
]
Keep = Annotated[
    list[str], typer.Option("--keep", metavar="KINDS", help="Metadata to keep, such as datetime,gps. Default: none.")
]
Quality = Annotated[
    int | None, typer.Option("--quality", min=1, max=100, help="Quality of lossy output. Default: like the source.")
]
Regions = Annotated[
    Path | None,
    typer.Option("--regions", metavar="FILE", help="Hide what this file names (see velum locate) instead of looking."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the plan, say what would be written, write nothing.")]
Resume = Annotated[bool, typer.Option("--resume", help="Skip what an earlier run into the same folder finished.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist. Sources are never touched.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report of each file as a line of JSON.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Check the finished file as velum check does; publish it if nothing is found.")
]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        metavar="FILE",
        help="Write evidence of what was done; see velum evidence.",
        rich_help_panel="Evidence",
    ),
]
Include = Annotated[
    list[str],
    typer.Option("--include", metavar="GLOB", help="Of folders, only files like '2024/*.jpg' or '*.mp4'. Repeatable."),
]
Exclude = Annotated[
    list[str], typer.Option("--exclude", metavar="GLOB", help="Of folders, no files like '*_thumb.jpg'. Repeatable.")
]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write the report to this file: one line of JSON for each source."),
]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, max=64, help="Pictures in work at a time, for folders.")
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
    """Hide what identifies people. Without options: every face, blackened, into photo.hidden.jpg."""
    from velum.batch.local import FileFilter, arrange

    moving = video_options.given(
        every=every, two_pass=two_pass, smart=smart, track=track, codec=codec, crf=crf, preset=preset, audio=audio,
        subtitles=subtitles, on_damage=on_damage,
    )  # fmt: skip
    options = common.PlanOptions(plan, rule, hide_labels, technique, keep, keep_out, quality, moving)
    wanted = options.plan()
    wanted = replace(wanted, verify=wanted.verify or verify)
    stream = stream_options.job(sources, output, format, timeout)
    paths, place = [Path(source) for source in sources], Path(output) if output else None
    jobs, folder = ([], None) if stream else arrange(paths, place, FileFilter(tuple(include), tuple(exclude)))
    messages = Messages(quiet=quiet, verbose=verbose, progress=not no_progress)
    if regions and folder:
        raise typer.BadParameter("--regions goes with one picture, not with folders or several pictures")
    if resume and not folder:
        raise typer.BadParameter("--resume goes with folders or several pictures, not with one")
    if (key or reviewer or evaluation) and not evidence:
        raise typer.BadParameter("--key, --reviewer and --evaluation go with --evidence, which they are for")
    if evidence and stream and not isinstance(stream.target, Path):
        raise typer.BadParameter("--evidence goes with a file to write to, not with standard output")
    again = overwrite or resume
    ends = [stream] if stream else jobs
    others = [one for job in ends for one in (job.source, job.target) if isinstance(one, Path)]
    others += [one for one in (key, plan, regions, evaluation) if one]
    reports = Reports.open(report, others, append=resume, overwrite=overwrite, printed=json)
    keeper = (
        signed.EvidenceWriter(
            evidence,
            key,
            passphrase_file,
            overwrite=again,
            folder=folder,
            others=others,
            evaluation=evaluation,
            reviewers=reviewer,
        )
        if evidence
        else None
    )
    if dry_run:
        _announce([stream] if stream else jobs, wanted, json=json)
    elif folder is None:
        with reports:
            _hide_one(stream or jobs[0], wanted, regions, keeper, reports, messages, overwrite=overwrite)
    else:
        run = FolderRun(jobs, folder, wanted, keeper, reports, messages)
        with reports:
            run.hide(workers=workers, resume=resume, overwrite=overwrite)


def _announce(jobs: Sequence["BatchItem | stream_options.Stream"], plan: "Plan", *, json: bool) -> None:
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
        typer.echo("\n".join(["nothing was written; each would be hidden by", *(f"  {rule}" for rule in plan.rules)]))


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
    findings = common.findings_from(regions) if regions else None
    from velum.cli.progress import frames_shown

    with (
        stream_options.stoppable(job.source),
        stream_options.opened(job.target) as target,
        common.engine(job.source) as engine,
        frames_shown(job.source.name, messages) as progress,
    ):
        report = engine.hide(job.source, target, plan, regions=findings, overwrite=overwrite, progress=progress)
        report = report if isinstance(job, stream_options.Stream) else job.with_note(report)
    aside = not isinstance(target, Path)
    if keeper and isinstance(target, Path):
        keeper.hidden(report, target)
        keeper.write(plan)
    for warning in report.warnings:
        messages.warn(warning)
    reports.add(report.to_json(), err=aside)
    if not reports.printed and not messages.quiet:
        frames = f" in {report.frames} frames" if report.frames > 1 else ""
        typer.echo(
            f"{job.target}: {counted(report.labels)} hidden{frames}, {time.perf_counter() - start:.2f} s", err=aside
        )
