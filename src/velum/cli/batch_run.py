"""One call of `velum batch`: lists, hides, and prints the outcome."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, cast

import typer

from velum.cli import common
from velum.cli.batch_setup import PreparedBatch, host_of_node
from velum.cli.common import Messages
from velum.errors import BadInput, OutputFailed, Unavailable

if TYPE_CHECKING:
    from velum.batch.item import ItemOutcome
    from velum.batch.listing import Listing, Retry, Selection
    from velum.batch.manifest import BatchRun
    from velum.batch.metrics import BatchMetrics
    from velum.batch.summary import BatchSummary
    from velum.plugins import Precision

SHOWN_FAILURES = 20
"""Files without a result that are printed; all are in the outcomes."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Options of the runner ray."""

    workers: int | None
    cpus: float
    gpus: float
    address: str | None


@dataclass(slots=True)
class CommandRun:
    """One call of the command."""

    ready: PreparedBatch
    selection: "Selection"
    messages: Messages
    json: bool
    cluster: ClusterOptions | None = None
    metrics: "BatchMetrics | None" = None

    def estimate(self, price: float | None) -> None:
        """Print the counts of the source and what hiding in it would cost."""
        from velum.batch.estimate import estimate_batch

        ready = self.ready
        with _counting(self.messages) as progress:
            costs = estimate_batch(
                ready.source, self.selection, ready.config, ready.engines, ready.scratch, threads=ready.threads,
                progress=progress,
            )  # fmt: skip
        values = {
            "images": costs.images, "videos": costs.videos, "bytes": costs.size, "sampled": len(costs.sampled),
            "sampled_without_result": costs.without_result, "core_hours": costs.core_hours,
            "result_bytes": costs.result_size, "price": None if price is None else costs.core_hours * price,
            "left_out": dict(costs.left_out),
        }  # fmt: skip
        if self.json:
            common.print_json(values)
            return
        cost = "" if price is None else f", {costs.core_hours * price:,.2f} for the processors"
        typer.echo(
            f"{costs.images:,} images and {costs.videos:,} videos, {costs.size:,} bytes; nothing was written.\n"
            f"By {len(costs.sampled)} of them, {costs.without_result} without a result: {costs.core_hours:,.3g} core "
            f"hours{cost}; about {costs.result_size:,} bytes of results."
        )
        warn_left_out(self.messages, costs.left_out)

    def list_sources(self, retry: Sequence[str]) -> None:
        """List the source where no listing is unfinished, and print the number of shards."""
        run = self._start()
        listings = run.listings()
        if listings and next(run.unfinished_shards(listings[-1]), None) is not None:
            listing: Listing | None = listings[-1]
        else:
            listing, _ = self._list(run, listings, retry)
        typer.echo(str(listing.shards if listing else 0))

    def hide_shard(self, number: int, of: int | None) -> None:
        """Hide the shards of one machine of many. Files without a result count as outcomes, not as a failure."""
        from velum.batch.shard import shards_to_hide
        from velum.batch.summary import BatchSummary

        run, summary = self._start(), BatchSummary()
        listings = run.listings()
        if not listings:
            raise BadInput("the source is not listed yet; run the same command with --list in place of --shard first")
        self._hide_shards(run, listings[-1], shards_to_hide(run, listings[-1], number, of), summary)
        if self.cluster is None:
            self._help_others(run, listings[-1])
        self._finish(run, summary)

    def hide(self, retry: Sequence[str]) -> None:
        """Finish the last listing, then list new objects and hide in them. Exits with 1 when files have no result."""
        from velum.batch.shard import shards_to_hide
        from velum.batch.summary import BatchSummary

        run, summary = self._start(), BatchSummary()
        listings = run.listings()
        if listings and (unfinished := shards_to_hide(run, listings[-1])):
            self._hide_shards(run, listings[-1], unfinished, summary)
        resumed = summary.total
        listing, unchanged = self._list(run, listings, retry)
        if listing is not None:
            self._hide_shards(run, listing, shards_to_hide(run, listing), summary)
        elif not listings:
            raise BadInput(f"no images or videos in {self.ready.source.url}; check the prefix, --include and --exclude")
        self._finish(run, summary, unchanged.total() - resumed)
        if earlier := unchanged["refused"] + unchanged["failed"]:
            self.messages.warn(
                f"{earlier} unchanged files have no result since an earlier run ({unchanged['refused']} refused, "
                f"{unchanged['failed']} failed); try them again with --retry refused or --retry failed"
            )
        if summary.without_result or earlier:
            raise typer.Exit(1)

    def _start(self) -> "BatchRun":
        from velum.batch.manifest import BatchRun

        return BatchRun.start(self.ready.target, self.ready.config)

    def _list(
        self, run: "BatchRun", earlier: "Sequence[Listing]", retry: Sequence[str]
    ) -> "tuple[Listing | None, Counter[str]]":
        """List the source. `earlier` are finished; what another machine lists meanwhile is followed, not repeated."""
        with _counting(self.messages) as progress:
            listing, counts = run.list_sources(
                self.ready.source,
                self.selection,
                retry=cast("Sequence[Retry]", retry),
                progress=progress,
                earlier=earlier,
            )
        warn_left_out(self.messages, counts.left_out)
        return listing, counts.unchanged

    def _hide_shards(
        self, run: "BatchRun", listing: "Listing", shards: Sequence[int], summary: "BatchSummary"
    ) -> None:  # fmt: skip
        from velum.batch.shard import hide_shards

        expected = listing.items * len(shards) // listing.shards
        with _hiding(self.messages, expected, summary) as show:
            metrics = self.metrics
            if metrics is not None:
                metrics.expect(expected)

            def count(outcome: "ItemOutcome") -> None:
                if metrics is not None:
                    metrics.add(outcome)
                show(outcome)

            if self.cluster is not None and shards:
                self._hide_on_cluster(run, listing, shards, count, self.cluster)
            else:
                hide_shards(self.ready.runner(run), listing, shards, count)

    def _help_others(self, run: "BatchRun", listing: "Listing") -> None:
        """Hide segments of long videos that other machines have begun; what fails there is left to them."""
        from velum.batch.shard import hide_shards, shards_to_share

        try:
            hide_shards(self.ready.runner(run), listing, shards_to_share(run, listing, run.begun_shards))
        except (Unavailable, OutputFailed) as error:
            self.messages.warn(
                f"this machine's shards are finished; helping with long videos of others failed: {error}"
            )

    def _hide_on_cluster(
        self, run: "BatchRun", listing: "Listing", shards: Sequence[int], show: "Callable[[ItemOutcome], None]",
        cluster: ClusterOptions,
    ) -> None:  # fmt: skip
        from velum.batch.ray import hide_on_ray
        from velum.settings import Settings

        host = partial(host_of_node, cast("Precision", run.config.precision))
        files_left = {}
        for shard, reason in hide_on_ray(
            run, shards, host, Settings.load().limits(), most_actors=cluster.workers, cpus=cluster.cpus,
            gpus=cluster.gpus, address=cluster.address,
        ):  # fmt: skip
            for outcome in run.outcomes(listing, shard) or ():
                show(outcome)
            if reason:
                files_left[shard] = reason
        if files_left:
            shard, reason = next(iter(files_left.items()))
            raise Unavailable(f"{len(files_left)} shards are left for the next run, such as shard {shard}: {reason}")

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


def warn_left_out(messages: Messages, left_out: "Counter[str]") -> None:
    """Say how many objects of a source are left out, by suffix."""
    from velum.report import say_count, say_kinds

    if left_out:
        messages.warn(
            f"{say_count(left_out.total(), 'object is', 'objects are')} no image, video or document by name and left "
            f"out: {say_kinds(left_out)}; --include takes whatever matches"
        )


@contextmanager
def _counting(messages: Messages) -> "Iterator[Callable[[int], None]]":
    """Give a callback that shows how many objects were listed."""
    from velum.cli.progress import count_bar

    with count_bar("listing", messages.console, enabled=messages.bars) as bar:
        task = bar.add_task("listing", total=None)
        yield lambda count: None if count % 1000 else bar.update(task, completed=count)


@contextmanager
def _hiding(messages: Messages, expected: int, summary: "BatchSummary") -> "Iterator[Callable[[ItemOutcome], None]]":
    """Give a callback that counts outcomes, prints those without a result, and shows the rate and the time left."""
    from velum.cli.progress import count_bar

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
