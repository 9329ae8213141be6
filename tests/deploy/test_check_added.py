"""Pipelines check the media that a change adds, in a real repository, and fail wherever a step fails."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.reading import ROOT

from velum.media import SUFFIXES
from velum.media.formats import READ_ONLY_SUFFIXES, VIDEO_SUFFIXES

SCRIPT = ROOT / "deploy/ci/check-added"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PAGES = [
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/check.md").read_text(), re.DOTALL)
]

VELUM = '#!/bin/sh\nprintf "%s\\n" "$@" >>"$CALLS"\nexit "${VELUM_ENDS:-0}"\n'


class Repository:
    """A repository with one commit, and a program in the place of velum that writes down its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder / "work", folder / "calls"
        (folder / "bin").mkdir()
        (folder / "bin/velum").write_text(VELUM)
        (folder / "bin/velum").chmod(0o755)
        self.environ = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "CALLS": str(self.calls),
            **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.base = self.commit({"old.jpg": "old", "moved.png": "a picture that moves", "code.py": "1"})

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        for name, content in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=x")
        return self.git("rev-parse", "HEAD")

    def run(self, command: list[str], **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=self.folder, env=self.environ | environ, capture_output=True, text=True, check=False
        )

    def check(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return self.run(["sh", str(SCRIPT), *arguments], **environ)

    @property
    def told(self) -> list[str]:
        """The arguments that the program got."""
        return self.calls.read_text().split("\n")[:-1] if self.calls.exists() else []


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


ADDED = {"new.JPG": "n", "a/b/with space.mp4": "n", "-odd.png": "n", "old.jpg": "changed", "main.ts": "n", "x.txt": "n"}


def test_media_that_a_change_adds_changes_or_moves_are_checked(repository: Repository) -> None:
    (repository.folder / "moved.png").rename(repository.folder / "there.png")
    repository.commit(ADDED)
    done = repository.check(repository.base, "--plan", "street")
    assert (done.returncode, done.stderr) == (0, "")
    expected = ["-odd.png", "a/b/with space.mp4", "new.JPG", "old.jpg", "there.png"]
    assert repository.told == ["check", "--plan", "street", "--", *expected]


def test_more_suffixes_are_checked_where_they_are_named(repository: Repository) -> None:
    repository.commit(ADDED)
    repository.check(repository.base, MORE_SUFFIXES="ts txt")
    assert {"main.ts", "x.txt"} <= {*repository.told}


def test_a_change_without_media_passes_without_velum(repository: Repository) -> None:
    repository.commit({"x.txt": "n", "main.ts": "n"})
    done = repository.check(repository.base)
    assert (done.returncode, repository.told) == (0, [])
    assert "0 images and videos" in done.stdout


@pytest.mark.parametrize("base", ["", "0" * 40])
def test_on_a_new_branch_all_media_are_checked(repository: Repository, base: str) -> None:
    repository.commit({"new.gif": "n"})
    assert repository.check(base).returncode == 0
    assert repository.told == ["check", "--", "moved.png", "new.gif", "old.jpg"]


@pytest.mark.parametrize("ends", ["1", "3", "6", "137"])
def test_it_fails_where_velum_finds_something_or_fails(repository: Repository, ends: str) -> None:
    repository.commit({"new.gif": "n"})
    assert repository.check(repository.base, VELUM_ENDS=ends).returncode != 0


@pytest.mark.parametrize("base", ["nowhere", "f" * 40, "--all", "HEAD; true"])
def test_it_fails_where_the_start_of_the_change_is_not_known(repository: Repository, base: str) -> None:
    repository.commit({"new.gif": "n"})
    done = repository.check(base)
    assert done.returncode == 2
    assert "fetch all of it (fetch-depth: 0)" in done.stderr
    assert repository.told == []


def test_it_fails_without_velum_without_git_and_outside_of_a_repository(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"new.gif": "n"})
    (tmp_path / "bin/velum").write_text("#!/no/such/program\n")
    assert repository.check(repository.base).returncode != 0
    (tmp_path / "bin/git").write_text(
        '#!/bin/sh\ncase $1 in diff) exit 128;; esac\nexec /usr/bin/env -i "$REAL" "$@"\n'
    )
    (tmp_path / "bin/git").chmod(0o755)
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin/velum").write_text(VELUM)
    assert repository.check(repository.base, REAL=real).returncode != 0
    assert repository.told == []
    repository.folder = tmp_path / "bin"
    assert repository.check(repository.base).returncode != 0


def test_the_suffixes_are_those_that_velum_knows_but_for_typescript() -> None:
    (block,) = re.findall(r'^suffixes="(.*?) \$\{MORE', SCRIPT.read_text(), re.DOTALL | re.MULTILINE)
    known = {*SUFFIXES, *VIDEO_SUFFIXES, *READ_ONLY_SUFFIXES} - {".ts", ".mts"}
    assert {f".{suffix}" for suffix in block.split()} == known


def test_the_steps_of_the_action_run(repository: Repository) -> None:
    repository.commit({"new.gif": "n"})
    install, check = ACTION["runs"]["steps"]
    assert ACTION["runs"]["using"] == "composite"
    assert "inputs.install" in install["if"]
    named = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    assert named == ACTION["inputs"].keys()
    assert all("${{" not in step["run"] for step in (install, check))  # a value could hold commands
    for ends, expected in (("0", 0), ("1", 1)):
        done = repository.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", check["run"]], VELUM_ENDS=ends,
            GITHUB_ACTION_PATH=str(ROOT), BASE=repository.base, OPTIONS="--plan street --text", MORE_SUFFIXES="",
        )  # fmt: skip
        assert bool(done.returncode) == bool(expected), done.stderr
    assert repository.told[:5] == ["check", "--plan", "street", "--text", "--"]


def test_the_pipelines_of_the_page_are_valid(repository: Repository) -> None:
    hook, github, gitlab = PAGES
    assert hook["repos"][0]["hooks"][0]["entry"].startswith("velum check")
    checkout, step = github["jobs"]["media"]["steps"]
    assert checkout["with"] == {"fetch-depth": 0, "lfs": True}
    assert step["with"].keys() <= ACTION["inputs"].keys()
    command: Any = gitlab["media"]["script"][-1]
    repository.commit({"new.gif": "n", "deploy/ci/check-added": SCRIPT.read_text()})
    for variable in ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA"):
        done = repository.run(["bash", "-eo", "pipefail", "-c", command], **{variable: repository.base})
        assert done.returncode == 0, done.stderr
    assert repository.told == ["check", "--plan", "street", "--", "new.gif"] * 2
