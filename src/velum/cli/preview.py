"""`velum hide --preview`: hide a first part, to look at before the whole is hidden."""

import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common
from velum.cli.common import Messages, count_labels
from velum.cli.hide_folder import say_hidden
from velum.errors import BadPlan, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from velum.batch.arrange import BatchItem
    from velum.plan import Plan
    from velum.region import Region

Preview = Annotated[
    str | None,
    typer.Option(
        "--preview", metavar="3s|N",
        help="Only the first 3 seconds of a video, or N files of a folder, with a contact sheet: to look at first.",
    ),
]  # fmt: skip

MARK = ".preview"
"""Ends the stem of each preview. `velum check` takes no such file for a finished result."""

MOST_FILES = 1000


def is_preview(file: Path) -> bool:
    """Tell by the name whether a file is a preview."""
    return file.stem.endswith(MARK)


def check_options(given: Mapping[str, object]) -> None:
    """Raise `BadParameter` for an option that makes no sense with a preview."""
    if name := next((name for name, value in given.items() if value), None):
        raise typer.BadParameter(f"--preview makes nothing that is finished, so {name} has no place; leave one out")


def hide_preview(
    amount: str, items: "Iterable[BatchItem]", plan: "Plan", messages: Messages, *, folder: Path | None,
    overwrite: bool,
) -> None:  # fmt: skip
    """Hide the first part of a video, or the first files of a folder, and say how long the whole would take."""
    if folder is None:
        seconds = common.parse_duration(amount, "--preview")
        if not seconds:
            raise BadPlan(f"--preview is {amount!r}; it must be more than 0 s, such as 3s")
        _hide_beginning(next(iter(items)), plan, seconds, messages, overwrite=overwrite)
        return
    if not re.fullmatch(r"\d{1,4}", amount) or not 1 <= int(amount) <= MOST_FILES:
        raise BadPlan(
            f"--preview is {amount!r}; for a folder or several files it must be a number from 1 to {MOST_FILES}"
        )
    _hide_first_files(int(amount), list(items), folder, plan, messages, overwrite=overwrite)


def _hide_beginning(item: "BatchItem", plan: "Plan", seconds: float, messages: Messages, *, overwrite: bool) -> None:
    from velum import media
    from velum.atomic import ensure_free, folder_next_to
    from velum.cli.progress import frame_progress
    from velum.settings import Settings
    from velum.verify.frame_sheet import write_frame_sheet

    if not media.is_video(item.source) or media.sound_format_of(item.source):
        raise BadPlan(f"{item.source} is no video: a preview shows the first seconds of one; leave --preview out")
    from velum.media.video.excerpt import write_excerpt

    target = item.target.with_name(f"{item.target.stem.removesuffix('.hidden')}{MARK}{item.target.suffix}")
    sheet, limits = target.with_suffix(".jpg"), Settings.load().limits()
    for path in (target, sheet):
        ensure_free(path, overwrite=overwrite)
    regions: dict[int, tuple[Region, ...]] = {}
    with (
        folder_next_to(target) as folder,
        common.engine(item.source) as engine,
        frame_progress(item.source.name, messages) as progress,
    ):
        engine.check(plan)
        excerpt = write_excerpt(item.source, folder, seconds, limits)
        start = time.perf_counter()
        report = engine.hide(
            excerpt.file, target, plan, overwrite=overwrite, progress=progress, on_regions=regions.__setitem__
        )
        spent = time.perf_counter() - start
        shown = {index: [region for region in found if not region.ignored] for index, found in regions.items()}
        write_frame_sheet(sheet, [(target, shown)], limits, overwrite=overwrite)
    for warning in report.warnings:
        messages.warn(warning)
    if messages.quiet:
        return
    whole = excerpt.whole_seconds
    part = f"the first {excerpt.seconds:.1f} s" + (f" of {whole:.1f} s" if whole else "")
    typer.echo(printable(f"{target}: a preview, only {part}; {say_hidden(report)}"))
    typer.echo(printable(f"{sheet}: frames of it"))
    _say_whole(spent * whole / excerpt.seconds if whole and excerpt.seconds else None)


def _hide_first_files(
    count: int, items: "Sequence[BatchItem]", folder: Path, plan: "Plan", messages: Messages, *, overwrite: bool
) -> None:
    from velum.atomic import ensure_free
    from velum.errors import VelumError
    from velum.settings import Settings
    from velum.verify.frame_sheet import write_frame_sheet

    place = folder.with_name(f"{folder.name.removesuffix('.hidden')}{MARK}")
    sheet = place / f"contact-sheet{MARK}.jpg"
    done: list[tuple[Path, Mapping[int, Sequence[Region]]]] = []
    labels: dict[str, int] = {}
    start, failed = time.perf_counter(), 0
    with common.engine(*(item.source for item in items[:count])) as engine:
        engine.check(plan)
        for item in items[:count]:
            inner = place / item.target.relative_to(folder)
            target = inner.with_name(f"{inner.stem}{MARK}{inner.suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            regions: dict[int, tuple[Region, ...]] = {}
            try:
                ensure_free(sheet, overwrite=overwrite)
                report = engine.hide(item.source, target, plan, overwrite=overwrite, on_regions=regions.__setitem__)
            except VelumError as error:
                messages.fail(str(error))
                failed += 1
                continue
            for label, number in report.labels.items():
                labels[label] = labels.get(label, 0) + number
            if not report.members and regions:
                done.append((target, {n: [r for r in found if not r.ignored] for n, found in regions.items()}))
    spent = time.perf_counter() - start
    if done:
        write_frame_sheet(sheet, done, Settings.load().limits(), overwrite=overwrite)
    if not messages.quiet:
        tried, all_files = min(count, len(items)), len(items)
        note = f", {failed} failed" if failed else ""
        typer.echo(
            printable(f"{place}: a preview, only {tried} of {all_files} files; {count_labels(labels)} hidden{note}")
        )
        if done:
            typer.echo(printable(f"{sheet}: pictures of it"))
        _say_whole(spent * all_files / tried)
    if failed:
        raise typer.Exit(1)


def _say_whole(seconds: float | None) -> None:
    """Print how long the whole would take, and the command for it."""
    words, rest = [], iter(sys.argv[1:])
    for word in rest:
        if word == "--preview":
            next(rest, None)
        elif not word.startswith("--preview="):
            words.append(word)
    if seconds is None:
        typer.echo("how long the whole takes is not known; hide it with:")
    else:
        typer.echo(f"the whole takes about {_say_time(seconds)} on this machine; hide it with:")
    typer.echo(f"  {shlex.join(['velum', *words])}")


def _say_time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
