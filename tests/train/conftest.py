"""The command `velum` in a folder with its own catalogue."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from velum.cli.main import run

Train = Callable[..., tuple[str, str]]
"""`train(*arguments, code=0)` runs `velum` and returns what it printed on both streams."""


@pytest.fixture
def velum_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Train:
    monkeypatch.chdir(tmp_path)
    for name, value in {"VELUM_CACHE": "cache", "VELUM_MODELS": "models", "NO_COLOR": "1", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, str(tmp_path / value) if name.startswith("VELUM") else value)

    def command(*arguments: str, code: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["velum", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capfd.readouterr()
        assert (ended.value.code or 0) == code, f"exit {ended.value.code}\n{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    return command
