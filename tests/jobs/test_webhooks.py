"""Webhooks are sent at least once, and never affect their job."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from velum.errors import Unavailable
from velum.jobs import JobRecord, Retention, RetentionSweeper, State, WorkerTiming, http_sender
from velum.jobs import webhooks as module
from velum.jobs.approvals import approve_results, send_back
from velum.jobs.claims import WorkerClaims
from velum.jobs.schema import JOBS
from velum.jobs.webhooks import WebhookDelivery
from velum.net import ANYWHERE
from velum.net.client import HttpClient

from .conftest import MOSTLY_SQLITE, Office
from .fake_processor import PACE


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.01)


@MOSTLY_SQLITE
@pytest.mark.usefixtures("soon")
def test_a_webhook_is_posted_until_it_is_accepted(office: Office, until: Callable[..., None]) -> None:
    calls: list[tuple[str, bytes]] = []

    def notify(url: str, body: bytes) -> None:
        calls.append((url, body))
        if len(calls) < 3:
            raise Unavailable("nobody there")

    job, silent = office.submit("told", webhook="http://x.example/"), office.submit("silent")
    called_off = office.submit("off", webhook="http://y.example/", priority=-5)
    office.desk.cancel(called_off.id)
    with office.working(notify=notify):
        office.ended(job, silent)
        until(lambda: len(calls) == 4, "four calls")
    ends = {(url, json.loads(body)["id"], json.loads(body)["state"]) for url, body in calls}
    assert ends == {("http://x.example/", job.id, "done"), ("http://y.example/", called_off.id, "cancelled")}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("BadInput", "so it was ordered"),  # for whoever handed it in
        ("PluginFault", "internal error; the operator finds the cause with 'velum jobs list'"),
    ],
)
def test_internal_errors_are_not_in_webhooks(
    back_office: Office, until: Callable[..., None], error: str, message: str
) -> None:
    calls: list[bytes] = []
    job = back_office.submit(webhook="http://x.example/", error=error)
    with back_office.working(notify=lambda url, body: calls.append(body)):
        (failed,) = back_office.ended(job)
        until(lambda: calls, "the call")
    assert failed.message == "so it was ordered"
    assert json.loads(calls[0])["error"] == {"code": error, "message": message}


def test_a_webhook_is_tried_a_limited_number_of_times(
    back_office: Office, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.0)
    calls: list[str] = []

    def notify(url: str, body: bytes) -> None:
        calls.append(url)
        raise Unavailable("nobody there")

    job = back_office.submit(webhook="http://x.example/")
    with back_office.working(notify=notify):
        until(lambda: len(calls) == module.TRIES, "all tries")
        back_office.until(back_office.submit(), State.DONE)
    assert len(calls) == module.TRIES
    assert back_office.now(job).state == State.DONE


@pytest.mark.parametrize("owners", [("one", "two"), ("one", "one")])
def test_a_slow_webhook_stops_neither_others_nor_the_deletion_of_originals(
    back_office: Office, until: Callable[..., None], owners: tuple[str, str]
) -> None:
    calls: list[str] = []
    let_go = threading.Event()

    def notify(url: str, body: bytes) -> None:
        if "slow" in url:
            assert let_go.wait(60)
        calls.append(url)

    slow = [back_office.submit(f"{n}", owner=owners[0], webhook="http://slow.example/", pieces=1) for n in range(6)]
    with back_office.working(notify=notify, retention=Retention(originals_seconds=0)):
        try:
            back_office.ended(*slow)
            quick = back_office.submit(owner=owners[1], webhook="http://quick.example/", pieces=1)
            until(lambda: calls == ["http://quick.example/"], "the quick one to be told")
            until(lambda: not back_office.now(quick).source_kept, "the original to be deleted")
        finally:
            let_go.set()
        until(lambda: len(calls) == 7, "all to be told")


def test_webhooks_of_several_owners_take_turns(back_office: Office) -> None:
    calls: list[str] = []
    for n in range(9):
        back_office.submit(owner="many", webhook=f"http://many.example/{n}")
    for n in range(2):
        back_office.submit(owner="few", webhook=f"http://few.example/{n}")
    for job in back_office.desk.list().jobs[::-1]:
        back_office.desk.cancel(job.id)
    notices = WebhookDelivery(back_office.database, lambda url, body: calls.append(url))
    while notices.deliver():
        pass
    assert [url.split(".")[0].removeprefix("http://") for url in calls] == ["many", "few", "many", "few"] + ["many"] * 7


def test_notices_to_one_server_of_an_owner_are_posted_one_at_a_time(back_office: Office) -> None:
    calls: list[str] = []

    def notify(url: str, body: bytes) -> None:
        calls.append(url)
        if len(calls) < 4:
            notices.deliver()  # as another thread would meanwhile

    for url in (
        "http://a.example/1",
        "http://a.example/2",
        "http://b.example/",
        "http://c.example/",
        "http://d.example/",
    ):
        back_office.desk.cancel(back_office.submit(webhook=url).id)
    notices = WebhookDelivery(back_office.database, notify)
    assert notices.deliver()
    assert calls == ["http://a.example/1", "http://b.example/", "http://c.example/"], "one place is left for others"


def ends_done(office: Office, job: JobRecord) -> None:
    with office.working():
        office.ended(job)


def ends_called_off_at_work(office: Office, job: JobRecord) -> None:
    with office.working():
        office.until(job, State.RUNNING)
        office.desk.cancel(job.id)
        office.ended(job)


def ends_with_its_workers(office: Office, job: JobRecord) -> None:
    for name in ("first", "second"):
        ledger = WorkerClaims(office.database, name, name, WorkerTiming(dead_seconds=0.0, worker_crashes=2))
        ledger.beat()
        assert ledger.take()
        WorkerClaims(office.database, "other", "other", WorkerTiming(dead_seconds=0.0, worker_crashes=2)).reap()


def ends_called_off_with_its_worker(office: Office, job: JobRecord) -> None:
    ledger = WorkerClaims(office.database, "dead", "dead", WorkerTiming(dead_seconds=0.0))
    ledger.beat()
    assert ledger.take()
    office.desk.cancel(job.id)
    WorkerClaims(office.database, "other", "other", WorkerTiming(dead_seconds=0.0)).reap()


def ends_with_a_plan_of_another_version(office: Office, job: JobRecord) -> None:
    with office.database.writing() as connection:
        connection.execute(JOBS.update().values(plan='{"later": 1}'))
    assert WorkerClaims(office.database, "one", "one", PACE).take() is None


def ends_deleted(office: Office, job: JobRecord) -> None:
    assert office.desk.delete(job.id)


def ends_deleted_after_its_time(office: Office, job: JobRecord) -> None:
    with office.working():
        office.ended(job)
    RetentionSweeper(office.database, office.store, Retention(jobs_seconds=0)).sweep()


@pytest.mark.parametrize(
    ("end", "order", "state"),
    [
        (ends_done, {"pieces": 1}, "done"),
        (ends_done, {"error": "BadInput"}, "failed"),
        (ends_done, {"error": "Unavailable"}, "dead"),
        (lambda office, job: office.desk.cancel(job.id), {}, "cancelled"),
        (ends_called_off_at_work, {"seconds": 30}, "cancelled"),
        (ends_with_its_workers, {}, "dead"),
        (ends_called_off_with_its_worker, {}, "cancelled"),
        (ends_with_a_plan_of_another_version, {}, "failed"),
        (ends_deleted, {}, "deleted"),
        (ends_deleted_after_its_time, {"pieces": 1}, "deleted"),
    ],
)
def test_every_end_of_a_job_is_posted(
    back_office: Office, end: Callable[[Office, JobRecord], None], order: dict[str, Any], state: str
) -> None:
    job = back_office.submit(webhook="http://x.example/", **order)
    end(back_office, job)
    calls: list[dict[str, Any]] = []
    notices = WebhookDelivery(back_office.database, lambda url, body: calls.append(json.loads(body)))
    while notices.deliver():
        pass
    assert [(call["id"], call["state"]) for call in calls] == [(job.id, state)]


def test_an_end_is_posted_even_when_the_job_runs_again(back_office: Office) -> None:
    job = back_office.submit(webhook="http://x.example/")
    for again in (back_office.desk.retry, back_office.desk.get):
        back_office.desk.cancel(job.id)
        again(job.id)
    calls: list[dict[str, Any]] = []
    notices = WebhookDelivery(back_office.database, lambda url, body: calls.append(json.loads(body)))
    while notices.deliver():
        pass
    assert [call["state"] for call in calls] == ["cancelled", "cancelled"]


def test_steps_of_a_review_are_posted(back_office: Office) -> None:
    job = back_office.submit(webhook="http://x.example/", pieces=1)
    ends_done(back_office, job)
    ended = back_office.desk.get(job.id)
    assert ended is not None
    assert ended.result is not None
    approve_results(back_office.database, {job.id: ended.result}, "alice")
    send_back(back_office.database, ended, "bob", "A face is left.")
    calls: list[dict[str, Any]] = []
    notices = WebhookDelivery(back_office.database, lambda url, body: calls.append(json.loads(body)))
    while notices.deliver():
        pass
    steps = sorted((call["review"] for call in calls if "review" in call), key=lambda step: step["kind"])
    assert [(step["kind"], step["who"], step["text"]) for step in steps] == [
        ("approved", "alice", ""),
        ("sent back", "bob", "A face is left."),
    ]
    assert all(call["id"] == job.id for call in calls)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    heard: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.headers["Content-Type"], body))
            self.send_response(204 if self.path == "/good" else 400)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_sent_by_http_post(listener: tuple[str, list[tuple[str, bytes]]]) -> None:
    url, heard = listener
    peers = HttpClient(ANYWHERE)
    notify = http_sender(peers)
    notify(f"{url}/good", b"{}")
    with pytest.raises(Unavailable, match="answered 400"):
        notify(f"{url}/bad", b"{}")
    peers.close()
    assert heard == [("application/json", b"{}")] * 2


def test_a_webhook_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    peers = HttpClient(ANYWHERE)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match=r"0\.2 s"):
        http_sender(peers)(f"http://127.0.0.1:{silent.getsockname()[1]}/", b"{}")
    peers.close()
