"""The package index knows velum as `velum-anonymizer`: there, `velum` is another project."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import velum

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: A requirement of the distribution `velum`: an extra, or the bare name after an installer's words.
STRANGER = re.compile(
    r"\bvelum\[|\b(?:pip3?|pipx|uv|uvx)\b[^\n`]*?\b(?:install|add|run)\b[^\n`]*?[\s'\"]velum(?=['\"\s=<>]|$)"
    r"|\bdependencies\s*=\s*\[[^\]]*['\"]velum['\"=<>~]"
)


def files_in_git() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no clone of the repository")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_distribution_has_a_name_of_its_own_and_one_version() -> None:
    assert PROJECT["name"] == "velum-anonymizer"
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", velum.__version__)


def test_the_extra_all_has_every_other_but_those_that_exclude_each_other() -> None:
    extras = PROJECT["optional-dependencies"]
    (requirement,) = extras["all"]
    name, _, listed = requirement.removesuffix("]").partition("[")
    assert name == PROJECT["name"]
    assert listed.split(",") == sorted(extras.keys() - {"all", "gpu", "quantize", "ray", "train"})


def test_no_file_tells_anybody_to_install_another_project() -> None:
    wrong = []
    for path in files_in_git():
        if path == Path(__file__) or path.suffix in {".png", ".jpg", ".webp"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if STRANGER.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "pip install velum",
        "pip install 'velum[heif]'",
        "uv tool install velum",
        "install velum[traces]",
        'pipx install "velum"',
        'dependencies = ["numpy", "velum"]',
    ],
)
def test_lines_that_would_install_another_project_are_recognised(line: str) -> None:
    assert STRANGER.search(line)


@pytest.mark.parametrize(
    "line", ["pip install 'velum-anonymizer[heif]'", "docker run velum:0.1.0 models pull", "pip install ./velum-paint"]
)
def test_lines_that_install_velum_are_not_flagged(line: str) -> None:
    assert not STRANGER.search(line)
