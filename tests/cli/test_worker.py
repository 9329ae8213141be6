"""`velum worker` runs jobs of the service, reports what it did, and stops at a signal."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.rows import exhaustive
from tests.service.factories import picture
from tests.storage.fake_s3 import s3

from velum import Plan
from velum.jobs import Database, FolderStore, JobQueue, JobRecord, State, Submission, open_store

pytestmark = pytest.mark.slow


@contextmanager
def collector() -> Iterator[tuple[int, list[bytes]]]:
    """Receive traces by OTLP."""
    got: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port, got
        server.shutdown()
        thread.join()


@contextmanager
def working(folder: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker during the block, and check that it ends with code 0."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("VELUM_")} | variables
    command = [sys.executable, "-m", "velum", "worker", *options]
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def ended(desk: JobQueue, job: JobRecord) -> JobRecord:
    until = time.monotonic() + 60
    while (now := desk.get(job.id)) is not None and not now.state.is_final and time.monotonic() < until:
        time.sleep(0.05)
    assert now is not None
    return now


def damaged() -> bytes:
    """Return a JPEG with stray bytes among its samples: libjpeg decodes it and prints a warning."""
    whole = picture(320, 240, "JPEG", quality=90)
    middle = len(whole) // 2
    return whole[:middle] + b"\x01\x55" * 20 + whole[middle + 40 :]


def test_counts_and_traces_jobs_without_personal_data_and_logs_what_decoders_print(tmp_path: Path) -> None:
    (tmp_path / "velum.toml").write_text('[jobs]\ndata = "data"\n[observability]\ntraces = true\n')
    store = FolderStore(tmp_path / "data" / "store")
    database = Database(f"sqlite:///{tmp_path}/data/jobs.sqlite")
    desk, plan = JobQueue(database, store), Plan.of("zone: fixed -> blacken")
    good, bad = (
        desk.submit(Submission(store.put([data]).key, name, plan, owner="lovelace"))
        for name, data in (("portrait.jpg", damaged()), ("broken.png", picture()[:60]))
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with collector() as (otlp, sent):  # which hears what is sent at the worker's end
        to = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{otlp}"}
        with working(tmp_path, "--metrics", str(port), **to) as process:
            assert [ended(desk, job).state for job in (good, bad)] == [State.DONE, State.FAILED]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                numbers = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert any("JPEG data" in line["text"] for line in lines if line["event"] == "library"), lines
    assert numbers["velum_frames_total"] == "1.0"
    assert numbers['velum_hidden_total{label="zone",model="fixed"}'] == "1.0"
    assert numbers['velum_failures_total{error="BadInput"}'] == "1.0"
    assert numbers['velum_stage_seconds_count{stage="encode"}'] == "1.0"
    assert numbers['velum_jobs{state="done"}'] == numbers['velum_jobs{state="failed"}'] == "1.0"
    traced = b"".join(sent)
    for word in (b"job cut", b"job make", b"job join", b"velum-worker", good.id.encode(), b"velum.seconds.encode"):
        assert word in traced, word
    assert b"BadInput" in traced
    for word in (b"portrait", b"broken", b"lovelace", str(tmp_path).encode(), b"exception"):
        assert word not in traced, word
    database.close()


def test_runs_jobs_of_a_bucket_until_a_signal_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "velum.toml").write_text('[jobs]\ndata = "data"\nstore = "s3://faces/velum"\n')
    (tmp_path / "data").mkdir()
    with s3() as bucket:
        for name, value in bucket.variables.items():
            monkeypatch.setenv(name, value)
        store = open_store("s3://faces/velum")
        database = Database(f"sqlite:///{tmp_path}/data/jobs.sqlite")
        desk = JobQueue(database, store)
        plan = Plan.of("zone: fixed -> blacken")
        job = desk.submit(Submission(store.put([picture()]).key, "photo.png", plan))
        with working(tmp_path, "--concurrency", "2"):
            now = ended(desk, job)
        assert (now.state, now.result_name) == (State.DONE, "photo.hidden.png")
        assert now.result is not None
        assert b"".join(store.open(now.result)).startswith(b"\x89PNG")
        database.close()


@pytest.mark.parametrize(
    ("address", "code", "why"),
    [*exhaustive([("here:there", 4, "write HOST:PORT")]), ("127.0.0.1:{taken}", 6, "cannot be served")],
)
def test_refuses_an_address_for_metrics_that_cannot_be_used(tmp_path: Path, address: str, code: int, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = address.format(taken=other.getsockname()[1])
        command = [sys.executable, "-m", "velum", "worker", "--metrics", address]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert why in done.stderr
