"""Scheduling: finds the next job without reading all waiting jobs or owners.

A job is ready when its state is waiting and its `not_before` is 0; a postponed job is made ready when it is due.
`TURNS` has a row for each owner and priority, with the time at which the owner was served last and the oldest ready
job. The transaction that makes a job ready also writes that row. The job in a row may have been taken since; then the
oldest ready job is a newer one, and the claim that reads the row corrects it. So a claim reads at most one row more
than there are owners with running jobs.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from velum.jobs.schema import CLOCKS, COLUMNS, JOBS, TURNS
from velum.jobs.values import LONGEST_PAUSE_SECONDS, State

WOKEN = 500
"""Postponed jobs that one claim makes ready at most; when more are due, the next claims do the rest."""

CORRECTED = 100
"""Rows of `TURNS` that one transaction corrects at most, since other workers wait for its end."""


def find_due(connection: sql.Connection) -> tuple[bool, bool]:
    """Return whether a job is ready, and whether a postponed one is due."""
    ready, postponed = connection.execute(_DUE[connection.dialect.name]).one()
    return bool(ready), bool(postponed)


def wake_due(connection: sql.Connection) -> None:
    """Make postponed jobs ready that are due, those due longest first."""
    for query in _POSTPONED[connection.dialect.name]:
        if jobs := list(connection.scalars(query.limit(WOKEN))):
            connection.execute(JOBS.update().where(JOBS.c.id.in_(jobs)).values(not_before=0.0))


def take_next(connection: sql.Connection, running: Mapping[str, int], claim: Mapping[str, Any]) -> sql.Row[Any] | None:
    """Claim the next ready job, and return its row of `COLUMNS`.

    The highest priority comes first; within a priority, the owner with the fewest running jobs, then the owner served
    longest ago; within an owner, the oldest job. `running` counts the running jobs of each owner; `claim` has
    `by_worker`, `by_token` and `by_started`, the time. None when no job is ready, or after `CORRECTED` corrections:
    call again in another transaction while `find_due` finds a job.
    """
    for _ in range(CORRECTED):
        # Among this many owners, at least one has no running job, unless these are all owners.
        first = connection.execute(_FIRST_TURNS, {"number": len(running) + 1}).all()
        if not first:
            return None
        turn = min(first, key=lambda turn: (running.get(turn.owner, 0), turn.served, turn.oldest))
        row = connection.execute(_TAKE, {"of_job": turn.oldest, **claim}).one_or_none()
        # Lock the owner's rows before looking for the oldest job: a transaction that adds one now writes them
        # afterwards.
        if row is not None:
            connection.execute(_SERVE, {"of_owner": turn.owner, "by_started": claim["by_started"]})
        else:
            connection.execute(_LOCK, {"of_owner": turn.owner}).all()
        correct = _CORRECT[connection.dialect.name]
        connection.execute(correct, {"of_owner": turn.owner, "at_priority": turn.priority})
        if row is not None:
            return row
    return None


_WAITING = JOBS.c.state == State.WAITING.value
_READY = _WAITING & (JOBS.c.not_before == 0.0)
_HIGHEST = sql.select(JOBS.c.priority).where(_READY).order_by(JOBS.c.priority.desc()).limit(1).scalar_subquery()
_FIRST_TURNS = (
    sql.select(TURNS)
    .where(TURNS.c.priority == _HIGHEST, TURNS.c.oldest.is_not(None))
    .order_by(TURNS.c.served, TURNS.c.oldest)
    .limit(sql.bindparam("number", type_=sql.Integer))
)
_TAKE = (
    JOBS.update()
    .where(JOBS.c.id == sql.bindparam("of_job"), _READY)
    .values(
        state=State.RUNNING.value, cancel=False, attempts=JOBS.c.attempts + 1, worker=sql.bindparam("by_worker"),
        token=sql.bindparam("by_token"), started=sql.bindparam("by_started"),
    )
    .returning(*COLUMNS)
)  # fmt: skip
_THEIRS = TURNS.c.owner == sql.bindparam("of_owner")
_LOCK = sql.select(TURNS.c.owner).where(_THEIRS).with_for_update()
_SERVE = TURNS.update().where(_THEIRS).values(served=sql.bindparam("by_started"))
_JOB_TURN, _OWN_TURN = (JOBS.c.priority, JOBS.c.owner, JOBS.c.id), (TURNS.c.priority, TURNS.c.owner, TURNS.c.oldest)
_SAME_TURN = (JOBS.c.priority == TURNS.c.priority) & (JOBS.c.owner == TURNS.c.owner)
# Start at the oldest job in the row, to skip the claimed jobs before it. SQLite uses an index only as far as columns
# are compared for equality; PostgreSQL gets an order that no other index has, so that it takes this one.
_OLDEST = {
    "sqlite": sql.select(JOBS.c.id).where(_READY, _SAME_TURN, JOBS.c.id >= TURNS.c.oldest).order_by(JOBS.c.id),
    "postgresql": sql.select(sql.case((_SAME_TURN, JOBS.c.id)))
    .where(_READY, sql.tuple_(*_JOB_TURN) >= sql.tuple_(*_OWN_TURN))
    .order_by(*_JOB_TURN),
}
_CORRECT = {
    dialect: TURNS.update()
    .where(_THEIRS, TURNS.c.priority == sql.bindparam("at_priority"))
    .values(oldest=oldest.limit(1).scalar_subquery())
    for dialect, oldest in _OLDEST.items()
}


def _postponed_jobs(now: sql.ColumnElement[float]) -> tuple[sql.Select[str], sql.Select[str]]:
    """Return two queries for postponed jobs that are due; each reads one range of the index, and no other jobs."""
    past = (JOBS.c.not_before > 0.0) & (JOBS.c.not_before <= now)
    # A job that is postponed for longer than the longest pause was postponed before the clock was set back: it is due.
    ahead = JOBS.c.not_before > now + 2 * LONGEST_PAUSE_SECONDS
    # In the order of the index: otherwise the database might read the table from its start, where all jobs have ended.
    first, second = (sql.select(JOBS.c.id).where(_WAITING, due).order_by(JOBS.c.not_before) for due in (past, ahead))
    return first, second


def _due(queries: tuple[sql.Select[str], ...]) -> sql.Select[bool, bool]:
    exist = [query.limit(1).scalar_subquery().is_not(None) for query in queries]
    return sql.select(_HIGHEST.is_not(None), sql.or_(*exist))


_POSTPONED = {dialect: _postponed_jobs(now) for dialect, now in CLOCKS.items()}
_DUE = {dialect: _due(queries) for dialect, queries in _POSTPONED.items()}
