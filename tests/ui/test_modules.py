"""The modules of the page pass their own tests and type checks."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*command: str) -> None:
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_the_modules_pass() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not here: apt-get install nodejs")
    run("node", "--test", *map(str, sorted(Path(__file__).parent.glob("*.test.mjs"))))


def test_the_types_of_the_modules_are_right() -> None:
    if not (ROOT / "node_modules" / "typescript").is_dir():
        pytest.skip("typescript is not here: npm ci")
    run("npm", "run", "--silent", "check")


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (ROOT / "package-lock.json").read_text()
