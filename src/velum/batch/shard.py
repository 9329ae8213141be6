"""Hides the shards of a batch on this machine: a given one, or all that are left. Knows no engine of clusters."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from itertools import islice

from velum.batch.hide_item import ItemHider
from velum.batch.item import ItemOutcome, SourceItem
from velum.batch.listing import FEWEST_ITEMS, Listing, delete_unneeded
from velum.batch.manifest import BatchRun
from velum.batch.videos import is_long, segments_folder
from velum.errors import OutputFailed, Unavailable, VelumError

SHARDS_AT_ONCE = 2
"""While the last files of a shard are hidden, files of the next one keep the other processes busy. Many processes need
more shards: one that was listed early has few files."""

MOST_TROUBLES = 5
"""Number of files in a row that may fail for a store's or service's fault before the shard is left for the next run."""

KEEP_ITEMS = 32
"""Outcomes of an unfinished shard that are written together. Results carry their outcomes, too, where they can."""

Notify = Callable[[ItemOutcome], None]
"""Called with each outcome, from any thread."""


def ignore_outcome(outcome: ItemOutcome) -> None:
    """Ignore an outcome."""


@dataclass(slots=True)
class ShardRunner:
    """Hides the items of shards. A file that fails has an outcome; one whose store fails is left for the next run.

    Two runners may work on one shard: their results are the same, and the outcomes of the first one count.
    """

    hider: ItemHider
    look_for_results: bool = False
    """Whether to search existing results for all shards, not only for those that were begun before."""
    _slots: threading.Semaphore = field(init=False)
    """One for each file that may be in progress, in all shards together: the scratch folder holds no more."""

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.hider.threads)

    def hide_shard(self, listing: Listing, shard: int, notify: Notify = ignore_outcome) -> Sequence[ItemOutcome]:
        """Return the outcomes of all items of a shard by key, once they are written.

        Raises `Unavailable` or `OutputFailed` when stores could not be used for some of them, and when the hider was
        stopped; finished outcomes stay, and the next call continues.
        """
        run = self.hider.run
        if (done := run.outcomes(listing, shard)) is not None:
            return done
        items, finished = run.items(listing, shard), run.begin(listing, shard)
        progress = _ShardProgress(run, listing, shard, notify)
        remaining = [item for item in items if finished is None or item.key not in finished]
        self._hide_all(remaining, progress, look=self.look_for_results or finished is not None)
        outcomes = sorted([*(finished or {}).values(), *progress.outcomes], key=lambda outcome: outcome.key)
        if len(outcomes) < len(items):
            progress.keep()
            if (done := run.outcomes(listing, shard)) is not None:
                return done  # another runner has finished it meanwhile
            raise progress.error(len(items) - len(outcomes))
        first = run.finish(listing, shard, outcomes, {"node": self.hider.node})
        for item in filter(is_long, items):
            delete_unneeded(run.target, segments_folder(run.root, item))
        if first:
            return outcomes
        return run.outcomes(listing, shard) or outcomes

    def _hide_all(self, items: Sequence[SourceItem], progress: "_ShardProgress", *, look: bool) -> None:
        """Add the outcomes of items to the progress; with `look`, those whose results are there are not hidden."""
        hide = self._find_or_hide if look else self.hider.hide
        with ThreadPoolExecutor(self.hider.threads, thread_name_prefix="velum-batch") as pool:
            try:
                futures = [pool.submit(self._attempt, hide, item, progress) for item in items]
                for future in as_completed(futures):
                    if (outcome := future.result()) is not None:
                        progress.add(outcome)
            finally:
                progress.given_up.set()  # those that have not begun end at once
                pool.shutdown(cancel_futures=True)

    def _attempt(
        self, hide: Callable[[SourceItem], ItemOutcome | None], item: SourceItem, progress: "_ShardProgress"
    ) -> ItemOutcome | None:
        """Return the outcome of an item; None when it is left for the next run."""
        with self._slots:
            if self.hider.stop.is_set() or progress.given_up.is_set():
                return None
            try:
                outcome = hide(item)
            except (Unavailable, OutputFailed) as error:
                progress.note_trouble(error)
                return None
            progress.note_success()
            return outcome

    def _find_or_hide(self, item: SourceItem) -> ItemOutcome | None:
        """Return the outcome that the result of a runner carries, which was killed; or hide in the item."""
        run = self.hider.run
        earlier = ItemOutcome.of_metadata(item, run.config.plan.digest, run.target.metadata(item.key))
        return earlier or self.hider.hide(item)


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


def hide_shards(runner: ShardRunner, listing: Listing, shards: Iterable[int], notify: Notify = ignore_outcome) -> None:
    """Hide all items of the shards. Raises as `ShardRunner.hide_shard` does, after which nothing runs."""
    waiting, most = iter(shards), SHARDS_AT_ONCE + runner.hider.threads // FEWEST_ITEMS
    running: set[Future[object]] = set()
    with ThreadPoolExecutor(most, thread_name_prefix="velum-shard") as pool:
        try:
            while True:
                fresh = islice(waiting, most - len(running))
                running |= {pool.submit(runner.hide_shard, listing, shard, notify) for shard in fresh}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        finally:
            if running:
                runner.hider.stop.set()


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
