"""`velum batch`: hide in all images and videos of a folder or a bucket, on any number of machines."""

import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from velum.cli import common, options
from velum.cli.common import Messages, NoProgress, Quiet
from velum.errors import BadInput, BadPlan

if TYPE_CHECKING:
    from velum.batch.item import ItemOutcome, Status
    from velum.batch.manifest import BatchRun, Listing, RunConfig, Selection
    from velum.batch.shard import ShardRunner
    from velum.batch.summary import BatchSummary
    from velum.engine.subprocess_pool import SubprocessPool
    from velum.plan import Plan
    from velum.storage.objects import ObjectTree

SHOWN_FAILURES = 20
"""Files without a result that are printed; all are in the outcomes."""


class RunByDefault(TyperGroup):
    """A group whose command `run` need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name `run` where the first word is neither a command nor a call for help."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Hide in all images and videos of a folder or a bucket, on any number of machines: "
    "velum batch SRC -o DST. The same command again goes on, with what is new or has changed.",
)

Place = Annotated[str, typer.Argument(metavar="DST", help="The place of the results; or one run: DST/_velum/RUN.")]
Retry = Annotated[
    list[str], typer.Option("--retry", metavar="STATUS", help="Try such files again: failed or refused. Repeatable.")
]
Shard = Annotated[
    int | None,
    typer.Option(
        "--shard", metavar="N", min=0, envvar="JOB_COMPLETION_INDEX",
        help="Hide one shard of the last listing, from 0; with --shards, every so many-th from this one on.",
    ),
]  # fmt: skip
Shards = Annotated[
    int | None, typer.Option("--shards", metavar="M", min=1, help="Number of machines that share the shards.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, max=512, help="Processes of this machine. Default: one per core."),
]
Scratch = Annotated[
    Path | None,
    typer.Option("--scratch", metavar="FOLDER", help="Folder for files in progress. Default: the system's own."),
]
Price = Annotated[
    float | None,
    typer.Option("--price-per-core-hour", metavar="PRICE", min=0, help="With --dry-run, say what it would cost."),
]


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder, or s3://, gs://, az://bucket/prefix.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DST", help="Folder or prefix of the results.")],
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    technique: options.With = None,
    plan: options.PlanFile = None,
    keep: options.Keep = [],
    effort: options.Effort = None,
    include: Annotated[list[str], typer.Option("--include", metavar="GLOB", help="Take only keys that match.")] = [],
    exclude: Annotated[list[str], typer.Option("--exclude", metavar="GLOB", help="Skip keys that match.")] = [],
    retry: Retry = [],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the files, hide in 20 of them, write nothing, say what all cost.")
    ] = False,
    price_per_core_hour: Price = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="List the source, print the number of shards, end.")
    ] = False,
    shard: Shard = None,
    shards: Shards = None,
    workers: Workers = None,
    scratch: Scratch = None,
    json: options.Json = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Hide in all images and videos of SRC and write them under DST, by the same keys. Sources are never written."""
    from velum.batch.manifest import Selection
    from velum.storage.objects import open_tree

    wanted = options.PlanOptions(plan, rule, hide_labels, technique, keep, effort=effort).plan()
    if unknown := set(retry) - {"failed", "refused"}:
        raise BadPlan(f"--retry {unknown.pop()!r} is unknown; allowed are failed and refused")
    trees = open_tree(source), open_tree(output)
    _refuse_overlap(trees[0].url, trees[1].url)
    messages = Messages(quiet=quiet, progress=not no_progress)
    with _prepare(wanted, trees, workers, scratch, messages) as ready:
        batch = CommandRun(ready, Selection(include, exclude), messages, json=json)
        if dry_run:
            batch.estimate(price_per_core_hour)
        elif list_only:
            batch.list_sources(retry)
        elif shard is not None:
            batch.hide_shard(shard, shards)
        else:
            batch.hide(retry)


@app.command()
def status(place: Place, json: options.Json = False) -> None:
    """Print how far the batches into a place are."""
    from velum.batch.summary import BatchSummary, shards_done

    for found in _open_runs(place):
        summary, (done, total) = BatchSummary.of(found.latest()), shards_done(found)
        if json:
            common.print_json({"run": found.name, "shards": total, "shards_done": done, **summary.to_json()})
        else:
            typer.echo(f"{found.name}: {done} of {total} shards finished; {summary}; from {found.config.source}")


@app.command()
def report(
    place: Place,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="File of the page.")],
    overwrite: options.Overwrite = False,
) -> None:
    """Write a page: counts, sizes, files without a result, the slowest ones, and a sample of results to look at."""
    from velum.batch.summary import BatchSummary, render_summary

    runs = _open_runs(place)
    if len(runs) > 1:
        names = ", ".join(found.name for found in runs)
        raise BadInput(f"{place} has several batches; name one: {place}/_velum/RUN with RUN of {names}")
    summary = BatchSummary.of(runs[0].latest())
    common.write_text(html, render_summary(runs[0], summary), overwrite=overwrite)
    typer.echo(f"{html}: {summary}")


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """What a command needs to hide: the run's configuration, its stores, and engines in processes."""

    config: "RunConfig"
    source: "ObjectTree"
    target: "ObjectTree"
    engines: "SubprocessPool"
    scratch: Path
    threads: int

    def runner(self, run: "BatchRun") -> "ShardRunner":
        """Return a runner of the run's shards."""
        from velum.batch.shard import ShardRunner

        node = f"{platform.node()}:{os.getpid()}"
        return ShardRunner(run, self.source, self.engines, self.scratch, node, self.threads)


@contextmanager
def _prepare(
    plan: "Plan", trees: "tuple[ObjectTree, ObjectTree]", workers: int | None, scratch: Path | None, messages: Messages
) -> Iterator[PreparedBatch]:
    from velum.batch.item import hashes_of
    from velum.batch.manifest import RunConfig
    from velum.settings import Settings, available_cores
    from velum.storage.scratch import WorkerScratch

    settings = Settings.load()
    precision = "f32" if settings.precision == "auto" else settings.precision
    count = workers or available_cores()
    shared = scratch or Path(tempfile.gettempdir()) / f"velum-batch-{os.getuid()}"
    # One thread a process: the fastest way to share cores, and the same sums on every machine.
    processes = common.engine_processes(count, threads=1, precision=precision)
    with processes as (engines, fetching), WorkerScratch(shared) as own:
        checked = engines.check(plan, fetching)
        for warning in checked.warnings:
            messages.warn(warning)
        config = RunConfig(plan, trees[0].url, trees[1].url, precision, hashes_of(checked.models))
        yield PreparedBatch(config, *trees, engines, own.path, count + 1)


@dataclass(slots=True)
class CommandRun:
    """One call of the command."""

    ready: PreparedBatch
    selection: "Selection"
    messages: Messages
    json: bool

    def estimate(self, price: float | None) -> None:
        """Print the counts of the source and what hiding in it would cost."""
        from velum.batch.estimate import estimate_batch

        ready = self.ready
        with _counting(self.messages) as progress:
            found = estimate_batch(
                ready.source, self.selection, ready.config, ready.engines, ready.scratch, threads=ready.threads,
                progress=progress,
            )  # fmt: skip
        values = {
            "images": found.images, "videos": found.videos, "bytes": found.size, "sampled": len(found.sampled),
            "sampled_without_result": found.without_result, "core_hours": found.core_hours,
            "result_bytes": found.result_size, "price": None if price is None else found.core_hours * price,
            "left_out": dict(found.left_out),
        }  # fmt: skip
        if self.json:
            common.print_json(values)
            return
        cost = "" if price is None else f", {found.core_hours * price:,.2f} for the processors"
        typer.echo(
            f"{found.images:,} images and {found.videos:,} videos, {found.size:,} bytes; nothing was written.\n"
            f"By {len(found.sampled)} of them, {found.without_result} without a result: {found.core_hours:,.3g} core "
            f"hours{cost}; about {found.result_size:,} bytes of results."
        )
        self._warn_left_out(found.left_out)

    def list_sources(self, retry: Sequence[str]) -> None:
        """List the source where no listing is unfinished, and print the number of shards."""
        run = self._start()
        listings = run.listings()
        if listings and next(run.unfinished_shards(listings[-1]), None) is not None:
            listing: Listing | None = listings[-1]
        else:
            listing, _ = self._list(run, retry)
        typer.echo(str(listing.shards if listing else 0))

    def hide_shard(self, number: int, of: int | None) -> None:
        """Hide the shards of one machine of many. Files without a result are in the outcomes, and no failure."""
        from velum.batch.driver import shards_to_hide
        from velum.batch.summary import BatchSummary

        run, summary = self._start(), BatchSummary()
        listings = run.listings()
        if not listings:
            raise BadInput("the source is not listed yet; run the same command with --list in place of --shard first")
        self._hide_shards(run, listings[-1], shards_to_hide(run, listings[-1], number, of), summary)
        self._finish(run, summary)

    def hide(self, retry: Sequence[str]) -> None:
        """Finish the last listing, then list and hide what is new. Exits with 1 when files have no result."""
        from velum.batch.driver import shards_to_hide
        from velum.batch.summary import BatchSummary

        run, summary = self._start(), BatchSummary()
        listings = run.listings()
        if listings and (left := shards_to_hide(run, listings[-1])):
            self._hide_shards(run, listings[-1], left, summary)
        resumed = summary.total
        listing, unchanged = self._list(run, retry)
        if listing is not None:
            self._hide_shards(run, listing, shards_to_hide(run, listing), summary)
        elif not listings:
            raise BadInput(f"no images or videos in {self.ready.source.url}; check the prefix, --include and --exclude")
        self._finish(run, summary, unchanged.total() - resumed)
        if summary.without_result or unchanged["refused"] or unchanged["failed"]:
            raise typer.Exit(1)

    def _start(self) -> "BatchRun":
        from velum.batch.manifest import BatchRun

        return BatchRun.start(self.ready.target, self.ready.config)

    def _list(self, run: "BatchRun", retry: Sequence[str]) -> "tuple[Listing | None, Counter[str]]":
        with _counting(self.messages) as progress:
            listing, counts = run.list_sources(
                self.ready.source, self.selection, retry=cast("Sequence[Status]", retry), progress=progress
            )
        self._warn_left_out(counts.left_out)
        return listing, counts.unchanged

    def _hide_shards(
        self, run: "BatchRun", listing: "Listing", shards: Sequence[int], summary: "BatchSummary"
    ) -> None:  # fmt: skip
        from velum.batch.driver import hide_shards

        expected = listing.items * len(shards) // listing.shards
        with _hiding(self.messages, expected, summary) as show:
            hide_shards(self.ready.runner(run), listing, shards, show)

    def _finish(self, run: "BatchRun", summary: "BatchSummary", before: int = 0) -> None:
        if summary.without_result > SHOWN_FAILURES:
            self.messages.fail(
                f"{summary.without_result - SHOWN_FAILURES} more; see: velum batch report {run.url} --html FILE"
            )
        if self.json:
            common.print_json({"run": run.url, "before": before, **summary.to_json()})
        elif not self.messages.quiet:
            labels = common.count_labels(summary.labels)
            typer.echo(f"{run.url}: {summary}; {labels} hidden; {before} were finished before")

    def _warn_left_out(self, left_out: "Counter[str]") -> None:
        from velum.report import say_count

        if left_out:
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in left_out.most_common(5))
            self.messages.warn(
                f"{say_count(left_out.total(), 'object is', 'objects are')} no image or video by name and left out: "
                f"{kinds}; --include takes whatever matches"
            )


@contextmanager
def _counting(messages: Messages) -> "Iterator[Callable[[int], None]]":
    """Give a callback that shows how many objects were listed."""
    from velum.cli.progress_bars import count_bar

    with count_bar("listing", messages.console, enabled=messages.bars) as bar:
        task = bar.add_task("listing", total=None)
        yield lambda count: None if count % 1000 else bar.update(task, completed=count)


@contextmanager
def _hiding(messages: Messages, expected: int, summary: "BatchSummary") -> "Iterator[Callable[[ItemOutcome], None]]":
    """Give a callback that counts outcomes, prints those without a result, and shows the rate and the time left."""
    from velum.cli.progress_bars import count_bar

    lock = Lock()
    with count_bar("{task.description}", messages.console, enabled=messages.bars) as bar:
        task = bar.add_task("hiding", total=expected)

        def show(outcome: "ItemOutcome") -> None:
            with lock:
                summary.add(outcome)
                if outcome.error and summary.without_result <= SHOWN_FAILURES:
                    messages.fail(f"{outcome.key}: {outcome.reason}")
                reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.most_common(3))
                bar.update(task, advance=1, description=f"hiding ({reasons})" if reasons else "hiding")

        yield show


def _refuse_overlap(source: str, target: str) -> None:
    """Raise `BadPlan` where results would land among the sources, or sources lie among the results."""
    ends = [f"{url.rstrip('/')}/" for url in (source, target)]
    if ends[0].startswith(ends[1]) or ends[1].startswith(ends[0]):
        raise BadPlan(
            f"{target} and {source} lie in each other: results would be taken for sources; write to another prefix"
        )


def _open_runs(place: str) -> "list[BatchRun]":
    """Return the runs at the place of results, or the one that is named. Raises `BadInput` when there is none."""
    from velum.batch.manifest import FOLDER, BatchRun
    from velum.storage.objects import open_tree

    root, _, name = place.rstrip("/").partition(f"/{FOLDER}/")
    target = open_tree(root)
    names = [name] if name else BatchRun.names(target)
    if not names:
        raise BadInput(f"there is no batch in {place}; name the place of the results, as in velum batch SRC -o DST")
    return [BatchRun.open(target, found) for found in names]
