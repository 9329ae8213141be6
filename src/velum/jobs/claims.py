"""Leases on jobs: a worker claims a job and records its progress and its outcome in the database."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from velum.errors import BadPlan
from velum.jobs.database import Database
from velum.jobs.processor import JobOutput
from velum.jobs.scheduling import find_due, take_next, wake_due
from velum.jobs.schema import CLOCKS, JOBS, PIECES, WORKERS, job_of
from velum.jobs.values import JobRecord, Piece, RegionsOrigin, State, WorkerTiming
from velum.jobs.webhooks import announce_end
from velum.storage import PutResult

RELEASED: Mapping[str, Any] = {"worker": None, "token": None, "cancel": False, "fps": None, "seconds_left": None}
"""Column values of a job that no worker has."""


class LeaseLost(Exception):
    """The job was deleted or given to another worker, so this worker may not write to its records any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A job that a worker has claimed, with the token that proves it.

    `former` is set when the pieces come from an earlier rendering, which hid other regions.
    """

    job: JobRecord
    token: str
    former: RegionsOrigin | None = None


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """The record of a piece; `stored`, `note` and `hidden_regions` (a key of the store) are set when it is finished."""

    piece: Piece
    stored: PutResult | None = None
    note: Mapping[str, Any] | None = None
    hidden_regions: str | None = None

    @property
    def keys(self) -> set[str]:
        """Keys of the files of the piece in the store."""
        stored = () if self.stored is None else (self.stored.key,)
        return {*stored, *(() if self.hidden_regions is None else (self.hidden_regions,))}


class WorkerClaims:
    """Claims jobs for the worker with this unique id, and records their progress. Raises `LeaseLost`, `Unavailable`."""

    def __init__(self, database: Database, worker: str, name: str, timing: WorkerTiming) -> None:
        self._database, self._worker, self._name, self._timing = database, worker, name, timing
        self._heard: dict[str, tuple[float, float]] = {}
        """By worker: its last heartbeat, and when this worker first saw it, by its own monotonic clock."""
        self._looked = 0.0

    def take(self, max_running: int | None = None) -> Lease | None:
        """Claim the next job; None when no job is ready, or when `max_running` jobs are already running.

        The highest priority comes first; within a priority, the owner with the fewest running jobs, then the owner
        served longest ago; within an owner, the oldest job.
        """
        with self._database.reading() as connection:
            while True:
                ready, postponed = find_due(connection)
                if not (ready or postponed):
                    return None
                # A claim need not survive a loss of power: the job then waits again, and this token is not valid.
                with self._database.changing(connection, alone=True, durable=False):
                    running = _running(connection)
                    if max_running is not None and sum(running.values()) >= max_running:
                        return None
                    if postponed:
                        wake_due(connection)
                    if (lease := self._take_next(connection, running)) is not None:
                        return lease

    def list_pieces(self, lease: Lease) -> list[PieceRecord]:
        """Return the recorded pieces in order; empty before the job was cut into pieces."""
        query = sql.select(PIECES).where(PIECES.c.job == lease.job.id).order_by(PIECES.c["index"])
        with self._database.reading() as connection:
            return [_piece_record(row._mapping) for row in connection.execute(query)]

    def cut(self, lease: Lease, pieces: Sequence[Piece]) -> None:
        """Record the pieces of a job."""
        frames = [piece.frames for piece in pieces]
        total = sum(filter(None, frames)) if None not in frames else lease.job.frames_total
        with self._database.writing() as connection:
            self._write(connection, lease, pieces_total=len(pieces), frames_total=total)
            connection.execute(PIECES.delete().where(PIECES.c.job == lease.job.id))
            rows = [
                {"job": lease.job.id, "index": piece.index, "label": piece.label, "frames": piece.frames}
                for piece in pieces
            ]
            connection.execute(PIECES.insert(), rows)

    def renew(self, lease: Lease, records: Sequence[PieceRecord]) -> None:
        """Record which pieces of an earlier rendering are reused; pieces without `stored` are made again."""
        done = sum(record.stored is not None for record in records)
        with self._database.writing() as connection:
            self._write(connection, lease, former=None, pieces_done=done, pieces_total=len(records))
            for record in records:
                _note_piece(connection, lease, record)

    def finish_piece(self, lease: Lease, record: PieceRecord) -> None:
        """Record a finished piece."""
        with self._database.writing() as connection:
            # Lock the job before the piece, in the same order as deletion does: otherwise the two could deadlock.
            self._write(connection, lease, losses=0)
            _note_piece(connection, lease, record)
            finished = sql.select(sql.func.count(PIECES.c.key)).where(PIECES.c.job == lease.job.id).scalar_subquery()
            self._write(connection, lease, pieces_done=finished)

    def finish(
        self, lease: Lease, result: str, output: JobOutput, regions: str | None, progress: Mapping[str, Any]
    ) -> None:
        """Publish the result and set the job to done, in one transaction. `result` and `regions` are keys of the store.

        Pieces stay, so that the job can be rendered again; a single piece is the result itself.
        """
        with self._database.writing() as connection:
            self._end(
                connection, lease, State.DONE,
                result=result, result_name=output.name, report=json.dumps(output.report), found=regions,
                error=None, message=None, **{**progress, **RELEASED},
            )  # fmt: skip
            alone = sql.select(PIECES.c["index"]).where(PIECES.c.job == lease.job.id, PIECES.c["index"] > 0)
            connection.execute(PIECES.delete().where(PIECES.c.job == lease.job.id, ~sql.exists(alone)))

    def fail(self, lease: Lease, error: str, message: str) -> None:
        """End the job as failed, for a reason that would occur again."""
        with self._database.writing() as connection:
            self._end(connection, lease, State.FAILED, error=error, message=message)

    def cancel(self, lease: Lease) -> None:
        """End the job as cancelled."""
        with self._database.writing() as connection:
            self._end(connection, lease, State.CANCELLED)

    def postpone(self, lease: Lease, error: str, message: str) -> None:
        """Retry the job later, or give it up when it has failed as often as allowed."""
        with self._database.writing() as connection:
            failures = 1 + int(self._read(connection, lease, JOBS.c.failures) or 0)
            if failures >= self._timing.tries:
                message = f"{message} (tried {failures} times)"
                self._end(connection, lease, State.GAVE_UP, error=error, message=message, failures=failures)
                return
            later = self._database.now(connection) + self._timing.pause(failures)
            self._leave(connection, lease, not_before=later, failures=failures, error=error, message=message)

    def defer(self, lease: Lease, error: str, message: str) -> None:
        """Retry the job later without counting a failure: the store is away for all jobs, and comes back."""
        with self._database.writing() as connection:
            later = self._database.now(connection) + self._timing.backoff_seconds
            self._leave(connection, lease, not_before=later, error=error, message=message)

    def give_back(self, lease: Lease) -> None:
        """Release the job to other workers."""
        with self._database.writing() as connection:
            self._leave(connection, lease)

    def progress(self, lease: Lease, values: Mapping[str, Any]) -> None:
        """Record the progress of the job."""
        with self._database.writing() as connection:
            self._write(connection, lease, **values)

    def list_tokens(self) -> dict[str, bool]:
        """Return the tokens of this worker's jobs, and whether each job was cancelled."""
        query = sql.select(JOBS.c.token, JOBS.c.cancel).where(JOBS.c.worker == self._worker)
        with self._database.reading() as connection:
            return {token: cancel for token, cancel in connection.execute(query)}  # noqa: C416 - rows, not pairs

    def drop(self, token: str) -> None:
        """Release a job that this worker claimed without noticing, because the database's answer was lost."""
        with self._database.writing() as connection:
            self._release(connection, JOBS.c.token == token, lost=False)

    def beat(self) -> None:
        """Record the heartbeat of this worker."""
        with self._database.writing() as connection:
            self._beat(connection)

    def leave(self) -> None:
        """Unregister this worker, and release its jobs."""
        with self._database.writing(alone=True) as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.id == self._worker))
            self._release(connection, JOBS.c.worker == self._worker, lost=False)

    def reap(self) -> int:
        """Release the jobs of dead workers and return their number.

        A job on which `worker_crashes` workers died in a row, without finishing one more piece, is given up.
        """
        with self._database.writing(alone=True) as connection:
            # This worker is alive, however long its last heartbeat took to be written.
            others = sql.select(WORKERS.c.id, WORKERS.c.beat).where(WORKERS.c.id != self._worker)
            beats = {worker: beat for worker, beat in connection.execute(others)}  # noqa: C416 - rows, not pairs
            connection.execute(WORKERS.delete().where(WORKERS.c.id.in_(self._silent(beats))))
            return self._release(connection, JOBS.c.worker.not_in(sql.select(WORKERS.c.id)), lost=True)

    def _release(self, connection: sql.Connection, whose: sql.ColumnElement[bool], *, lost: bool) -> int:
        now, number = self._database.now(connection), 0
        running_jobs = (JOBS.c.state == State.RUNNING) & whose
        message = (
            f"{self._timing.worker_crashes} workers died while they ran this job; look into their logs, then retry it"
        )
        dead = {"state": State.GAVE_UP, "error": "Fault", "message": message, "losses": JOBS.c.losses + 1}
        ends: list[tuple[sql.ColumnElement[bool], dict[str, Any]]] = [(JOBS.c.cancel, {"state": State.CANCELLED})]
        ends += [(JOBS.c.losses + 1 >= self._timing.worker_crashes, dead)] if lost else []
        for which, values in ends:
            jobs = list(connection.scalars(sql.select(JOBS.c.id).where(running_jobs, which).with_for_update()))
            connection.execute(JOBS.update().where(JOBS.c.id.in_(jobs)).values(ended=now, **RELEASED, **values))
            announce_end(connection, jobs, now)
            number += len(jobs)
        # Lock all jobs before changing the first: making a job ready also locks the owner's row of TURNS, and locks
        # taken in another order than other workers take them could deadlock.
        jobs = list(connection.scalars(sql.select(JOBS.c.id).where(running_jobs).with_for_update()))
        values = {"state": State.WAITING, "losses": JOBS.c.losses + int(lost), **RELEASED}
        connection.execute(JOBS.update().where(JOBS.c.id.in_(jobs)).values(**values))
        return number + len(jobs)

    def _silent(self, beats: Mapping[str, float]) -> list[str]:
        """Return the other workers without a heartbeat for `dead_seconds`, by the clock of this worker.

        It uses the monotonic clock: when the database's clock is set back, heartbeats written before would look new for
        that long. The time during which this worker could not ask the database does not count as silence.
        """
        now = time.monotonic()
        if now - self._looked > self._timing.dead_seconds:
            self._heard.clear()
        self._looked = now
        before, self._heard = self._heard, {}
        for worker, beat in beats.items():
            last_beat, since = before.get(worker, (beat, now))
            self._heard[worker] = (beat, since if last_beat == beat else now)
        return [worker for worker, (_, since) in self._heard.items() if now - since >= self._timing.dead_seconds]

    def _beat(self, connection: sql.Connection) -> float:
        beat: float | None = connection.scalar(_BEAT[connection.dialect.name], {"of_worker": self._worker})
        if beat is None:
            beat = self._database.now(connection)
            connection.execute(WORKERS.insert().values(id=self._worker, name=self._name, beat=beat))
        return beat

    def _take_next(self, connection: sql.Connection, running: Mapping[str, int]) -> Lease | None:
        """Claim the next job. A job that this version cannot read fails, so that it does not block those behind it."""
        # A worker that was wrongly declared dead beats first, so that it does not lose the new job at once.
        now, token = self._beat(connection), secrets.token_hex(16)
        row = take_next(connection, running, {"by_worker": self._worker, "by_token": token, "by_started": now})
        if row is None:
            return None
        try:
            return Lease(job_of(row), token, None if row.former is None else RegionsOrigin(row.former))
        except BadPlan as error:
            ended = {"state": State.FAILED, "error": "BadPlan", "message": str(error), "ended": now, **RELEASED}
            connection.execute(JOBS.update().where(JOBS.c.id == row.id).values(**ended))
            announce_end(connection, [row.id], now)
            return None

    def _end(self, connection: sql.Connection, lease: Lease, state: State, **values: Any) -> None:
        now = self._database.now(connection)
        self._write(connection, lease, **{**RELEASED, "state": state, "ended": now, **values})
        announce_end(connection, [lease.job.id], now)

    def _leave(self, connection: sql.Connection, lease: Lease, **values: Any) -> None:
        if self._read(connection, lease, JOBS.c.cancel):
            self._end(connection, lease, State.CANCELLED)
        else:
            self._write(connection, lease, **{**RELEASED, "state": State.WAITING, **values})

    def _read(self, connection: sql.Connection, lease: Lease, column: sql.Column[Any]) -> Any:
        # With a lock: no other transaction may change the value before this one has written what depends on it.
        query = sql.select(column).where(JOBS.c.id == lease.job.id, JOBS.c.token == lease.token)
        return connection.scalar(query.with_for_update())

    def _write(self, connection: sql.Connection, lease: Lease, **values: Any) -> None:
        ours = JOBS.update().where(JOBS.c.id == lease.job.id, JOBS.c.token == lease.token)
        if not connection.execute(ours.values(**values)).rowcount:
            raise LeaseLost(f"job {lease.job.id} was deleted, or given to another worker")


def _running(connection: sql.Connection) -> dict[str, int]:
    return {owner: number for owner, number in connection.execute(_RUNNING)}  # noqa: C416 - rows, not pairs


_RUNNING = sql.select(JOBS.c.owner, sql.func.count()).where(JOBS.c.state == State.RUNNING.value).group_by(JOBS.c.owner)
_BEAT = {
    dialect: WORKERS.update()
    .where(WORKERS.c.id == sql.bindparam("of_worker"))
    .values(beat=now)
    .returning(WORKERS.c.beat)
    for dialect, now in CLOCKS.items()
}


def _note_piece(connection: sql.Connection, lease: Lease, record: PieceRecord) -> None:
    stored, piece = record.stored, record.piece
    connection.execute(
        PIECES.update()
        .where(PIECES.c.job == lease.job.id, PIECES.c["index"] == piece.index)
        .values(
            key=stored and stored.key, sha256=stored and stored.sha256, told=record.hidden_regions, frames=piece.frames,
            note=None if record.note is None else json.dumps(record.note),
        )
    )  # fmt: skip


def _piece_record(row: sql.RowMapping) -> PieceRecord:
    stored = None if row["key"] is None else PutResult(row["key"], 0, row["sha256"])
    note = None if row["note"] is None else json.loads(row["note"])
    return PieceRecord(Piece(row["index"], row["label"], row["frames"]), stored, note, row["told"])
