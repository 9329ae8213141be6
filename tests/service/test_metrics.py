"""Metrics of the service, and the content of traces."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.service.factories import client, configuration, picture, post, settings

from velum.engine.engine import Engine
from velum.errors import BadPlan, Unavailable
from velum.net import NetworkPolicy
from velum.net.client import HttpClient
from velum.plan import Plan
from velum.service import health
from velum.service.admission import Admission
from velum.service.metrics import MOST_KINDS, Metrics, serve_metrics
from velum.service.tracing import telemetry
from velum.settings.schema import ObservabilitySettings

pytestmark = pytest.mark.slow


def numbers(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and labels, which are sorted by their names."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_files_and_objects_are_counted(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        for _ in range(2):
            post(api, picture(), configuration())
        post(api, b"no picture", configuration())
        api.get("/list_urls")
        api.get("/a/path/that/is/none")
        api.request("BREW", "/list_urls")
        answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = numbers(answer.text)
    assert found["velum_requests_total", ("POST", "/anonymize/", "200")] == 3
    assert found["velum_requests_total", ("GET", "/list_urls", "200")] == 1
    assert found["velum_requests_total", ("GET", "other", "404")] == 1
    assert found["velum_request_seconds_count", ("POST", "/anonymize/")] == 3
    assert found["velum_received_bytes_total", ()] > 2 * len(picture())
    assert found["velum_frames_total", ()] == 2
    assert found["velum_hidden_total", ("face", "centerface")] == 2
    assert found["velum_failures_total", ("BadInput",)] == 1
    assert found["velum_free_bytes", ("jobs",)] > 0
    assert found["velum_stage_seconds_count", ("locate",)] == 2
    assert found["velum_requests_in_progress", ()] == 1
    assert found["process_resident_memory_bytes", ()] > 0
    assert not [labels for name, labels in found if "BREW" in labels or "/a/path/that/is/none" in labels]


def test_labels_that_clients_invent_make_no_new_time_series() -> None:
    metrics = Metrics()
    for n in range(MOST_KINDS + 50):
        rule = f"thing{n}: centerface -> blur"
        hidden = [{"label": f"thing{n}", "rule": 0}]
        metrics.count_report({"frames": 1, "seconds": {}, "rules": [rule], "hidden": hidden, "tracks": []})
    found = numbers(metrics.text().decode())
    kinds = {labels: value for (name, labels), value in found.items() if name == "velum_hidden_total"}
    assert (len(kinds), kinds["other", "other"]) == (MOST_KINDS + 1, 50)


def test_the_model_of_each_rule_is_counted_separately() -> None:
    metrics, picture = Metrics(), np.zeros((40, 40, 3), np.uint8)
    rules = ["zone: fixed(box=[1, 1, 9, 9]) -> blur", 'plate: bmw(url="http://a/", model="plates") -> blur']
    with Engine() as engine:
        report = engine.hide_pixels(picture, Plan.of("zone: fixed(box=[1, 1, 9, 9]) -> blur"))[1].to_json()
    metrics.count_report(report)
    metrics.count_report({**report, "rules": rules, "tracks": [{"label": "plate", "rule": 1}], "hidden": []})
    found = numbers(metrics.text().decode())
    assert found["velum_hidden_total", ("zone", "fixed")] == 1
    assert found["velum_hidden_total", ("plate", "plates")] == 1


class ThreeWaitingJobs:
    is_down = False

    def counts(self) -> dict[str, int]:
        if self.is_down:
            raise Unavailable("the database is away")
        return {"waiting": 3, "running": 1}

    def longest_wait_seconds(self) -> float:
        return 75.0


def test_figures_of_jobs_are_read_at_each_scrape() -> None:
    jobs = ThreeWaitingJobs()
    metrics = Metrics(jobs)
    found = numbers(metrics.text().decode())
    assert (found["velum_jobs", ("waiting",)], found["velum_jobs_database_up", ()]) == (3, 1)
    assert found["velum_jobs_longest_wait_seconds", ()] == 75
    jobs.is_down = True
    found = numbers(metrics.text().decode())
    assert found["velum_jobs_database_up", ()] == 0
    assert {("velum_jobs", ("waiting",)), ("velum_jobs_longest_wait_seconds", ())}.isdisjoint(found)


def test_readiness_and_free_space_are_read_at_each_scrape(tmp_path: Path) -> None:
    answers, metrics = [False, True], Metrics()
    metrics.watch(answers.pop, {"jobs": tmp_path, "scratch": tmp_path / "not made yet"})
    free = [shutil.disk_usage(tmp_path).free / 2, shutil.disk_usage(tmp_path).free * 2]
    for ready in (1, 0):
        found = numbers(metrics.text().decode())
        assert found["velum_ready", ()] == ready
        assert free[0] < found["velum_free_bytes", ("jobs",)] < free[1]
        assert ("velum_free_bytes", ("scratch",)) not in found


def test_requests_that_wait_for_the_processor_are_counted() -> None:
    metrics = Metrics()
    gate = Admission(
        1, 9, count_waiting=metrics.waiting.track_inprogress, count_working=metrics.working.track_inprogress
    )
    go = threading.Event()

    def work() -> None:
        with gate.working():
            go.wait(5)

    def seen() -> tuple[float, float]:
        found = numbers(metrics.text().decode())
        return found["velum_pictures_waiting", ()], found["velum_pictures_working", ()]

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 5
    while seen() != (2, 1):
        assert time.monotonic() < until
    go.set()
    for thread in threads:
        thread.join()
    with pytest.raises(ZeroDivisionError), gate.working():
        raise ZeroDivisionError
    assert seen() == (0, 0)


def test_metrics_can_be_turned_off(tmp_path: Path) -> None:
    with client(replace(settings(tmp_path), observability=ObservabilitySettings(metrics=False))) as api:
        assert api.get("/metrics").status_code == 404


def test_the_service_is_not_ready_while_its_database_is_away(tmp_path: Path) -> None:
    def ask() -> None:
        if away:
            raise Unavailable("no answer from the database")

    away: list[bool] = []
    peers = HttpClient(NetworkPolicy())
    with Engine() as engine:
        state = health.Health(
            engine, peers, threading.Event(), uses_own_models=False, can_locate=lambda: True,
            required_folders=(tmp_path,), jobs=ask,
        )  # fmt: skip
        state.warm()
        assert (state.ready()[0], state.ready()[1]["jobs"]) == (True, "ready")
        away.append(True)
        assert (state.ready()[0], state.ready()[1]["jobs"]) == (False, "unavailable")
    peers.close()


TRACED = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.service.factories import client, configuration, picture, post, settings
from velum.settings.schema import ObservabilitySettings

with client(replace(settings(Path(sys.argv[1])), observability=ObservabilitySettings(traces=True))) as it:
    assert post(it, picture(), configuration()).headers["x-velum-hidden"] == "1"
    assert it.post("/anonymize/", data={"image": "secret-words"}).status_code == 422
    it.get("/health/live")
"""


@pytest.mark.exhaustive
def test_traces_go_to_the_configured_collector_and_hold_no_content(tmp_path: Path) -> None:
    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    got: list[tuple[str, bytes]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        done = subprocess.run(
            [sys.executable, "-c", TRACED, str(tmp_path)], env=environment, cwd=Path(__file__).parents[2],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        server.shutdown()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert {path for path, _ in got} == {"/v1/traces"}
    sent = b"".join(body for _, body in got)
    assert b"POST /anonymize/" in sent
    for word in (b"health", b"photo", b"centerface", b"secret-words", b"class_name"):
        assert word not in sent


def test_traces_without_the_extra_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.service.tracing.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=re.escape("velum-anonymizer[traces]")):
        telemetry(traces=True)
    assert telemetry(traces=False)["tracing"] is False


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(BadPlan, match="write HOST:PORT"), serve_metrics(Metrics(), "here:there"):
        pass
