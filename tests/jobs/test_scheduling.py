"""The order in which jobs are claimed, compared with the rule itself on queues of many kinds."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sql
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.waiting import until

from velum import Plan
from velum.jobs import Database, State, Submission, WorkerTiming, scheduling
from velum.jobs.claims import Lease, WorkerClaims
from velum.jobs.schema import JOBS, TURNS, WORKERS, row_of

from .postgres import database as temporary

LATER = {"now": 0.0, "due": -1.0, "postponed": 100.0, "a clock was set back": 7200.0}
"""When a job may be taken up, from now; 0: it was never postponed."""


@dataclass
class Waiting:
    """A job as the rule sees it."""

    id: str
    owner: str
    priority: int
    may: str = "now"


class Rule:
    """The rule, over lists: what is right however the database finds it."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.running: list[Waiting] = []
        self.served: dict[str, int] = {}
        self._turn = 0

    def next(self, overall: int | None) -> Waiting | None:
        if overall is not None and len(self.running) >= overall:
            return None
        ready = [job for job in self.waiting if job.may != "postponed"]
        highest = max((job.priority for job in ready), default=0)
        busy = Counter(job.owner for job in self.running)
        first = min(
            (job for job in ready if job.priority == highest),
            key=lambda job: (busy[job.owner], self.served.get(job.owner, 0), job.id), default=None,
        )  # fmt: skip
        if first is not None:
            self._turn += 1
            self.served[first.owner] = self._turn
            self.waiting.remove(first)
            self.running.append(first)
        return first


@contextmanager
def emptied(database: Database) -> Iterator[None]:
    try:
        yield
    finally:
        with database.writing() as connection:
            for table in (JOBS, TURNS, WORKERS):
                connection.execute(table.delete())


def put(database: Database, *jobs: Waiting) -> None:
    with database.writing() as connection:
        now = database.now(connection)
        rows = [
            {
                **row_of(Submission("0" * 32, "x", Plan(), job.owner, job.priority)), "id": job.id,
                "state": State.WAITING, "submitted": 0.0, "not_before": now + LATER[job.may] if LATER[job.may] else 0.0,
            }
            for job in jobs
        ]  # fmt: skip
        if rows:
            connection.execute(JOBS.insert(), rows)


JOB = st.tuples(st.sampled_from("abcB"), st.integers(-1, 1), st.sampled_from(list(LATER)))
LEAVING = st.tuples(st.sampled_from(["give back", "end", "postpone"]), st.integers(0, 5))
STEPS = st.lists(st.one_of(st.tuples(st.just("submit"), JOB), LEAVING), max_size=8)


def test_jobs_are_claimed_in_the_order_of_the_scheduling_rule(url: str) -> None:
    with closing(Database(url)) as database:

        @settings(max_examples=20, deadline=None)
        @given(jobs=st.lists(JOB, max_size=10), steps=STEPS, overall=st.none() | st.integers(1, 4))
        def check(jobs: list[tuple[str, int, str]], steps: list[tuple[str, Any]], overall: int | None) -> None:
            with emptied(database):
                compare(database, jobs, steps, overall)

        check()


def compare(
    database: Database, jobs: list[tuple[str, int, str]], steps: list[tuple[str, Any]], overall: int | None
) -> None:
    """Take jobs up while they come and go, and assert after each step that it was the right one."""
    ledger, rule, holds = (
        WorkerClaims(database, "w", "w", WorkerTiming(backoff_seconds=100)),
        Rule(),
        dict[str, Lease](),
    )
    rule.waiting += [Waiting(f"{n:032}", *values) for n, values in enumerate(jobs)]
    put(database, *rule.waiting)

    def take() -> None:
        hold, right = ledger.take(overall), rule.next(overall)
        assert (None if hold is None else hold.job.id) == (None if right is None else right.id)
        if hold is not None:
            holds[hold.job.id] = hold

    for n, (what, value) in enumerate(steps):
        take()
        if what == "submit":
            rule.waiting.append(Waiting(f"{100 + n:032}", *value))
            put(database, rule.waiting[-1])
        elif rule.running:
            job = rule.running.pop(value % len(rule.running))
            leave(ledger, what, holds.pop(job.id))
            if what != "end":
                job.may = "postponed" if what == "postpone" else "now"
                rule.waiting.append(job)
    for _ in range(3):
        take()


def leave(ledger: WorkerClaims, how: str, hold: Lease) -> None:
    if how == "end":
        ledger.fail(hold, "BadInput", "")
    elif how == "postpone":
        ledger.defer(hold, "Unavailable", "")
    else:
        ledger.give_back(hold)


def test_more_delayed_jobs_than_one_claim_releases_all_become_ready(lite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "WOKEN", 2)
    with closing(Database(lite)) as database:
        jobs = [Waiting(f"{n:032}", "", 0, "due") for n in range(5)]
        put(database, *jobs)
        ledger, taken = WorkerClaims(database, "w", "w", WorkerTiming()), set()
        while (hold := ledger.take()) is not None:
            taken.add(hold.job.id)
            ledger.fail(hold, "BadInput", "")
        assert taken == {job.id for job in jobs}


def test_a_claim_reads_no_more_of_the_jobs_than_it_must(url: str) -> None:
    """What is read are the indexes that were made for it; no plan sorts, or reads a whole table, however many wait."""
    with closing(Database(url)) as database:
        asked: list[tuple[str, Any]] = []
        put(database, *(Waiting(f"{n:032}", f"owner {n % 1500}", n % 2, "now") for n in range(4000)))
        with database.writing() as connection:
            connection.exec_driver_sql("ANALYZE")
        ledger = WorkerClaims(database, "w", "w", WorkerTiming())
        ledger.beat()
        with database.reading() as connection:
            sql.event.listen(connection.engine, "before_cursor_execute", lambda *event: asked.append(event[2:4]))
        assert ledger.take() is not None
        number = len(asked)
        with database.reading() as connection:
            lite = connection.dialect.name == "sqlite"
            explain = "EXPLAIN QUERY PLAN " if lite else "EXPLAIN "
            claim = re.compile("^(SELECT|UPDATE).*(not_before [<>=])", re.DOTALL)
            claims = [(text, values) for text, values in asked if claim.match(text)]
            for text, values in claims:
                plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + text, values))
                assert "velum_jobs_ready" in plan or text.startswith("UPDATE velum_jobs"), plan
                assert ("velum_turns_next" in plan) == ("FROM velum_turns" in text), plan
                assert not re.search(r"TEMP B-TREE|Sort|Seq Scan|SCAN (velum_jobs|velum_turns)\b", plan), plan
                if text.startswith("UPDATE velum_turns"):
                    assert re.search("owner=. AND id>|Index Cond: .*ROW", plan), plan
        assert (len(claims), number) == (4, 8)


@pytest.mark.parametrize("left", ["cancelled", "deleted", "of another velum"])
def test_owners_without_jobs_delay_nobody(url: str, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "CORRECTED", 2)
    with closing(Database(url)) as database:
        put(database, *(Waiting(f"{n:032}", f"owner {n}", 0) for n in range(8)))
        with database.writing() as connection:
            gone = JOBS.c.id < f"{7:032}"
            if left == "deleted":
                connection.execute(JOBS.delete().where(gone))
            else:
                values = {"state": State.CANCELLED} if left == "cancelled" else {"plan": '{"version": 99}'}
                connection.execute(JOBS.update().where(gone).values(**values))
        ledger = WorkerClaims(database, "w", "w", WorkerTiming())
        hold = ledger.take()
        assert hold is not None
        assert hold.job.id == f"{7:032}"
        assert ledger.take() is None
        with database.reading() as connection:
            states = Counter(connection.scalars(sql.select(JOBS.c.state)))
            assert states == {"cancelled": {"cancelled": 7}, "deleted": {}, "of another velum": {"failed": 7}}[left] | {
                "running": 1
            }
            assert connection.scalar(sql.select(sql.func.count(TURNS.c.oldest))) == 0


def test_a_job_submitted_while_its_owners_last_job_is_claimed_is_not_lost(server: str) -> None:
    """A claim that finds no more jobs of an owner takes the owner out of the line; a job added just then is in it."""
    with temporary(server, "velum_turns") as url, closing(Database(url)) as database, ThreadPoolExecutor(2) as others:
        ledger = WorkerClaims(database, "w", "w", WorkerTiming())
        put(database, Waiting(f"{1:032}", "a", 0))
        with database.writing() as adding:  # not yet to be seen
            adding.execute(JOBS.insert().values(id=f"{2:032}", **ready_row()))
            first = others.submit(ledger.take)
            until(lambda: blocked(database))
        hold, second = first.result(), ledger.take()
        assert hold is not None
        assert second is not None
        assert [hold.job.id, second.job.id] == [f"{1:032}", f"{2:032}"]
        put(database, Waiting(f"{3:032}", "a", 0))
        with database.writing(alone=True) as claiming:
            scheduling.take_next(claiming, {}, {"by_worker": "w", "by_token": "t", "by_started": 1.0})
            adding_now = others.submit(put, database, Waiting(f"{4:032}", "a", 0))
            until(lambda: blocked(database))
        adding_now.result()
        third = ledger.take()
        assert third is not None
        assert third.job.id == f"{4:032}"


def test_tables_of_version_7_are_migrated_to_turns_of_owners(url: str) -> None:
    jobs = [Waiting(f"{n:032}", f"owner {n % 3}", n % 2, "postponed" if n == 5 else "now") for n in range(6)]
    with closing(Database(url)) as database:
        put(database, *jobs)
        with database.writing() as connection:
            for statement in (*NOT_IN_VERSION_7[connection.dialect.name], *LATER_COLUMNS, *OWNERS_IN_VERSION_7):
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("UPDATE velum_schema SET version = 7")
    with closing(Database(url)) as database:
        with database.reading() as connection:
            turns = set(connection.execute(sql.select(TURNS.c.owner, TURNS.c.priority, TURNS.c.served, TURNS.c.oldest)))
        served = {"owner 0": 1e9, "owner 3": 2e9}
        ready = {(job.owner, job.priority, served.get(job.owner, 0.0), job.id) for job in jobs if job.may == "now"}
        assert turns == ready | {("owner 3", 0, 2e9, None)}
        put(database, Waiting(f"{9:032}", "new", 5))
        hold = WorkerClaims(database, "w", "w", WorkerTiming()).take()
        assert hold is not None
        assert hold.job.id == f"{9:032}"


NOT_IN_VERSION_7 = {
    "sqlite": ["DROP TRIGGER velum_turn_on_insert", "DROP TRIGGER velum_turn_on_update", "DROP TABLE velum_turns"],
    "postgresql": [
        "DROP TRIGGER velum_turn ON velum_jobs", "DROP FUNCTION velum_take_turn()", "DROP TABLE velum_turns",
    ],
}  # fmt: skip


LATER_COLUMNS = (
    "DROP INDEX velum_jobs_keep_until",
    "ALTER TABLE velum_jobs DROP COLUMN keep_until",
    "ALTER TABLE velum_jobs DROP COLUMN drafted",
    "ALTER TABLE velum_jobs DROP COLUMN kind",
)


OWNERS_IN_VERSION_7 = (
    "CREATE TABLE velum_owners (owner VARCHAR(255) PRIMARY KEY, served DOUBLE PRECISION NOT NULL)",
    "INSERT INTO velum_owners VALUES ('owner 0', 1e9), ('owner 3', 2e9)",
)


def ready_row() -> dict[str, Any]:
    values = row_of(Submission("0" * 32, "x", Plan(), "a", 0))
    return {**values, "state": State.WAITING, "submitted": 0.0, "not_before": 0.0}


def blocked(database: Database) -> bool:
    asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    with database.reading() as connection:
        return bool(connection.exec_driver_sql(asked).scalar())
