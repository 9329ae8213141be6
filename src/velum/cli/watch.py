"""`velum watch`: hide in new objects of a folder or a bucket as they come."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, cast

import typer

from velum.cli import common, options
from velum.cli.batch import Metrics, Scratch, Workers
from velum.cli.batch_run import warn_left_out
from velum.cli.batch_setup import prepare_batch, refuse_overlap, serve_metrics
from velum.cli.common import Messages, Quiet
from velum.errors import BadPlan, OutputFailed, Unavailable, printable
from velum.report import say_count

if TYPE_CHECKING:
    from velum.batch.item import ItemOutcome
    from velum.batch.manifest import BatchRun
    from velum.batch.metrics import BatchMetrics
    from velum.batch.shard import ShardRunner
    from velum.batch.watch import Watcher
    from velum.storage.notifications import NotificationQueue

RETRY_SECONDS = 30.0
"""Time after which a queue or a store that failed is used again."""

FOLDER_SETTLE_SECONDS = 10.0
"""Time for which a file in a folder must stay unchanged before it is taken; buckets show complete objects only."""


def watch(
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
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval", metavar="TIME",
            help="Time between two listings of the source. Default: 30s; with --queue 1h.",
        ),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option("--queue", metavar="URL", help="Queue of SQS to which the bucket sends notifications of objects."),
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option(
            "--settle", metavar="TIME",
            help="Take a file only once it has looked the same for so long. Default: 10s in folders, 0s in buckets.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="List the source once, hide what is ready, and end.")] = False,
    originals: Annotated[
        str, typer.Option("--originals", metavar="WHAT", help="keep (default), delete or move, once hidden.")
    ] = "keep",
    move_to: Annotated[
        str | None, typer.Option("--move-to", metavar="PLACE", help="Where --originals move puts them, by their keys.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="TIME", help="With --originals: how long after hiding, such as 7d. Required."),
    ] = None,
    workers: Workers = None,
    scratch: Scratch = None,
    metrics: Metrics = None,
    json: options.Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Hide in new images and videos of SRC as they come, and write them under DST, by the same keys."""
    from velum.batch.listing import Selection
    from velum.batch.originals import Originals
    from velum.storage.objects import FolderTree, open_tree

    chosen_plan = options.with_people(
        options.PlanOptions(plan, rule, hide_labels, technique, keep, effort=effort).plan()
    )
    pause = common.parse_duration(interval or ("30s" if queue is None else "1h"), "--interval")
    waits = common.parse_duration(after or "0", "--after")
    _check_originals(originals, move_to, after)
    if queue is not None and (once or settle is not None):
        raise BadPlan("--queue names objects as they come and are complete; it goes without --once and --settle")
    trees = open_tree(source), open_tree(output)
    archive = open_tree(move_to) if move_to is not None else None
    refuse_overlap(trees[0].url, trees[1].url)
    if archive is not None:
        refuse_overlap(trees[0].url, archive.url)
        refuse_overlap(trees[1].url, archive.url)
    settles = FOLDER_SETTLE_SECONDS if isinstance(trees[0], FolderTree) else 0.0
    settles = settles if settle is None else common.parse_duration(settle, "--settle")
    messages = Messages(quiet=quiet, progress=False)
    notifications = _open_queue(queue, trees[0].url)
    counted = serve_metrics(metrics)
    with _stoppable() as stop, prepare_batch(chosen_plan, trees, workers, scratch, messages) as ready:
        from velum.batch.watch import Watcher

        def new_runner(run: "BatchRun") -> "ShardRunner":
            return ready.runner(run, stop)

        say = _WatchPrinter(messages, json=json, metrics=counted, moved=move_to)
        watcher = Watcher(
            ready.config, trees[0], Selection.of(chosen_plan, include, exclude), new_runner, trees[1], ready.scratch,
            settles, cast("Originals", originals), waits, archive, say.outcome, say.original,
        )  # fmt: skip
        _run_passes(watcher, notifications, stop, messages, pause=None if once else pause)
    if stop.is_set():
        messages.fail(
            "stopped; results are complete, and nothing half-written was left; repeat the command to continue"
        )
    elif once and say.without_result:
        raise typer.Exit(1)


def _check_originals(originals: str, move_to: str | None, after: str | None) -> None:
    if originals not in {"keep", "delete", "move"}:
        raise BadPlan(f"--originals {originals!r} is unknown; allowed are keep, delete and move")
    if (originals == "move") != (move_to is not None):
        raise BadPlan("--originals move and --move-to PLACE belong together; give both or neither")
    if (originals == "keep") != (after is None):
        raise BadPlan("--originals delete or move needs --after TIME, such as 7d; with keep there is none")


def _open_queue(url: str | None, source: str) -> "NotificationQueue | None":
    from velum.storage.notifications import NotificationQueue

    return None if url is None else NotificationQueue(url, source)


def _run_passes(
    watcher: "Watcher", queue: "NotificationQueue | None", stop: threading.Event, messages: Messages, *,
    pause: float | None,
) -> None:  # fmt: skip
    """Run one pass, or passes until `stop` is set. When a store fails, a single pass raises; others are repeated."""
    left_out: Counter[str] = Counter()
    while not stop.is_set():
        try:
            watcher.run_pass()
        except (Unavailable, OutputFailed) as error:
            if stop.is_set():
                return
            if pause is None:
                raise
            messages.warn(f"{error}; trying again in {pause:g} s")
        else:
            if watcher.more:
                continue
        if watcher.left_out != left_out:
            left_out = watcher.left_out.copy()
            warn_left_out(messages, left_out)
        if pause is None:
            if watcher.unsettled:
                messages.warn(
                    f"{say_count(watcher.unsettled, 'file waits', 'files wait')} until unchanged for "
                    f"{watcher.settle_seconds:g} s (--settle); repeat the command then"
                )
            return
        if queue is None:
            stop.wait(pause)
        else:
            _follow(watcher, queue, stop, messages, pause)


def _follow(
    watcher: "Watcher", queue: "NotificationQueue", stop: threading.Event, messages: Messages, seconds: float
) -> None:
    """Hide in the objects that notifications name, until it is time for the next listing or `stop` is set."""
    end, foreign = time.monotonic() + seconds, queue.foreign
    while not stop.is_set() and (remaining := end - time.monotonic()) > 0:
        try:
            if keys := queue.receive(remaining):
                watcher.hide_named(keys)
                queue.confirm()
        except (Unavailable, OutputFailed) as error:
            if not stop.is_set():
                messages.warn(f"{error}; trying again in {RETRY_SECONDS:g} s")
                stop.wait(min(remaining, RETRY_SECONDS))
        if queue.foreign > foreign:
            messages.warn(
                f"{queue.foreign - foreign} messages in {queue.url} are not about {watcher.source.url} and were left "
                "there; give each watch a queue of its own, and let the bucket send its prefix only"
            )
            foreign = queue.foreign


class _WatchPrinter:
    """Prints what becomes of files and of their originals. Called from several threads."""

    def __init__(self, messages: Messages, *, json: bool, metrics: "BatchMetrics | None", moved: str | None) -> None:
        self._messages, self._json, self._metrics, self._moved = messages, json, metrics, moved
        self._lock = threading.Lock()
        self.without_result = 0

    def outcome(self, outcome: "ItemOutcome") -> None:
        """Print an outcome, and count it."""
        with self._lock:
            self.without_result += bool(outcome.error)
            if self._metrics is not None:
                self._metrics.add(outcome)
            if self._json:
                common.print_json(outcome.to_record())
            elif outcome.error:
                self._messages.fail(f"{outcome.key}: {outcome.reason}")
            elif not self._messages.quiet:
                typer.echo(f"{printable(outcome.key)}: {common.count_labels(outcome.labels)} hidden")

    def original(self, key: str, reason: str) -> None:
        """Print that an original was deleted or moved, or the reason why it stays."""
        end = "kept" if reason else "deleted" if self._moved is None else "moved"
        if self._json:
            common.print_json({"key": key, "original": end, "reason": reason})
        elif reason:
            self._messages.warn(f"{key}: the original stays: {reason}")
        elif not self._messages.quiet:
            destination = f" to {self._moved}" if self._moved else ""
            typer.echo(f"{printable(key)}: the original was {end}{destination}")


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Give an event that SIGTERM or Ctrl-C sets; a second signal ends the command at once."""
    stop = threading.Event()

    def end(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
