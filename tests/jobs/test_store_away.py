"""A store that becomes unreachable and returns: no job is lost, and nothing is written in its place."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.service.factories import picture
from tests.storage.fake_s3 import S3

from velum import Limits, Plan, RuntimeConfig
from velum.engine.subprocess_engine import COMMAND_ADVICE, SubprocessEngine, SubprocessRequest
from velum.errors import Unavailable
from velum.jobs import (
    Database,
    EngineProcessor,
    FolderStore,
    Retention,
    RetentionSweeper,
    State,
    StoreAway,
    Submission,
    Uploads,
    join,
    open_store,
)  # fmt: skip
from velum.jobs.schema import JOBS, STORES
from velum.storage import MARK

from .conftest import Office
from .fake_processor import PACE

pytestmark = pytest.mark.slow


@contextmanager
def away(store: Path) -> Iterator[Path]:
    """Have an empty folder where the store was, as when a disk is not mounted any more; nothing may be put there."""
    aside = store.with_name("aside")
    store.rename(aside)
    store.mkdir()
    try:
        yield aside
        assert [path.name for path in store.rglob("*")] == []
    finally:
        store.rmdir()
        aside.rename(store)


def test_jobs_wait_while_the_store_is_unreachable(office: Office, until: Callable[..., None]) -> None:
    calm = office.submit("calm", pieces=2)
    with office.working():
        (calm,) = office.ended(calm)
    timing = replace(PACE, tries=2)
    none = Retention(originals_seconds=0, results_seconds=1e6, unclaimed_seconds=0)
    first = office.submit("first", pieces=2, seconds=0.2)
    with office.working(timing=timing, concurrency=2):
        until(lambda: "first 0" in office.made(), "the first piece to begin")
        jobs = [first]
        with away(office.path / "store"):
            until(lambda: office.now(first).error == "Unavailable", "the job in work to be put back")
            with pytest.raises(StoreAway):
                RetentionSweeper(office.database, office.store, none).sweep()
        jobs += [office.submit(f"job-{n}", pieces=2) for n in range(5)]
        done = office.ended(*jobs)
    assert [job.state for job in done] == [State.DONE] * 6
    assert {job.error for job in done} == {None}
    assert all(job.source_kept and office.store.size(job.submission.source) for job in done)
    assert len(office.content(done[0])) == len(office.content(calm))


def test_a_worker_that_starts_while_the_store_is_away_leaves_waiting_jobs_alone(office: Office) -> None:
    jobs = [office.submit(f"job-{n}", pieces=1) for n in range(3)]
    looked = Event()

    class Looking(FolderStore):
        def check(self) -> None:
            looked.set()
            super().check()

    with away(office.path / "store"):
        office.store = Looking(office.path / "store")
        with office.working(timing=replace(PACE, tries=1)):
            assert looked.wait(10)
        assert [(office.now(job).state, office.now(job).attempts) for job in jobs] == [(State.WAITING, 0)] * 3
    with office.working():
        assert [job.state for job in office.ended(*jobs)] == [State.DONE] * 3


def test_files_of_a_store_that_is_away_are_not_reported_deleted_or_missing(back_office: Office) -> None:
    job = back_office.submit()
    store, uploads = back_office.store, Uploads(back_office.path / "store" / "uploads", back_office.store, most=100)
    upload = uploads.begin().id
    (result := back_office.path / "made").write_bytes(b"made")
    key = job.submission.source
    with away(back_office.path / "store"):
        for use in (
            lambda: store.size(key), lambda: store.open(key), lambda: store.fetch(key, Path()),
            lambda: store.delete(key), lambda: list(store.list()), lambda: store.sweep(0), lambda: store.put([b"new"]),
            lambda: store.move_in(result), store.check, uploads.begin, lambda: uploads.get(upload),
            lambda: uploads.append(upload, 0, [b"x"]),
            lambda: back_office.desk.submit(job.submission),
        ):  # fmt: skip
            with pytest.raises(StoreAway, match=r"mounted"):
                use()
    assert store.size(key) is not None
    assert uploads.append(upload, 0, [b"x"]).offset == 1


@pytest.mark.parametrize("found", [None, "f" * 32])
def test_another_store_is_refused_until_the_operator_says_otherwise(back_office: Office, found: str | None) -> None:
    (other := back_office.path / "other").mkdir()
    store = FolderStore(other)
    if found is not None:
        store.establish(found)
    join(back_office.database, store)
    with pytest.raises(StoreAway) as caught:
        store.put([b"x"])
    with back_office.database.reading() as connection:
        identity = connection.execute(STORES.select()).scalar_one()
    assert f"{other / MARK} must hold {identity}" in str(caught.value)
    (other / MARK).write_text(identity)  # as the message says
    assert store.size(store.put([b"x"]).key) == 1


def test_an_empty_folder_is_not_taken_for_the_store_of_existing_jobs(lite: str, tmp_path: Path) -> None:
    office = Office(lite, tmp_path)
    office.submit()
    with office.database.writing() as connection:  # as an earlier velum left it
        connection.execute(STORES.delete())
    (tmp_path / "store" / MARK).unlink()
    empty = FolderStore(tmp_path / "empty")
    with pytest.raises(Unavailable, match="none of the files"):
        join(office.database, empty)
    assert not (tmp_path / "empty").exists()
    join(office.database, office.store)
    assert office.store.identity() is not None
    office.database.close()


def test_workers_that_start_together_agree_on_the_identity_of_the_store(url: str, tmp_path: Path) -> None:
    stores, databases = [FolderStore(tmp_path / "store") for _ in range(3)], [Database(url) for _ in range(3)]
    threads = [Thread(target=join, args=pair) for pair in zip(databases, stores, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    assert {store.identity() for store in stores} == {stores[0].identity()}
    key = stores[0].put([b"x"]).key
    assert [store.size(key) for store in stores] == [1, 1, 1]


def test_a_bucket_has_an_identity_too(lite: str, bucket: S3) -> None:
    with closing(Database(lite)) as database:
        store = open_store("s3://faces/velum")
        join(database, store)
        key = store.put([b"x"]).key
        other = open_store("s3://faces/elsewhere")
        join(database, other)
        with pytest.raises(StoreAway, match="s3://faces/elsewhere"):
            other.size(key)
        store.check()
        assert [kept.key for kept in store.list()] == [key]
        bucket.down = True
        with pytest.raises(StoreAway):
            store.check()


def test_a_long_outage_of_the_bucket_loses_no_job(
    lite: str, tmp_path: Path, bucket: S3, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setattr("velum.storage.bucket._RETRIES", {"max_retries": 0})
    office = Office(lite, tmp_path, "s3://faces/velum")
    job, other = office.submit("job", pieces=2, seconds=0.2), office.submit("other", pieces=1)
    with office.working(timing=replace(PACE, tries=1)):
        until(office.made, "the first piece to begin")
        bucket.down = True
        until(lambda: office.now(job).error == "Unavailable", "the job to be put back")
        bucket.down = False
        assert [ended.state for ended in office.ended(job, other)] == [State.DONE] * 2
    office.database.close()


@pytest.mark.parametrize("wrong", ["gone", "no file"])
def test_a_source_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, wrong: str) -> None:
    source, target = tmp_path / "source", tmp_path / "0.png"
    if wrong == "no file":
        source = tmp_path / "file" / "source"
        (tmp_path / "file").touch()
    child = SubprocessEngine(RuntimeConfig, Limits(), silent_seconds=60, advice=COMMAND_ADVICE)
    with closing(child), pytest.raises(Unavailable, match="cannot be read"):
        child.hide(SubprocessRequest(source, target, Plan.of("zone: fixed -> blacken")), lambda *_: None, Event())


def test_a_source_that_vanishes_while_it_is_decoded_is_retried(back_office: Office, tmp_path: Path) -> None:
    source = back_office.store.put([picture()]).key
    job = back_office.desk.submit(Submission(source, "p.png", Plan.of("zone: fixed -> blacken")))
    bad = back_office.store.put([b"\x89PNG no picture"]).key
    other = back_office.desk.submit(Submission(bad, "bad.png", Plan.of("zone: fixed -> blacken")))

    class Losing(EngineProcessor):
        """Has the source gone from the moment that it was given out, for the first time."""

        def make(self, task, piece):  # type: ignore[no-untyped-def]
            if task.submission.name == "p.png" and not list(tmp_path.glob("seen")):
                (tmp_path / "seen").touch()
                with away(back_office.path / "store"):
                    return super().make(task, piece)
            return super().make(task, piece)

    with back_office.working(lambda: Losing(RuntimeConfig, Limits())):
        done, failed = back_office.ended(job, other, seconds=60)
    assert (done.state, done.attempts) == (State.DONE, 2)
    assert (failed.state, failed.error) == (State.FAILED, "BadInput")


def test_unreadable_files_of_the_store_are_not_reported_missing(back_office: Office) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    key = back_office.submit().submission.source
    place = back_office.store.fetch(key, Path())
    place.parent.chmod(0)
    try:
        with pytest.raises(Unavailable, match="may be read"):
            back_office.store.size(key)
    finally:
        place.parent.chmod(0o755)


def test_other_errors_still_fail_a_job_at_once(back_office: Office) -> None:
    job = back_office.submit(pieces=1, error="BadInput")
    with back_office.working():
        (failed,) = back_office.ended(job)
    assert (failed.state, failed.error, failed.attempts) == (State.FAILED, "BadInput", 1)
    with back_office.database.reading() as connection:
        assert connection.execute(JOBS.select()).one().failures == 0
