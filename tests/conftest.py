"""Fixtures that more than one folder of tests needs."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Several tests run at a time: more threads for matrices wait for each other, at full speed of a processor. NumPy asks
# when it is first imported, here and in processes that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest
from tests import fork_server
from tests.storage.fake_s3 import S3, s3

import velum.locate.runtime  # noqa: F401 - before any test imports OpenVINO itself: keeps its telemetry off
from velum.media.image import turbojpeg

# Tests start hundreds of processes, each of which starts sooner where it finds velum compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The tests, too: every process of a parallel run reads all of them.
sys.dont_write_bytecode = False
# While tests are collected nothing becomes garbage, and to look for it again and again takes seconds.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    # How long an example takes, or is made, says how busy the machine is, and nothing about the code.
    hypothesis.settings.register_profile(
        "velum",
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        max_examples=40 if config.option.markexpr else 200,  # as `make test`, and `make test-all`
    )
    hypothesis.settings.load_profile("velum")
    if config.option.markexpr and hasattr(os, "pidfd_open"):  # in `make test-all` every process starts by itself
        if fork_server.ADDRESS not in os.environ:
            config.add_cleanup(fork_server.Owner().close)
        fork_server.install(os.environ[fork_server.ADDRESS])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Those of the page run one after another: begun last, they would keep one process at work and the rest idle.
    items.sort(key=lambda item: not any(mark.args == ("browser",) for mark in item.iter_markers("xdist_group")))


def pytest_collection_finish() -> None:
    # What has been imported stays: no collection of garbage needs to go through it again.
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _scheduled_as_others() -> Iterator[None]:
    """Undo what SVT-AV1 does to the thread that opens it (velum.media.video.encoders) where a test does so."""
    yield
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(params=[True, False], ids=["TurboJPEG", "no TurboJPEG"])
def has_turbojpeg(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test twice: with the TurboJPEG library of the system, and as on a machine without it."""
    if not request.param:
        monkeypatch.setattr(turbojpeg, "_library", lambda: None)
    elif not turbojpeg.available():
        pytest.skip("no TurboJPEG library here (Debian: apt-get install libturbojpeg0)")
    return bool(request.param)


@pytest.fixture
def real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process start by itself: for tests of starts, of what they import, and of who is whose child."""
    monkeypatch.setattr(fork_server.ForkedPopen, "enabled", False)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep models, jobs and compiled networks out of the folders of whoever runs the tests.

    The cache is that of pytest: networks are compiled once, for all processes of a parallel run and for later runs.
    """
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CACHE_HOME", str(cache.mkdir("home") if cache else tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real weights and media; lies next to a working checkout, and is no part of it."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "media" / "ground_truth.json").is_file():
        pytest.skip("the folder with real weights and media, ../shared, is not here")
    return folder


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A bucket that the environment leads to."""
    with s3() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server
