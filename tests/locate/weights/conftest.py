"""What the tests of fetching share: a server, a cache, a folder for wheels, a Python without pip."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.locate.weights.local_index import Server, serving

from velum.locate.weights import https


@pytest.fixture(autouse=True)
def nobody_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server counts as silent: for a minute after a test of one, another server may get its port."""
    monkeypatch.setattr(https, "_silent", {})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python inside another program: there is no interpreter that could run pip."""
    monkeypatch.setattr(sys, "executable", "")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Folder for wheels."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder
