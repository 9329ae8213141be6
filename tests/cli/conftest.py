"""The command line in this process, with a localizer from another package."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum import parts
from velum.cli.main import run

# A distribution with nothing but entry points: what a stranger's package with one file looks like once installed.
PLUGIN = '''
import ctypes

from velum.testing import FakeLocalizer
from velum.region import Box, Region

def fixed(x: int = 10) -> FakeLocalizer:
    return FakeLocalizer([Region(Box(x, 5, x + 20, 25), "face", 0.8)])

def failing() -> None:
    raise RuntimeError("no such device")

class Crashing:
    """Crashes its process on every picture that is 13 pixels wide."""

    labels = frozenset({"face"})

    def locate(self, frames):
        if frames[0].width == 13:
            ctypes.string_at(0)
        return [[Region(Box(0, 0, 5, 5), "face", 0.8)] for _ in frames]

    def close(self) -> None: ...
'''


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the localizers fake and failing."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "fake_parts.py").write_text(PLUGIN)
    info = folder / "fake_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[velum.localizers]\nfake = fake_parts:fixed\nfailing = fake_parts:failing\ncrashing = fake_parts:Crashing\n"
    )
    return folder


@dataclass(frozen=True)
class Ended:
    """The output and exit code of a command."""

    stdout: str
    stderr: str


@dataclass(frozen=True)
class Command:
    """The command that is installed, run in this process and in a folder; its standard input is empty."""

    folder: Path
    patch: pytest.MonkeyPatch
    printed: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, code: int = 0) -> Ended:
        self.printed.readouterr()
        self.patch.setattr(sys, "argv", ["velum", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        done = Ended(*self.printed.readouterr())
        assert (ended.value.code or 0) == code, f"exit {ended.value.code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def pixels(self, name: str) -> "np.typing.NDArray[np.uint8]":
        return np.asarray(Image.open(self.folder / name))


@pytest.fixture
def velum_command(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """`velum` in a folder with a photograph."""
    pixels = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which typer sets
    for name, value in {"VELUM_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    parts._installed_parts.cache_clear()
    yield Command(tmp_path, monkeypatch, capfd)
    parts._installed_parts.cache_clear()
