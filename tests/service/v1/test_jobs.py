"""Jobs over HTTP, from the upload to the deleted result; nobody sees the jobs of others."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import sqlalchemy as sql
from fastapi import Request
from starlette.testclient import TestClient
from tests.service.factories import client, on_the_wire, picture, pixels, settings
from tests.service.v1.test_uploads import PLAN, begun

from velum import Engine
from velum.annotations import Annotations
from velum.engine.subprocess_engine import SubprocessRequest
from velum.engine.subprocess_main import _execute
from velum.jobs import Database, EngineProcessor, FolderStore, JobQueue, JobRecord, State, Submission, Task
from velum.jobs.schema import JOBS, new_id, row_of
from velum.limits import Limits
from velum.net import NetworkPolicy
from velum.net.client import HttpClient
from velum.plan import Plan
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.job_backend import InProcessWorker, ProcessorFactory
from velum.service.v1 import jobs
from velum.service.v1.job_service import JobService
from velum.settings import Settings

pytestmark = pytest.mark.slow


def handed_in(api: Any, data: bytes = b"any", **wanted: Any) -> str:
    place = begun(api)
    api.put(place, content=data)
    answer = api.post("/v1/jobs", json={"upload": place.rpartition("/")[2], "plan": PLAN, **wanted})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


class EngineHere(EngineProcessor):
    """The engine in this process, for tests that are not about the other one, which takes a second to start."""

    def __init__(self, host: Callable[[], RuntimeConfig], limits: Limits) -> None:
        super().__init__(host, limits)
        self._engine = Engine(host=replace(host(), mode="latency"), limits=limits)

    def _run_subprocess(self, request: SubprocessRequest, task: Task) -> Mapping[str, Any]:
        return _execute(self._engine, request, task.progress)

    def close(self) -> None:
        self._engine.close()


@contextmanager
def worked(chosen: Settings, make_processor: ProcessorFactory = EngineHere) -> Iterator[None]:
    """A worker of the service's own kind."""
    crew = InProcessWorker(chosen, HttpClient(chosen.remote), make_processor)
    crew.start()
    try:
        yield
    finally:
        crew.end()


def ended(api: Any, place: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while (job := api.get(place).json())["state"] in {"waiting", "running"}:
        assert time.monotonic() < until
        time.sleep(0.05)
    return dict(job)


def test_a_job_from_the_upload_to_the_deleted_result(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    source = picture()
    found = Annotations(64, 48, {0: (Region(Box(0, 0, 20, 20), "zone"),)})
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = handed_in(api, source, name="Straße 1.png")
        seen: list[str] = []
        with worked(chosen, EngineProcessor):
            with api.stream("GET", f"{place}/events", timeout=60) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                seen.extend(line for line in stream.iter_lines() if line)
            regions = begun(api)
            api.put(regions, content=json.dumps(found.to_json()).encode())
            corrected = handed_in(api, source, regions=regions.rpartition("/")[2])
            assert ended(api, corrected)["state"] == "done"
            bad = handed_in(api, b"no picture at all")
            failed = ended(api, bad)
        assert seen[0] == "event: progress"
        assert seen[-2] == "event: end"
        job = json.loads(seen[-1].removeprefix("data: "))
        assert (job["state"], job["result_name"], job["frames"]) == (
            "done", "Straße 1.hidden.png", {"done": 1, "total": 1},
        )  # fmt: skip
        assert (failed["state"], failed["error"]["code"]) == ("failed", "BadInput")
        assert api.get(f"{bad}/result").status_code == 409

        whole = api.get(f"{place}/result")
        assert (whole.status_code, whole.headers["content-type"]) == (200, "image/png")
        assert whole.headers["content-disposition"] == (
            "attachment; filename=\"Stra_e 1.hidden.png\"; filename*=utf-8''Stra%C3%9Fe%201.hidden.png"
        )
        assert not pixels(whole.content).any(), "the whole picture is the zone"
        check_ranges(api, f"{place}/result", whole)
        report = api.get(f"{place}/report").json()
        assert (report["source"], len(report["hidden"])) == ("Straße 1.png", 1)
        partly = pixels(api.get(f"{corrected}/result").content)
        assert not partly[:20, :20].any()
        assert (partly[30:] == pixels(source)[30:]).all(), "only the region that was given is hidden"

        assert api.delete(place).status_code == 204
        for answer in (api.get(place), api.get(f"{place}/result"), api.get(f"{place}/report"), api.delete(place)):
            assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


def check_ranges(api: Any, place: str, whole: Any) -> None:
    data, tag = whole.content, whole.headers["etag"]
    size = len(data)
    rows = [
        ("bytes=0-9", 206, data[:10], f"bytes 0-9/{size}"),
        ("bytes=10-", 206, data[10:], f"bytes 10-{size - 1}/{size}"),
        ("bytes=-5", 206, data[-5:], f"bytes {size - 5}-{size - 1}/{size}"),
        ("bytes=0-999999", 206, data, f"bytes 0-{size - 1}/{size}"),
        ("bytes=0-1,3-4", 200, data, None),
        ("bytes=5-2", 200, data, None),
        ("lines=1-2", 200, data, None),
        (f"bytes={size}-", 416, None, f"bytes */{size}"),
        ("bytes=-0", 416, None, f"bytes */{size}"),
    ]
    for asked, status, expected, content_range in rows:
        answer = api.get(place, headers={"range": asked})
        assert (answer.status_code, answer.headers.get("content-range")) == (status, content_range), asked
        assert expected is None or answer.content == expected, asked
    other = api.get(place, headers={"range": "bytes=0-9", "if-range": '"another"'})
    same = api.get(place, headers={"range": "bytes=0-9", "if-range": tag})
    assert (other.status_code, same.status_code) == (200, 206)
    assert api.get(place, headers={"if-none-match": f'"x", {tag}'}).status_code == 304
    head = api.head(place)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")


def test_a_cancelled_job_can_be_retried(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = handed_in(api)
        assert api.post(f"{place}/retry").json()["code"] == "Conflict"
        assert api.post(f"{place}/cancel").json()["state"] == "cancelled"
        assert api.get(f"{place}/events").text.startswith("event: end\n")
        assert api.post(f"{place}/retry").json()["state"] == "waiting"
        assert api.get("/v1/jobs?state=waiting").json()["jobs"][0]["attempts"] == 0


def test_jobs_are_listed_page_by_page(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        names = [f"{n}" for n in range(5)]
        for name in names:
            handed_in(api, name=name)
            time.sleep(0.002)  # ids are in the order of milliseconds
        seen, after = [], ""
        while True:
            page = api.get(f"/v1/jobs?limit=2{after}").json()
            seen += [job["name"] for job in page["jobs"]]
            if page["after"] is None:
                break
            after = f"&after={page['after']}"
        assert seen == names[::-1]
        for query in ("limit=0", "limit=1001", "state=lost", "after=x", "owner=%00"):
            assert api.get(f"/v1/jobs?{query}").status_code == 422, query


@pytest.fixture(scope="module")
def jobless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service for all who hand in no job."""
    with client(settings(tmp_path_factory.mktemp("jobless"))) as api:
        yield api


WRONG: list[tuple[str, dict[str, Any], int, str]] = [
    ("neither", {"upload": None}, 422, "either an upload or a url"),
    ("no such upload", {"upload": "f" * 32}, 404, "does not exist"),
    ("no id", {"upload": "../../etc"}, 404, "does not exist"),
    ("an address that is not allowed", {"upload": None, "url": "http://127.0.0.1:1/a"}, 422, "upload the file"),
    ("a webhook that is not allowed", {"webhook": "http://127.0.0.1:1/a"}, 422, "webhooks are off"),
    ("a plan that is none", {"plan": {"rules": ["face"]}}, 422, "cannot read rule"),
    ("a part that does not exist", {"plan": {"rules": ["face: centerface -> nothing"]}}, 422, "unknown"),
    ("an unknown name", {"plan": "street"}, 422, "known are none"),
    ("a priority beyond all", {"priority": 1001}, 422, "priority"),
    ("a name that is none", {"name": "a\0b"}, 422, "printable"),
    ("an unknown field", {"colour": "red"}, 422, "colour"),
    ("no such regions", {"regions": "e" * 32}, 404, "does not exist"),
]


@pytest.mark.parametrize(("change", "status", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_refused_job_does_not_use_up_its_upload(
    jobless: TestClient, change: dict[str, Any], status: int, message: str
) -> None:
    api = jobless
    place = begun(api)
    api.put(place, content=b"any")
    wanted = {"upload": place.rpartition("/")[2], "plan": PLAN} | change
    answer = api.post("/v1/jobs", json={key: value for key, value in wanted.items() if value is not None})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert message in answer.json()["detail"]
    assert api.head(place).status_code == 200
    assert api.get("/v1/jobs").json()["jobs"] == []


def test_an_invalid_annotation_file_is_refused(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        for content in (b"{", b"[]", b'{"format": "velum-regions/1"}', b"[" * 100_000):
            source, regions = begun(api), begun(api)
            api.put(source, content=b"any")
            api.put(regions, content=content)
            wanted = {"upload": source.rpartition("/")[2], "regions": regions.rpartition("/")[2], "plan": PLAN}
            answer = api.post("/v1/jobs", json=wanted)
            assert (answer.status_code, answer.json()["code"]) == (422, "BadInput")
            assert api.head(source).status_code == 200
        assert not list((tmp_path / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*"))


def test_sources_are_fetched_only_from_allowed_hosts(tmp_path: Path) -> None:
    data = picture()
    chosen = settings(tmp_path / "a")
    with on_the_wire(chosen) as other, httpx2.Client(base_url=other, timeout=60) as its:
        place = handed_in(its, data)
        with worked(chosen):
            ended(its, place)
        mine = settings(tmp_path / "b")
        mine = replace(mine, jobs=replace(mine.jobs, urls=True, webhooks=True))
        with client(mine) as api:
            answer = api.post("/v1/jobs", json={"url": f"{other}{place}/result", "plan": PLAN})
            assert (answer.status_code, answer.json()["name"]) == (201, "result")
            missing = api.post("/v1/jobs", json={"url": f"{other}{place}0/result", "plan": PLAN})
            assert (missing.status_code, "answered 404" in missing.json()["detail"]) == (422, True)
            for field in ("url", "webhook"):
                far = api.post("/v1/jobs", json={"url": f"{other}/a", field: "file:///etc/passwd", "plan": PLAN})
                assert (far.status_code, far.json()["code"]) == (422, "BadPlan")
        closed = replace(mine, remote=NetworkPolicy())
        with client(closed) as api:
            named = other.replace("127.0.0.1", "localhost")  # what it stands for inside is nobody's business
            inner = api.post("/v1/jobs", json={"url": f"{named}{place}/result", "plan": PLAN})
            assert (inner.status_code, inner.json()["code"]) == (422, "BadPlan")
            assert "not allowed to connect" in inner.json()["detail"]
            assert "127.0.0.1" not in inner.text
    (stored,) = (tmp_path / "b" / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*")
    assert not pixels(stored.read_bytes()).any()


@pytest.mark.parametrize(
    ("error", "scope", "shows_cause"),
    [("Unavailable", "anonymize", False), ("Unavailable", "operate", True), ("BadInput", "anonymize", True)],
    ids=["a fault is the operator's concern", "who sees why", "what is wrong with the source is its owner's"],
)
def test_the_owner_sees_why_a_job_failed_and_internal_causes_stay_hidden(
    error: str, scope: Any, *, shows_cause: bool
) -> None:
    submission = Submission("key", "a.png", Plan())
    job = JobRecord("id", State.GAVE_UP, submission, 1.0, error=error, message="see /srv/cache")
    nothing = cast("Any", None)
    service = JobService(nothing, nothing, nothing, nothing, 1)
    shown = service.json_of(job, Principal("one", frozenset({scope})))
    assert (shown["error"]["message"] == "see /srv/cache") == shows_cause


class Named(Authenticator):
    """Lets in whoever the header names, with the scopes that it names."""

    def require(self, *scopes: Any) -> Any:
        def caller(request: Request) -> Principal:
            name, *theirs = request.headers.get("x-name", "a anonymize").split()
            return Principal(name, frozenset(theirs))  # type: ignore[arg-type]

        return caller


def test_nobody_sees_the_jobs_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.service.state.access_of", lambda _: Named())
    owner, stranger, operator = (
        {"x-name": text} for text in ("one anonymize", "two anonymize", "root anonymize operate")
    )
    with client(settings(tmp_path)) as api:
        api.headers.update(owner)
        place, upload = handed_in(api), begun(api)
        api.put(upload, content=b"any")
        theirs = {"upload": upload.rpartition("/")[2], "plan": PLAN}
        for answer in (
            api.get(place, headers=stranger), api.get(f"{place}/result", headers=stranger),
            api.get(f"{place}/report", headers=stranger),
            api.get(f"{place}/events", headers=stranger), api.post(f"{place}/cancel", headers=stranger),
            api.post(f"{place}/retry", headers=stranger), api.delete(place, headers=stranger),
            api.get(upload, headers=stranger),
            api.put(upload, content=b"x", headers=stranger), api.delete(upload, headers=stranger),
            api.post("/v1/jobs", json=theirs, headers=stranger),
        ):  # fmt: skip
            assert answer.status_code == 404, answer.request.url
        assert api.get("/v1/jobs", headers=stranger).json()["jobs"] == []
        assert len(api.get("/v1/jobs").json()["jobs"]) == 1
        for denied in (
            api.get("/v1/jobs?owner=two"), api.post("/v1/jobs", json={**theirs, "priority": 1}),
            api.post("/v1/jobs", json={**theirs, "regions": upload.rpartition("/")[2]}),
        ):  # fmt: skip
            assert (denied.status_code, denied.json()["code"]) == (403, "Denied")
        assert len(api.get("/v1/jobs?owner=one", headers=operator).json()["jobs"]) == 1
        assert api.get("/v1/jobs?owner=two", headers=operator).json()["jobs"] == []
        assert api.post(f"{place}/cancel", headers=operator).json()["state"] == "cancelled"


def test_a_result_that_was_deleted_after_its_time_is_gone(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = handed_in(api)
        chosen = settings(tmp_path).jobs
        database = Database(f"sqlite:///{chosen.data}/jobs.sqlite")
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE velum_jobs SET state = 'done'")
        database.close()
        answer = api.get(f"{place}/result")
    assert (answer.status_code, answer.json()["code"]) == (410, "Expired")


def test_the_number_of_clients_that_follow_jobs_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.02)
    with (
        on_the_wire(settings(tmp_path, requests=3, caller_requests=3)) as url,
        httpx2.Client(base_url=url, timeout=60) as api,
    ):
        place = handed_in(api)
        lines: list[str] = []
        begun_watching = threading.Event()

        def watch() -> None:
            with api.stream("GET", f"{place}/events") as stream:
                for line in stream.iter_lines():
                    begun_watching.set()
                    lines.append(line)

        watching = threading.Thread(target=watch)
        watching.start()
        assert begun_watching.wait(10)
        answer = api.get(f"{place}/events")
        assert (answer.status_code, answer.json()["code"]) == (429, "Busy")
        api.delete(place)
        watching.join(10)
        assert "event: deleted" in lines


def test_a_page_can_list_a_thousand_jobs(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with client(chosen) as api:
        api.get("/v1/jobs")
        database, store = Database(f"sqlite:///{chosen.jobs.data}/jobs.sqlite"), FolderStore(chosen.jobs.data / "store")
        key = store.put([b"any"]).key
        desk = JobQueue(database, store)
        with database.writing() as connection:
            row = row_of(Submission(key, "name", Plan()))
            rows = [{"id": new_id(), "state": State.WAITING, "submitted": 1.0, **row} for _ in range(1000)]
            connection.execute(JOBS.insert(), rows)
        assert len(desk.list(limit=1000).jobs) == 1000
        asked: list[str] = []

        def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
            asked.append(statement)

        sql.event.listen(sql.Engine, "before_cursor_execute", note)
        try:
            assert len(api.get("/v1/jobs?limit=1000").json()["jobs"]) == 1000
        finally:
            sql.event.remove(sql.Engine, "before_cursor_execute", note)
        database.close()
    assert sum("ORDER BY" in statement and "velum_jobs.id DESC" in statement for statement in asked) == 1, (
        "not one for each"
    )
    assert len(asked) < 50, "whatever else was asked meanwhile"
