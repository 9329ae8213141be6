"""The application: limits, health, logs, its page, and shutdown."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy
from tests.bmw.fake_inference_api import Shown, StubInference
from tests.rows import exhaustive
from tests.service.factories import client, configuration, entry, picture, post, settings
from tests.waiting import until

from velum.bmw.app import create_app
from velum.errors import BadPlan
from velum.net import NetworkPolicy
from velum.plugins import Patch, RuntimeConfig
from velum.service.auth.api_keys import ApiKeys
from velum.service.problem_details import uses_problem_details
from velum.service.process import JsonLines
from velum.settings.schema import AccessSettings

pytestmark = pytest.mark.slow


def test_a_too_large_body_is_refused_with_and_without_a_content_length(tmp_path: Path) -> None:
    with client(settings(tmp_path, body_bytes=3000)) as api:
        stated = post(api, picture(), configuration())
        dripping = api.post(
            "/anonymize/", content=iter([b"x" * 1000] * 5), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        for answer in (stated, dripping):
            assert answer.status_code == 413
            assert answer.json() == {
                "data": None, "error": "the upload is larger than the 3,000 bytes allowed", "success": False,
            }  # fmt: skip
            assert answer.headers["connection"] == "close"
        assert api.get("/list_urls").status_code == 200


def test_the_limit_for_an_image_in_memory_is_lower_than_for_a_video(tmp_path: Path) -> None:
    with client(settings(tmp_path, picture_bytes=1000)) as api:
        answer = post(api, picture(), configuration())
    assert answer.status_code == 413
    assert "more than the 1,000 allowed" in answer.json()["error"]


def test_requests_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    with StubInference("OVD") as inference, client(settings(tmp_path, [inference.url], requests=1)) as api:
        api.get("/available_methods/")
        inference.delay_seconds = 0.5
        first = threading.Thread(target=api.get, args=("/available_methods/",))
        before = len(inference.asked)
        first.start()
        until(lambda: len(inference.asked) > before)
        answer = api.get("/list_urls")
        assert (answer.status_code, answer.json()["success"]) == (429, False)
        assert api.get("/health/live").status_code == 200, "who asks whether it lives is always told"
        first.join()


def test_the_readiness_check_reads_a_bounded_number_of_jobs(tmp_path: Path) -> None:
    asked: list[str] = []

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
    def remember(*arguments: Any) -> None:
        asked.append(arguments[2].lower())

    try:
        with client(settings(tmp_path)) as api:
            api.get("/health/ready")
            asked.clear()
            assert api.get("/health/ready").json()["jobs"] == "ready"
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", remember)
    asked = [" ".join(statement.split()) for statement in asked]
    assert any("from velum_jobs" in statement for statement in asked)
    assert all(
        "limit" in statement and "count(" not in statement for statement in asked if "from velum_jobs" in statement
    )


def test_health_reports_the_state_of_each_part(tmp_path: Path) -> None:
    with client(settings(tmp_path, ["http://127.0.0.1:1/"])) as api:
        assert api.get("/health/live").json() == {"live": True}
        api.get("/available_methods/")
        answer = api.get("/health/ready")
        assert answer.status_code == 200
        facts = answer.json()
        assert (facts["ready"], facts["model"], facts["disk"]) == (True, "ready", "writable")
        assert facts["urls"]["http://127.0.0.1:1"]["reachable"] is False
        assert "http://127.0.0.1:1/" in facts["faults"]


def test_the_service_is_not_ready_where_it_has_no_model_or_no_writable_folder(tmp_path: Path) -> None:
    with client(settings(tmp_path, local=False)) as api:
        assert api.get("/health/ready").status_code == 503
    chosen = settings(tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "videos").write_text("in the way")
    with client(chosen) as api:
        answer = api.get("/health/ready")
        assert answer.status_code == 503
        assert "not writable" in answer.json()["disk"]
        assert post(api, picture(), configuration()).status_code == 200, "pictures need no disk"


def test_a_full_disk_makes_the_service_not_ready(tmp_path: Path) -> None:
    with client(settings(tmp_path, free_bytes=1 << 60)) as api:
        answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["disk"].startswith("full: ")


def test_health_shows_no_addresses_to_unauthenticated_clients(tmp_path: Path) -> None:
    chosen = settings(tmp_path, ["http://127.0.0.1:1/"])
    _, secret = ApiKeys(tmp_path / "keys.json").add("ada", ["operate"])
    with client(replace(chosen, access=AccessSettings(required=True, keys=tmp_path / "keys.json"))) as api:
        api.get("/available_methods/", headers={"x-api-key": secret})
        facts = api.get("/health/ready").json()
        assert (facts["urls"], facts["urls_reachable"], facts["faults"]) == (1, 0, 1)
        assert "127.0.0.1" not in json.dumps(facts)


def test_messages_of_libraries_become_lines_of_the_log(process: Any, tmp_path: Path) -> None:
    (tmp_path / "techniques").mkdir()
    (tmp_path / "techniques" / "loud.py").write_text(LOUD)
    service, url = process(VELUM_TECHNIQUES=str(tmp_path / "techniques"), VELUM_JOBS_DATA=str(tmp_path / "jobs"))
    plan = '{"rules": ["zone: fixed(box=[0, 0, 9, 9]) -> loud"]}'
    answer = httpx2.post(f"{url}/v1/images", files={"image": picture(), "plan": (None, plan)}, timeout=60)
    assert answer.status_code == 200, answer.text
    service.send_signal(signal.SIGTERM)
    service.wait(60)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (welcome,) = [line for line in lines if line["event"].startswith("velum serves at ")]
    assert welcome["event"].endswith(f"{url}/docs")
    assert welcome["data"] == str(tmp_path / "jobs")
    texts = {line["text"] for line in lines if line["event"] == "library"}
    assert "libtiff: Warning, unknown field" in texts
    assert any("this is old" in line["event"] for line in lines), "warnings of Python too"


LOUD = """
import os
import warnings
from dataclasses import dataclass


@dataclass(frozen=True)
class Loud:
    '''Complain, as libraries in C do.'''

    destroys = True
    labels = None

    def hide(self, patch):
        os.write(2, b"libtiff: Warning, unknown field\\n")
        warnings.warn("this is old")
"""


class Broken:
    """A technique with a mistake in it."""

    destroys = True
    labels = None

    def hide(self, patch: Patch) -> None:
        raise ZeroDivisionError("a mistake")


def test_the_log_holds_causes_of_errors_and_no_file_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "velum.service")
    with client(settings(tmp_path), techniques={"broken": Broken}) as api:
        config = configuration(entry(anonymization_technique="broken"))
        answer = post(api, picture(), config, {"x-request-id": "mine-1"})
        assert answer.json() == {"data": None, "error": "unexpected server error", "success": False}
        assert answer.headers["x-request-id"] == "mine-1"
        post(api, picture(), configuration())
        assert re.fullmatch(r"[0-9a-f]{16}", api.get("/nope", headers={"x-request-id": "a b"}).headers["x-request-id"])
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.msg == "request"]
    assert [line["level"] for line in lines] == ["error", "info", "info"]
    assert lines[0]["id"] == "mine-1"
    assert "a mistake" in lines[0]["cause"]
    assert lines[1]["hidden"] == 1
    assert lines[1]["path"] == "/anonymize/"
    assert lines[1]["received_bytes"] > 5000
    assert "photo.png" not in caplog.text + json.dumps(lines)


def test_file_names_are_logged_where_the_settings_ask_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "velum.service")
    with client(settings(tmp_path, log_names=True)) as api:
        post(api, picture(), configuration(entry(class_name="x")))
    (line,) = [json.loads(JsonLines().format(record)) for record in caplog.records if record.msg == "request"]
    assert line["file"] == "photo.png"
    assert line["refused"] == ["The label <x> in the sensitive info <1> is not supported."]


def test_an_internal_error_is_answered_without_details_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(self: object) -> None:
        raise RuntimeError("never thought of")

    with client(settings(tmp_path)) as api:
        api.get("/available_methods/")
        monkeypatch.setattr("velum.bmw.urls.Urls.content", fault)
        answer = api.get("/list_urls")
    assert (answer.status_code, answer.json()["error"]) == (500, "unexpected server error")
    assert "never thought of" in caplog.text


def test_the_page_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        page = api.get("/docs")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert {"/docs/docs.css", "/docs/docs.mjs", "/openapi.json"} <= set(linked)
        for link in linked:
            assert link.startswith("/") or link == "data:,"
            if link.startswith("/"):
                assert api.get(link).status_code == 200
        sources = page.text + api.get("/docs/docs.mjs").text + api.get("/docs/docs.css").text
        assert not re.search(r"https?://|innerHTML|style=|onclick", sources)
        assert api.get("/redoc").headers["location"] == "/docs"


def test_the_openapi_document_describes_every_endpoint(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        document = api.get("/openapi.json").json()
    described = {
        (method, path)
        for path, methods in document["paths"].items()
        for method in methods
        if not uses_problem_details(path)
    }  # fmt: skip
    assert described == {
        ("get", "/list_urls"), ("post", "/set_url"), ("post", "/remove_url"), ("post", "/remove_all_urls"),
        ("get", "/available_methods/"), ("post", "/anonymize/"), ("post", "/anonymize_video/"),
        ("get", "/health/live"), ("get", "/health/ready"),
    }  # fmt: skip
    assert document["paths"]["/anonymize/"]["post"]["operationId"] == "anonymize_anonymize__post"
    assert document["paths"]["/set_url"]["post"]["tags"] == ["Configuration"]


def test_in_strict_mode_the_bmw_api_states_the_original_title_and_version(tmp_path: Path) -> None:
    document = create_app(settings(tmp_path, strict=True), host=RuntimeConfig()).openapi()
    info = document["info"]
    assert not any(map(uses_problem_details, document["paths"]))
    assert (info["title"], info["version"]) == ("BMW Anonymization API", "2.0")


def test_unusable_settings_are_reported_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="deny"):
        create_app(settings(tmp_path, reach=NetworkPolicy(deny=("not a host!",))), host=RuntimeConfig())


def test_an_endpoint_is_analysed_once_by_its_first_request(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as service:
        before = [type(route).__name__ for route in service.app.routes]  # type: ignore[attr-defined]
        answers = [service.get("/v1/techniques") for _ in range(2)]
        after = [type(route).__name__ for route in service.app.routes]  # type: ignore[attr-defined]
        documented = service.get("/openapi.json").json()["paths"]
        whole = [type(route).__name__ for route in service.app.routes]  # type: ignore[attr-defined]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert before.count("APIRoute") == 0
    assert after.count("APIRoute") == 1
    assert len(whole) == len(before)
    assert "_LateRoute" not in whole
    assert {"/v1/techniques", "/v1/jobs/{job}", "/anonymize/"} <= set(documented)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Any]:
    """The service as a process of its own; a function starts it and returns it with its address."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**variables: str) -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        env = os.environ | {
            "VELUM_BMW_FOLDER": str(tmp_path / "jsonFiles"), "VELUM_BMW_VIDEOS": str(tmp_path / "videos"),
            "VELUM_BMW_LOCAL": "false", "VELUM_REMOTE_ALLOW": "127.0.0.1", **variables,
        }  # fmt: skip
        log = (tmp_path / "log").open("wb")
        server = subprocess.Popen([sys.executable, "-m", "velum", "serve", "--port", str(port)], env=env, stderr=log)
        log.close()
        started.append(server)
        end = time.monotonic() + 90
        while time.monotonic() < end and server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return server, f"http://127.0.0.1:{port}"
            time.sleep(0.05)
        raise AssertionError((tmp_path / "log").read_text())

    yield start
    for running in started:
        running.kill()
        running.wait()


def test_a_client_that_follows_a_job_does_not_delay_the_shutdown(process: Any, tmp_path: Path) -> None:
    variables = {"VELUM_JOBS_DATA": str(tmp_path / "jobs"), "VELUM_JOBS_IN_PROCESS": "false"}
    service, url = process(VELUM_SERVICE_GRACE_SECONDS="30", **variables)
    upload = httpx2.post(f"{url}/v1/uploads", timeout=60).json()["id"]
    httpx2.put(f"{url}/v1/uploads/{upload}", content=picture(), timeout=60)
    job = httpx2.post(f"{url}/v1/jobs", json={"upload": upload}, timeout=60).json()["id"]
    begun = threading.Event()
    ends: list[float] = []

    def follow() -> None:
        with httpx2.stream("GET", f"{url}/v1/jobs/{job}/events", timeout=60) as stream:
            for _ in stream.iter_lines():
                begun.set()
        ends.append(time.monotonic())

    following = threading.Thread(target=follow)
    following.start()
    assert begun.wait(20)
    signalled_at = time.monotonic()
    service.send_signal(signal.SIGTERM)
    following.join(20)
    assert service.wait(20) in {0, -signal.SIGTERM}
    assert ends[0] - signalled_at < 10, "not after the grace time"


@pytest.mark.parametrize(
    ("grace", "finishes"),
    [pytest.param("10", True, id="in time"), *exhaustive([pytest.param("0.5", False, id="too slow")])],
)
def test_a_service_that_is_stopped_finishes_running_requests(
    process: Any, tmp_path: Path, grace: str, *, finishes: bool
) -> None:
    box = Shown("person", (10, 8, 34, 30))
    with StubInference("OVD", boxes=[box]) as api:
        service, url = process(VELUM_SERVICE_GRACE_SECONDS=grace)
        httpx2.post(f"{url}/set_url", data={"url": api.url})
        files = {
            "image": ("a.png", picture(), "image/png"),
            "configuration": ("c", configuration(entry(model_name="yolo", class_name="person")), "application/json"),
        }
        assert httpx2.post(f"{url}/anonymize/", files=files).headers["x-velum-hidden"] == "1"
        api.delay_seconds = 2.0
        answers: list[httpx2.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(httpx2.post(f"{url}/anonymize/", files=files, timeout=20))
        )
        asking.start()
        until(lambda: api.paths().count("POST /models/yolo/predict") == 2)
        service.send_signal(signal.SIGTERM)
        asking.join()
        assert service.wait(20) in {0, -signal.SIGTERM}
    (answer,) = answers
    if finishes:
        assert answer.headers["x-velum-hidden"] == "1"
    else:
        assert answer.status_code == 503
        assert answer.json()["success"] is False
    assert not list((tmp_path / "videos").iterdir()), "nothing unfinished is left"
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert any(line.get("path") == "/anonymize/" and line["status"] == answer.status_code for line in lines)


SLEEPY = """
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sleepy:
    '''Do nothing, for ever.'''

    destroys = True
    labels = None

    def hide(self, patch):
        Path({!r}).touch()
        time.sleep(3600)
"""


def test_work_that_ignores_cancellation_ends_with_the_process(process: Any, tmp_path: Path) -> None:
    (tmp_path / "techniques").mkdir()
    (tmp_path / "techniques" / "sleepy.py").write_text(SLEEPY.format(str(tmp_path / "asleep")))
    service, url = process(
        VELUM_SERVICE_GRACE_SECONDS="0.5", VELUM_TECHNIQUES=str(tmp_path / "techniques"),
        VELUM_JOBS_DATA=str(tmp_path / "jobs"),
    )  # fmt: skip
    plan = '{"rules": ["zone: fixed(box=[0, 0, 9, 9]) -> sleepy"]}'

    def ask() -> None:
        with suppress(httpx2.TransportError):
            httpx2.post(f"{url}/v1/images", files={"image": picture(), "plan": (None, plan)}, timeout=60)

    asking = threading.Thread(target=ask)
    asking.start()
    until((tmp_path / "asleep").exists)
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 1
    asking.join()
    assert "the grace time is over" in (tmp_path / "log").read_text()
