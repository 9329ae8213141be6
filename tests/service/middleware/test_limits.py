"""Malformed requests that the limits refuse, and the headers of every response."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from tests.service.factories import client, configuration, on_the_wire, picture, settings

PNG, JPEG = ("a.png", picture(), "image/png"), ("b.jpg", picture(kind="JPEG"), "image/jpeg")
PLAN = (None, '{"rules": ["face: centerface -> blur"]}')
CONFIG = ("c.json", configuration(), "application/json")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(settings(tmp_path_factory.mktemp("service"))) as api:
        yield api


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with on_the_wire(settings(tmp_path_factory.mktemp("served"))) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "fields", "twice"),
    [
        ("/v1/images", [("image", JPEG), ("image", PNG)], "image"),
        ("/v1/images", [("image", JPEG), ("image", JPEG), ("plan", PLAN)], "image"),
        ("/v1/images", [("image", JPEG), ("plan", PLAN), ("plan", PLAN)], "plan"),
        ("/v1/locate", [("image", JPEG), ("image", PNG)], "image"),
        ("/blur/", [("picture", JPEG), ("picture", JPEG)], "picture"),
        ("/anonymize/", [("image", JPEG), ("image", PNG), ("configuration", CONFIG)], "image"),
        ("/anonymize/", [("image", JPEG), ("configuration", CONFIG), ("configuration", CONFIG)], "configuration"),
        ("/anonymize_video/", [("video", PNG), ("video", PNG), ("configuration", CONFIG)], "video"),
        ("/set_url", [("url", (None, "http://a/")), ("url", (None, "http://b/"))], "url"),
    ],
)
def test_a_form_with_a_repeated_field_is_refused(api: TestClient, path: str, fields: Any, twice: str) -> None:
    answer = api.post(path, files=fields)
    assert answer.status_code == 400, answer.text
    assert f"{twice!r} more than once" in answer.json()["detail"]


def test_a_form_with_more_parts_than_fields_is_refused(api: TestClient) -> None:
    assert api.post("/v1/images", files=[("image", JPEG)] * 9).status_code == 400
    answer = api.post("/v1/images?plan=a&plan=b", content=JPEG[1], headers={"content-type": "image/jpeg"})
    assert (answer.status_code, answer.json()["code"]) == (400, "Malformed")


def exchanged(address: str, request: bytes) -> bytes:
    place = urlsplit(address)
    with socket.create_connection((place.hostname or "", place.port or 0), 10) as line:
        line.sendall(request)
        return b"".join(iter(lambda: line.recv(65536), b""))


@pytest.mark.parametrize("path", ["/v1/images", "/anonymize/", "/set_url"])
def test_a_request_with_two_content_lengths_is_refused(address: str, path: str) -> None:
    smuggled = b"0\r\n\r\nGET /v1/jobs HTTP/1.1\r\nHost: a\r\n\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(smuggled)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchanged(address, head.encode() + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1, "what came behind the body was taken for a request"
    assert b"connection: close" in answer.lower()


def test_caches_may_not_store_private_responses(api: TestClient) -> None:
    upload = api.post("/v1/uploads").json()["id"]
    answers = [
        api.post("/anonymize/", files={"image": PNG, "configuration": CONFIG}),
        api.get("/list_urls"), api.get("/available_methods/"), api.get("/v1/jobs"), api.get("/v1/plans"),
        api.get("/v1/jobs/none"), api.get(f"/v1/uploads/{upload}"), api.post("/v1/images", files={"image": JPEG}),
        api.post("/v1/images", content=b""), api.get("/v1/nowhere"), api.get("/metrics"),
    ]  # fmt: skip
    for answer in answers:
        assert "no-store" in answer.headers["cache-control"], answer.request.url
    assert "no-store" not in api.get("/docs").headers.get("cache-control", "")
