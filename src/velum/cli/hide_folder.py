"""`velum hide` for a folder or several files: when one fails, the others go on, and a summary ends it."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from velum.cli import common
from velum.cli import evidence as signed
from velum.cli.common import Messages, Reports, command_again, count_labels
from velum.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from velum.batch.arrange import ArrangedItems, BatchItem
    from velum.batch.local import ItemResult
    from velum.plan import Plan
    from velum.report import Report


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
        self._warn_left_out()
        self.messages.summary()
        if not self.reports.printed and not self.messages.quiet:
            files = f"{self.done} file{'s' * (self.done != 1)}"
            typer.echo(
                f"{printable(str(self.folder))}: {files}, {count_labels(self.labels)} hidden; "
                f"{self.empty} with nothing found, {self.skipped} skipped, {self.failed} failed"
            )
        if self.failed:
            raise typer.Exit(1)

    def _warn_left_out(self) -> None:
        from velum.batch.arrange import ArrangedItems
        from velum.report import say_count, say_kinds

        if isinstance(self.jobs, ArrangedItems) and (left_out := self.jobs.left_out):
            counted = say_count(left_out.total(), "file is", "files are")
            self.messages.warn(f"{counted} no image, video or document and left out: {say_kinds(left_out)}")

    def _hide_all(self, *, workers: int, resume: bool, overwrite: bool) -> None:
        from velum.batch.local import MANIFEST, run
        from velum.cli.progress import batch_progress

        workers = min(workers, len(self.jobs))
        with common.engine_processes(workers) as (engines, fetching):
            if not resume:  # most may be finished
                engines.start()
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
                    self._count(outcome, general_warnings=work.warnings)
                    if self.keeper:
                        self.keeper.add_outcome(outcome)

    def _count(self, outcome: "ItemResult", *, general_warnings: tuple[str, ...]) -> None:
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
            self._add(outcome.item, outcome.report, general_warnings)

    def _add(self, job: "BatchItem", report: "Report", general_warnings: tuple[str, ...]) -> None:
        self.done += 1
        self.empty += not (report.labels or any(track.get("muted") for track in report.sound))
        for label, count in report.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count
        for warning in report.warnings:
            if warning not in general_warnings:
                self.messages.warn(warning, of=job.source)
        seconds = sum(report.seconds.values())
        self.messages.note(f"{job.source} -> {job.target}: {say_hidden(report)}, {seconds:.2f} s")
        self.reports.add(report.to_json())


def say_hidden(report: "Report") -> str:
    """Return what was hidden as text, such as "2 faces hidden in 75 frames, 1.7 s of speech muted"."""
    frames = f" in {report.frames} frames" if report.frames > 1 else ""
    seen = [f"{count_labels(report.labels)} hidden{frames}"] if report.width or report.members else []
    edits = (member["hidden"] for member in report.members if member["action"] == "edited" and "hidden" in member)
    if passages := sum(edit["text"] for edit in edits):
        written = f"{passages} passage{'s' * (passages != 1)} of text hidden"
        seen = [*(seen if report.labels else []), written]
    elif report.format == "PDF" and not seen:
        seen = ["nothing hidden"]
    actions = {track["action"] for track in report.sound}
    muted = max((sum(end - start for start, end in track.get("muted", ())) for track in report.sound), default=0.0)
    changed = max((sum(end - start for start, end in track.get("changed", ())) for track in report.sound), default=0.0)
    heard = f"{muted:.1f} s of speech muted" if muted else "no speech found"
    heard = f"voices changed in {changed:.1f} s of sound (weak)" if changed else heard
    counts = {} if report.transcript is None else report.transcript["muted"]
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no words"
    said = [f"{words} muted in {muted:.1f} s of sound"] if report.transcript else []
    sound = said or ([heard] if actions & {"speech-mute", "voice"} else ["all sound muted"] if actions else [])
    return ", ".join(seen + sound)
