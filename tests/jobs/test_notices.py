"""Webhooks: told at least once, and of no consequence for the job."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from velum.errors import Unavailable
from velum.jobs import State, through
from velum.jobs import notices as module
from velum.remote.peers import Peers
from velum.remote.reach import ANYWHERE

from .conftest import Office


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("soon")
def test_the_end_is_told_until_it_is_taken(office: Office, until: Callable[..., None]) -> None:
    told: list[tuple[str, bytes]] = []

    def notify(url: str, body: bytes) -> None:
        told.append((url, body))
        if len(told) < 3:
            raise Unavailable("nobody there")

    job, silent = office.submit("told", webhook="http://x.example/"), office.submit("silent")
    called_off = office.submit("off", webhook="http://y.example/", priority=-5)
    office.desk.cancel(called_off.id)
    with office.working(notify=notify):
        office.ended(job, silent)
        until(lambda: len(told) == 4, "four calls")
    ends = {(url, json.loads(body)["id"], json.loads(body)["state"]) for url, body in told}
    assert ends == {("http://x.example/", job.id, "done"), ("http://y.example/", called_off.id, "cancelled")}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("BadInput", "so it was ordered"),  # for whoever handed it in
        ("PluginFault", "it failed inside the service; the operator finds why in the list of jobs"),
    ],
)
def test_what_went_wrong_inside_is_not_told(
    back_office: Office, until: Callable[..., None], error: str, message: str
) -> None:
    told: list[bytes] = []
    job = back_office.submit(webhook="http://x.example/", error=error)
    with back_office.working(notify=lambda url, body: told.append(body)):
        (failed,) = back_office.ended(job)
        until(lambda: told, "the call")
    assert failed.message == "so it was ordered"
    assert json.loads(told[0])["error"] == {"code": error, "message": message}


def test_it_is_tried_so_often(back_office: Office, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.0)
    told: list[str] = []

    def notify(url: str, body: bytes) -> None:
        told.append(url)
        raise Unavailable("nobody there")

    job = back_office.submit(webhook="http://x.example/")
    with back_office.working(notify=notify):
        until(lambda: len(told) == module.TRIES, "all tries")
        back_office.until(back_office.submit(), State.DONE)
    assert len(told) == module.TRIES
    assert back_office.now(job).state == State.DONE


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


def test_by_http(listener: tuple[str, list[tuple[str, bytes]]]) -> None:
    url, heard = listener
    peers = Peers(ANYWHERE)
    notify = through(peers)
    notify(f"{url}/good", b"{}")
    with pytest.raises(Unavailable, match="answered 400"):
        notify(f"{url}/bad", b"{}")
    peers.close()
    assert heard == [("application/json", b"{}")] * 2
