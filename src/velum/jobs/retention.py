"""Retention: deletes files and records whose time is over, and leftovers of crashes."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import sqlalchemy as sql

from velum.errors import VelumError
from velum.jobs.database import Database
from velum.jobs.queue import JobQueue, referenced_keys
from velum.jobs.schema import JOBS, NOTICES, PIECES, REQUESTS
from velum.jobs.values import Retention, State, SweepResult
from velum.jobs.webhooks import KEPT_SECONDS
from velum.storage.folder import Store
from velum.storage.resumable_uploads import Uploads

LOG = logging.getLogger("velum.jobs")

BATCH_SIZE = 500
"""Rows or keys per query."""

LEFTOVERS_SECONDS = 3600.0
"""How often the store is searched for files that belong to no job, in slices spread over that time."""

SLICES = 256
"""Of the store: the first two digits of the keys."""

REQUEST_KEY_SECONDS = 86400.0
"""Seconds for which the key of a request is remembered."""


class RetentionSweeper:
    """Deletes what is due; any number of processes may sweep at a time.

    A file goes before the note that it is there: what is said to be deleted is deleted.
    """

    def __init__(self, database: Database, store: Store, retention: Retention, uploads: Uploads | None = None) -> None:
        self._database, self._store, self._retention, self._uploads = database, store, retention, uploads
        self._queue = JobQueue(database, store)
        self._next_due = self._next_unfinished = self._next_slice = 0.0
        # Workers begin anywhere, so that several, or one that starts again and again, come by all slices.
        self._slice = secrets.randbelow(SLICES)

    def sweep(self) -> SweepResult:
        """Delete all that is due. What cannot be deleted is named, and tried again next time."""
        return self.orphans(self.due())

    def sweep_in_turns(self, due_seconds: float) -> bool:
        """Delete what it is time for, and return whether to ask again at once; for a worker that asks all the time.

        What is due is looked for every `due_seconds`, and one slice of the store at a time, all within an hour. Raises
        `Unavailable` and `OutputFailed`.
        """
        if (now := time.monotonic()) >= self._next_due:
            self._next_due = now + due_seconds
            _warn(self.due())
        if now >= self._next_unfinished:
            self._next_unfinished = now + LEFTOVERS_SECONDS
            _warn(self.delete_unfinished())
        if now >= self._next_slice:
            self._next_slice = now + LEFTOVERS_SECONDS / SLICES
            _warn(self.delete_unclaimed(f"{self._slice:02x}"))
            self._slice = (self._slice + 1) % SLICES
        return time.monotonic() >= self._next_slice

    def due(self) -> SweepResult:
        """Delete what jobs have left for their time; quick when there is nothing. Raises `StoreAway`."""
        self._store.check()
        with self._database.reading() as connection:
            now = self._database.now(connection)
            ended = JOBS.c.ended < now - self._retention.jobs_seconds
            old = list(connection.scalars(sql.select(JOBS.c.id).where(ended).limit(BATCH_SIZE)))
        failed: list[str] = []
        jobs = _count(self._queue.delete, old, failed)
        results = self._results(now - self._retention.results_seconds, failed)
        originals = self._originals(now - self._retention.originals_seconds, failed)
        originals += self._pieces(now, failed)
        return SweepResult(originals=originals, results=results, jobs=jobs, failed=tuple(failed))

    def orphans(self, swept: SweepResult | None = None) -> SweepResult:
        """Delete what belongs to no job, and what was never finished; looks at every file of the store."""
        return self.delete_unclaimed(swept=self.delete_unfinished(swept))

    def delete_unfinished(self, swept: SweepResult | None = None) -> SweepResult:
        """Delete what was never finished: uploads, files that were half written, webhooks that nobody calls."""
        with self._database.writing() as connection:
            old = NOTICES.c.due < self._database.now(connection) - KEPT_SECONDS
            connection.execute(NOTICES.delete().where(old))  # nobody tells them here
            known = REQUESTS.c.at < self._database.now(connection) - REQUEST_KEY_SECONDS
            connection.execute(REQUESTS.delete().where(known))
        temporary = self._store.sweep(self._retention.unclaimed_seconds)
        if self._uploads is not None:
            temporary += self._uploads.sweep(self._retention.unclaimed_seconds)
        return replace(swept or SweepResult(), temporary=temporary)

    def delete_unclaimed(self, start: str = "", swept: SweepResult | None = None) -> SweepResult:
        """Delete files of the store that belong to no job; with `start`, those whose keys begin with these digits."""
        swept, failed = swept or SweepResult(), list[str]()
        deleted = sum([_count(self._store.delete, keys, failed) for keys in self._unclaimed_batches(start)])
        return replace(swept, unclaimed=deleted, failed=(*swept.failed, *failed))

    def _results(self, before: float, failed: list[str]) -> int:
        with self._database.reading() as connection:
            due = (JOBS.c.ended < before) & JOBS.c.result.is_not(None)
            query = sql.select(JOBS.c.result).where(due).order_by(JOBS.c.ended).limit(BATCH_SIZE)
            keys = list(connection.scalars(query))

        def forget(key: str) -> None:
            with self._database.reading() as connection:
                rows = connection.execute(sql.select(JOBS.c.found, JOBS.c.draft).where(JOBS.c.result == key)).all()
            for file in {key, *(regions for row in rows for regions in row)} - {None}:
                self._store.delete(file)
            with self._database.writing() as connection:
                gone = JOBS.update().where(JOBS.c.result == key)
                connection.execute(gone.values(result=None, found=None, draft=None))

        return _count(forget, keys, failed)

    def _originals(self, before: float, failed: list[str]) -> int:
        with self._database.reading() as connection:
            # A source goes when the last job that uses it has ended that long ago.
            other = JOBS.alias()
            later = (other.c.source == JOBS.c.source) & (other.c.ended.is_(None) | (other.c.ended >= before))
            # Not by EXISTS, for which PostgreSQL would read all jobs that wait.
            last = sql.select(other.c.id).where(later).limit(1).scalar_subquery().is_(None)
            due = (JOBS.c.source_kept, JOBS.c.ended < before, last)
            query = sql.select(JOBS.c.source).where(*due).order_by(JOBS.c.ended).limit(BATCH_SIZE)
            sources = dict.fromkeys(connection.scalars(query))
        return _count(self._drop_source, sources, failed)

    def _pieces(self, now: float, failed: list[str]) -> int:
        """Delete the pieces of what cannot be rendered anew, and those of results that are no longer there."""
        due = (JOBS.c.ended < now - self._retention.originals_seconds) | (
            (JOBS.c.state == State.DONE) & (JOBS.c.ended < now - self._retention.results_seconds)
        )
        pieces = sql.select(PIECES.c.key).join(JOBS, JOBS.c.id == PIECES.c.job).where(due, PIECES.c.key.is_not(None))
        with self._database.reading() as connection:
            parts = list(connection.scalars(pieces.limit(BATCH_SIZE)))
        return _count(self._drop_piece, parts, failed)

    def _drop_source(self, source: str) -> None:
        theirs = JOBS.c.source == source
        with self._database.reading() as connection:
            regions = list(connection.scalars(sql.select(JOBS.c.regions).where(theirs, JOBS.c.regions.is_not(None))))
        for key in (source, *regions):
            self._store.delete(key)
        with self._database.writing() as connection:
            connection.execute(JOBS.update().where(theirs).values(source_kept=False, regions=None))

    def _drop_piece(self, key: str) -> None:
        same = PIECES.c.key == key
        with self._database.reading() as connection:
            regions = list(connection.scalars(sql.select(PIECES.c.told).where(same, PIECES.c.told.is_not(None))))
        for file in (key, *regions):
            self._store.delete(file)
        with self._database.writing() as connection:
            connection.execute(PIECES.update().where(same).values(key=None, sha256=None, note=None, told=None))

    def _unclaimed_batches(self, start: str) -> Iterator[list[str]]:
        old = (kept.key for kept in self._store.list(start) if kept.age_seconds >= self._retention.unclaimed_seconds)
        while keys := list(islice(old, BATCH_SIZE)):
            with self._database.reading() as connection:
                yield sorted(set(keys) - referenced_keys(connection, set(keys)))


def _count(delete: Callable[[str], object], keys: Iterable[str], failed: list[str]) -> int:
    """Return how many were deleted; what went wrong with the others is added to `failed`."""
    done = 0
    for key in keys:
        try:
            delete(key)
        except VelumError as error:
            failed.append(str(error))
        else:
            done += 1
    return done


def _warn(swept: SweepResult) -> None:
    for reason in swept.failed:
        LOG.warning("cannot be deleted now; the next sweep tries again: %s", reason)
