"""Jobs from their submission to the result, through failures of workers and the database."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
import sqlalchemy as sql
from tests.rows import exhaustive

from velum.errors import Unavailable
from velum.jobs import State, Worker, WorkerTiming
from velum.jobs.claims import LeaseLost, WorkerClaims
from velum.jobs.schema import JOBS, WORKERS

from .breaking_proxy import cutting
from .conftest import MOSTLY_SQLITE, Office
from .fake_processor import PACE, Hands
from .postgres import database

pytestmark = pytest.mark.slow

ONE_DATABASE = pytest.mark.parametrize("url", ["postgresql", *exhaustive(["sqlite"])], indirect=True)
"""For what workers do: that the statements are right on both kinds is shown by others."""


def test_a_worker_does_a_job_and_stores_its_result(office: Office) -> None:
    job = office.submit("holiday", pieces=3)
    assert (job.state, job.pieces_total, job.attempts) == (State.WAITING, None, 0)
    with office.working():
        (done,) = office.ended(job)
    assert (done.state, done.pieces_done, done.pieces_total, done.attempts) == (State.DONE, 3, 3, 1)
    assert (done.frames_done, done.frames_total, done.error, done.result_name) == (30, 30, None, "holiday.out")
    assert done.started is not None
    assert done.ended is not None
    assert done.submitted <= done.started <= done.ended
    assert len(office.content(done)) == 3 * 3200
    assert office.desk.report(job.id) == {"pieces": [0, 1, 2]}
    assert {kept.key for kept in office.store.list()} == office.files(done)
    assert set(office.pieces(done)) == {0, 1, 2}
    assert list((office.path / "work").glob("worker-*")) == []


@pytest.mark.parametrize(
    ("error", "state", "times", "tries"),
    [
        ("BadInput", State.FAILED, 1000, 1),  # the source's fault: trying again changes nothing
        ("BadPlan", State.FAILED, 1000, 1),
        ("PluginFault", State.FAILED, 1000, 1),
        ("Unavailable", State.GAVE_UP, 1000, 4),  # as often as allowed
        ("Unavailable", State.DONE, 2, 3),  # it came back
        ("OutputFailed", State.DONE, 1, 2),
        ("Fault", State.FAILED, 1000, 1),  # something nobody thought of
    ],
)
def test_a_failure_ends_a_job_or_is_retried_by_its_kind(
    back_office: Office, error: str, state: State, times: int, tries: int
) -> None:
    job = back_office.submit(pieces=1, error=error, times=times)
    with back_office.working():
        (ended,) = back_office.ended(job)
    assert (ended.state, ended.attempts, len(back_office.made())) == (state, tries, tries)
    assert ended.error == (None if state == State.DONE else error)
    assert state == State.DONE or "so it was ordered" in str(ended.message)


@MOSTLY_SQLITE
def test_a_retried_job_continues_at_the_failed_piece(office: Office) -> None:
    job = office.submit(pieces=3, error="BadInput", times=1, only=1)
    with office.working():
        (failed,) = office.ended(job)
        assert (failed.state, failed.pieces_done) == (State.FAILED, 1)
        assert office.desk.retry(job.id)
        (done,) = office.ended(job)
    assert (done.state, done.error, done.message) == (State.DONE, None, None)
    assert office.made() == ["job 0", "job 1", "job 1", "job 2"]


@MOSTLY_SQLITE
def test_a_running_job_can_be_cancelled(office: Office, until: Callable[..., None]) -> None:
    waiting, running = office.submit("waiting", priority=-1), office.submit("running", seconds=30)
    with office.working():
        office.until(running, State.RUNNING)
        for job in (waiting, running):
            assert office.desk.cancel(job.id)
        ended = office.ended(waiting, running, seconds=5)
        assert [job.state for job in ended] == [State.CANCELLED] * 2
        assert office.desk.retry(waiting.id)
        assert office.ended(waiting)[0].state == State.DONE
        assert office.desk.cancel(waiting.id) == office.now(waiting)  # what has ended stays


@ONE_DATABASE
def test_a_running_job_can_be_deleted(office: Office, until: Callable[..., None]) -> None:
    job = office.submit(seconds=30)
    with office.working():
        office.until(job, State.RUNNING)
        until(office.made, "the first piece to begin")
        assert office.desk.delete(job.id)
        assert office.desk.get(job.id) is None
        until(lambda: not [*(office.path / "work").glob("worker-*/*/")], "its folder to go", 5)
        assert list(office.store.list()) == []


@ONE_DATABASE
def test_jobs_of_higher_priority_run_first_then_older_ones(office: Office) -> None:
    jobs = [office.submit(f"{p}-{n}", priority=p, pieces=1) for n, p in enumerate([0, 5, -5, 5, 0])]
    with office.working():
        office.ended(*jobs)
    assert office.made() == ["5-1 0", "5-3 0", "0-0 0", "0-4 0", "-5-2 0"]


@ONE_DATABASE
def test_owners_share_the_workers(office: Office) -> None:
    many = [office.submit(f"many-{n}", owner="many", pieces=1) for n in range(4)]
    few = [office.submit(f"few-{n}", owner="few", pieces=1) for n in range(2)]
    with office.working():
        office.ended(*many, *few)
    assert [line.split("-")[0] for line in office.made()] == ["many", "few", "many", "few", "many", "many"]


def test_the_number_of_running_jobs_is_limited_across_workers(back_office: Office) -> None:
    jobs = [back_office.submit(f"job-{n}", pieces=1, seconds=0.1) for n in range(4)]
    with back_office.working(concurrency=2, max_running=1), back_office.working(concurrency=2, max_running=1):
        most = 0
        while not all(back_office.now(job).state.is_final for job in jobs):
            most = max(most, back_office.desk.counts()[State.RUNNING])
    assert most == 1


@ONE_DATABASE
def test_a_killed_worker_loses_no_more_than_the_piece_in_work(office: Office, until: Callable[..., None]) -> None:
    calm = office.submit("calm", pieces=4, seconds=0.15)
    with office.working():
        (calm,) = office.ended(calm)
    killed = office.submit("killed", pieces=4, seconds=0.15)
    with office.process() as first:
        until(lambda: "killed 2" in office.made(), "the third piece to begin")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert office.now(killed).state == State.RUNNING  # nobody knows yet
    with office.working():
        (done,) = office.ended(killed)
    renderings = Counter(line for line in office.made() if line.startswith("killed"))
    assert (done.state, done.attempts, done.frames_done) == (State.DONE, 2, 40)
    assert [renderings[f"killed {n}"] for n in range(4)] == [1, 1, 2, 1]
    assert office.content(done) == office.content(calm)
    assert {kept.key for kept in office.store.list()} == office.files(calm, done)


@ONE_DATABASE
def test_two_workers_never_do_one_job(office: Office) -> None:
    jobs = [office.submit(f"job-{n}", pieces=1, seconds=0.05) for n in range(12)]
    # On a busy machine, one that says nothing for a second is not dead.
    with office.process(dead_seconds=100), office.working(concurrency=2, timing=replace(PACE, dead_seconds=100)):
        done = office.ended(*jobs)
    assert {job.state for job in done} == {State.DONE}
    assert Counter(office.made()) == Counter(f"job-{n} 0" for n in range(12))
    assert {job.attempts for job in done} == {1}


@ONE_DATABASE
@pytest.mark.parametrize("deaf", [False, True])  # whether it notices that it lost its job before it has made its piece
def test_a_stalled_worker_cannot_disturb_the_next(
    office: Office, until: Callable[..., None], deaf: bool, tmp_path: Path
) -> None:
    goes_on = tmp_path / "goes on"
    job = office.submit(pieces=2, until=str(goes_on), deaf=deaf)
    with office.working(timing=replace(PACE, beat_seconds=100, dead_seconds=100)) as stop:
        until(office.made, "the first piece to begin")
        impatient = WorkerClaims(office.database, "another", "another", replace(PACE, dead_seconds=0.0))
        until(lambda: impatient.reap() == 1, "the stalled worker to be taken for dead")
        stop.set()  # so that it finishes what it has in work, and takes no other
        with office.working():
            until(lambda: len(office.made()) == 2, "the next worker to begin")
            goes_on.touch()
            (done,) = office.ended(job)
    assert office.now(job) == done
    assert (done.state, done.attempts, done.pieces_done) == (State.DONE, 2, 2)
    assert Counter(office.made()) == {"job 0": 2, "job 1": 1}


@pytest.mark.parametrize("clock", [-3600.0, 0.0, 3600.0])
def test_a_changed_clock_neither_keeps_dead_workers_nor_ends_live_ones(back_office: Office, clock: float) -> None:
    office = back_office
    office.submit()
    timing = replace(PACE, dead_seconds=0.3)
    dead, living, looking = (
        WorkerClaims(office.database, name, name, timing) for name in ("dead", "living", "looking")
    )
    for ledger in (dead, living):
        ledger.beat()
    assert dead.take()
    with office.database.writing() as connection:  # as if it had been written before the clock was set
        connection.execute(WORKERS.update().values(beat=WORKERS.c.beat - clock))
    assert looking.reap() == 0, "nobody is dead at first sight"
    end = time.monotonic() + 10
    while not looking.reap():
        assert time.monotonic() < end
        living.beat()
        time.sleep(0.01)
    with office.database.reading() as connection:
        assert set(connection.scalars(sql.select(WORKERS.c.id))) == {"living"}


def test_workers_are_not_declared_dead_while_the_database_is_away(back_office: Office) -> None:
    timing = replace(PACE, dead_seconds=0.2)
    other, looking = (WorkerClaims(back_office.database, name, name, timing) for name in ("other", "looking"))
    other.beat()
    assert looking.reap() == 0
    time.sleep(0.3)  # nobody could say anything
    looking.reap()
    with back_office.database.reading() as connection:
        assert list(connection.scalars(sql.select(WORKERS.c.id))) == ["other"]


def test_a_job_delayed_by_a_wrong_clock_becomes_due(back_office: Office) -> None:
    job = back_office.submit()
    with back_office.database.writing() as connection:
        connection.execute(JOBS.update().values(not_before=back_office.database.now(connection) + 7200))
    taken = WorkerClaims(back_office.database, "one", "one", PACE).take()
    assert taken is not None
    assert taken.job.id == job.id


def test_a_worker_that_lost_its_lease_writes_nothing(office: Office) -> None:
    office.submit()
    timing = replace(PACE, dead_seconds=0.0)
    first, second = (WorkerClaims(office.database, name, name, timing) for name in ("first", "second"))
    first.beat()
    hold = first.take()
    assert hold is not None
    assert second.reap() == 1
    taken = second.take()
    assert taken is not None
    for write in (first.give_back, first.cancel, lambda h: first.fail(h, "Fault", ""), lambda h: first.cut(h, [])):
        with pytest.raises(LeaseLost):
            write(hold)
    assert second.list_tokens() == {taken.token: False}


def test_a_job_that_keeps_crashing_workers_is_given_up(office: Office) -> None:
    job = office.submit()
    timing = WorkerTiming(dead_seconds=0.0, worker_crashes=3)
    dying, other = (WorkerClaims(office.database, name, name, timing) for name in ("dying", "other"))
    for _ in range(3):
        assert office.now(job).state == State.WAITING
        dying.beat()
        assert dying.take()
        assert dying.reap() == 0, "who looks for the dead is not dead"
        assert other.reap() == 1
    dead = office.now(job)
    assert dead.state == State.GAVE_UP
    assert dead.message is not None
    assert "3 workers died" in dead.message


def test_one_worker_claims_a_job_while_many_ask(office: Office) -> None:
    office.submit()
    barrier, taken = Barrier(4), []

    def ask(name: str) -> None:
        ledger = WorkerClaims(office.database, name, name, PACE)
        ledger.beat()
        barrier.wait()
        if ledger.take() is not None:
            taken.append(name)

    threads = [Thread(target=ask, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


@ONE_DATABASE
def test_a_worker_that_stops_releases_its_jobs_to_others(office: Office, until: Callable[..., None]) -> None:
    job = office.submit(pieces=3, seconds=0.2)
    with office.working():
        until(office.made, "the first piece to begin")
    left = office.now(job)
    assert (left.state, left.pieces_done, left.fps) == (State.WAITING, 1, None)
    with office.working():
        office.ended(job)
    assert Counter(office.made()) == Counter(f"job {n}" for n in range(3))


def test_a_piece_that_outlasts_the_grace_period_is_released(back_office: Office, until: Callable[..., None]) -> None:
    job = back_office.submit(pieces=3, seconds=30)
    with back_office.working(timing=replace(PACE, drain_seconds=0.1)):
        until(back_office.made, "the first piece to begin")
    assert back_office.now(job).state == State.WAITING


def test_a_damaged_piece_is_made_again(back_office: Office) -> None:
    job = back_office.submit(pieces=3, seconds=0.2)
    with back_office.working():
        while back_office.now(job).pieces_done < 1:
            time.sleep(0.01)
    assert back_office.now(job).state == State.WAITING
    for key in {kept.key for kept in back_office.store.list()} - {job.submission.source}:
        back_office.store.fetch(key, Path()).write_bytes(b"spoilt")
    with back_office.working():
        (done,) = back_office.ended(job)
    assert Counter(back_office.made()) == {"job 0": 2, "job 1": 2, "job 2": 1}
    assert len(back_office.content(done)) == 3 * 3200


def test_files_of_dead_workers_are_deleted_at_the_start(back_office: Office) -> None:
    dead = back_office.path / "work" / "worker-dead" / "job"
    dead.mkdir(parents=True)
    (dead / "frame.png").write_bytes(b"face")
    job = back_office.submit(seconds=0.5, pieces=1)
    with back_office.working():
        back_office.until(job, State.RUNNING)
        assert not dead.exists()
        with back_office.working():  # does not take the folder of the first for a dead one's
            assert back_office.ended(job)[0].state == State.DONE


def test_files_of_workers_that_die_are_deleted_while_others_work(
    back_office: Office, until: Callable[..., None]
) -> None:
    with back_office.working():
        back_office.ended(back_office.submit(pieces=1))
        left = back_office.path / "left"
        (left / "job").mkdir(parents=True)
        (left / "job" / "frame.png").write_bytes(b"face")
        dead = left.rename(back_office.path / "work" / "worker-dead")  # at once: it may be swept at any moment
        until(lambda: not dead.exists(), "the folder to go")


def test_processors_are_closed_when_the_worker_stops(back_office: Office) -> None:
    processors = [Hands(back_office.log) for _ in range(2)]
    spare = iter(processors)
    with back_office.working(lambda: next(spare), concurrency=2):
        back_office.ended(back_office.submit())
    assert [processor.closed for processor in processors] == [True, True]


def test_a_job_with_a_missing_source_is_given_up_and_can_be_retried_once_it_is_back(back_office: Office) -> None:
    job, other = back_office.submit("job"), back_office.submit("other")
    gone = back_office.store.fetch(job.submission.source, Path())
    aside = gone.rename(back_office.path / "aside")
    with back_office.working():
        dead, done = back_office.ended(job, other)
        assert (dead.state, dead.error, dead.attempts) == (State.GAVE_UP, "Unavailable", PACE.tries)
        assert dead.message is not None
        assert "bring it back" in dead.message
        assert done.state == State.DONE
        aside.rename(gone)
        assert back_office.desk.retry(job.id)
        assert back_office.ended(job)[0].state == State.DONE


@ONE_DATABASE
def test_watching_a_job_yields_its_progress_up_to_its_end(office: Office) -> None:
    job = office.submit(pieces=2, seconds=0.1)
    with office.working():
        seen = list(office.desk.watch(job.id, every_seconds=0.01))
    assert (seen[0].state, seen[-1].state) == (State.WAITING, State.DONE)
    assert [record.pieces_done for record in seen] == sorted(record.pieces_done for record in seen)
    stop = Event()
    stop.set()
    assert len(list(office.desk.watch(office.submit().id, stop=stop))) == 1
    assert list(office.desk.watch("unknown")) == []


def test_a_job_whose_claim_got_lost_is_run_all_the_same(back_office: Office) -> None:
    with back_office.working():
        busy = back_office.submit(seconds=0.3, pieces=1)
        back_office.until(busy, State.RUNNING)
        job = back_office.submit("unknown", pieces=1)
        with back_office.database.writing() as connection:  # as when the connection ends with the answer under way
            (worker,) = connection.scalars(sql.select(WORKERS.c.id))
            taken = {"state": "running", "worker": worker, "token": "nobody's"}
            connection.execute(JOBS.update().where(JOBS.c.id == job.id).values(**taken))
        assert back_office.ended(job)[0].state == State.DONE


def test_dropped_database_connections_lose_no_job(server: str, tmp_path: Path) -> None:
    with database(server, "velum_cut") as url:
        office = Office(url, tmp_path)
        jobs = [office.submit(f"job-{n}", pieces=4, seconds=0.1) for n in range(2)]
        cut = sql.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()")
        with office.working(concurrency=2):
            office.until(jobs[0], State.RUNNING)  # a worker whose connection ends while it begins, ends
            for _ in range(8):
                with suppress(Unavailable), office.database.reading() as connection:
                    connection.execute(cut)
                time.sleep(0.1)
            done = office.ended(*jobs)
        assert [job.state for job in done] == [State.DONE] * 2
        assert {job.pieces_done for job in done} == {4}
        office.database.close()


@pytest.mark.parametrize("after", [True, *exhaustive([False])])  # whether what was sent last has come through
def test_repeated_outages_of_the_database_lose_no_job(server: str, tmp_path: Path, after: bool) -> None:
    with database(server, f"velum_away_{int(after)}") as url, cutting(url) as (way, near):
        office = Office(url, tmp_path)
        calm = office.submit("calm", pieces=3)
        with office.working():
            (calm,) = office.ended(calm)
        jobs = [office.submit(f"job-{n}", pieces=3) for n in range(4)]
        way.arm(101, after=after, again=True)
        stop = Event()
        worker = Worker(near, office.store, lambda: Hands(office.log), folder=office.path / "work", timing=PACE)
        thread = Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            done = office.ended(*jobs, seconds=60)
        finally:
            way.disarm()
            stop.set()
            thread.join(30)
        assert way.cuts > 0
        assert {(job.state, job.pieces_done, len(office.content(job))) for job in done} == {
            (State.DONE, 3, len(office.content(calm)))
        }
        office.database.close()


def test_the_old_name_of_timing_works_with_a_warning(back_office: Office) -> None:
    job = back_office.submit()
    with pytest.warns(DeprecationWarning, match="timing="), back_office.working(timing=None, pace=PACE):
        (done,) = back_office.ended(job)
    assert done.state == State.DONE


def test_a_job_with_a_plan_of_another_version_does_not_stop_other_jobs(back_office: Office) -> None:
    strange, job = back_office.submit("strange", priority=5), back_office.submit(pieces=1)
    with back_office.database.writing() as connection:
        connection.execute(JOBS.update().where(JOBS.c.id == strange.id).values(plan='{"later": 1}'))
    with back_office.working():
        assert back_office.ended(job)[0].state == State.DONE
    with back_office.database.reading() as connection:
        assert connection.scalar(sql.select(JOBS.c.state).where(JOBS.c.id == strange.id)) == State.FAILED
