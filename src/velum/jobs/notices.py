"""Telling an address of its owner's choice that a job has ended."""

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sql

from velum.errors import Unavailable, VelumError
from velum.jobs.database import JOBS, Database
from velum.jobs.rows import COLUMNS, job_of
from velum.jobs.values import Job

if TYPE_CHECKING:
    from velum.remote.peers import Peers

LOG = logging.getLogger("velum.jobs")

Notify = Callable[[str, bytes], None]
"""Called with an address and JSON to be posted there. Raises a `VelumError` when it was not taken."""

TRIES = 8
CLAIM_SECONDS = 300.0
"""For how long nobody else posts what someone has begun to post: longer than one call may take."""

_FIRST_PAUSE_SECONDS = 10.0


def through(peers: "Peers") -> Notify:
    """Return what posts to addresses that `peers` may reach."""

    def notify(url: str, body: bytes) -> None:
        answer = peers.post_body(url, body, {"Content-Type": "application/json"})
        if not 200 <= answer.status < 300:
            raise Unavailable(f"the webhook answered {answer.status}")

    return notify


class Notices:
    """What is to be told. Each is told at least once, or tried `TRIES` times; it changes nothing about the job."""

    def __init__(self, database: Database, notify: Notify | None) -> None:
        self._database, self._notify = database, notify

    def deliver(self) -> bool:
        """Tell one that is due, and say whether there was one."""
        if self._notify is None or (due := self._claim()) is None:
            return False
        job, tries = due
        assert job.submission.webhook is not None  # noqa: S101 - chosen so
        try:
            self._notify(job.submission.webhook, json.dumps(job.to_json()).encode())
        except VelumError as error:
            LOG.warning("job %s: its webhook was not told, try %d of %d: %s", job.id, tries, TRIES, error)
            self._settle(job, None if tries >= TRIES else _FIRST_PAUSE_SECONDS * 2 ** (tries - 1))
        else:
            self._settle(job, None)
        return True

    def _claim(self) -> tuple[Job, int] | None:
        """Take one that is due, so that no other worker tells it meanwhile."""
        with self._database.reading() as connection:
            now = self._database.now(connection)
            due = (JOBS.c.notify_at <= now) & JOBS.c.webhook.is_not(None)
            row = connection.execute(sql.select(*COLUMNS).where(due).limit(1)).one_or_none()
        if row is None:
            return None
        with self._database.writing() as connection:
            same = (JOBS.c.id == row.id) & (JOBS.c.notify_at == row.notify_at)
            values = {"notify_at": now + CLAIM_SECONDS, "notified": row.notified + 1}
            if not connection.execute(JOBS.update().where(same).values(**values)).rowcount:
                return None
        return job_of(row), row.notified + 1

    def _settle(self, job: Job, pause: float | None) -> None:
        with self._database.writing() as connection:
            again = None if pause is None else self._database.now(connection) + pause
            ended = (JOBS.c.id == job.id) & (JOBS.c.ended == job.ended)
            connection.execute(JOBS.update().where(ended).values(notify_at=again))
