"""Jobs over HTTP while the store or the database is away: the error says so, and no job is lost."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.jobs.test_store_away import away
from tests.service.factories import client, settings
from tests.service.v1.test_jobs import handed_in
from tests.service.v1.test_uploads import PLAN, begun

from velum.jobs import Database
from velum.jobs.schema import JOBS

pytestmark = pytest.mark.slow


def id_of(place: str) -> str:
    return place.rpartition("/")[2]


def has_ended(folder: Path, place: str, **values: Any) -> None:
    """Have a job done whose result is kept under the key of its source."""
    with closing(Database(f"sqlite:///{folder}/jobs/jobs.sqlite")) as database, database.writing() as connection:
        ended = {"state": "done", "result": JOBS.c.source, "report": "{}", **values}
        connection.execute(JOBS.update().where(JOBS.c.id == id_of(place)).values(**ended))


def test_the_response_says_that_the_store_is_unreachable(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        assert api.get("/health/ready").json()["store"] == "ready"
        job, upload = handed_in(api), begun(api)
        api.put(upload, content=b"any")
        has_ended(tmp_path, job)
        wanted = {"upload": id_of(upload), "plan": PLAN}
        with away(tmp_path / "jobs" / "store"):
            ready = api.get("/health/ready")
            assert (ready.status_code, ready.json()["jobs"], ready.json()["store"]) == (503, "ready", "unavailable")
            answers = [
                api.get(f"{job}/result"), api.get(f"{job}/source"), api.get(upload), api.post("/v1/uploads"),
                api.put(upload, content=b"more", headers={"upload-offset": "3"}), api.post("/v1/jobs", json=wanted),
                api.delete(upload), api.delete(job),
            ]  # fmt: skip
            assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "Unavailable")}
            assert api.get(job).json()["state"] == "done", "what the database knows is told"
        assert api.get("/health/ready").json()["store"] == "ready"
        assert api.get(f"{job}/result").content == b"any"
        assert api.get(upload).json()["offset"] == 3
        assert api.post("/v1/jobs", json=wanted).status_code == 201


def test_pieces_of_dead_workers_are_deleted_with_the_job(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        job = handed_in(api)
        dead, alive = (tmp_path / "jobs" / "work" / name / "job" for name in ("worker-dead", "worker-alive"))
        for folder in (dead, alive):
            folder.mkdir(parents=True)
            (folder / "source").write_bytes(b"a face")
        with FileLock(alive.parent / "lock"):
            assert api.delete(job).status_code == 204
            assert (dead.parent.exists(), alive.exists()) == (False, True)


def test_a_lost_file_is_not_reported_as_expired(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        job = handed_in(api)
        has_ended(tmp_path, job)
        (file,) = (tmp_path / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*")
        file.unlink()
        for place in (f"{job}/result", f"{job}/source"):
            assert api.get(place).status_code == 503
