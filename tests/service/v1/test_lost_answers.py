"""The database fails during each call, before or after its effect: nothing is lost or done twice."""

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, count, cycle
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import sqlalchemy as sql
from tests.jobs.breaking_proxy import Cutting, cutting
from tests.jobs.postgres import binaries, cluster, database
from tests.rows import exhaustive
from tests.service.factories import client, settings
from tests.service.v1.test_faults import id_of
from tests.service.v1.test_jobs import handed_in
from tests.service.v1.test_uploads import PLAN, begun
from tests.waiting import until

from velum.annotations import Annotations
from velum.jobs import Database, open_store
from velum.jobs.schema import JOBS
from velum.region import Box, Region

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NUMBERS = count()
REGIONS = json.dumps(Annotations(64, 48, {0: (Region(Box(0, 0, 20, 20), "zone"),)}).to_json()).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if (programs := binaries()) is None:
        pytest.skip("no PostgreSQL here: initdb is not installed (Debian: apt-get install postgresql)")
    with cluster(programs) as url:
        yield url


@dataclass
class Place:
    """A service, the way to its database, and that database by another way."""

    api: Any
    way: Cutting
    database: Database
    folder: Path

    def jobs(self, **columns: Any) -> list[Any]:
        with self.database.reading() as connection:
            asked = sql.select(JOBS).where(*(JOBS.c[name] == value for name, value in columns.items()))
            return list(connection.execute(asked))

    def has_ended(self, place: str) -> None:
        with self.database.writing() as connection:
            ended = {"state": "done", "result": JOBS.c.source, "found": JOBS.c.source, "report": None}
            connection.execute(JOBS.update().where(JOBS.c.id == id_of(place)).values(**ended))

    def content(self, key: str) -> bytes:
        return b"".join(open_store(self.folder / "jobs" / "store").open(key))


@contextmanager
def placed(server: str, folder: Path) -> Iterator[Place]:
    with (
        database(server, f"answers_{next(NUMBERS)}") as url,
        closing(Database(url)) as direct,
        cutting(url) as (way, near),
    ):
        chosen = settings(folder)
        with client(replace(chosen, jobs=replace(chosen.jobs, database=near))) as api:
            assert api.get("/v1/jobs").status_code == 200
            yield Place(api, way, direct, folder)


EACH = (1,)
SOME = (4, 5)
"""In turn: beginnings, statements and ends of transactions come in no such rhythm."""

WHICH = pytest.mark.parametrize("steps", [SOME, *exhaustive([(EACH,)])])


def at_messages(place: Place, steps: Sequence[int], trial: Callable[[int], Callable[[], Any]]) -> int:
    """Try with a cut before and after the first message and after `steps` more each time; return the number of cuts.

    `trial` prepares one and returns the request, which is sent until it is answered well.
    """
    cuts = 0
    for after in (False, True):
        for at in accumulate(cycle(steps), initial=1):
            request = trial(cuts)
            place.way.arm(at, after=after)
            answer = request()
            place.way.disarm()
            cuts += place.way.cuts
            assert answer.status_code < 300 or (answer.status_code, answer.json()["code"]) == (503, "Unavailable")
            for _ in range(5):
                if answer.status_code < 300:
                    break
                answer = request()
            assert answer.status_code < 300, answer.text
            if not place.way.cuts:
                break
    return cuts


def test_a_repeated_submission_makes_one_job(server: str, tmp_path: Path) -> None:
    with placed(server, tmp_path) as place:
        api, submitted = place.api, list[tuple[str, bytes, bytes]]()

        def trial(number: int) -> Callable[[], Any]:
            source, regions = f"source {number} {len(submitted)}".encode(), REGIONS + b" " * len(submitted)
            uploads = [begun(api), begun(api)]
            for upload, data in zip(uploads, (source, regions), strict=True):
                api.put(upload, content=data)
            name = f"job-{len(submitted)}"
            submitted.append((name, source, regions))
            wanted = {"upload": id_of(uploads[0]), "regions": id_of(uploads[1]), "plan": PLAN, "name": name}
            return lambda: api.post("/v1/jobs", json=wanted, headers={"idempotency-key": name})

        assert at_messages(place, EACH, trial) > 8
        for name, source, regions in submitted:
            (job,) = place.jobs(name=name)
            assert (place.content(job.source), place.content(job.regions)) == (source, regions)
        assert list((tmp_path / "jobs" / "store" / "uploads").iterdir()) == []


@WHICH
@pytest.mark.parametrize("what", ["retry", *exhaustive(["cancel", "render", "regions"])])
def test_a_repeated_change_of_a_job_takes_effect_once(
    server: str, tmp_path: Path, what: str, steps: Sequence[int]
) -> None:
    with placed(server, tmp_path) as place:
        api, keys = place.api, count()

        def trial(_: int) -> Callable[[], Any]:
            job, headers = handed_in(api, REGIONS), {"idempotency-key": str(next(keys))}
            if what == "retry":
                api.post(f"{job}/cancel")
            elif what != "cancel":
                place.has_ended(job)
            if what == "regions":
                tag = {"if-match": api.get(f"{job}/regions").headers["etag"]}
                return lambda: api.put(f"{job}/regions", content=REGIONS + b" ", headers=tag)
            return lambda: api.post(f"{job}/{what}", headers=headers)

        assert at_messages(place, steps, trial) > (3 if steps == EACH else 1)
        state = {"cancel": "cancelled", "regions": "done"}.get(what, "waiting")
        assert {job.state for job in place.jobs()} == {state}
        for job in place.jobs():
            assert place.content(job.source) == REGIONS
            assert what != "regions" or place.content(job.draft) == REGIONS + b" "


@pytest.mark.exhaustive
def test_without_an_idempotency_key_an_upload_still_makes_one_job(server: str, tmp_path: Path) -> None:
    with placed(server, tmp_path) as place:
        api, names = place.api, list[str]()
        for after in (False, True):
            for at in count(1):
                upload, name = begun(api), f"job-{len(names)}"
                names.append(name)
                api.put(upload, content=name.encode())
                wanted = {"upload": id_of(upload), "plan": PLAN, "name": name}
                place.way.arm(at, after=after)
                answer = api.post("/v1/jobs", json=wanted)
                place.way.disarm()
                while answer.status_code == 503:
                    answer = api.post("/v1/jobs", json=wanted)
                assert answer.status_code in {201, 404}, "404: it was taken, though the answer was lost"
                if not place.way.cuts:
                    break
        for name in names:
            (job,) = place.jobs(name=name)
            assert place.content(job.source) == name.encode()


def test_an_idempotency_key_cannot_be_used_for_another_request(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        upload, other = begun(api), begun(api)
        for place in (upload, other):
            api.put(place, content=b"any")
        headers = {"idempotency-key": "a"}
        first = api.post("/v1/jobs", json={"upload": id_of(upload), "plan": PLAN}, headers=headers)
        again = api.post("/v1/jobs", json={"upload": id_of(upload), "plan": PLAN}, headers=headers)
        assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
        wrong = api.post("/v1/jobs", json={"upload": id_of(other), "plan": PLAN}, headers=headers)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "BadPlan")
        assert api.get(other).json()["offset"] == 3
        bad = api.post("/v1/jobs", json={"upload": id_of(other), "plan": PLAN}, headers={"idempotency-key": "a b"})
        assert bad.status_code == 422
        assert api.delete(first.headers["location"]).status_code == 204
        gone = api.post("/v1/jobs", json={"upload": id_of(upload), "plan": PLAN}, headers=headers)
        assert (gone.status_code, gone.json()["code"]) == (404, "NotFound")


@pytest.mark.parametrize("with_regions", [False, True])
def test_two_concurrent_requests_with_one_key_get_the_same_job(tmp_path: Path, with_regions: bool) -> None:
    plans = tmp_path / "plans"
    plans.mkdir()
    plan = plans / "street.json"
    os.mkfifo(plan)
    with client(settings(tmp_path, plans=plans)) as api, ThreadPoolExecutor(1) as pool:
        uploads = [begun(api), begun(api)]
        for upload in uploads:
            api.put(upload, content=REGIONS)
        wanted = {"upload": id_of(uploads[0]), "plan": "street"}
        if with_regions:
            wanted["regions"] = id_of(uploads[1])
        headers = {"idempotency-key": "a"}
        slow = pool.submit(api.post, "/v1/jobs", json=wanted, headers=headers)
        with open_once_it_is_read(plan) as pipe:  # the request has found no job of its key, and now reads its plan
            plan.rename(plans / "aside")
            plan.write_text(json.dumps(PLAN))
            quick = api.post("/v1/jobs", json=wanted, headers=headers)
            pipe.write(json.dumps(PLAN).encode())
        again = slow.result()
        assert (quick.status_code, again.status_code, again.json()) == (201, 201, quick.json())
        assert len(api.get("/v1/jobs").json()["jobs"]) == 1
        other = api.post("/v1/jobs", json=wanted, headers={"idempotency-key": "b"})
        assert (other.status_code, other.json()["code"]) == (404, "NotFound")


@contextmanager
def open_once_it_is_read(pipe: Path) -> Iterator[BinaryIO]:
    """Open a named pipe to write to it, as soon as somebody waits to read it."""

    def writer() -> BinaryIO | None:
        try:
            return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb")
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads yet
                return None
            raise

    with until(writer) as file:
        yield file


@pytest.mark.parametrize("wrong", [b"{", b"[]", b'{"format": "x"}'])
def test_an_upload_stays_when_its_job_is_refused(tmp_path: Path, wrong: bytes) -> None:
    with client(settings(tmp_path)) as api:
        source, regions = begun(api), begun(api)
        api.put(source, content=b"any")
        api.put(regions, content=wrong)
        wanted = {"upload": id_of(source), "regions": id_of(regions), "plan": PLAN}
        assert api.post("/v1/jobs", json=wanted).status_code == 422
        assert (api.get(source).json()["offset"], api.get(regions).json()["offset"]) == (3, len(wrong))
        assert api.post("/v1/jobs", json={"upload": id_of(source), "plan": PLAN}).status_code == 201
        assert api.get(source).status_code == 404


@pytest.mark.exhaustive
def test_an_upload_whose_job_was_never_made_can_be_deleted(tmp_path: Path, server: str) -> None:
    with placed(server, tmp_path) as place:
        api = place.api
        upload = begun(api)
        api.put(upload, content=b"any")
        place.way.arm(1, after=False, again=True)
        assert api.post("/v1/jobs", json={"upload": id_of(upload), "plan": PLAN}).status_code == 503
        place.way.disarm()
        assert api.get(upload).json()["offset"] == 3
        more = api.put(upload, content=b"x", headers={"upload-offset": "3"})
        assert more.status_code in {200, 409}
        assert api.delete(upload).status_code == 204
        assert list((tmp_path / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*")) == []
        assert place.jobs() == []
