"""One error in two lines names all missing models of a plan, and each of the ways that it names works."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.tiny_models import TinyModels, pip_install, tiny_models
from typer.testing import CliRunner, Result

from velum.cli.main import app
from velum.errors import MissingWeights

Run = Callable[..., Result]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyModels:
    return tiny_models(tmp_path / "originals", monkeypatch)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: TinyModels) -> Run:
    """A machine without the weights of both models, in a folder with an image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VELUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "own"))
    monkeypatch.setenv("VELUM_OFFLINE", "1")
    Image.new("RGB", (96, 96), (200, 200, 200)).save(tmp_path / "photo.png")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def hide(run: Run, *more: str) -> Result:
    rules = "--rule", "cat: cats -> blacken", "--rule", "dog: dogs -> blacken"
    return run("hide", "photo.png", *rules, "-o", "hidden.png", "--overwrite", *more)


@pytest.fixture
def ways(run: Run) -> list[list[str]]:
    """The commands in the second line of the error, as words."""
    error = hide(run).exception
    assert isinstance(error, MissingWeights)
    first, second = str(error).splitlines()
    assert first == "cats and dogs are not on this machine, and fetching is forbidden"
    commands = [command.split()[1:] for command in re.findall(r"'(velum [^']*)'", second)]
    assert [command[:2] for command in commands] == [["models", "pull"], ["models", "bundle"], ["models", "add"]]
    assert second.endswith("for cats.xml and dogs.xml")
    return commands


def be_elsewhere(run: Run, models: TinyModels, tmp_path: Path, there: pytest.MonkeyPatch) -> None:
    """Run as another machine, which has the weights."""
    there.setenv("VELUM_CACHE", str(tmp_path / "elsewhere" / "cache"))
    there.setenv("VELUM_MODELS", str(tmp_path / "elsewhere" / "own"))
    for file in models.files:
        assert run("models", "add", str(file)).exit_code == 0


def hidden_places(tmp_path: Path) -> tuple[bool, bool]:
    """Tell whether the result is black at the cats, and at the dogs."""
    image = Image.open(tmp_path / "hidden.png").convert("L")
    return image.getpixel((10, 60)) == 0, image.getpixel((55, 60)) == 0


def test_the_first_way_out_pulls_the_models(
    run: Run, ways: list[list[str]], models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as access:
        access.setenv("VELUM_OFFLINE", "0")
        access.setenv("PIP_INDEX_URL", models.index)
        assert len(run(*ways[0]).stdout.splitlines()) == 2
    assert hide(run).exit_code == 0
    assert hidden_places(tmp_path) == (True, True)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_second_way_out_installs_a_wheel(
    run: Run, ways: list[list[str]], models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        be_elsewhere(run, models, tmp_path, there)
        made = run(*ways[1])
    assert isinstance(hide(run).exception, MissingWeights)
    monkeypatch.syspath_prepend(str(pip_install(tmp_path / made.stdout.strip(), tmp_path / "site")))
    assert hide(run).exit_code == 0
    assert hidden_places(tmp_path) == (True, True)


def test_the_third_way_out_adds_the_files(run: Run, ways: list[list[str]], models: TinyModels, tmp_path: Path) -> None:
    assert ways[2] == ["models", "add", "FILE"]
    assert run("models", "add", str(models.files[0])).exit_code == 0
    left = hide(run).exception
    assert str(left).startswith("dogs is not on this machine, and fetching is forbidden\nrun 'velum models pull dogs'")
    assert run("models", "add", str(models.files[1])).exit_code == 0
    assert hide(run).exit_code == 0
    assert hidden_places(tmp_path) == (True, True)


def test_reports_each_source_that_did_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the plan has the first reason in short; `velum models pull` prints all reasons."""
    monkeypatch.setenv("VELUM_OFFLINE", "0")
    first, second = str(hide(run).exception).splitlines()
    assert first.startswith("cats and dogs are not on this machine, and could not be fetched (")
    assert "http://127.0.0.1:1 cannot be reached: [Errno 111] Connection refused" in first
    assert second.startswith("run 'velum models pull cats dogs' with network access; or 'velum models bundle cats dogs")
    pulled = run("models", "pull", "cats", "dogs").exception
    assert isinstance(pulled, MissingWeights)
    lines = str(pulled).splitlines()
    assert lines[0] == "cats and dogs are not on this machine, and could not be fetched"
    assert [line.partition(" in ")[0] for line in lines[1:-1]] == [
        "- cats: tinymodels/cats.bin", "- dogs: tinymodels/dogs.bin",
    ]  # fmt: skip
    assert lines[-1] == second


def test_models_of_keep_out_count_as_missing(run: Run) -> None:
    error = run(
        "hide", "photo.png", "--rule", "cat: cats -> blacken", "--keep-out", "dogs", "-o", "hidden.png"
    ).exception
    assert str(error).startswith("cats and dogs are not on this machine")


def test_names_a_damaged_file(run: Run, models: TinyModels, tmp_path: Path) -> None:
    run("models", "add", str(models.files[0]))
    (file,) = (tmp_path / "own").rglob("*.xml")
    file.write_bytes(b"x")
    error = str(run("hide", "photo.png", "--rule", "cat: cats -> blacken", "-o", "hidden.png").exception)
    assert error.startswith(f"cats is not on this machine, and fetching is forbidden ({file} has 1 bytes, expected ")
