"""Submitting, listing and changing jobs, on SQLite and PostgreSQL."""

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sql

from velum import Plan
from velum.errors import BadInput, BadPlan, VelumError
from velum.jobs import Database, JobQueue, State, Submission, WorkerTiming
from velum.jobs.claims import WorkerClaims
from velum.jobs.schema import NOTICES

from .conftest import Office

NEW_INDEXES = {"velum_jobs_ready", "velum_jobs_state"}
"""Of the tables since version 7."""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "a\nb"}, "name"),  # would break lines of logs
        ({"name": "x" * 256}, "name"),
        ({"owner": "x" * 256}, "owner"),
        ({"priority": 1001}, "priority"),
        ({"priority": True}, "priority"),
        ({"webhook": "http://x/" + "y" * 2000}, "webhook"),
    ],
)
def test_invalid_submissions_are_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(BadPlan, match=why):
        Submission("0" * 32, **{"name": "x", "plan": Plan(), **given})  # type: ignore[arg-type]


def test_a_job_comes_back_as_it_was_given(office: Office) -> None:
    plan = Plan.of("zone: fixed(box=[0, 0, 4, 4]) -> blacken", quality=80)
    source, regions = (office.store.put([content]).key for content in (b"{}", b"[]"))
    given = Submission(source, "Urlaub ü '%s'.png", plan, "key-1", 7, "http://x.example/", regions)
    job = office.desk.submit(given)
    assert office.desk.get(job.id) == job
    assert job.submission == given
    shown = json.dumps(job.to_json())
    assert source not in shown
    assert regions not in shown


@pytest.mark.parametrize("key", ["0" * 32, "../../etc/passwd", ""])
def test_a_submission_without_a_file_in_the_store_is_refused(back_office: Office, key: str) -> None:
    with pytest.raises(BadInput, match="not in the store"):
        back_office.desk.submit(Submission(key, "x", Plan()))


def test_paging_skips_no_job_while_jobs_are_added_and_deleted(office: Office) -> None:
    jobs = [office.submit(f"job-{n}", owner="ab"[n % 2]) for n in range(11)]
    first = office.desk.list(limit=4)
    assert [job.submission.name for job in first.jobs] == ["job-10", "job-9", "job-8", "job-7"]
    office.submit("later")
    office.desk.delete(jobs[6].id)
    office.desk.cancel(jobs[3].id)
    second = office.desk.list(limit=4, after=first.after)
    assert [job.submission.name for job in second.jobs] == ["job-5", "job-4", "job-3", "job-2"]
    last = office.desk.list(limit=4, after=second.after)
    assert ([job.submission.name for job in last.jobs], last.after) == (["job-1", "job-0"], None)
    cancelled = office.desk.list(state=State.CANCELLED, owner="b").jobs
    assert [job.submission.name for job in cancelled] == ["job-3"]
    assert office.desk.list(state=State.CANCELLED, owner="a").jobs == ()
    assert office.desk.counts() == {state: {"waiting": 10, "cancelled": 1}.get(state, 0) for state in State}


def test_the_longest_wait_is_that_of_the_oldest_waiting_job(office: Office) -> None:
    assert office.desk.longest_wait_seconds() == 0
    jobs = [office.submit(f"job-{number}") for number in range(3)]
    office.desk.cancel(jobs[0].id)
    before = time.time()
    wait = office.desk.longest_wait_seconds()
    assert before - jobs[1].submitted - 0.01 <= wait <= time.time() - jobs[1].submitted + 0.01
    for job in jobs:
        office.desk.cancel(job.id)
    assert office.desk.longest_wait_seconds() == 0


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_page_size_out_of_range_is_refused(back_office: Office, limit: int) -> None:
    with pytest.raises(BadPlan, match="from 1 to 1000"):
        back_office.desk.list(limit=limit)


def test_an_unknown_job_is_reported_as_missing(back_office: Office) -> None:
    desk = back_office.desk
    assert (desk.get("x"), desk.report("x"), desk.cancel("x"), desk.retry("x")) == (None,) * 4
    assert desk.delete("x") is False


def test_a_waiting_job_cannot_be_retried(back_office: Office) -> None:
    with pytest.raises(BadPlan, match="is waiting"):
        back_office.desk.retry(back_office.submit().id)


def test_deleting_a_job_leaves_files_that_another_job_needs(back_office: Office) -> None:
    first = back_office.submit()
    second = back_office.desk.submit(first.submission)
    assert back_office.desk.delete(first.id)
    assert back_office.store.size(first.submission.source) is not None
    assert back_office.desk.delete(second.id)
    assert list(back_office.store.list()) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("jobs.sqlite", "is not a supported database URL"),
        ("sqlite://", "is not a supported database URL"),  # in memory: no worker would see it
        ("mysql://user:secret@x/y", "is not a supported database URL"),
        ("postgresql://user:secret@127.0.0.1:1/y", "does not answer"),
        ("sqlite:////proc/none/jobs.sqlite", "cannot|does not answer"),
    ],
)
def test_unsupported_database_urls_are_refused(url: str, why: str) -> None:
    with pytest.raises(VelumError, match=why) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_database_of_a_later_velum_is_refused(office: Office) -> None:
    with office.database.writing() as connection:
        connection.exec_driver_sql("UPDATE velum_schema SET version = 99")
    with pytest.raises(VelumError, match="version 99"):
        Database(office.url)


def drop_new_columns(connection: sql.Connection) -> None:
    connection.exec_driver_sql("DROP INDEX velum_jobs_keep_until")
    for column in ("keep_until", "drafted", "kind"):
        connection.exec_driver_sql(f"ALTER TABLE velum_jobs DROP COLUMN {column}")


def test_tables_of_an_earlier_velum_are_migrated(office: Office) -> None:
    job = office.submit(webhook="http://x.example/")
    with office.database.writing() as connection:
        for table, column in (("velum_jobs", "found"), ("velum_jobs", "draft"), ("velum_pieces", "told")):
            connection.exec_driver_sql(f"DROP INDEX ix_{table}_{column}")
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.exec_driver_sql("ALTER TABLE velum_jobs DROP COLUMN former")
        drop_new_columns(connection)
        for table in ("velum_notices", "velum_store"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("ALTER TABLE velum_jobs ADD COLUMN notify_at DOUBLE PRECISION")
        connection.exec_driver_sql("ALTER TABLE velum_jobs ADD COLUMN notified INTEGER DEFAULT 0 NOT NULL")
        connection.exec_driver_sql("CREATE INDEX ix_velum_jobs_notify_at ON velum_jobs (notify_at)")
        connection.exec_driver_sql("UPDATE velum_jobs SET notify_at = 7, notified = 2")
        for index in NEW_INDEXES:
            connection.exec_driver_sql(f"DROP INDEX {index}")
        connection.exec_driver_sql("CREATE INDEX velum_jobs_turn ON velum_jobs (state, priority, owner, id)")
        connection.exec_driver_sql("UPDATE velum_schema SET version = 1")
    for _ in range(2):
        with closing(Database(office.url)) as later:
            assert JobQueue(later, office.store).get(job.id) == job
            with later.reading() as connection:
                (due,) = connection.execute(NOTICES.select())
            assert (due.job, due.url, due.body, due.due, due.tries) == (job.id, "http://x.example/", None, 7, 2)
            JobQueue(later, office.store).submit(job.submission)
            with later.reading() as connection:
                indexes = {index["name"] for index in sql.inspect(connection).get_indexes("velum_jobs")}
            assert indexes >= NEW_INDEXES | {"velum_jobs_keep_until"}
            assert "velum_jobs_turn" not in indexes


@pytest.mark.parametrize("past", [False, True])
def test_waiting_jobs_of_an_earlier_velum_are_run(office: Office, past: bool) -> None:
    jobs = [office.submit(owner="a"), office.submit(owner="b")]
    with office.database.writing() as connection:
        for index in NEW_INDEXES:
            connection.exec_driver_sql(f"DROP INDEX {index}")
        connection.exec_driver_sql("CREATE INDEX velum_jobs_turn ON velum_jobs (state, priority, owner, id)")
        drop_new_columns(connection)
        connection.exec_driver_sql("UPDATE velum_schema SET version = 6")
        if past:  # an earlier velum left there when it was put off to, though it was due
            connection.exec_driver_sql("UPDATE velum_jobs SET not_before = 1.5")
    with closing(Database(office.url)) as later:
        ledger = WorkerClaims(later, "one", "one", WorkerTiming())
        taken = [ledger.take(), ledger.take(), ledger.take()]
    assert [hold and hold.job.id for hold in taken] == [*(job.id for job in jobs), None]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no database at all, but rather a text" * 100)
    with pytest.raises(VelumError, match="does not answer"):
        Database(f"sqlite:///{tmp_path}/x")


def test_only_the_commit_of_a_durable_transaction_waits_for_the_disk(office: Office) -> None:
    lite = office.url.startswith("sqlite")
    setting, waits, does_not_wait = ("PRAGMA synchronous", 2, 1) if lite else ("SHOW synchronous_commit", "on", "off")
    with office.database.reading() as connection:
        for durable in (True, False, True):
            with office.database.changing(connection, durable=durable):
                assert connection.exec_driver_sql(setting).scalar() == (waits if durable else does_not_wait)
