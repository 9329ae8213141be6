"""tus 1.0.0 on uploads: requests of its clients, and the guarantees of its specification."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.factories import client, settings

TUS = {"tus-resumable": "1.0.0"}
BODY = {**TUS, "content-type": "application/offset+octet-stream"}
DATA = bytes(range(256)) * 40
PLAN = {"rules": ["zone: fixed -> blacken"]}


def metadata(**values: str) -> dict[str, str]:
    pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()]
    return {"upload-metadata": ",".join([*pairs, "is_confidential"])}


def create(api: Any, size: int = len(DATA), **values: str) -> str:
    answer = api.post("/v1/uploads", headers={**TUS, **metadata(**values), "upload-length": str(size)})
    assert (answer.status_code, answer.headers["tus-resumable"]) == (201, "1.0.0"), answer.text
    return str(answer.headers["location"])


def test_a_file_is_sent_in_parts_and_becomes_the_source_of_a_job(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = create(api, filename="anna.mp4", sha256=hashlib.sha256(DATA).hexdigest())
        part = api.patch(place, content=DATA[:1000], headers={**BODY, "upload-offset": "0"})
        assert (part.status_code, part.content, part.headers["upload-offset"]) == (204, b"", "1000")
        head = api.head(place, headers=TUS)
        assert {name: head.headers[name] for name in ("upload-offset", "upload-length", "cache-control")} == {
            "upload-offset": "1000", "upload-length": str(len(DATA)), "cache-control": "no-store",
        }  # fmt: skip
        assert "upload-metadata" not in head.headers
        rest = api.patch(place, content=DATA[1000:], headers={**BODY, "upload-offset": "1000"})
        assert rest.headers["upload-offset"] == str(len(DATA))
        assert not any(b"anna" in path.read_bytes() for path in (tmp_path / "jobs").rglob("*.json"))
        job = api.post("/v1/jobs", json={"upload": place.rpartition("/")[2], "plan": PLAN})
        assert job.status_code == 201, job.text
        gone = api.head(place, headers=TUS)
        assert (gone.status_code, "upload-offset" in gone.headers) == (404, False)
    (stored,) = (tmp_path / "jobs" / "store").glob("[0-9a-f][0-9a-f]/*")
    assert stored.read_bytes() == DATA


def test_an_upload_with_another_hash_than_announced_is_refused(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = create(api, sha256="0" * 64)
        api.patch(place, content=DATA, headers={**BODY, "upload-offset": "0"})
        job = api.post("/v1/jobs", json={"upload": place.rpartition("/")[2], "plan": PLAN})
        assert (job.status_code, job.json()["code"]) == (422, "BadInput")


def test_an_empty_file_is_complete_at_once_and_an_upload_can_be_deleted(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        assert api.head(create(api, 0), headers=TUS).headers["upload-offset"] == "0"
        place = create(api)
        assert api.delete(place, headers={"tus-resumable": "0.2.2"}).status_code == 412
        assert api.delete(place, headers=TUS).status_code == 204
        gone = api.patch(place, content=b"x", headers={**BODY, "upload-offset": "0"})
        assert (gone.status_code, gone.headers["tus-resumable"]) == (404, "1.0.0")


CREATIONS: list[tuple[str, dict[str, str], int, str]] = [
    ("no size", {}, 400, "Upload-Length"),
    ("no number", {"upload-length": "many"}, 400, "'many'"),
    ("negative", {"upload-length": "-1"}, 400, "'-1'"),
    ("size known later", {"upload-defer-length": "1"}, 400, "Upload-Length"),
    ("too large", {"upload-length": "50001"}, 413, "50,000"),
    ("no Base64", {"upload-length": "5", "upload-metadata": "sha256 !"}, 400, "Base64"),
    ("no hash", {"upload-length": "5", **metadata(sha256="abc")}, 400, "64 hexadecimal digits"),
    ("another version", {"upload-length": "5", "tus-resumable": "0.2.2"}, 412, "'0.2.2'"),
]


@pytest.fixture(scope="module")
def small_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Path]]:
    """A service that takes few bytes, and the folder of its uploads."""
    folder = tmp_path_factory.mktemp("small")
    with client(settings(folder, limit={"bytes": 50000})) as api:
        yield api, folder / "jobs" / "uploads"


@pytest.mark.parametrize(
    ("headers", "status", "says"), [row[1:] for row in CREATIONS], ids=[row[0] for row in CREATIONS]
)
def test_a_wrong_announcement_is_refused(
    small_service: tuple[TestClient, Path], headers: dict[str, str], status: int, says: str
) -> None:
    service, uploads = small_service
    answer = service.post("/v1/uploads", headers={**TUS, **headers})
    assert (answer.status_code, answer.headers["tus-resumable"]) == (status, "1.0.0")
    assert says in answer.json()["detail"]
    assert (answer.headers.get("tus-version") == "1.0.0") == (status == 412)
    assert not [*uploads.glob("*")]


PATCHES: list[tuple[str, dict[str, str], int]] = [
    ("another place", {"upload-offset": "7"}, 409),
    ("no place", {}, 400),
    ("no number", {"upload-offset": "x"}, 422),
    ("another type", {"upload-offset": "0", "content-type": "application/octet-stream"}, 415),
    ("another version", {"upload-offset": "0", "tus-resumable": "2.0.0"}, 412),
]


@pytest.mark.parametrize(("headers", "status"), [row[1:] for row in PATCHES], ids=[row[0] for row in PATCHES])
def test_bytes_at_a_wrong_offset_change_nothing(
    usual_service: TestClient, headers: dict[str, str], status: int
) -> None:
    place = create(usual_service)
    answer = usual_service.patch(place, content=b"12345", headers={**BODY, **headers})
    assert (answer.status_code, answer.headers["tus-resumable"]) == (status, "1.0.0")
    assert usual_service.head(place, headers=TUS).headers["upload-offset"] == "0"
    assert usual_service.delete(place, headers=TUS).status_code == 204


def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        answer = api.patch(create(api, 3), content=b"12345", headers={**BODY, "upload-offset": "0"})
    assert (answer.status_code, "announced" in answer.json()["detail"]) == (409, True)


def test_options_lists_version_and_extensions(tmp_path: Path) -> None:
    with client(settings(tmp_path, limit={"bytes": 5000})) as api:
        for place in ("/v1/uploads", "/v1/uploads/" + "0" * 32):
            answer = api.options(place, headers={"tus-resumable": "9"})
            assert (answer.status_code, answer.content) == (204, b"")
            assert {name: value for name, value in answer.headers.items() if name.startswith("tus-")} == {
                "tus-resumable": "1.0.0", "tus-version": "1.0.0", "tus-extension": "creation,termination",
                "tus-max-size": "5000",
            }  # fmt: skip


def test_a_client_without_patch_and_delete_uses_post(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        place = create(api)
        headers = {**BODY, "upload-offset": "0", "x-http-method-override": "PATCH"}
        assert api.post(place, content=b"abc", headers=headers).headers["upload-offset"] == "3"
        assert api.post(place, headers={**TUS, "x-http-method-override": "DELETE"}).status_code == 204
        assert api.head(place, headers=TUS).status_code == 404


def test_clients_without_tus_headers_get_the_same_responses_as_before(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        begun = api.post("/v1/uploads", json={"size": 3}, headers={"upload-length": "9"})
        place = begun.headers["location"]
        answers = [begun, api.put(place, content=b"abc"), api.head(place), api.get("/v1/jobs", headers=TUS)]
        assert not any("tus-resumable" in answer.headers for answer in answers)
        assert api.head(place).headers["upload-length"] == "3"
        override = api.post(place, headers={"x-http-method-override": "DELETE"})
        assert (override.status_code, api.head(place).status_code) == (405, 200)
