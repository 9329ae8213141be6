"""`velum hide` for a folder of rosbag2: its files are one source, and the folder of the result appears whole."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from velum.cli import common
from velum.cli import evidence as signed
from velum.cli.common import Messages, Reports, count_labels
from velum.errors import BadPlan, OutputFailed, names_for_places, printable

if TYPE_CHECKING:
    from velum.batch.arrange import BatchItem
    from velum.plan import Plan


def arrange_bag(
    sources: Sequence[Path], target: Path | None, *, selects: bool, resume: bool
) -> "tuple[list[BatchItem], Path] | None":
    """Return the files of a folder of rosbag2 with their targets, and the folder of the result; None for other sources.

    Raises `BadInput` for a folder that is not as its metadata says, `BadPlan` and `OutputFailed` for a wrong target.
    """
    if len(sources) != 1 or not sources[0].is_dir():
        return None
    from velum.batch.arrange import BatchItem, folder_beside
    from velum.media.archive import rosbag2_folder

    if not rosbag2_folder.is_rosbag2_folder(sources[0]):
        return None
    source = sources[0]
    if selects or resume:
        given = "--resume" if resume else "--include and --exclude"
        raise typer.BadParameter(f"{given}: {source} is one recording of rosbag2, which is hidden as a whole; leave "
                                 "the option out")  # fmt: skip
    folder = target or folder_beside(source)
    if os.path.lexists(folder):
        raise OutputFailed(f"cannot write {folder}: it exists; name a new folder for the recording")
    if folder.resolve().is_relative_to(source.resolve()):
        raise BadPlan(f"cannot write {folder}: it lies in the source {source}; name a folder beside it")
    if not folder.parent.is_dir():
        raise OutputFailed(f"cannot write {folder}: there is no folder {folder.parent}; create it first")
    information, _ = rosbag2_folder.read_metadata(source)
    return [BatchItem(path, folder / path.name) for path in rosbag2_folder.bag_files(source, information)], folder


def hide_bag(
    items: "Sequence[BatchItem]", folder: Path, plan: "Plan", keeper: signed.EvidenceWriter | None, reports: Reports,
    messages: Messages,
) -> None:  # fmt: skip
    """Hide in all files of a folder of rosbag2, write its metadata anew and publish all at once."""
    from velum.cli.progress import frame_progress
    from velum.media.archive import rosbag2_folder

    source = items[0].source.parent
    information, unknown = rosbag2_folder.read_metadata(source)
    for warning in rosbag2_folder.say_unknown(unknown):
        messages.warn(warning, of=source)
    if others := rosbag2_folder.unnamed_files(source, information):
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        messages.warn(f"left out, since metadata.yaml does not name it: {', '.join(others[:5])}{more}", of=source)
    finished = []
    with _publish_folder(folder) as part, common.engine(*(item.source for item in items)) as engine:
        for item in items:
            with frame_progress(item.source.name, messages) as progress:
                report = engine.hide(item.source, part / item.target.name, plan, progress=progress)
            check = report.check and {**report.check, "file": str(item.target)}
            finished.append((item, replace(report, target=str(item.target), check=check)))
        rosbag2_folder.write_metadata(part, information, engine.limits)
    labels = Counter[str]()
    for item, report in finished:
        labels.update(report.labels)
        for warning in report.warnings:
            messages.warn(warning, of=item.source)
        reports.add(report.to_json())
        if keeper:
            keeper.add_hidden(report, item.target)
    if keeper:
        keeper.write(plan)
    if not reports.printed and not messages.quiet:
        files = f"{len(items)} file{'s' * (len(items) != 1)}"
        typer.echo(f"{printable(str(folder))}: {files} and metadata.yaml, {count_labels(dict(labels))} hidden")


@contextmanager
def _publish_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes `target` in one step when the block ends well, or is removed."""
    from velum.atomic import flush, folder_next_to

    with folder_next_to(target) as scratch:
        part = scratch / "bag"
        part.mkdir()
        with names_for_places(part, str(target)):
            yield part
        for path in (*part.iterdir(), part):
            flush(path)
        if os.path.lexists(target):
            raise OutputFailed(f"cannot write {target}: it exists by now; name a new folder for the recording")
        part.rename(target)
