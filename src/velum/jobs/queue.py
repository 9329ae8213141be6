"""The job queue: submits, lists, watches, cancels, retries and renders jobs."""

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sql

from velum.errors import BadInput, BadPlan, VelumError
from velum.jobs.database import KEYS_OF_JOBS, KEYS_OF_PIECES, Database, find_unreferenced
from velum.jobs.schema import (
    ASSIGNMENTS,
    COLUMNS,
    DRAFTS,
    ENDED,
    JOBS,
    PHOTOS,
    PIECES,
    REQUESTS,
    job_of,
    new_id,
    row_of,
)
from velum.jobs.values import JobKind, JobListing, JobRecord, Once, RegionsOrigin, State, Submission
from velum.jobs.webhooks import announce_deletion, announce_end
from velum.plan import Plan
from velum.storage import Store
from velum.storage.resumable_uploads import Occupied

LOG = logging.getLogger("velum.jobs")

MAX_PAGE_SIZE = 1000
"""Largest number of jobs on one page."""

AGAIN: Mapping[str, Any] = {
    "state": State.WAITING, "ended": None, "not_before": 0.0, "failures": 0, "losses": 0, "cancel": False,
    "error": None, "message": None,
}  # fmt: skip
"""Column values of a job that is run again."""


class JobQueue:
    """The jobs of a database, whose files are in a store. Safe to share between threads and processes.

    Methods that take a job id return None (or False) when no job has it. Every method raises `Unavailable` when the
    database does not answer.
    """

    def __init__(self, database: Database, store: Store) -> None:
        self._database, self._store = database, store

    def submit(self, submission: Submission, *, once: Once | None = None, sole: bool = False) -> JobRecord:
        """Submit a job and return its record. Raises `BadInput` when its files are not in the store.

        With `once`, the job of an earlier identical request is returned, if there is one; raises `BadPlan` as
        `find_request` does. With `sole`, raises `Occupied` when another job has the same source.
        """
        for key in submission.keys:
            if self._store.size(key) is None:
                raise BadInput(f"file {key[:40]!r} is not in the store; upload it first")
        with self._database.writing(alone=sole or once is not None) as connection:
            now, job = self._database.now(connection), new_id()
            if once is not None and (earlier := _find_request(connection, once)) is not None:
                return job_of(connection.execute(sql.select(*COLUMNS).where(JOBS.c.id == earlier)).one())
            if sole and connection.scalar(sql.select(JOBS.c.id).where(JOBS.c.source == submission.source)) is not None:
                raise Occupied("another job has taken the source; upload it again for this one")
            connection.execute(JOBS.insert().values(id=job, state=State.WAITING, submitted=now, **row_of(submission)))
            for key in set(submission.photo_keys):
                connection.execute(PHOTOS.insert().values(job=job, key=key))
            _remember(connection, once, job, now)
            return job_of(connection.execute(sql.select(*COLUMNS).where(JOBS.c.id == job)).one())

    def find_request(self, once: Once) -> str | None:
        """Return the id of the job that an earlier request with this key made or changed; None for a new key.

        Raises `BadPlan` when the earlier request was a different one.
        """
        with self._database.reading() as connection:
            return _find_request(connection, once)

    def get(self, job: str) -> JobRecord | None:
        """Return the current record of a job."""
        with self._database.reading() as connection:
            row = connection.execute(sql.select(*COLUMNS).where(JOBS.c.id == job)).one_or_none()
        return None if row is None else job_of(row)

    def report(self, job: str, *, interim: bool = False) -> Mapping[str, Any] | None:
        """Return the report of a finished job; with `interim`, in other states what was last reported of its work."""
        with self._database.reading() as connection:
            query = sql.select(JOBS.c.report).where(JOBS.c.id == job)
            text = connection.scalar(query if interim else query.where(JOBS.c.state == State.DONE))
        return None if text is None else json.loads(text)

    def list(
        self, *, state: State | None = None, owner: str | None = None, after: str | None = None, limit: int = 100,
        kind: JobKind = JobKind.HIDE,
    ) -> JobListing:  # fmt: skip
        """Return a page of jobs, newest first, after the job `after`. New and deleted jobs do not shift the pages."""
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise BadPlan(f"limit is {limit}; a page has from 1 to {MAX_PAGE_SIZE} jobs")
        query = sql.select(*COLUMNS).order_by(JOBS.c.id.desc()).limit(limit + 1)
        for column, value in ((JOBS.c.state, state), (JOBS.c.owner, owner)):
            query = query if value is None else query.where(column == value)
        if after is not None:
            query = query.where(JOBS.c.id < after)
        same_kind = JOBS.c.kind == kind
        query = query.where(same_kind | JOBS.c.kind.is_(None) if kind is JobKind.HIDE else same_kind)
        with self._database.reading() as connection:
            jobs = tuple(map(job_of, connection.execute(query)))
        return JobListing(jobs[:limit], jobs[limit - 1].id if len(jobs) > limit else None)

    def counts(self) -> Mapping[State, int]:
        """Return the number of jobs in each state."""
        query = sql.select(JOBS.c.state, sql.func.count()).group_by(JOBS.c.state)
        with self._database.reading() as connection:
            numbers = {State(state): number for state, number in connection.execute(query)}
        return {state: numbers.get(state, 0) for state in State}

    def longest_wait_seconds(self) -> float:
        """Return how long ago the oldest waiting job was submitted, in seconds; 0 where none waits."""
        waiting = sql.select(JOBS.c.submitted).where(JOBS.c.state == State.WAITING)
        with self._database.reading() as connection:
            submitted = connection.scalar(waiting.order_by(JOBS.c.id).limit(1))
            return 0.0 if submitted is None else max(0.0, self._database.now(connection) - submitted)

    def cancel(self, job: str) -> JobRecord | None:
        """Cancel a job: a waiting one at once, a running one within about a second. Ended jobs do not change."""
        with self._database.writing() as connection:
            chosen = JOBS.update().where(JOBS.c.id == job)
            connection.execute(chosen.where(JOBS.c.state == State.RUNNING).values(cancel=True))
            now = self._database.now(connection)
            waiting = chosen.where(JOBS.c.state == State.WAITING)
            if connection.execute(waiting.values(state=State.CANCELLED, ended=now)).rowcount:
                announce_end(connection, [job], now)
        return self.get(job)

    def retry(self, job: str, *, once: Once | None = None) -> JobRecord | None:
        """Run a failed, given-up or cancelled job again; its finished pieces are kept.

        With `once`, the second of two identical requests does nothing. Raises `BadPlan` for a job in another state, and
        when its source has been deleted.
        """
        with self._database.writing() as connection:
            if once is not None and _find_request(connection, once) == job:
                return self.get(job)
            row = connection.execute(
                sql.select(JOBS.c.state, JOBS.c.source_kept).where(JOBS.c.id == job)
            ).one_or_none()  # fmt: skip
            if row is None:
                return None
            if row.state not in {State.FAILED, State.GAVE_UP, State.CANCELLED}:
                raise BadPlan(f"job {job} is {row.state}; only failed, given-up or cancelled jobs can be retried")
            if not row.source_kept:
                raise BadPlan(f"the source of job {job} has been deleted after its retention time; submit it again")
            connection.execute(JOBS.update().where(JOBS.c.id == job).values(**AGAIN))
            _remember(connection, once, job, self._database.now(connection))
        return self.get(job)

    def correct(self, job: str, regions: str, *, before: str | None = None) -> JobRecord | None:
        """Set the annotation file, by its key in the store, for the next rendering of the job.

        With `before`, only if it replaces the annotation file of that key. Raises `BadPlan` when another request has
        already replaced that, and while the job has not ended.
        """
        with self._database.writing() as connection:
            if (row := _lock_final_job(connection, job)) is None:
                return None
            now = job_of(row)
            if before is not None and before != now.regions:
                raise BadPlan(f"someone else has corrected the regions of job {job}; load their corrections first")
            connection.execute(JOBS.update().where(JOBS.c.id == job).values(draft=regions, drafted=None))
            connection.execute(DRAFTS.delete().where(DRAFTS.c.job == job))
            unreferenced = find_unreferenced(connection, {row.draft})
        self._delete_or_warn(unreferenced)
        return self.get(job)

    def render(self, job: str, *, audio: str | None = None, once: Once | None = None) -> JobRecord | None:
        """Run a job again with its present regions, corrected or not, without running a localizer.

        Unchanged pieces are kept, unless `audio` changes the plan's `video.audio`. The present result is withdrawn at
        once. With `once`, the second of two identical requests does nothing. Raises `BadPlan` while the job has not
        ended, for an unknown `audio`, and when it has no regions, or its source was deleted.
        """
        with self._database.writing() as connection:
            if once is not None and _find_request(connection, once) == job:
                return self.get(job)
            if (row := _lock_final_job(connection, job)) is None:
                return None
            now, time = job_of(row), self._database.now(connection)
            if not now.source_kept:
                raise BadPlan(f"the source of job {job} has been deleted after its retention time; submit it again")
            if now.regions is None:
                raise BadPlan(f"job {job} has no regions; wait until it is done, or send an annotation file for it")
            theirs, again = {row.result, row.found, row.draft, row.regions}, _values_of_rendering(now, row, time)
            plan = _plan_with_audio(now.submission.plan, audio)
            if plan != now.submission.plan:
                # Pieces name the plan that made them, so none is of use for another one.
                again |= {"plan": json.dumps(plan.to_json()), "former": None}
                pieces = connection.execute(sql.select(*KEYS_OF_PIECES).where(PIECES.c.job == job))
                theirs |= {key for piece in pieces for key in piece}
                connection.execute(PIECES.delete().where(PIECES.c.job == job))
            connection.execute(JOBS.update().where(JOBS.c.id == job).values(**AGAIN, **again))
            connection.execute(ASSIGNMENTS.update().where(ASSIGNMENTS.c.job == job).values(sent_back=None))
            unreferenced = find_unreferenced(connection, theirs)
            _remember(connection, once, job, time)
        self._delete_or_warn(unreferenced)
        return self.get(job)

    def keep_source(self, job: str, seconds: float, most: float) -> JobRecord | None:
        """Keep the source of an ended job for `seconds` from now, at most for `most` after its end, and no shorter.

        Raises `BadPlan` when it has been deleted, or the job has not ended.
        """
        with self._database.writing() as connection:
            if (row := _lock_final_job(connection, job)) is None:
                return None
            if not row.source_kept:
                raise BadPlan(f"the source of job {job} has been deleted after its retention time; submit it again")
            until = min(self._database.now(connection) + seconds, row.ended + most)
            later = max(until, row.keep_until or 0.0)
            connection.execute(JOBS.update().where(JOBS.c.id == job).values(keep_until=later))
        return self.get(job)

    def delete(self, job: str) -> bool:
        """Delete a job in any state, with all its files, at once; return whether it existed.

        A worker that runs it stops. A source stays as long as another job needs it. Raises `StoreAway`, and deletes
        nothing, while the store is away.
        """
        self._store.check()
        with self._database.writing() as connection:
            row = connection.execute(sql.select(*KEYS_OF_JOBS).where(JOBS.c.id == job)).one_or_none()
            if row is None:
                return False
            pieces = connection.execute(sql.select(*KEYS_OF_PIECES).where(PIECES.c.job == job))
            photos = connection.scalars(sql.select(PHOTOS.c.key).where(PHOTOS.c.job == job))
            keys = {*row, *(key for piece in pieces for key in piece), *photos}
            announce_deletion(connection, job, self._database.now(connection))
            connection.execute(JOBS.delete().where(JOBS.c.id == job))
            unreferenced = find_unreferenced(connection, keys)
        self._delete_files(unreferenced)
        return True

    def watch(
        self, job: str, *, every_seconds: float = 0.5, stop: threading.Event | None = None
    ) -> Iterator[JobRecord]:
        """Yield the job's record now and after each change, until the job has ended or `stop` is set."""
        stop, last = stop or threading.Event(), None
        while (now := self.get(job)) is not None:
            if now != last:
                yield now
            if now.state.is_final or stop.wait(every_seconds):
                return
            last = now

    def release(self, key: str) -> None:
        """Delete a file of the store unless a job refers to it."""
        with self._database.reading() as connection:
            unreferenced = find_unreferenced(connection, {key})
        self._delete_files(unreferenced)

    def _delete_or_warn(self, keys: set[str]) -> None:
        """Delete the files that no job refers to; a later sweep finds those that cannot be deleted now."""
        try:
            self._delete_files(keys)
        except VelumError as error:
            LOG.warning("cannot delete files that no job needs; the next sweep tries again: %s", error)

    def _delete_files(self, keys: set[str]) -> None:
        for key in keys:
            self._store.delete(key)


def _values_of_rendering(job: JobRecord, row: sql.Row[Any], now: float) -> dict[str, Any]:
    """Return the column values, besides `AGAIN`, of a job that is rendered again with its present regions."""
    return {
        "regions": job.regions, "found": None, "draft": None, "result": None, "result_name": None,
        "pieces_done": 0, "pieces_total": None, "frames_done": 0,
        # The new result is not approved. A time that a person has set stays.
        "keep_until": job.keep_until if (job.keep_until or 0.0) > now else None,
        # A rendering that was cancelled before it checked the pieces has not changed them.
        "former": row.former or (RegionsOrigin.FOUND if row.regions is None else RegionsOrigin.GIVEN),
    }  # fmt: skip


def _plan_with_audio(plan: Plan, audio: Any) -> Plan:
    return plan if audio is None else replace(plan, video=replace(plan.video, audio=audio))


def _find_request(connection: sql.Connection, once: Once) -> str | None:
    query = sql.select(REQUESTS.c.job, REQUESTS.c.digest)
    row = connection.execute(
        query.where(REQUESTS.c.owner == once.owner, REQUESTS.c.key == once.key)
    ).one_or_none()  # fmt: skip
    if row is not None and row.digest != once.digest:
        raise BadPlan(
            f"the idempotency key {once.key[:80]!r} was used for a different request; use a new key for each request"
        )
    return None if row is None else str(row.job)


def _remember(connection: sql.Connection, once: Once | None, job: str, now: float) -> None:
    if once is not None:
        values = {"owner": once.owner, "key": once.key, "digest": once.digest, "job": job, "at": now}
        connection.execute(REQUESTS.insert().values(**values))


def _lock_final_job(connection: sql.Connection, job: str) -> sql.Row[Any] | None:
    """Return a job's row, locked for this transaction. Raises `BadPlan` when the job has not ended."""
    row = connection.execute(sql.select(*COLUMNS).where(JOBS.c.id == job).with_for_update()).one_or_none()
    if row is not None and row.state not in ENDED:
        raise BadPlan(f"job {job} is {row.state}; correct its regions and render it again after it has ended")
    return row
