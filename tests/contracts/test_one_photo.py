"""What the command line loads to hide in one photograph: most of the time that this takes is imports."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image

CODE = """
import atexit, gc, json, os, sys
def show():
    blas = os.environ["OPENBLAS_NUM_THREADS"]
    print(json.dumps({"modules": sorted(sys.modules), "frozen": gc.get_freeze_count(), "blas": blas}))
atexit.register(show)  # called after the functions that velum registers
from velum.cli.main import run
run()
"""


pytestmark = pytest.mark.usefixtures("real_processes")


def hide(folder: Path, environ: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Hide in one photograph by the command line; return what the process had loaded in the end."""
    Image.new("RGB", (64, 48), "white").save(folder / "photo.jpg")
    arguments = ["hide", "photo.jpg", "--rule", "zone: fixed(box=[0, 0, 20, 20]) -> blacken", "--quiet"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=folder, env=inherited | dict(environ), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (folder / "photo.hidden.jpg").is_file()
    return json.loads(done.stdout.splitlines()[-1])


NEVER = {
    "av",
    "email.parser",
    "fastapi",
    "httpx2",
    "lap",
    "onnxruntime",
    "pydantic",
    "pydicom",
    "pypdfium2",
    "rich",
    "sqlalchemy",
    "velum.engine.containers",
    "velum.engine.gallery",
    "velum.engine.people",
    "velum.locate.pii",
    "velum.locate.text",
    "velum.media.archive.rosbag2_file",
    "velum.media.archive.zip_file",
    "velum.media.inventory.movie",
    "velum.media.video.reader",
    "velum.service",
    "velum.track.tracker",
}
"""Modules that one photograph does not need: for videos, documents, people, words, services and messages."""


def test_nothing_is_loaded_that_one_photograph_does_not_need(tmp_path: Path) -> None:
    assert [name for name in NEVER if name.startswith("velum.") and find_spec(name) is None] == []
    assert set(hide(tmp_path)["modules"]) & NEVER == set()


def test_no_garbage_is_looked_for_as_the_process_ends(tmp_path: Path) -> None:
    assert hide(tmp_path)["frozen"] > 10_000


@pytest.mark.parametrize(("environ", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_openblas_starts_no_threads_unless_the_user_says_how_many(
    tmp_path: Path, environ: Mapping[str, str], threads: str
) -> None:
    assert hide(tmp_path, environ)["blas"] == threads
