"""Whose turn it is among the jobs that wait, found without reading those that wait behind it.

A job is ready when it waits and its `not_before` is 0; one that was postponed is woken when it is due. So the index of
the tables leads to the highest priority, from owner to owner of that priority, and to the oldest job of each: the time
that takes grows with the owners that wait, not with their jobs.
"""

from collections.abc import Mapping

import sqlalchemy as sql

from velum.jobs.schema import JOBS, OWNERS
from velum.jobs.values import LONGEST_PAUSE_SECONDS, State

WOKEN = 500
"""Postponed jobs that are woken at a time; where more are due at once, the next claims wake them."""

_WAITING = JOBS.c.state == State.WAITING
_READY = _WAITING & (JOBS.c.not_before == 0.0)
_HIGHEST = sql.select(JOBS.c.priority).where(_READY).order_by(JOBS.c.priority.desc()).limit(1)


def any_due(connection: sql.Connection, now: float) -> bool:
    """Return whether a job may be taken up."""
    # In the order of the index: without one, the table might be read from its start, where all have ended.
    postponed = [sql.select(JOBS.c.id).where(due).order_by(JOBS.c.not_before) for due in _postponed_until(now)]
    found = [one.limit(1).scalar_subquery().is_not(None) for one in (_HIGHEST, *postponed)]
    return bool(connection.scalar(sql.select(sql.or_(*found))))


def wake_due(connection: sql.Connection, now: float) -> None:
    """Make postponed jobs ready whose time has come, those first that are due longest."""
    for due in _postponed_until(now):
        jobs = list(connection.scalars(sql.select(JOBS.c.id).where(due).order_by(JOBS.c.not_before).limit(WOKEN)))
        if jobs:
            connection.execute(JOBS.update().where(JOBS.c.id.in_(jobs)).values(not_before=0.0))


def next_job(connection: sql.Connection, running: Mapping[str, int]) -> str | None:
    """Return the id of the ready job whose turn it is, None when there is none. `running` counts jobs by owner.

    First those of the highest priority; of these, those of the owner who has the fewest running, then of the one who
    was served longest ago; of these, the oldest.
    """
    if (priority := connection.scalar(_HIGHEST)) is None:
        return None
    waiting = connection.execute(_WAITING_OWNERS, {"priority": priority})
    turns = ((running.get(owner, 0), served, oldest) for owner, oldest, served in waiting)
    return min(turns, default=(0, 0.0, None))[2]


def _postponed_until(now: float) -> tuple[sql.ColumnElement[bool], ...]:
    """Return which postponed jobs are due: two ranges of the index, so that none beyond them is read."""
    past = _WAITING & (JOBS.c.not_before > 0.0) & (JOBS.c.not_before <= now)
    # What is put off for longer than any pause was so by a clock that has been set back since.
    return past, _WAITING & (JOBS.c.not_before > now + 2 * LONGEST_PAUSE_SECONDS)


def _waiting_owners() -> sql.Select[str, str, float]:
    """Return the query for owners with ready jobs of `:priority`, the oldest job of each, and when each was served.

    Neither database jumps from owner to owner in an index by itself: the recursion makes them do so.
    """
    ready = _READY & (JOBS.c.priority == sql.bindparam("priority"))
    by_owner = sql.select(JOBS.c.owner).order_by(JOBS.c.owner).limit(1)
    owners = sql.select(by_owner.where(ready).scalar_subquery().label("owner")).cte("waiting_owners", recursive=True)
    behind = by_owner.where(ready, JOBS.c.owner > owners.c.owner).scalar_subquery()
    owners = owners.union_all(sql.select(behind).where(owners.c.owner.is_not(None)))
    oldest = sql.select(JOBS.c.id).where(ready, JOBS.c.owner == owners.c.owner).order_by(JOBS.c.id).limit(1)
    return (
        sql.select(owners.c.owner, oldest.scalar_subquery(), sql.func.coalesce(OWNERS.c.served, 0.0))
        .select_from(owners.outerjoin(OWNERS, OWNERS.c.owner == owners.c.owner))
        .where(owners.c.owner.is_not(None))
    )


_WAITING_OWNERS = _waiting_owners()
