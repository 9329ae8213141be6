"""`velum serve-models`, as a user types it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.bmw.test_folders import make_ovd

from velum.cli.serve_models import _split_names, serve_models
from velum.errors import BadPlan, Unavailable, VelumError

pytestmark = pytest.mark.slow

PLUGIN = """
from velum.testing import FakeLocalizer
from velum.region import Box, Region


def fixed(x: int = 10) -> FakeLocalizer:
    return FakeLocalizer([Region(Box(x, 5, x + 20, 25), "face", 0.8)])
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "fake_parts.py").write_text(PLUGIN)
    info = tmp_path / "fake_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[velum.localizers]\nfake = fake_parts:fixed\n")
    return os.environ | {
        "PYTHONPATH": str(tmp_path), "VELUM_CACHE": str(tmp_path / "cache"), "VELUM_OFFLINE": "1", "NO_COLOR": "1",
        "VELUM_MODELS": str(tmp_path / "models"), "COLUMNS": "100", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "velum", "serve-models", *arguments]


def test_serves_until_a_signal_stops_it(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "folders" / "Street Faces"
    for one in (folder, tmp_path / "temporary"):
        one.mkdir(parents=True)
    make_ovd(folder)
    arguments = command(
        "--profile", "yolo", "--models", "fake(x=3)", "--folder", str(folder.parent), "--port", "0",
        "--hashes", str(tmp_path / "models_hash"),
    )  # fmt: skip
    environment |= {"TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(arguments, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        killer = threading.Timer(30, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("serving fake, Street Faces as yolo at http://127.0.0.1:"), line
            url = line.rpartition(" ")[2].strip()
            assert httpx2.get(f"{url}models/fake/labels").json()["data"] == ["face"]
            assert httpx2.get(f"{url}models/Street%20Faces/labels").json()["data"] == ["face", "license_plate"]
            hashes = json.loads((tmp_path / "models_hash" / "model_hash.json").read_text())
            assert httpx2.get(f"{url}load").json() == hashes
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        finally:
            killer.cancel()
            process.kill()
    assert process.returncode == 0
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"profile": "caffe"}, BadPlan, "known are openvino-detection"),
        ({"profile": "gluoncv"}, BadPlan, "needs a segmentation model"),
        ({"profile": "yolo"}, Unavailable, "centerface"),  # the default model, which is not here
        ({"profile": "yolo", "names": ["nothing"]}, BadPlan, "localizer 'nothing' is unknown"),
        ({"profile": "yolo", "folder": Path("nowhere")}, BadPlan, "has no model folders"),
        ({"profile": "yolo", "names": ["fixed"]}, Unavailable, "cannot listen at 127.0.0.1, port"),
    ],
)
def test_reports_mistakes_before_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[VelumError], message: str
) -> None:
    monkeypatch.setenv("VELUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("VELUM_OFFLINE", "1")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(error, match=message):
        serve_models(port=taken.getsockname()[1], **options)


def test_splits_names_at_commas_outside_parentheses() -> None:
    assert _split_names(["a, b(x=1, y=2)", "c"]) == ["a", "b(x=1, y=2)", "c"]
