import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import pytest
from tests.waiting import until

from velum.errors import BadPlan, Unavailable
from velum.net import ANYWHERE, NetworkPolicy, backend
from velum.net.client import FormFile, HttpClient

from .servers import Asked, Server, answering, free_port, read, talking, whole

UPLOAD = FormFile("field", "image.png", b"\x89PNG picture", "image/png")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.net.client.BACKOFF_SECONDS", 0.01)


def _reach(**more: float) -> NetworkPolicy:
    return NetworkPolicy(allow=("*",), **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def _peers(reach: NetworkPolicy = ANYWHERE) -> Iterator[HttpClient]:
    peers = HttpClient(reach)
    try:
        yield peers
    finally:
        peers.close()


def test_returns_status_body_and_media_type_for_any_status() -> None:
    def answer(asked: Asked) -> bytes:
        return whole(b"{}", 404 if asked.target == "/none" else 200, "Application/JSON; charset=utf-8", X_More="1")

    with answering(answer) as server, _peers() as peers:
        one = peers.get(f"{server.url}some/path?q=1")
        assert (one.status, one.body, one.kind, one.headers["x-more"]) == (200, b"{}", "application/json", "1")
        assert peers.get(f"{server.url}none").status == 404
        assert server.asked[0].target == "/some/path?q=1"
        assert server.asked[0].headers["accept-encoding"] == "identity"
        assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"
        assert server.connections == 1, "connections are kept"


def test_sends_forms_and_bodies_unchanged() -> None:
    with answering(lambda asked: whole()) as server, _peers() as peers:
        peers.post(f"{server.url}a", UPLOAD, {"model": "yolo"})
        peers.post_body(f"{server.url}b", b"\0\1", {"Content-Type": "application/octet-stream", "X-One": "1"})
        form, body = server.asked
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="model"\r\n\r\nyolo\r\n' in form.body
    assert b'name="field"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG picture\r\n' in form.body
    assert (body.body, body.headers["x-one"], body.headers["content-length"]) == (b"\0\1", "1", "2")


def _old(line: socket.socket, file: BinaryIO, server: Server) -> None:
    read(file)
    line.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nolder than length")


def _chunked(line: socket.socket, file: BinaryIO, server: Server) -> None:
    read(file)
    line.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.sendall(b"5\r\nolder\r\n")
    line.sendall(b"c\r\n than length\r\n0\r\n\r\n")


@pytest.mark.parametrize("talk", [_old, _chunked])
def test_reads_chunked_responses_and_those_without_a_length(talk: Callable[..., None]) -> None:
    with talking(talk) as server, _peers() as peers:
        for _ in range(2):
            assert peers.get(server.url).body.startswith(b"older than length")


def test_replaces_a_connection_that_the_server_closed() -> None:
    with answering(lambda asked: whole(Connection="close")) as server, _peers() as peers:
        assert [peers.get(server.url).status for _ in range(3)] == [200] * 3
        assert server.connections == 3


def test_replaces_a_stale_connection() -> None:
    def talk(line: socket.socket, file: BinaryIO, server: Server) -> None:
        server.asked += filter(None, [read(file)])
        line.sendall(whole())
        if server.connections == 1:
            read(file)  # the second request is read, and the connection ends without a word

    with talking(talk) as server, _peers() as peers:
        assert [peers.get(server.url).status for _ in range(2)] == [200] * 2
        assert server.connections == 2


def test_repeats_calls_while_a_server_starts() -> None:
    with answering(lambda asked: whole(status=503 if len(server.asked) < 3 else 200)) as server, _peers() as peers:
        assert peers.post(server.url, UPLOAD).status == 200
        assert len({asked.body.partition(b"\r\n")[2] for asked in server.asked}) == 1
        assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "calls"), [(502, 3), (503, 3), (504, 3), (500, 1), (404, 1), (429, 1)])
def test_repeats_only_calls_that_may_succeed_later(status: int, calls: int) -> None:
    with answering(lambda asked: whole(status=status)) as server, _peers() as peers:
        assert peers.get(server.url).status == status
        assert len(server.asked) == calls


def test_reports_a_refused_connection_without_the_query_after_retries() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with _peers() as peers, pytest.raises(Unavailable, match=r"accepted no connection .*refused") as caught:
        peers.get(f"{url}/models?key=secret")
    assert f"{url}/models " in str(caught.value)
    assert "secret" not in str(caught.value)


def _silent(line: socket.socket, file: BinaryIO, server: Server) -> None:
    server.over.wait(5)


def _drip_body(line: socket.socket, file: BinaryIO, server: Server) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.over.wait(0.05):
        line.sendall(b"x")


def _drip_head(line: socket.socket, file: BinaryIO, server: Server) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\n")
    while not server.over.wait(0.05):
        line.sendall(b"x")


def _drip_chunks(line: socket.socket, file: BinaryIO, server: Server) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not server.over.wait(0.05):
        line.sendall(b"1\r\nx\r\n")


@pytest.mark.parametrize("talk", [_drip_body, _drip_head, _drip_chunks])
def test_ends_a_response_that_drips_too_slowly(talk: Callable[..., None]) -> None:
    with talking(talk) as server, _peers(_reach(read_seconds=0.3, total_seconds=0.5)) as peers:
        with pytest.raises(Unavailable, match=r"took longer than 0.5 s in all"):  # else it would drip for ever
            peers.get(server.url)
        assert server.connections == 1, "not tried again"


def test_times_out_on_silence_without_a_retry() -> None:
    with talking(_silent) as server, _peers(_reach(read_seconds=0.2)) as peers:
        with pytest.raises(Unavailable, match=r"sent nothing for 0.2 s"):
            peers.get(server.url)
        assert server.connections == 1


def test_times_out_when_a_server_does_not_read() -> None:
    with (
        talking(_silent) as server, _peers(_reach(total_seconds=0.5)) as peers,
        pytest.raises(Unavailable, match=r"in all|silent"),  # else it would wait for ever
    ):  # fmt: skip
        peers.post(server.url, FormFile("a", "b", bytes(32 << 20), "image/png"))


def _endless(line: socket.socket, file: BinaryIO, server: Server) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not server.over.is_set():
        line.sendall(bytes(1 << 16))


def test_refuses_a_response_above_the_limit() -> None:
    with talking(_endless) as server, _peers(_reach(answer_bytes=1 << 20)) as peers:
        with pytest.raises(Unavailable, match=r"more than the 1,048,576 bytes that are accepted"):
            peers.get(server.url)
        assert server.connections == 1


def test_refuses_a_compressed_response_without_decompressing_it() -> None:
    told = pytest.raises(Unavailable, match=r"compressed its response \('gzip'\), which the request did not ask for")
    with answering(lambda asked: whole(Content_Encoding="gzip")) as server, _peers() as peers, told:
        peers.get(server.url)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
    ],
)
def test_reports_what_is_not_an_http_response(sent: bytes) -> None:
    def talk(line: socket.socket, file: BinaryIO, server: Server) -> None:
        read(file)
        line.sendall(sent)

    with talking(talk) as server, _peers() as peers:
        with pytest.raises(Unavailable, match=r"closed the connection early or does not speak HTTP"):
            peers.get(server.url)
        assert server.connections == 3


def _to(place: str, status: int = 302) -> Callable[[Asked], bytes]:
    return lambda asked: whole(b"new", 200) if asked.target == "/new" else whole(status=status, Location=place)


def test_follows_a_redirect_on_the_same_server_with_the_body() -> None:
    with answering(_to("/new", 307)) as server, _peers() as peers:
        assert peers.get(f"{server.url}old").body == b"new"
        assert peers.post(f"{server.url}old", UPLOAD).body == b"new"
        assert UPLOAD.content in server.asked[-1].body


def test_does_not_follow_a_redirect_to_another_server() -> None:
    with answering(lambda asked: whole()) as other, answering(_to(other.url)) as server, _peers() as peers:
        with pytest.raises(Unavailable, match=r"redirects to http://127.0.0.1:\d+, another server"):
            peers.get(server.url)
        assert not other.asked


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "another server"),
        ("//169.254.169.254/", "another server"),
        ("https://127.0.0.1/", "another server"),
        ("file:///etc/passwd", "an invalid address"),
        ("http://user:secret@127.0.0.1/", "an invalid address"),
        ("http://[::1/", "an invalid address"),
        ("/loop", "redirects more than 5 times"),
    ],
)
def test_does_not_follow_a_redirect_to_an_invalid_address(place: str, why: str) -> None:
    with answering(_to(place)) as server, _peers() as peers, pytest.raises(Unavailable, match=why) as caught:
        peers.get(server.url)
    assert "secret" not in str(caught.value)


def test_refuses_a_redirect_that_drops_the_body() -> None:
    with answering(_to("/new", 301)) as server, _peers() as peers:
        with pytest.raises(Unavailable, match=r"redirects an image to http://127.0.0.1:\d+/new by 301"):
            peers.post(server.url, UPLOAD)
        assert len(server.asked) == 1


def test_does_not_take_a_plain_server_for_an_encrypted_one() -> None:
    def talk(line: socket.socket, file: BinaryIO, server: Server) -> None:
        line.sendall(b"HTTP/1.1 400 Speak plainly\r\n\r\n")

    told = pytest.raises(Unavailable, match=r"accepted no connection \(.*SSL")
    with talking(talk) as server, _peers(_reach(attempts=1)) as peers, told:
        peers.get(server.url.replace("http:", "https:"))


def test_a_name_cannot_change_between_check_and_connection() -> None:
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1", "127.0.0.1"])

    def resolve(host: str, port: int) -> Sequence[str]:
        return [next(answers)]

    with answering(lambda asked: whole()) as server:
        peers = HttpClient(NetworkPolicy(private=True), resolve)
        peers.check(f"http://rebinding.example:{server.port}/")
        with pytest.raises(Unavailable, match=r"must not be reached: it is this machine itself"):
            peers.get(f"http://rebinding.example:{server.port}/")
        peers.close()
        assert server.connections == 0


def test_connects_to_the_checked_address_and_sends_the_host_name() -> None:
    with answering(lambda asked: whole()) as server:
        peers = HttpClient(NetworkPolicy(allow=("127.0.0.0/8",)), lambda host, port: ["127.0.0.3", "127.0.0.1"])
        assert peers.get(f"http://inference.example:{server.port}/").status == 200
        peers.close()
        assert server.asked[0].headers["host"] == f"inference.example:{server.port}"


def test_ignores_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with answering(lambda asked: whole()) as server, _peers() as peers:
        assert peers.get(server.url).status == 200


def test_a_slow_server_delays_only_calls_to_it() -> None:
    reach = _reach(parallel=2, total_seconds=0.8, read_seconds=0.8)
    with talking(_silent) as slow, answering(lambda asked: whole()) as quick, _peers(reach) as peers:
        told: list[str] = []

        def ask() -> None:
            with pytest.raises(Unavailable) as caught:
                peers.get(slow.url)
            told.append(str(caught.value))

        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        until(lambda: slow.connections == 2)
        assert all(peers.get(quick.url).status == 200 for _ in range(5))
        assert not told, "the slow ones still wait"
        assert slow.connections <= 2
        for thread in threads:
            thread.join()
        assert len(told) == 5
        assert sum("was not called: 2 other calls to it took more than" in one for one in told) >= 1


def test_threads_get_their_own_responses() -> None:
    with answering(lambda asked: whole(asked.target.encode())) as server, _peers(_reach(parallel=4)) as peers:
        wrong: list[str] = []

        def ask(mark: int) -> None:
            for turn in range(10):
                path = f"/{mark}/{turn}"
                if peers.get(f"{server.base}{path}").body.decode() != path:
                    wrong.append(path)

        threads = [threading.Thread(target=ask, args=(mark,)) for mark in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len(server.asked) == 120
        assert server.connections <= 4


def test_health_reports_the_result_of_the_last_calls() -> None:
    statuses = iter([200, 200, 503, 503, 503, 200])
    with answering(lambda asked: whole(status=next(statuses))) as server, _peers() as peers:
        assert not peers.health
        peers.get(f"{server.url}one")
        first = peers.health[server.base]
        assert (first.reachable, first.detail) == (True, "answered 200")
        peers.get(f"{server.url}two")
        assert peers.health[server.base].since == first.since, "the state is as old as its first call"
        peers.get(f"{server.url}three")
        assert (peers.health[server.base].reachable, peers.health[server.base].detail) == (False, "answered 503")
        peers.get(f"{server.url}four")
        assert peers.health[server.base].reachable
        gone = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(Unavailable):
            peers.get(gone)
        assert not peers.health[gone].reachable
        assert "accepted no connection" in peers.health[gone].detail


def test_reports_a_call_on_a_closed_client() -> None:
    with answering(lambda asked: whole()) as server:
        peers = HttpClient(ANYWHERE)
        peers.get(server.url)
        peers.close()
        with pytest.raises(Unavailable, match="this client is closed"):
            peers.get(server.url)


def test_an_unreadable_address_is_unavailable_when_called() -> None:
    with _peers() as peers, pytest.raises(Unavailable, match="is not one of a web server"):
        peers.get("ftp://example.org/")


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"parallel": 0}, {"read_seconds": 0}, {"total_seconds": -1.0}])
def test_refuses_limits_that_allow_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(BadPlan, match=next(iter(wrong))):
        _reach(**wrong)


def _head_then_body(line: socket.socket, file: BinaryIO, server: Server) -> None:
    """Answer in two pieces, the second of which waits until the first is acknowledged."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    while (asked := read(file)) is not None:
        server.asked.append(asked)
        head, end, body = whole(b"in two pieces").partition(b"\r\n\r\n")
        line.sendall(head + end)
        line.sendall(body)


@pytest.mark.skipif(backend.QUICK_ACKNOWLEDGEMENT is None, reason="the system has no such option")
def test_acknowledges_received_data_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen in the option itself, which Linux turns off on a connection that has sent and received for some time."""
    lines: set[socket.socket] = set()
    seen: list[int] = []
    acknowledge = backend.acknowledge

    def watch(line: socket.socket) -> None:
        acknowledge(line)
        lines.add(line)
        seen.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))

    monkeypatch.setattr(backend, "acknowledge", watch)
    with talking(_head_then_body) as server, _peers() as peers:
        for _ in range(6):
            assert peers.post_body(server.url, b"picture", {}).body == b"in two pieces"
        assert (server.connections, len(lines)) == (1, 1)
    assert len(seen) >= 6
    assert set(seen) == {1}


def test_responses_are_equal_without_that_socket_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "QUICK_ACKNOWLEDGEMENT", None)
    with talking(_head_then_body) as server, _peers() as peers:
        assert [peers.get(server.url).body for _ in range(2)] == [b"in two pieces"] * 2
