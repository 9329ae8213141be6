"""A database of either kind, a store, and workers."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from tests.rows import exhaustive

from velum import Plan
from velum.annotations import Annotations
from velum.jobs import Database, JobProcessor, JobQueue, JobRecord, State, Submission, Worker, join, open_store
from velum.jobs.schema import PIECES

from .fake_processor import PACE, Hands
from .postgres import binaries, cluster, emptied

LONGEST_SECONDS = 100.0
"""For what hangs; a busy machine may be slow."""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, without the name of a database."""
    if (programs := binaries()) is None:
        pytest.skip("no PostgreSQL here: initdb is not installed (Debian: apt-get install postgresql)")
    with cluster(programs) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/jobs.sqlite"
        return
    with emptied(request.getfixturevalue("server"), "velum_emptied") as url:
        yield url


MOSTLY_SQLITE = pytest.mark.parametrize("url", ["sqlite", *exhaustive(["postgresql"])], indirect=True)
"""For tests of what the kind of database matters little to: with PostgreSQL they run at night."""


@pytest.fixture
def lite(tmp_path: Path) -> str:
    """URL of an empty SQLite database, for what the kind of database does not matter to."""
    return f"sqlite:///{tmp_path}/jobs.sqlite"


@dataclass
class Office:
    """A desk with a store and workers."""

    url: str
    path: Path
    place: Path | str | None = None
    """Where the store is; None: in the folder."""

    def __post_init__(self) -> None:
        self.database = Database(self.url)
        self.place = self.place or self.path / "store"
        self.store = open_store(self.place)
        join(self.database, self.store)
        self.desk = JobQueue(self.database, self.store)
        self.log = self.path / "log"
        self.log.touch()

    def submit(
        self, name: str = "job", *, owner: str = "", priority: int = 0, webhook: str | None = None, **order: Any
    ) -> JobRecord:
        source = self.store.put([json.dumps(order).encode()]).key
        return self.desk.submit(Submission(source, name, Plan(), owner, priority, webhook))

    def worker(self, processor: Callable[[], JobProcessor] | None = None, **more: Any) -> Worker:
        given: dict[str, Any] = {"folder": self.path / "work", "timing": PACE} | more
        return Worker(self.url, self.store, processor or (lambda: Hands(self.log)), **given)

    @contextmanager
    def working(self, processor: Callable[[], JobProcessor] | None = None, **more: Any) -> Iterator[threading.Event]:
        """Have a worker at work, in threads of this process, and give what stops it."""
        stop = threading.Event()
        thread = threading.Thread(target=self.worker(processor, **more).run, args=(stop,))
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()

    @contextmanager
    def process(self, dead_seconds: float = PACE.dead_seconds) -> Iterator[subprocess.Popen[str]]:
        """Have a worker at work in a process that can be killed."""
        program = Path(__file__).with_name("fake_processor.py")
        command = [sys.executable, str(program), self.url, str(self.place), str(self.path), str(dead_seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def ended(self, *jobs: JobRecord, seconds: float = LONGEST_SECONDS) -> list[JobRecord]:
        """Return the jobs when all have ended."""
        _until(lambda: all(self.now(job).state.is_final for job in jobs), "all jobs to end", seconds)
        return [self.now(job) for job in jobs]

    def now(self, job: JobRecord) -> JobRecord:
        found = self.desk.get(job.id)
        assert found is not None
        return found

    def until(self, job: JobRecord, state: State) -> JobRecord:
        _until(lambda: self.now(job).state == state, f"{job.id} to be {state}")
        return self.now(job)

    def made(self) -> list[str]:
        """Return the pieces that were begun, in order: `name index`."""
        return self.log.read_text().splitlines()

    def content(self, job: JobRecord) -> bytes:
        assert job.result is not None
        return b"".join(self.store.open(job.result))

    def pieces(self, job: JobRecord) -> dict[int, str | None]:
        """Return the keys of a job's pieces."""
        asked = sql.select(PIECES.c.key).where(PIECES.c.job == job.id).order_by(PIECES.c["index"])
        with self.database.reading() as connection:
            return dict(enumerate(connection.scalars(asked)))

    def files(self, *jobs: JobRecord) -> set[str]:
        """Return the keys of all that is kept for the jobs."""
        kept: set[str | None] = set()
        for job in map(self.now, jobs):
            kept |= {job.submission.source, job.result, job.regions}
            with self.database.reading() as connection:
                asked = sql.select(PIECES.c.key, PIECES.c.told).where(PIECES.c.job == job.id)
                kept |= {key for row in connection.execute(asked) for key in row}
        return {key for key in kept if key is not None}

    def rendered(self, job: JobRecord, regions: Annotations | None = None) -> JobRecord:
        """Return the job, rendered with its regions or those that are given."""
        if regions is not None:
            assert self.desk.correct(job.id, self.store.put([json.dumps(regions.to_json()).encode()]).key)
        again = self.desk.render(job.id)
        assert again is not None
        (done,) = self.ended(again)
        assert (done.state, done.pieces_done, done.frames_done) == (State.DONE, done.pieces_total, done.frames_total)
        return done

    def regions(self, job: JobRecord) -> Annotations:
        assert job.regions is not None
        return Annotations.from_json(json.loads(b"".join(self.store.open(job.regions))))


def _until(true: Callable[[], bool], what: str, seconds: float = LONGEST_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., None]:
    return _until


@pytest.fixture
def office(url: str, tmp_path: Path) -> Iterator[Office]:
    office = Office(url, tmp_path)
    yield office
    office.database.close()


@pytest.fixture
def back_office(lite: str, tmp_path: Path) -> Iterator[Office]:
    """An office with SQLite, for what the kind of database does not matter to."""
    office = Office(lite, tmp_path)
    yield office
    office.database.close()
