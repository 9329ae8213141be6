"""Retention: deletes files and records after their retention time, and leftovers of crashes."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import sqlalchemy as sql

from velum.errors import VelumError
from velum.jobs.database import Database, referenced_keys
from velum.jobs.queue import JobQueue
from velum.jobs.schema import DRAFTS, JOBS, NOTICES, PHOTOS, PIECES, REQUESTS
from velum.jobs.values import Retention, State, SweepResult
from velum.jobs.webhooks import KEPT_SECONDS
from velum.storage import Store
from velum.storage.resumable_uploads import Uploads

LOG = logging.getLogger("velum.jobs")

BATCH_SIZE = 500
"""Rows or keys per query."""

LEFTOVERS_SECONDS = 3600.0
"""Period in which the whole store is searched, slice by slice, for files that belong to no job."""

SLICES = 256
"""Number of slices of the store: keys with the same first two digits are a slice."""

REQUEST_KEY_SECONDS = 86400.0
"""Seconds for which an idempotency key is remembered."""


class RetentionSweeper:
    """Deletes what is due. Any number of processes may sweep at the same time.

    A file is deleted before its record, so that a file without a record does not remain.
    """

    def __init__(self, database: Database, store: Store, retention: Retention, uploads: Uploads | None = None) -> None:
        self._database, self._store, self._retention, self._uploads = database, store, retention, uploads
        self._queue = JobQueue(database, store)
        self._next_due = self._next_unfinished = self._next_slice = 0.0
        # Start at a random slice, so that several workers, or one that restarts often, visit all slices.
        self._slice = secrets.randbelow(SLICES)

    def sweep(self) -> SweepResult:
        """Delete everything that is due. The result names what could not be deleted; the next sweep tries again."""
        return self.orphans(self.due())

    def sweep_in_turns(self, due_seconds: float) -> bool:
        """Do the next part of a sweep, and return whether the caller should call again at once; for a worker's loop.

        Files and records of jobs are looked at every `due_seconds`; the store is searched slice by slice, all of it
        within an hour. Raises `Unavailable` and `OutputFailed`.
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
        """Delete files and records of jobs after their retention time; quick when none is due. Raises `StoreAway`."""
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
        """Delete unfinished files, and those that belong to no job; looks at every file of the store."""
        return self.delete_unclaimed(swept=self.delete_unfinished(swept))

    def delete_unfinished(self, swept: SweepResult | None = None) -> SweepResult:
        """Delete abandoned uploads, half-written files, undelivered webhook notices and old idempotency keys."""
        with self._database.writing() as connection:
            old = NOTICES.c.due < self._database.now(connection) - KEPT_SECONDS
            connection.execute(NOTICES.delete().where(old))  # nobody delivers them here
            expired = REQUESTS.c.at < self._database.now(connection) - REQUEST_KEY_SECONDS
            connection.execute(REQUESTS.delete().where(expired))
        temporary = self._store.sweep(self._retention.unclaimed_seconds)
        if self._uploads is not None:
            temporary += self._uploads.sweep(self._retention.unclaimed_seconds)
        return replace(swept or SweepResult(), temporary=temporary)

    def delete_unclaimed(self, start: str = "", swept: SweepResult | None = None) -> SweepResult:
        """Delete files of the store that belong to no job; with `start`, only keys that begin with these digits."""
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
                update = JOBS.update().where(JOBS.c.result == key)
                jobs = sql.select(JOBS.c.id).where(JOBS.c.result == key)
                connection.execute(DRAFTS.delete().where(DRAFTS.c.job.in_(jobs)))
                connection.execute(update.values(result=None, found=None, draft=None, drafted=None))

        return _count(forget, keys, failed)

    def _originals(self, before: float, failed: list[str]) -> int:
        with self._database.reading() as connection:
            now = self._database.now(connection)
            sources = dict[str, None]()
            # Two queries, each of which reads only what is due, by an index of its own.
            for query, by in _due_sources(before, now):
                sources |= dict.fromkeys(connection.scalars(query.order_by(by).limit(BATCH_SIZE)))
        return _count(lambda source: self._drop_source(source, before), sources, failed)

    def _pieces(self, now: float, failed: list[str]) -> int:
        """Delete the pieces of jobs that cannot be rendered again or whose result has been deleted."""
        due = ((JOBS.c.ended < now - self._retention.originals_seconds) & ~JOBS.c.source_kept) | (
            (JOBS.c.state == State.DONE) & (JOBS.c.ended < now - self._retention.results_seconds)
        )
        pieces = sql.select(PIECES.c.key).join(JOBS, JOBS.c.id == PIECES.c.job).where(due, PIECES.c.key.is_not(None))
        with self._database.reading() as connection:
            parts = list(connection.scalars(pieces.limit(BATCH_SIZE)))
        return _count(self._drop_piece, parts, failed)

    def _drop_source(self, source: str, before: float) -> None:
        """Delete a source with the regions that belong to it, unless somebody has asked for it meanwhile.

        The record comes first, under a lock: from then on no job is rendered again with this source. What a crash
        leaves in the store belongs to no job.
        """
        theirs = JOBS.c.source == source
        with self._database.writing() as connection:
            jobs = connection.execute(sql.select(JOBS.c.id, JOBS.c.regions).where(theirs).with_for_update()).all()
            now = self._database.now(connection)
            queries = _due_sources(before, now)
            if not any(connection.scalars(query.where(theirs).limit(1)).first() for query, _ in queries):
                return
            photos_of_jobs = PHOTOS.c.job.in_([job.id for job in jobs])
            photos = list(connection.scalars(sql.select(PHOTOS.c.key).where(photos_of_jobs)))
            connection.execute(JOBS.update().where(theirs).values(source_kept=False))
        try:
            for key in (source, *(job.regions for job in jobs if job.regions is not None), *photos):
                self._store.delete(key)
        except VelumError:
            with self._database.writing() as connection:
                connection.execute(JOBS.update().where(theirs).values(source_kept=True))
            raise
        with self._database.writing() as connection:
            connection.execute(PHOTOS.delete().where(photos_of_jobs))
            connection.execute(JOBS.update().where(theirs).values(regions=None))

    def _drop_piece(self, key: str) -> None:
        same = PIECES.c.key == key
        with self._database.reading() as connection:
            regions = list(connection.scalars(sql.select(PIECES.c.told).where(same, PIECES.c.told.is_not(None))))
        for file in (key, *regions):
            self._store.delete(file)
        with self._database.writing() as connection:
            connection.execute(PIECES.update().where(same).values(key=None, sha256=None, note=None, told=None))

    def _unclaimed_batches(self, start: str) -> Iterator[list[str]]:
        old = (
            stored.key for stored in self._store.list(start) if stored.age_seconds >= self._retention.unclaimed_seconds
        )
        while keys := list(islice(old, BATCH_SIZE)):
            with self._database.reading() as connection:
                yield sorted(set(keys) - referenced_keys(connection, set(keys)))


def _due_sources(before: float, now: float) -> tuple[tuple[sql.Select[tuple[str]], sql.ColumnElement[float]], ...]:
    """Return queries for sources that are due, each with the column of its index.

    A source is due when the last job that uses it ended before `before`, or is to be kept until `now` at the latest.
    """
    other = JOBS.alias()
    within_time = (other.c.keep_until >= now) | (other.c.keep_until.is_(None) & (other.c.ended >= before))
    still = other.c.ended.is_(None) | within_time
    # Not by EXISTS, for which PostgreSQL would read all waiting jobs.
    last = sql.select(other.c.id).where(other.c.source == JOBS.c.source, still).limit(1).scalar_subquery()
    return tuple(
        (sql.select(JOBS.c.source).where(JOBS.c.source_kept, *due, last.is_(None)), by)
        for due, by in (
            ((JOBS.c.ended < before, JOBS.c.keep_until.is_(None)), JOBS.c.ended),
            ((JOBS.c.keep_until < now, JOBS.c.keep_until.is_not(None)), JOBS.c.keep_until),
        )
    )


def _count(delete: Callable[[str], object], keys: Iterable[str], failed: list[str]) -> int:
    """Call `delete` for each key and return how often it succeeded; failures are added to `failed`."""
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
        LOG.warning("cannot delete a file now; the next sweep tries again: %s", reason)
