"""Hides the shards of a batch on this machine: a given one, or all that are left. Knows no engine of clusters."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from velum.batch.arrange import result_suffix
from velum.batch.item import ItemOutcome, SourceItem
from velum.batch.listing import Listing
from velum.batch.manifest import BatchRun
from velum.batch.videos import LongVideo, delete_segments, is_long, segments_folder
from velum.engine.subprocess_engine import DecoderCrash, ProcessKilled, SubprocessPool, SubprocessRequest
from velum.errors import BadInput, BadPlan, LimitExceeded, NotHidden, OutputFailed, PluginFault, Unavailable, VelumError
from velum.report import Report
from velum.storage.objects import ObjectChanged, ObjectGone, ObjectTree

SHARDS_AT_ONCE = 2
"""While the last files of a shard are hidden, files of the next one keep the other processes busy."""

TRIES = 2
"""Number of attempts for a file whose process dies, and for a source that changes while it is read."""

MOST_TROUBLES = 5
"""Number of files in a row that may fail for a store's or service's fault before the shard is left for the next run."""

KEEP_ITEMS = 32
"""Outcomes of an unfinished shard that are written together. Results carry their outcomes, too, where they can."""

OLDER_RESULT = "an older result, of another source or plan, is still in its place: delete it if it must not be used"

Notify = Callable[[ItemOutcome], None]
"""Called with each outcome, from any thread."""


def ignore_outcome(outcome: ItemOutcome) -> None:
    """Ignore an outcome."""


_REFUSALS = (BadInput, BadPlan, LimitExceeded, NotHidden)


@dataclass(slots=True)
class ShardRunner:
    """Hides the items of shards. A file that fails has an outcome; one whose store fails is left for the next run.

    Two runners may work on one shard: their results are the same, and the outcomes of the first one count.
    """

    run: BatchRun
    source: ObjectTree
    engines: SubprocessPool
    scratch: Path
    node: str
    threads: int
    """Number of files at the same time: more than processes, so that these do not wait for stores."""
    stop: threading.Event = field(default_factory=threading.Event)
    fingerprint: str = ""
    """Hash of what the models give for a fixed image on this node."""
    look_for_results: bool = False
    """Whether to search existing results for all shards, not only for those that were begun before."""

    def hide_shard(self, listing: Listing, shard: int, notify: Notify = ignore_outcome) -> Sequence[ItemOutcome]:
        """Return the outcomes of all items of a shard by key, once they are written.

        Raises `Unavailable` or `OutputFailed` when stores could not be used for some of them, and when `stop` was set;
        finished outcomes stay, and the next call continues.
        """
        if (done := self.run.outcomes(listing, shard)) is not None:
            return done
        items, finished = self.run.items(listing, shard), self.run.begin(listing, shard)
        progress = _ShardProgress(self.run, listing, shard, notify)
        remaining = [item for item in items if finished is None or item.key not in finished]
        with ThreadPoolExecutor(self.threads, thread_name_prefix="velum-batch") as pool:
            try:
                futures = [pool.submit(self._hide, item, finished is not None, progress) for item in remaining]
                for future in as_completed(futures):
                    if (outcome := future.result()) is not None:
                        progress.add(outcome)
            finally:
                progress.given_up.set()  # those that have not begun end at once
                pool.shutdown(cancel_futures=True)
        outcomes = sorted([*(finished or {}).values(), *progress.outcomes], key=lambda outcome: outcome.key)
        if len(outcomes) < len(items):
            progress.keep()
            if (done := self.run.outcomes(listing, shard)) is not None:
                return done  # another runner has finished it meanwhile
            raise progress.error(len(items) - len(outcomes))
        first = self.run.finish(listing, shard, outcomes, {"node": self.node})
        for item in filter(is_long, items):
            delete_segments(self.run.target, segments_folder(self.run.root, item))
        if first:
            return outcomes
        return self.run.outcomes(listing, shard) or outcomes

    def _hide(self, item: SourceItem, resumed: bool, progress: "_ShardProgress") -> ItemOutcome | None:  # noqa: FBT001 - passed through a pool
        """Return the outcome of an item; None when it is left for the next run."""
        if self.stop.is_set() or progress.given_up.is_set():
            return None
        try:
            if resumed or self.look_for_results:
                metadata = self.run.target.metadata(item.key)
                if earlier := ItemOutcome.of_metadata(item, self.run.config.plan.digest, metadata):
                    return earlier
            outcome = self.hide_item(item)
        except (Unavailable, OutputFailed) as error:
            progress.note_trouble(error)
            return None
        progress.note_success()
        return outcome

    def hide_item(self, item: SourceItem) -> ItemOutcome | None:
        """Hide in one item and store the result; return the outcome, None when `stop` was set.

        Raises `Unavailable` or `OutputFailed` when a store or a service fails.
        """
        if item.fault:
            return self._failure(item, BadInput(item.fault), 1)
        if not item.size:
            return self._failure(item, BadInput("the object is empty"), 1)
        for attempt in range(1, TRIES + 1):
            try:
                return self._attempt(item, attempt)
            except ObjectGone:
                return self._failure(item, BadInput("the object no longer exists"), attempt)
            except ObjectChanged:
                if attempt == TRIES:
                    break
                try:
                    item = SourceItem.of(self.source.head(item.key))
                except ObjectGone:
                    return self._failure(item, BadInput("the object no longer exists"), attempt)
            except (DecoderCrash, ProcessKilled, PluginFault) as error:
                if attempt == TRIES:
                    return self._failure(item, error, attempt, refused=False)
            except _REFUSALS as error:
                return self._failure(item, error, attempt)
        changed = BadInput(
            "the object changed while it was read, each time; repeat the command to hide what it is then"
        )
        return self._failure(item, changed, TRIES, refused=False)

    def _attempt(self, item: SourceItem, attempt: int) -> ItemOutcome | None:
        with _scratch_folder(self.scratch) as folder:
            source = folder / f"source{_file_suffix(item.key)}"
            self.source.fetch(item.info, source)
            suffix, note = result_suffix(source)
            target = folder / f"result{suffix}"
            answer = self._hide_file(item, source, target)
            if answer is None:
                return None
            values, cpu_seconds = answer
            report = Report.from_json(values)
            report = replace(report, seconds={**report.seconds, "cpu": cpu_seconds})
            note = f"the result has the content of {suffix} files, whatever its key says" if note else ""
            outcome = ItemOutcome.of(
                item, report, note=note, result_size=target.stat().st_size, node=self.node, attempt=attempt
            )
            outcome = replace(outcome, arithmetic=self.fingerprint[:12])
            self.run.target.put_file(item.key, target, outcome.to_metadata())
            return outcome

    def _hide_file(self, item: SourceItem, source: Path, target: Path) -> tuple[Mapping[str, Any], float] | None:
        """Return the report as JSON values and the processor time; None when `stop` was set."""
        plan = self.run.config.plan
        if is_long(item):
            place = segments_folder(self.run.root, item)
            return LongVideo(
                self.run.target, place, item.key, source, target, plan, self.engines, self.threads, self.stop
            ).hide()
        with self.engines.engine() as engine:
            values = engine.hide(SubprocessRequest(source, target, plan, name=item.key), stop=self.stop)
            return None if values is None else (values, engine.cpu_seconds)

    def _failure(self, item: SourceItem, error: VelumError, attempt: int, *, refused: bool = True) -> ItemOutcome:
        """Return the outcome of an item without a result; it says when a result of an earlier run is still there."""
        outcome = ItemOutcome.of_error(
            item, error, refused=refused, node=self.node, attempt=attempt, plan=self.run.config.plan.digest
        )
        try:
            self.run.target.head(item.key)
        except ObjectGone:
            return outcome
        return replace(outcome, reason=f"{outcome.reason}; {OLDER_RESULT}")


class _ShardProgress:
    """Outcomes of a shard so far, and the failures of stores and services in a row."""

    def __init__(self, run: BatchRun, listing: Listing, shard: int, notify: Notify) -> None:
        self._run, self._listing, self._shard, self._notify = run, listing, shard, notify
        self.outcomes: list[ItemOutcome] = []
        self.given_up = threading.Event()
        self._kept = 0
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._trouble: VelumError | None = None

    def add(self, outcome: ItemOutcome) -> None:
        """Add an outcome; every few are written, so that the next run can continue."""
        self.outcomes.append(outcome)
        self._notify(outcome)
        if len(self.outcomes) - self._kept >= KEEP_ITEMS:
            self.keep()

    def keep(self) -> None:
        """Write the outcomes that are not written yet."""
        if new := self.outcomes[self._kept :]:
            self._run.keep(self._listing, self._shard, new)
            self._kept = len(self.outcomes)

    def note_trouble(self, error: VelumError) -> None:
        """Count a failure of a store or service; after `MOST_TROUBLES` in a row the shard is given up."""
        with self._lock:
            self._trouble, self._in_a_row = error, self._in_a_row + 1
            if self._in_a_row >= MOST_TROUBLES:
                self.given_up.set()

    def note_success(self) -> None:
        """Reset the count of failures in a row."""
        with self._lock:
            self._in_a_row = 0

    def error(self, files_left: int) -> VelumError:
        """Return the error that says why items are left."""
        if self._trouble is None:
            return Unavailable(f"stopped; {files_left} files of shard {self._shard} are left")
        kind = OutputFailed if isinstance(self._trouble, OutputFailed) else Unavailable
        return kind(f"{files_left} files of shard {self._shard} are left for the next run: {self._trouble}")


def _file_suffix(key: str) -> str:
    """Return the suffix of a key where it can be that of a file: a key may have any characters."""
    suffix = PurePosixPath(key).suffix
    return suffix if suffix[1:].isalnum() and len(suffix) < 20 else ""


@contextmanager
def _scratch_folder(scratch: Path) -> Iterator[Path]:
    try:
        folder = TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputFailed(f"cannot write to {scratch}: {error.strerror or error}; make room there") from error
    with folder as name:
        yield Path(name)


def hide_shards(runner: ShardRunner, listing: Listing, shards: Iterable[int], notify: Notify = ignore_outcome) -> None:
    """Hide all items of the shards. Raises as `ShardRunner.hide_shard` does, after which nothing runs."""
    waiting = iter(shards)
    running: set[Future[object]] = set()
    with ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="velum-shard") as pool:
        try:
            while True:
                fresh = islice(waiting, SHARDS_AT_ONCE - len(running))
                running |= {pool.submit(runner.hide_shard, listing, shard, notify) for shard in fresh}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        finally:
            if running:
                runner.stop.set()


def shards_to_hide(run: BatchRun, listing: Listing, number: int | None = None, of: int | None = None) -> list[int]:
    """Return the shards without outcomes: all, or the one of that number, or every `of`-th from `number` on.

    The order begins at a random shard, so that two machines do not start with the same one.
    """
    unfinished = list(run.unfinished_shards(listing))
    if number is not None:
        return [shard for shard in unfinished if (shard == number if of is None else shard % of == number)]
    turn = random.randrange(len(unfinished)) if unfinished else 0  # noqa: S311 - no secret
    return unfinished[turn:] + unfinished[:turn]


def shards_to_share(run: BatchRun, listing: Listing, candidates: Callable[[Listing], Iterable[int]]) -> Iterator[int]:
    """Yield the candidates that hold a long video, whose segments several nodes can hide, until there is no new one.

    `candidates` returns the shards that are open at the time; one of them is taken at random.
    """
    looked = set[int]()
    while new := [shard for shard in candidates(listing) if shard not in looked]:
        shard = random.choice(new)  # noqa: S311 - no secret
        looked.add(shard)
        if any(map(is_long, run.items(listing, shard))):
            yield shard
