"""`velum hide`: hide people in images, videos, documents, archives, folders and streams."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, options, stream_options
from velum.cli import evidence as signed
from velum.cli.common import Messages, NoProgress, Quiet, Reports, Verbose, command_again, count_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from velum.batch.local import ArrangedItems, BatchItem, ItemResult
    from velum.plan import Plan
    from velum.report import Report

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
    subtitles: options.Subtitles = None,
    on_damage: options.OnDamage = None,
    drop_member: options.DropMember = [],
    copy_member: options.CopyMember = [],
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
    from velum.batch.local import arrange

    wanted = options.PlanOptions(
        plan, rule, hide_labels, technique, keep, keep_out, quality, effort, options.video_fields(locals())
    ).plan()
    if regions and (keep_person or only_person):
        raise typer.BadParameter(
            "--regions says who is hidden; give --keep-person or --only-person to velum locate, which writes that file"
        )
    wanted = replace(
        wanted,
        verify="identity" if verify_identity else wanted.verify or verify,
        drop_members=(*wanted.drop_members, *drop_member),
        copy_members=(*wanted.copy_members, *copy_member),
    )
    wanted = options.with_people(wanted, keep_person, only_person)
    stream = stream_options.job(sources, output, format, timeout)
    paths, place = [Path(source) for source in sources], Path(output) if output else None
    jobs, folder = ([], None) if stream else arrange(paths, place, include, exclude)
    messages = Messages(quiet=quiet, verbose=verbose, progress=not no_progress)
    _check_options(
        stream, folder, regions=regions, resume=resume, evidence=evidence, signed_by=bool(key or reviewer or evaluation)
    )
    may_replace = overwrite or resume
    ends = [stream] if stream else jobs
    given = [path for path in (key, plan, regions, evaluation) if path]

    def others() -> Iterator[Path]:
        yield from given
        yield from (path for job in ends for path in (job.source, job.target) if isinstance(path, Path))

    reports = Reports(report, printed=json, append=resume, overwrite=overwrite, others=others())
    keeper = (
        signed.EvidenceWriter(
            evidence,
            key,
            passphrase_file,
            overwrite=may_replace,
            folder=folder,
            others=others(),
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
            _hide_one(stream or next(iter(jobs)), wanted, regions, keeper, reports, messages, overwrite=overwrite)
    else:
        run = FolderRun(jobs, folder, wanted, keeper, reports, messages)
        with reports:
            run.hide(workers=workers, resume=resume, overwrite=overwrite)


def _check_options(
    stream: "stream_options.Stream | None", folder: Path | None, *, regions: Path | None, resume: bool,
    evidence: Path | None, signed_by: bool,
) -> None:  # fmt: skip
    """Raise `BadParameter` for options that do not go together, or not with the kind of source."""
    if regions and folder:
        raise typer.BadParameter("--regions belongs to one image or video; give one source, not a folder or several")
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
            typer.echo(f"{job.source} -> {stream_options.target_name(job)}")
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
        stream_options.open_target(job) as target,
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
        seconds = time.perf_counter() - start
        target_name = stream_options.target_name(job)
        typer.echo(f"{target_name}: {count_labels(report.labels)} hidden{frames}, {seconds:.2f} s", err=aside)


@dataclass(slots=True)
class FolderRun:
    """One run over many files. When one fails, the others go on."""

    jobs: "Sequence[BatchItem] | ArrangedItems"
    folder: Path
    plan: "Plan"
    keeper: signed.EvidenceWriter | None
    reports: Reports
    messages: Messages
    done: int = 0
    skipped: int = 0
    failed: int = 0
    empty: int = 0
    labels: dict[str, int] = field(default_factory=dict)

    def hide(self, *, workers: int, resume: bool, overwrite: bool) -> None:
        """Hide in all files and print a summary. Exits with 1 when some failed, with 130 when it was stopped."""
        try:
            self._hide_all(workers=workers, resume=resume, overwrite=overwrite)
        except KeyboardInterrupt:
            from velum.batch.local import MANIFEST, count_finished

            # Some were finished after the last outcome that arrived here.
            finished = count_finished(self.jobs, self.folder / MANIFEST, self.plan)
            self.messages.summary()
            self.messages.fail(
                f"stopped; {finished} of {len(self.jobs)} files are finished and complete, and nothing "
                f"half-written was left; go on with: {command_again('--resume')}"
            )
            raise typer.Exit(130) from None
        if self.keeper and self.failed < len(self.jobs):
            self.keeper.write(self.plan)
        self.messages.summary()
        if not self.reports.printed and not self.messages.quiet:
            typer.echo(
                f"{self.folder}: {self.done} file{'s' * (self.done != 1)}, {count_labels(self.labels)} hidden; "
                f"{self.empty} with nothing found, {self.skipped} skipped, {self.failed} failed"
            )
        if self.failed:
            raise typer.Exit(1)

    def _hide_all(self, *, workers: int, resume: bool, overwrite: bool) -> None:
        from velum.batch.local import MANIFEST, run
        from velum.cli.progress import batch_progress

        workers = min(workers, len(self.jobs))
        with common.engine_processes(workers) as (engines, fetching):
            work = engines.check(self.plan, fetching)
            for warning in work.warnings:
                self.messages.warn(warning)
            manifest = self.folder / MANIFEST
            outcomes = run(
                engines, self.jobs, self.plan, workers=workers, overwrite=overwrite, manifest=manifest, resume=resume
            )
            # Close the progress in any case: files in progress must end before the engines do.
            with closing(outcomes):
                for outcome in batch_progress(outcomes, len(self.jobs), self.messages):
                    self._count(outcome, known=work.warnings)
                    if self.keeper:
                        self.keeper.add_outcome(outcome)

    def _count(self, outcome: "ItemResult", *, known: tuple[str, ...]) -> None:
        source = outcome.item.source
        if outcome.error:
            self.failed += 1
            message = str(outcome.error)
            self.messages.fail(message if str(source) in message else f"{source}: {message}")
            error = {"kind": outcome.error.code, "message": message}
            self.reports.add({"source": str(source), "target": None, "error": error})
        elif outcome.report is None:
            self.skipped += 1
            self.messages.note(f"{source}: finished before, skipped")
        else:
            self._add(outcome.item, outcome.report, known)

    def _add(self, job: "BatchItem", report: "Report", known: tuple[str, ...]) -> None:
        self.done += 1
        self.empty += not report.labels
        for label, count in report.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count
        for warning in report.warnings:
            if warning not in known:
                self.messages.warn(warning, of=job.source)
        seconds = sum(report.seconds.values())
        self.messages.note(f"{job.source} -> {job.target}: {count_labels(report.labels)} hidden, {seconds:.2f} s")
        self.reports.add(report.to_json())
