"""Slow and silent clients do not occupy a connection for long."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.service.factories import client, on_the_wire, picture, settings
from tests.service.v1.test_jobs import handed_in
from tests.waiting import until

from velum.service.auth.api_keys import ApiKeys
from velum.settings.schema import AccessSettings

HEAD = "POST {} HTTP/1.1\r\nHost: velum\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("slow")
    with on_the_wire(settings(folder, head_seconds=0.5, idle_seconds=0.5)) as url:
        yield url


def line_to(address: str) -> socket.socket:
    place = urlsplit(address)
    return socket.create_connection((place.hostname or "", place.port or 0), 20)


def rest(line: socket.socket) -> bytes:
    return b"".join(iter(lambda: line.recv(65536), b""))


@pytest.mark.parametrize("sent", [b"", b"POST /v1/images HTTP/1.1\r\nHost: v"])
def test_a_connection_without_a_request_head_is_closed(address: str, sent: bytes) -> None:
    with line_to(address) as line:
        line.sendall(sent)
        assert rest(line) == b""


@pytest.mark.exhaustive
def test_the_second_request_head_of_a_connection_has_the_same_time_limit(address: str) -> None:
    with line_to(address) as line:
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: velum\r\n\r\nGET /health/live HT")
        assert rest(line).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("path", ["/v1/images", "/v1/locate", "/v1/jobs"])
def test_a_request_whose_body_never_arrives_is_refused(address: str, path: str) -> None:
    with line_to(address) as line:
        line.sendall(HEAD.format(path, 1000).encode() + b"x")
        answer = rest(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "TooSlow"' in answer


def test_the_bmw_api_answers_a_missing_body_in_its_own_format(address: str) -> None:
    head = HEAD.format("/anonymize/", 1000).replace("application/octet-stream", "multipart/form-data; boundary=a")
    with line_to(address) as line:
        line.sendall(head.encode() + b"--a\r\n")
        answer = rest(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["success"] is False


def test_a_request_whose_body_arrives_too_slowly_is_refused(address: str) -> None:
    with line_to(address) as line:
        line.sendall(HEAD.format("/v1/images", 1 << 20).encode())
        line.settimeout(0.2)
        answer = b""
        for _ in range(100):  # never silent for long, but never much
            try:
                line.sendall(b"x")
                answer = line.recv(65536)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_each_client_may_send_a_limited_number_of_requests_at_once(tmp_path: Path) -> None:
    with on_the_wire(settings(tmp_path, requests=8, caller_requests=2)) as address:
        held = [line_to(address) for _ in range(2)]
        for line in held:
            line.sendall(HEAD.format("/v1/images", 1 << 20).encode() + b"x" * 1000)
        until(lambda: httpx2.get(f"{address}/v1/jobs").status_code == 429)
        assert "2 of your requests" in httpx2.get(f"{address}/v1/jobs").json()["detail"]
        assert httpx2.get(f"{address}/health/live").status_code == 200
        for line in held:
            line.close()
        until(lambda: httpx2.get(f"{address}/v1/jobs").status_code == 200)


def test_a_second_request_of_the_owner_takes_over_a_stalled_upload(tmp_path: Path) -> None:
    _, ada = ApiKeys(tmp_path / "keys.json").add("ada", ["anonymize"])
    _, eve = ApiKeys(tmp_path / "keys.json").add("eve", ["anonymize"])
    chosen = replace(settings(tmp_path), access=AccessSettings(required=True, keys=tmp_path / "keys.json"))
    data = picture()
    with on_the_wire(chosen) as address:
        own, other = {"x-api-key": ada}, {"x-api-key": eve}
        upload = f"/v1/uploads/{httpx2.post(f'{address}/v1/uploads', headers=own).json()['id']}"
        with line_to(address) as line:
            head = HEAD.format(upload, len(data)).replace("POST", "PUT").replace("Host", f"X-Api-Key: {ada}\r\nHost")
            line.sendall(head.encode() + data[:100])
            # Whoever it is not of, does not end it.
            assert httpx2.put(f"{address}{upload}", content=data, headers=other).status_code == 404
            assert httpx2.delete(f"{address}{upload}", headers=other).status_code == 404
            answer = httpx2.put(f"{address}{upload}", content=data, headers=own)
            assert (answer.status_code, answer.json().get("offset")) == (200, len(data)), answer.text
            first = rest(line) if line.recv(1, socket.MSG_PEEK) else b""
            assert first == b"" or first.startswith(b"HTTP/1.1 409 ")
        with line_to(address) as line:
            line.sendall(head.encode() + data[:100])
            assert httpx2.delete(f"{address}{upload}", headers=own).status_code == 204


def test_requests_within_the_time_limits_are_served(tmp_path: Path) -> None:
    with client(settings(tmp_path, idle_seconds=5)) as api:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(api.post("/v1/images", content=picture()).status_code))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200, 200, 200]


@pytest.mark.exhaustive
def test_the_connection_of_a_client_that_stops_reading_is_closed(tmp_path: Path) -> None:
    with on_the_wire(settings(tmp_path, idle_seconds=2, requests=8, caller_requests=1)) as address:
        large = picture(4000, 2000)
        with httpx2.Client(base_url=address, timeout=60) as api:
            # Twice what the buffers between the service and its client can hold: what is left waits for it to read.
            job = handed_in(api, large, name="large.png")
        with line_to(address) as line:
            line.sendall(f"GET {job}/source HTTP/1.1\r\nHost: velum\r\n\r\n".encode())
            assert line.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
            assert httpx2.get(f"{address}/v1/jobs").status_code == 429
            until(lambda: httpx2.get(f"{address}/v1/jobs").status_code == 200)
            assert len(rest(line)) < len(large), "what had not been sent is given up"
