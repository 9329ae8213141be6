"""Sources, results and records are deleted after their retention time."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from velum import Plan
from velum.errors import BadPlan, OutputFailed
from velum.jobs import Database, Retention, RetentionSweeper, State, Submission, SweepResult, Uploads, retention
from velum.jobs.schema import JOBS, PIECES, row_of
from velum.storage import StoredObject
from velum.storage.folder import FolderStore

from .conftest import MOSTLY_SQLITE, Office

pytestmark = pytest.mark.slow

KEEP = 1e6
RETENTION = Retention(originals_seconds=KEEP, results_seconds=KEEP, jobs_seconds=KEEP, unclaimed_seconds=KEEP)


def age(office: Office, job: str, seconds: float) -> None:
    with office.database.writing() as connection:
        connection.execute(JOBS.update().where(JOBS.c.id == job).values(ended=JOBS.c.ended - seconds))


def sweep(office: Office, **times: float) -> SweepResult:
    given = {name: getattr(RETENTION, name) for name in RETENTION.__slots__} | times
    return RetentionSweeper(office.database, office.store, Retention(**given)).sweep()


def test_sources_results_and_records_are_deleted_after_their_time(office: Office) -> None:
    job, waiting = office.submit(pieces=1), office.submit(priority=-1, seconds=60)
    with office.working(retention=RETENTION, concurrency=1):
        office.ended(job)
    age(office, job.id, 100)
    assert sweep(office) == SweepResult()
    assert sweep(office, originals_seconds=50) == SweepResult(originals=1)
    done = office.now(job)
    assert not done.source_kept
    assert office.store.size(done.submission.source) is None
    assert len(office.content(done)) == 3200
    assert sweep(office, results_seconds=50) == SweepResult(results=1)
    assert office.now(job).result is None
    assert office.desk.report(job.id) == {"pieces": [0]}
    assert sweep(office, jobs_seconds=50) == SweepResult(jobs=1)
    assert office.desk.get(job.id) is None
    assert [kept.key for kept in office.store.list()] == [waiting.submission.source]
    assert sweep(office, originals_seconds=0, results_seconds=0, jobs_seconds=0) == SweepResult()  # it has not ended


@pytest.mark.exhaustive
def test_a_sweep_reads_only_jobs_that_still_have_files(url: str, tmp_path: Path) -> None:
    """Thousands of jobs wait, and of thousands that have ended nothing is kept but their records."""
    with closing(Database(url)) as database:
        asked: list[tuple[str, Any]] = []
        same = {**row_of(Submission("0" * 32, "x", Plan())), "submitted": 0.0}
        ended = {"state": State.DONE, "ended": time.time() - KEEP / 2, "source_kept": False}
        rows = [
            {"id": f"{n:032}", **same, **(ended if n % 2 else {"state": State.WAITING}), "source": f"{n:032}"}
            for n in range(4000)
        ]
        with database.writing() as connection:
            for some in (rows[::2], rows[1::2]):
                connection.execute(JOBS.insert(), some)
            pieces = [{"job": row["id"], "index": 0, "label": ""} for row in rows]
            connection.execute(PIECES.insert(), pieces)
            connection.exec_driver_sql("ANALYZE")
            sql.event.listen(connection.engine, "before_cursor_execute", lambda *event: asked.append(event[2:4]))
        kept = Retention(originals_seconds=1, results_seconds=1, jobs_seconds=KEEP)
        assert RetentionSweeper(database, FolderStore(tmp_path / "store"), kept).due() == SweepResult()
        queries = [(text, values) for text, values in asked if "FROM velum_" in text]
        with database.reading() as connection:
            explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
            for text, values in queries:
                plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + text, values))
                assert not re.search(r"TEMP B-TREE|Sort|Seq Scan|SCAN velum_jobs|Aggregate", plan), plan
                assert re.search(
                    "velum_jobs_(ended|keep_until|(sources|results)_kept)|velum_pieces_kept|ix_velum_pieces_key .key>",
                    plan,
                ), plan
        assert len(queries) == 5


def test_pieces_are_deleted_with_the_source(office: Office) -> None:
    job = office.submit(pieces=2, error="BadInput", only=1)
    with office.working(retention=RETENTION):
        office.ended(job)
    assert len(list(office.store.list())) == 2
    age(office, job.id, 100)
    assert sweep(office, originals_seconds=50) == SweepResult(originals=2)
    assert list(office.store.list()) == []
    with pytest.raises(BadPlan, match="source of job .* has been deleted"):
        office.desk.retry(job.id)


@MOSTLY_SQLITE
@pytest.mark.parametrize(("kept", "left"), [("originals_seconds", "result"), ("results_seconds", "source")])
def test_pieces_are_deleted_with_the_source_or_the_result_whichever_is_first(
    office: Office, kept: str, left: str
) -> None:
    job = office.submit(pieces=3)
    with office.working(retention=RETENTION):
        (done,) = office.ended(job)
    age(office, job.id, 100)
    swept = sweep(office, **{kept: 50})
    assert swept.originals + swept.results == 4
    assert [stored.key for stored in office.store.list()] == [
        {"result": done.result, "source": job.submission.source}[left]
    ]


def test_a_source_is_deleted_with_the_last_job_that_needs_it(office: Office) -> None:
    job = office.submit(pieces=1)
    with office.working(retention=RETENTION):
        office.ended(job)
    age(office, job.id, 100)
    other = office.desk.submit(job.submission)
    assert sweep(office, originals_seconds=50) == SweepResult()
    assert office.desk.cancel(other.id)
    age(office, other.id, 100)
    assert sweep(office, originals_seconds=50) == SweepResult(originals=1)


def test_a_source_that_somebody_has_kept_longer_during_a_sweep_stays(office: Office) -> None:
    jobs = [office.submit(pieces=1) for _ in range(2)]
    with office.working(retention=RETENTION):
        office.ended(*jobs)
    kept, files = dict[str, bool](), {job.submission.source: job.id for job in jobs}

    class Store(FolderStore):
        """While it deletes one source, somebody has both kept longer."""

        def delete(self, key: str) -> None:
            for job in files.values() if key in files and not kept else ():
                try:
                    office.desk.keep_source(job, KEEP, 10 * KEEP)
                except BadPlan:
                    kept[job] = False
                else:
                    kept[job] = True
            super().delete(key)

    for job in jobs:
        age(office, job.id, 100)
    retention = replace(RETENTION, originals_seconds=50)
    swept = RetentionSweeper(office.database, Store(Path(str(office.place))), retention).sweep()
    assert swept.failed == ()
    assert sorted(kept.values()) == [False, True], "one source is being deleted, the other one stays"
    for job in jobs:
        assert office.now(job).source_kept is kept[job.id] is (office.store.size(job.submission.source) is not None)


@MOSTLY_SQLITE
def test_a_source_that_cannot_be_deleted_is_tried_again(office: Office) -> None:
    job = office.submit(pieces=1)
    with office.working(retention=RETENTION):
        office.ended(job)
    age(office, job.id, 100)

    class Full(FolderStore):
        def delete(self, key: str) -> None:
            raise OutputFailed(f"cannot delete {key}")

    retention = replace(RETENTION, originals_seconds=50)
    assert len(RetentionSweeper(office.database, Full(Path(str(office.place))), retention).sweep().failed) == 1
    assert office.now(job).source_kept
    assert sweep(office, originals_seconds=50) == SweepResult(originals=1)


@MOSTLY_SQLITE
def test_a_source_that_a_crash_left_behind_belongs_to_no_job(office: Office) -> None:
    job = office.submit(pieces=1)
    with office.working(retention=RETENTION):
        office.ended(job)
    with office.database.writing() as connection:
        connection.execute(JOBS.update().where(JOBS.c.id == job.id).values(source_kept=False))
    assert sweep(office, unclaimed_seconds=0) == SweepResult(unclaimed=1)
    assert office.store.size(job.submission.source) is None


def test_a_retention_of_zero_keeps_nothing(back_office: Office) -> None:
    job = back_office.submit(pieces=1)
    none = Retention(originals_seconds=0, results_seconds=0, jobs_seconds=0, unclaimed_seconds=0)
    with back_office.working(retention=none):
        for _ in back_office.desk.watch(job.id, every_seconds=0.01):
            pass
        while back_office.desk.get(job.id) is not None:
            pass
    assert list(back_office.store.list()) == []


def test_old_files_that_belong_to_no_job_are_deleted(office: Office) -> None:
    job = office.submit()
    stray = office.store.put([b"stray"])
    for kept in list(office.store.list()):
        os.utime(office.store.fetch(kept.key, Path()), (0, 0))
    young = office.store.put([b"just uploaded"])
    part = office.path / "store" / "parts" / "crash"
    part.write_bytes(b"half")
    os.utime(part, (0, 0))
    uploads = Uploads(office.path / "uploads", office.store, most=100)
    left = uploads.begin()
    for path in (office.path / "uploads" / left.id / "data", office.path / "uploads" / left.id):
        os.utime(path, (0, 0))
    swept = RetentionSweeper(office.database, office.store, Retention(), uploads).sweep()
    assert swept == SweepResult(unclaimed=1, temporary=2)
    assert {kept.key for kept in office.store.list()} == {job.submission.source, young.key}
    assert office.store.size(stray.key) is None


def test_a_worker_sweeps_the_whole_store_in_slices(
    back_office: Office, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LEFTOVERS_SECONDS", 0.0)
    strays = [back_office.store.put([b"stray"]) for _ in range(3)]
    for stray in strays:
        os.utime(back_office.store.fetch(stray.key, Path()), (0, 0))
    with back_office.working():
        back_office.until(back_office.submit(pieces=1), State.DONE)
        until(lambda: all(back_office.store.size(stray.key) is None for stray in strays), "the strays to go")


class CountingStore(FolderStore):
    """Counts the objects that it lists."""

    listed = 0
    calls = 0

    def list(self, start: str = "") -> Iterator[StoredObject]:
        for stored in super().list(start):
            self.listed += 1
            yield stored
        self.calls += 1


def test_no_worker_lists_the_whole_store_at_its_start(back_office: Office, until: Callable[..., None]) -> None:
    store = CountingStore(back_office.path / "store")
    for n in range(256):
        (back_office.path / "store" / f"{n:02x}").mkdir(exist_ok=True)
    for n in range(4_000):
        (back_office.path / "store" / f"{n % 256:02x}" / f"{n % 256:02x}{n:030x}").touch()
    back_office.store = store
    with back_office.working():
        back_office.until(back_office.submit(pieces=1), State.DONE)
        until(lambda: store.calls, "a slice of the store to be searched")
    assert 0 < store.listed <= 1000


@pytest.mark.parametrize("name", RETENTION.__slots__)
def test_negative_retention_times_are_refused(name: str) -> None:
    with pytest.raises(BadPlan, match=name):
        Retention(**{name: -1.0})
