"""A service of its own process, and a browser, for whoever asks for them; what is missing says how to get it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from tests.contracts.test_docs import STAND_IN, distribution

CHROMIUM = Path(os.environ.get("VELUM_TEST_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""No sandbox: tests may run as root. The rest keeps the browser from asking hosts on its own."""


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH whose centerface needs no weights, and finds a face wherever it looks."""
    site = tmp_path_factory.mktemp("site")
    distribution(site, "stand_in", STAND_IN, {"velum.localizers": {"centerface": "stand_in:centerface"}})
    return site


def served(folder: Path, **environment: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "VELUM_JOBS_DATA": str(folder / "data"), **environment}
    with (folder / "log").open("wb") as log:
        made = subprocess.Popen(
            [sys.executable, "-m", "velum", "serve", "--port", str(port)], env=env, stderr=log, cwd=folder
        )
    address = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        assert made.poll() is None, (folder / "log").read_text()
        try:
            return bool(urlopen(address).status == 200)
        except URLError:
            return False

    try:
        end = time.monotonic() + 60
        while not answers():
            assert time.monotonic() < end, "the service does not answer"
            time.sleep(0.1)
        yield address
    finally:
        made.terminate()
        made.wait(30)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, stand_in: Path) -> Iterator[str]:
    yield from served(tmp_path_factory.mktemp("service"), PYTHONPATH=str(stand_in))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or set VELUM_TEST_CHROMIUM")
    with playwright.sync_playwright() as it:
        made = it.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, service: str) -> Iterator[Any]:
    """An empty page. Afterwards, it must have complained of nothing, and asked no host but the service."""
    yield from watched(browser, service)


def watched(browser: Any, address: str, **context: Any) -> Iterator[Any]:
    with browser.new_context(base_url=address, viewport={"width": 1280, "height": 860}, **context) as it:
        page = it.new_page()
        complaints, elsewhere = list[str](), list[str]()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: elsewhere.append(sent.url) if foreign(sent.url, address) else None)
        page.complaints = complaints
        yield page
        assert not complaints
        assert not elsewhere


def foreign(url: str, address: str) -> bool:
    return not url.startswith((address, f"blob:{address}"))
