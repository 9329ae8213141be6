"""Watches a folder or a bucket and hides new objects; originals are kept, deleted or moved.

The state of each object of the source is in `_velum/watch-ID.parquet` under the results. The objects of one day form a
run of their own, `_velum/watch-ID-DATE/`, so that audits and reports of batches cover them too.
"""

import hashlib
import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path

from velum.batch.item import ItemOutcome, SourceItem
from velum.batch.listing import FOLDER, Listing, ListingCounts, Selection, select
from velum.batch.manifest import BatchRun, RunConfig
from velum.batch.originals import OriginalRelease, Originals, is_result_of
from velum.batch.shard import Notify, ShardRunner, hide_shards, ignore_outcome
from velum.batch.tables import read_rows, write_rows
from velum.errors import OutputFailed, Unavailable, VelumError
from velum.storage.objects import ObjectGone, ObjectTree

MOST_ITEMS = 5_000
"""Objects that are hidden before the source is listed again; memory grows with their number alone."""


def ignore_original(key: str, reason: str) -> None:
    """Ignore that an original was released or stays."""


@dataclass(frozen=True, slots=True)
class WatchedObject:
    """The state of an object of the source. Times are seconds since 1970, by the clock of the watching machine."""

    key: str
    etag: str
    size: int
    fault: str
    since: float
    """Time at which this ETag was first seen."""
    status: str = ""
    """Status of its outcome; empty while it has none."""
    finished: float = 0.0
    """Time at which its outcome was written."""
    result_sha256: str = ""


@dataclass(slots=True)
class Watcher:
    """Hides new objects of a source, pass by pass. For one thread; a second watcher of the same source does no harm.

    `settle_seconds` is how long an object must look the same before it is taken. `release` is what becomes of
    an original `after_seconds` from its outcome on; "move" takes it to `archive`, under its key.
    """

    config: RunConfig
    source: ObjectTree
    selection: Selection
    new_runner: Callable[[BatchRun], ShardRunner]
    target: ObjectTree
    scratch: Path
    settle_seconds: float = 0.0
    release: Originals = "keep"
    after_seconds: float = 0.0
    archive: ObjectTree | None = None
    notify: Notify = ignore_outcome
    notify_original: Callable[[str, str], None] = ignore_original
    """Called with the key of an original that was released; or of one that stays, with the reason."""
    left_out: Counter[str] = field(default_factory=Counter)
    more: bool = False
    """Whether objects were left for the next pass, since there were too many."""
    unsettled: int = 0
    """New objects that the last pass left, since they had not been the same for `settle_seconds`."""
    _ready: list[SourceItem] = field(default_factory=list)
    _read: bool = False
    _begun: str = ""
    """Name of the last listing that this watcher began."""
    _run: BatchRun | None = None
    _listings: Sequence[Listing] = ()
    """Listings of the run that were read so far."""
    _named: dict[str, WatchedObject] = field(default_factory=dict)
    """Objects that notifications named, with their outcomes, until they are in the stored state."""

    def run_pass(self, now: float | None = None) -> int:
        """List the source once, hide in objects that are ready, release originals; return how many are hidden.

        Raises `Unavailable` or `OutputFailed` when a store fails; the next pass continues.
        """
        moment = time.time() if now is None else now
        if not self._read:
            self._fetch_state()
        if self._rewrite(self._look(moment)):
            self._store_state()
        self._named.clear()
        outcomes, trouble = self._hide(moment)
        by_key = {outcome.key: outcome for outcome in outcomes}
        if (outcomes or self.release != "keep") and self._rewrite(self._finish(moment, by_key)):
            self._store_state()
        if trouble is not None:
            raise trouble
        return len(outcomes)

    def hide_named(self, keys: Iterable[str], now: float | None = None) -> int:
        """Hide in the objects of these keys without a listing; return their number. A key may be named again.

        Keys without an object, that are not selected, or whose result is there are passed over. Raises as `run_pass`.
        """
        moment = time.time() if now is None else now
        if not self._read:
            self._fetch_state()
        self._ready = []
        for key in sorted(keys):
            with suppress(ObjectGone):
                object_info = self.source.head(key)
                noted = self._named.get(key)
                if (noted is not None and noted.etag == object_info.etag) or key.startswith(f"{FOLDER}/"):
                    continue
                result = self.target.metadata(key)
                if self.selection.takes(object_info) and not is_result_of(
                    result, self.config.plan.digest, object_info.etag
                ):
                    self._ready.append(SourceItem.of(object_info))
        outcomes, trouble = self._hide(moment, own=True)
        for outcome in outcomes:
            current = WatchedObject(outcome.key, outcome.etag, outcome.size, "", moment)
            self._named[outcome.key] = _with_outcome(current, outcome, moment)
        if len(self._named) >= MOST_ITEMS:
            self._rewrite(self._merge_named())
            self._store_state()
            self._named.clear()
        if trouble is not None:
            raise trouble
        return len(outcomes)

    def _merge_named(self) -> Iterator[WatchedObject]:
        """Yield the stored objects and those that were named by requests; of two with one key, the named one."""
        named = [self._named[key] for key in sorted(self._named)]
        rows = heapq.merge(self._read_state(), named, key=lambda row: row.key)
        for _, same in groupby(rows, key=lambda row: row.key):
            *_, last = same
            yield last

    @property
    def name(self) -> str:
        """Name of the watch: the same for the same source and plan."""
        digest = hashlib.sha256(json.dumps([self.config.source, self.config.plan.digest]).encode()).hexdigest()
        return f"watch-{digest[:12]}"

    @property
    def _state(self) -> Path:
        return self.scratch / "watched.parquet"

    def _fetch_state(self) -> None:
        key = f"{FOLDER}/{self.name}.parquet"
        # Says what is watched, and shows whether the place of the results can be written before anything is read.
        self.target.put_new(f"{FOLDER}/{self.name}.json", json.dumps(self.config.to_json(), indent=1).encode())
        self._state.unlink(missing_ok=True)
        try:
            self.target.fetch(self.target.head(key), self._state)
        except ObjectGone:
            write_rows(self._state, ())
        self._read = True

    def _store_state(self) -> None:
        self.target.put_file(f"{FOLDER}/{self.name}.parquet", self._state, {})

    def _rewrite(self, rows: Iterator[WatchedObject | None]) -> bool:
        """Replace the stored rows, and tell whether any has changed: None among `rows` marks a change."""
        changed = False

        def present() -> Iterator[Mapping[str, object]]:
            nonlocal changed
            for row in rows:
                if row is None:
                    changed = True
                else:
                    yield asdict(row)

        fresh = self.scratch / "fresh.parquet"
        write_rows(fresh, present())
        fresh.replace(self._state)
        return changed

    def _read_state(self) -> Iterator[WatchedObject]:
        return (WatchedObject(**row) for row in read_rows(self._state))

    def _look(self, now: float) -> Iterator[WatchedObject | None]:
        """Yield the objects of the source as they are now, sorted by key, and note which of them are ready."""
        self._ready, self.more, self.unsettled = [], False, 0
        self.left_out.clear()
        state = self._read_state()
        row = next(state, None)
        for object_info in select(self.source, self.selection, self.left_out):
            while row is not None and row.key < object_info.key:
                row = next(state, None)
                yield None  # it has left the source
            named = self._named.get(object_info.key)
            if named is not None and named.etag == object_info.etag:
                current = named
                yield None
            elif row is not None and (row.key, row.etag) == (object_info.key, object_info.etag) and row.since <= now:
                current = row
            else:
                current = WatchedObject(object_info.key, object_info.etag, object_info.size, object_info.fault, now)
                yield None
            if row is not None and row.key == object_info.key:
                row = next(state, None)
            if not current.status and now - current.since >= self.settle_seconds:
                if len(self._ready) < MOST_ITEMS:
                    self._ready.append(SourceItem(current.key, current.etag, current.size, current.fault))
                else:
                    self.more = True
            elif not current.status:
                self.unsettled += 1
            yield current
        if row is not None:
            yield None

    def _hide(self, now: float, *, own: bool = False) -> tuple[Sequence[ItemOutcome], VelumError | None]:
        """Return the outcomes of the ready objects, and the failure of a store that left some for the next pass.

        Without `own`, what another watcher is hiding, or left, comes first.
        """
        if not self._ready:
            return (), None
        run = self._open_run(now)
        runner = self.new_runner(run)
        runner.look_for_results = not own  # of a pass that was killed
        self._listings = listings = run.listings(self._listings)
        listing = listings[-1] if listings else None
        # What a killed watcher left is finished first; what this one left may be one object in trouble, among many.
        has_unfinished = (
            listing is not None and listing.name != self._begun and any(True for _ in run.unfinished_shards(listing))
        )
        if own or not has_unfinished:
            listing = run.add_listing(self._ready, len(listings), ListingCounts(), own=own)
        assert listing is not None  # noqa: S101 - there are items
        self._begun, trouble = listing.name, None
        try:
            hide_shards(runner, listing, list(run.unfinished_shards(listing)), self.notify)
        except (Unavailable, OutputFailed) as error:
            trouble = error
        return [outcome for shard in range(listing.shards) for outcome in run.outcomes(listing, shard) or ()], trouble

    def _open_run(self, now: float) -> BatchRun:
        """Return the run of the day."""
        name = f"{self.name}-{self._kind}-{time.strftime('%Y-%m-%d', time.gmtime(now))}"
        if self._run is None or self._run.name != name:
            self._run, self._listings = BatchRun.start(self.target, self.config, name), ()
        return self._run

    @property
    def _kind(self) -> str:
        """Name of the models and their runtime; it changes with an update, which begins a new run."""
        config = self.config
        values = [dict(config.models), config.precision, config.arithmetic, config.fingerprint]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]

    def _finish(self, now: float, outcomes: Mapping[str, ItemOutcome]) -> Iterator[WatchedObject | None]:
        """Yield the objects with their outcomes, without those whose originals are released."""
        originals = OriginalRelease(
            self.source, self.target, self.release, self.archive, self.scratch, self.config.plan.digest
        )
        for row in self._read_state():
            outcome, current = outcomes.get(row.key), row
            if outcome is not None:
                current = _with_outcome(row, outcome, now)
                yield None
            due = current.status in {"hidden", "nothing found"} and now - current.finished >= self.after_seconds
            if self.release == "keep" or not due:
                yield current
            elif reason := originals.release(current.key, current.etag, current.result_sha256):
                self.notify_original(current.key, reason)
                yield replace(current, finished=now)  # it is said again when the time has passed once more
                yield None
            else:
                self.notify_original(current.key, "")
                yield None


def _with_outcome(row: WatchedObject, outcome: ItemOutcome, now: float) -> WatchedObject:
    """Return an object with its outcome; where it changed under way, this is the outcome of its later ETag."""
    return replace(
        row, etag=outcome.etag, size=outcome.size, status=outcome.status, finished=now,
        result_sha256=outcome.output_sha256,
    )  # fmt: skip
