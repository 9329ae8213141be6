"""Webhooks: HTTP calls to a URL that the owner of a job chose, when the job has ended or was deleted.

The transaction that ends or deletes a job also records a notice, with `announce_end` or `announce_deletion`;
`WebhookDelivery` posts the notices afterwards.
"""

import json
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sql

from velum.errors import BadPlan, Unavailable, VelumError
from velum.jobs.database import Database
from velum.jobs.schema import COLUMNS, JOBS, NOTICES, job_of

if TYPE_CHECKING:
    from velum.net.client import HttpClient

LOG = logging.getLogger("velum.jobs")

Notify = Callable[[str, bytes], None]
"""Called with a URL and the JSON to post there. Raises a `VelumError` when the server did not accept it."""

TRIES = 8
THREADS = 4
"""Notices that a worker posts at the same time: at most one to each server of an owner, one less in all of an owner."""

ANSWER_SECONDS = 10.0
"""How long a call may take, from the connection to the end of the response."""

CLAIM_SECONDS = 60.0
"""How long a claimed notice is left alone by other workers: longer than a call may take."""

KEPT_SECONDS = 7 * 86400.0
"""How long a notice is kept that cannot be delivered."""

FAR_SECONDS = 3600.0
"""A notice due later than this was recorded before the clock was set back, since no pause is so long: it is due."""

NOTICES_TRIED = 50
"""Number of notices of one owner among which a claim looks for a free server."""

_FIRST_PAUSE_SECONDS = 10.0


def http_sender(peers: "HttpClient") -> Notify:
    """Return a function that posts to URLs that `peers` may reach: once, within `ANSWER_SECONDS`."""

    def notify(url: str, body: bytes) -> None:
        answer = peers.post_body(url, body, {"Content-Type": "application/json"}, once_within=ANSWER_SECONDS)
        if not 200 <= answer.status < 300:
            raise Unavailable(f"the webhook answered {answer.status}")

    return notify


def announce_end(connection: sql.Connection, jobs: Collection[str], now: float) -> None:
    """Record notices, with the present records of the jobs, for those of them that have a webhook."""
    query = sql.select(*COLUMNS).where(JOBS.c.id.in_(jobs), JOBS.c.webhook.is_not(None))
    for row in connection.execute(query).all():
        _note(connection, (row.id, row.owner, row.webhook), _job_body(row), now)


def announce_review(connection: sql.Connection, job: str, step: Mapping[str, Any], now: float) -> None:
    """Record the notice of a step of a job's review, for a job that has a webhook; `review` of the notice has it."""
    query = sql.select(*COLUMNS).where(JOBS.c.id == job, JOBS.c.webhook.is_not(None))
    for row in connection.execute(query).all():
        _note(connection, (row.id, row.owner, row.webhook), {**_job_body(row), "review": dict(step)}, now)


def announce_deletion(connection: sql.Connection, job: str, now: float) -> None:
    """Record the notice that a job is deleted; it replaces the earlier notices of the job."""
    connection.execute(NOTICES.delete().where(NOTICES.c.job == job))
    query = sql.select(JOBS.c.id, JOBS.c.owner, JOBS.c.webhook).where(JOBS.c.id == job, JOBS.c.webhook.is_not(None))
    if (row := connection.execute(query).one_or_none()) is not None:
        _note(connection, (row.id, row.owner, row.webhook), _deletion_body(job), now)


def _note(connection: sql.Connection, whom: tuple[str, str, str], body: Mapping[str, Any], now: float) -> None:
    job, owner, url = whom
    values = {"job": job, "owner": owner, "url": url, "body": json.dumps(body), "due": now, "tries": 0}
    connection.execute(NOTICES.insert().values(id=secrets.token_hex(16), **values))


def _deletion_body(job: str) -> dict[str, Any]:
    return {"id": job, "state": "deleted"}


def _job_body(row: sql.Row[Any]) -> dict[str, Any]:
    try:
        return job_of(row).to_json()
    except BadPlan:  # written by another version: say what this version can read
        return {"id": row.id, "state": row.state, "name": row.name, "error": {"code": row.error, "message": None}}


def _server_of(notice: sql.Row[Any]) -> tuple[str, str]:
    """Return the owner and the server of a notice; notices with the same pair are posted one at a time."""
    return notice.owner, urlsplit(notice.url).netloc


class WebhookDelivery:
    """Posts notices to webhooks, each until it is accepted, `TRIES` times at most. The job does not change.

    Owners take turns, so that no owner waits for another's slow webhooks. Safe to share between threads.
    """

    def __init__(self, database: Database, notify: Notify | None) -> None:
        self._database, self._notify = database, notify
        self._lock = threading.Lock()
        self._busy: Counter[tuple[str, str]] = Counter()
        self._turns: dict[str, int] = {}
        self._numbers = count(1)

    def deliver(self) -> bool:
        """Post a notice that is due, and return whether there was one."""
        if self._notify is None:
            return False
        with self._claim() as notice:
            if notice is None:
                return False
            try:
                self._notify(notice.url, notice.body.encode())
            except VelumError as error:
                LOG.warning(
                    "job %s: calling the webhook failed, try %d of %d: %s", notice.job, notice.tries, TRIES, error
                )
                self._settle(notice, None if notice.tries >= TRIES else _FIRST_PAUSE_SECONDS * 2 ** (notice.tries - 1))
            else:
                self._settle(notice, None)
            return True

    @contextmanager
    def _claim(self) -> Iterator[sql.Row[Any] | None]:
        """Claim a notice that is due, so that no other thread or worker posts it meanwhile."""
        with self._lock:
            notice = self._claim_next()
            if notice is not None:
                self._busy[_server_of(notice)] += 1
                self._turns[notice.owner] = next(self._numbers)
        try:
            yield notice
        finally:
            if notice is not None:
                with self._lock:
                    self._busy[_server_of(notice)] -= 1
                    self._busy += Counter()  # drops counters that are 0

    def _claim_next(self) -> sql.Row[Any] | None:
        with self._database.reading() as connection:
            now = self._database.now(connection)
            if (row := self._next(connection, now)) is None:
                return None
        with self._database.writing() as connection:
            same = (NOTICES.c.id == row.id) & (NOTICES.c.due == row.due)
            values = {"due": now + CLAIM_SECONDS, "tries": row.tries + 1}
            if row.body is None:  # recorded by an earlier velum: post the present record of the job
                job = connection.execute(sql.select(*COLUMNS).where(JOBS.c.id == row.job)).one_or_none()
                values["body"] = json.dumps(_deletion_body(row.job) if job is None else _job_body(job))
            return connection.execute(NOTICES.update().where(same).values(**values).returning(NOTICES)).one_or_none()

    def _next(self, connection: sql.Connection, now: float) -> sql.Row[Any] | None:
        """Return the next notice: of the owner who was served longest ago, the one with the fewest tries."""
        due = (NOTICES.c.due <= now) | (NOTICES.c.due > now + FAR_SECONDS)
        first = sql.select(NOTICES.c.owner, sql.func.min(NOTICES.c.due)).where(due).group_by(NOTICES.c.owner)
        owners = sorted(connection.execute(first), key=lambda row: (self._turns.get(row[0], 0), row[1]))
        self._turns = {owner: self._turns.get(owner, 0) for owner, _ in owners}
        for owner, _ in owners:
            busy = sum(number for (whose, _), number in self._busy.items() if whose == owner)
            if busy >= THREADS - 1:
                continue
            theirs = sql.select(NOTICES).where(due, NOTICES.c.owner == owner)
            for row in connection.execute(theirs.order_by(NOTICES.c.tries, NOTICES.c.due).limit(NOTICES_TRIED)):
                if not self._busy[_server_of(row)]:
                    return row
        return None

    def _settle(self, notice: sql.Row[Any], pause: float | None) -> None:
        same = NOTICES.c.id == notice.id
        with self._database.writing() as connection:
            if pause is None:
                connection.execute(NOTICES.delete().where(same))
            else:
                due = self._database.now(connection) + pause
                connection.execute(NOTICES.update().where(same).values(due=due))
