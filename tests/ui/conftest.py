"""A service in its own process and a browser for the tests that need them; a missing tool is named with its cure."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import av
import numpy as np
import pytest
from tests.contracts.test_docs import STAND_IN, distribution

from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.principal import Scope

CHROMIUM = Path(os.environ.get("VELUM_TEST_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""No sandbox: tests may run as root. The rest keeps the browser from asking hosts on its own."""

LONGEST_SECONDS = 120.0
"""Of a test of the page, on a busy machine."""

RATE = 10


def pytest_itemcollected(item: pytest.Item) -> None:
    # One after another in one process: so one service and one browser do for all of them.
    if item.path.is_relative_to(Path(__file__).parent):
        item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH whose centerface needs no weights, and finds a face wherever it looks."""
    site = tmp_path_factory.mktemp("site")
    distribution(site, "stand_in", STAND_IN, {"velum.localizers": {"centerface": "stand_in:centerface"}})
    return site


def served(folder: Path, **environment: str) -> Generator[str]:
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
    """A service that asks nobody for a key; inference APIs may be on this machine."""
    folder = tmp_path_factory.mktemp("service")
    yield from served(folder, PYTHONPATH=str(stand_in), VELUM_REMOTE_ALLOW="127.0.0.1")


@dataclass(frozen=True)
class Locked:
    """A service that asks for a key, and how to make one."""

    address: str
    keys: ApiKeys

    def key(self, name: str, *scopes: Scope) -> str:
        return self.keys.add(name, scopes)[1]


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory, stand_in: Path) -> Iterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    keys = ApiKeys(folder / "data" / "keys.json")
    keys.add("first", ["operate"])
    for address in served(folder, PYTHONPATH=str(stand_in)):
        yield Locked(address, keys)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of a film that browsers play; the brightness of each tells its number."""
    return filmed(tmp_path_factory.mktemp("clip") / "clip.webm", "libvpx-vp9")


def filmed(path: Path, codec: str, pause: int = 0) -> Path:
    with av.open(path, "w") as container:
        stream = cast("av.VideoStream", container.add_stream(codec, rate=RATE))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for number in range(20):
            pixels = np.full((240, 320, 3), 20 + 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number + (pause if number >= 10 else 0), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def job_of_clip(service: str, clip: Path) -> str:
    """The id of a job that has hidden the clip, for those who only look at it."""

    def sent(method: str, path: str, data: bytes = b"", kind: str = "application/octet-stream") -> Any:
        request = Request(f"{service}v1/{path}", data, {"Content-Type": kind}, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    upload = sent("POST", "uploads")["id"]
    sent("PUT", f"uploads/{upload}", clip.read_bytes())
    job = sent("POST", "jobs", json.dumps({"upload": upload, "name": clip.name}).encode(), "application/json")["id"]
    with urlopen(f"{service}v1/jobs/{job}/events", timeout=60) as events:
        assert b"event: end" in events.read()
    return str(job)


@pytest.fixture(scope="package")
def browsers() -> Iterator[Callable[[], Any]]:
    """Gives a browser: the same one, unless that was ended.

    It goes with the last test here: its driver keeps an event loop running, in which no other test could start one.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or set VELUM_TEST_CHROMIUM")
    with playwright.sync_playwright() as it:
        made: list[Any] = []

        def running() -> Any:
            if not (made and made[-1].is_connected()):
                made.append(it.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS)))
            return made[-1]

        yield running
        with ended_when_it_hangs():
            for one in made:
                one.close()


@pytest.fixture
def browser(browsers: Callable[[], Any]) -> Iterator[Any]:
    """A browser. What waits for it fails when the test takes too long, and the next test has another one."""
    with ended_when_it_hangs():
        yield browsers()


@contextmanager
def ended_when_it_hangs() -> Iterator[None]:
    """End the browser after a while: nothing else wakes whoever waits for an answer of one that gives none."""
    limit = threading.Timer(LONGEST_SECONDS, end_browsers)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def end_browsers() -> None:
    """Kill the browsers that this process started, through the driver."""
    parents, found = [os.getpid()], list[int]()
    while parents:
        for task in Path(f"/proc/{parents.pop()}/task").glob("*/children"):
            with suppress(OSError):  # it has ended meanwhile
                parents += map(int, task.read_text().split())
                found += [
                    pid
                    for pid in map(int, task.read_text().split())
                    if b"--remote-debugging-pipe" in Path(f"/proc/{pid}/cmdline").read_bytes()
                ]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def page(browser: Any, service: str) -> Iterator[Any]:
    """An empty page. Afterwards, it must have complained of nothing, and asked no host but the service."""
    yield from watched(browser, service)


def watched(browser: Any, address: str, **context: Any) -> Iterator[Any]:
    context = {"service_workers": "block", **context}  # a worker would hide requests from routes of the tests
    with browser.new_context(base_url=address, viewport={"width": 1280, "height": 860}, **context) as it:
        it.set_default_timeout(1000 * LONGEST_SECONDS)  # for what hangs; a busy machine may be slow
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
    parts = urlsplit(address)  # a blob has the origin of its page, without its path
    return not url.startswith((address, f"blob:{parts.scheme}://{parts.netloc}/"))
