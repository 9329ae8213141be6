"""Uploads of any size: resumable, never held in memory, and private to their owner."""

import hashlib
import socket
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from tests.service.factories import client, on_the_wire, settings

PLAN = {"rules": ["zone: fixed -> blacken"]}


def begun(api: Any, **wanted: Any) -> str:
    answer = api.post("/v1/uploads", json=wanted)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/uploads/{answer.json()['id']}"
    return str(answer.headers["location"])


def test_an_upload_continues_at_its_offset(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    with client(settings(tmp_path)) as api:
        place = begun(api, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        first = api.put(place, content=data[:1000])
        assert (first.status_code, first.json()["offset"], first.headers["upload-offset"]) == (200, 1000, "1000")
        wrong = api.put(place, content=data)
        assert (wrong.status_code, wrong.json()["offset"], wrong.headers["upload-offset"]) == (409, 1000, "1000")
        head = api.head(place)
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("1000", str(len(data)))
        early = api.post("/v1/jobs", json={"upload": place.rpartition("/")[2], "plan": PLAN})
        assert (early.status_code, early.json()["code"]) == (409, "Conflict")
        again = api.put(place, content=data[1000:2000], headers={"upload-offset": "1000"})
        assert again.json()["offset"] == 2000
        rest = api.put(place, content=data[2000:], headers={"content-range": f"bytes 2000-{len(data) - 1}/{len(data)}"})
        assert rest.json()["offset"] == len(data)
        more = api.put(place, content=b"x", headers={"upload-offset": str(len(data))})
        assert (more.status_code, "announced" in more.json()["detail"]) == (409, True)
        job = api.post("/v1/jobs", json={"upload": place.rpartition("/")[2], "plan": PLAN})
        assert job.status_code == 201
        assert api.head(place).status_code == 404, "the job has taken it over"
    (stored,) = (tmp_path / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*")
    assert stored.read_bytes() == data


def test_an_upload_of_another_size_or_hash_than_announced_is_refused(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = begun(api, sha256="0" * 64)
        api.put(place, content=b"something else")
        answer = api.post("/v1/jobs", json={"upload": place.rpartition("/")[2], "plan": PLAN})
        assert (answer.status_code, answer.json()["code"]) == (422, "BadInput")
        assert "sha256" in answer.json()["detail"]
        assert api.get("/v1/jobs").json()["jobs"] == []


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service for all requests that look at no other upload."""
    with client(settings(tmp_path_factory.mktemp("steady"), limit={"bytes": 5000})) as api:
        yield api


LIMITS: list[tuple[str, dict[str, Any], int]] = [
    ("announced", {"json": {"size": 5001}}, 413),
    ("negative", {"json": {"size": -1}}, 422),
    ("no hash", {"json": {"sha256": "abc"}}, 422),
    ("no number", {"json": {"size": "many"}}, 422),
    ("unknown field", {"json": {"sise": 1}}, 422),
    ("nothing said", {}, 201),
]


@pytest.mark.parametrize(("sent", "status"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
def test_an_invalid_announcement_is_refused(steady: TestClient, sent: Any, status: int) -> None:
    answer = steady.post("/v1/uploads", **sent)
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_upload_may_be_larger_than_other_bodies_up_to_its_own_limit(tmp_path: Path) -> None:
    with client(settings(tmp_path, limit={"bytes": 5000}, body_bytes=2000)) as api:
        place = begun(api)
        assert api.put(place, content=bytes(4000)).status_code == 200
        dripping = api.put(place, content=iter([bytes(600)] * 4), headers={"upload-offset": "4000"})
        assert (dripping.status_code, dripping.json()["code"]) == (413, "LimitExceeded")
        stated = api.put(place, content=bytes(6000), headers={"upload-offset": "4000"})
        assert (stated.status_code, stated.json()["code"]) == (413, "LimitExceeded")
        assert api.post("/v1/images", content=bytes(2500)).status_code == 413


HEADERS: list[tuple[str, dict[str, str], int]] = [
    ("no number", {"upload-offset": "x"}, 422),
    ("negative", {"upload-offset": "-1"}, 422),
    ("no range", {"content-range": "bytes 1-"}, 400),
    ("backwards", {"content-range": "bytes 5-4/9"}, 400),
    ("two that differ", {"content-range": "bytes 0-4/9", "upload-offset": "3"}, 400),
    ("two that agree", {"content-range": "bytes 0-4/9", "upload-offset": "0"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
def test_an_invalid_offset_is_refused(steady: TestClient, headers: dict[str, str], status: int) -> None:
    assert steady.put(begun(steady), content=b"12345", headers=headers).status_code == status


def test_an_upload_can_be_deleted(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = begun(api)
        assert api.delete(place).status_code == 204
        for answer in (api.get(place), api.put(place, content=b"x"), api.delete(place), api.get("/v1/uploads/..%2F..")):
            assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_bytes_received_before_a_broken_connection_stay(tmp_path: Path) -> None:
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = begun(api)
        host, port = api.base_url.host, api.base_url.port
        with socket.create_connection((host, port or 80)) as wire:
            wire.sendall(f"PUT {place} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9000000\r\n\r\n".encode())
            wire.sendall(bytes(3_000_000))
        until = time.monotonic() + 10
        while api.head(place).headers["upload-offset"] != "3000000":
            assert time.monotonic() < until
            time.sleep(0.02)
        answer = api.put(place, content=b"abc", headers={"upload-offset": "3000000"})
        assert answer.json()["offset"] == 3_000_003


def test_the_latest_request_takes_over_an_upload_and_two_never_write_together(tmp_path: Path) -> None:
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = begun(api)
        with socket.create_connection((api.base_url.host, api.base_url.port or 80)) as wire:
            wire.sendall(f"PUT {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".encode())
            wire.sendall(bytes(3 << 20))
            until, here = time.monotonic() + 10, 0
            while here < 2 << 20:
                assert time.monotonic() < until
                here = int(api.head(place).headers["upload-offset"])
            answer = api.put(place, content=b"y", headers={"upload-offset": str(here)})
            if answer.status_code == 409:  # the first has written more meanwhile; now it has ended
                here = answer.json()["offset"]
                answer = api.put(place, content=b"y", headers={"upload-offset": str(here)})
            assert (answer.status_code, answer.json()["offset"]) == (200, here + 1)
            assert wire.recv(1000).startswith(b"HTTP/1.1 409 ")
        assert int(api.head(place).headers["upload-offset"]) == here + 1


def test_memory_does_not_grow_with_the_size_of_an_upload(tmp_path: Path) -> None:
    piece = bytes(1 << 20)

    def pieces() -> Iterator[bytes]:
        for _ in range(96):
            yield piece

    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        place = begun(api)
        tracemalloc.start()
        try:
            answer = api.put(place, content=pieces(), timeout=60)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert answer.json()["offset"] == 96 << 20
    assert peak < 24 << 20
