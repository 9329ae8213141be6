"""`velum models bundle` makes a wheel with reproducible bytes, which pip installs and velum finds."""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from email.parser import Parser
from pathlib import Path

import pytest
from tests.tiny_models import TinyModels, pip_install, tiny_models
from typer.testing import CliRunner, Result

from velum.cli.models import app
from velum.errors import BadPlan, OutputFailed, Unavailable
from velum.locate import registry
from velum.locate.weights.bundle_wheel import bundle_target, write_bundle

Run = Callable[..., Result]

WHEEL = "velum_weights-1-py3-none-any.whl"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyModels:
    """Two models, `cats` and `dogs`, that the catalogue has during the test; their files lie in a folder."""
    return tiny_models(tmp_path / "originals", monkeypatch)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A machine without weights and without network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VELUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "own"))
    monkeypatch.setenv("VELUM_OFFLINE", "1")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def wheel(run: Run, models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of both models, made on another machine."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("VELUM_MODELS", str(tmp_path / "elsewhere"))
        for file in models.files:
            assert run("add", str(file)).exit_code == 0
        made = run("bundle", "dogs", "cats", "-o", ".")
    assert made.stdout == f"{WHEEL}\n"
    return tmp_path / WHEEL


def test_metadata_and_record_follow_the_standards(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    info = "velum_weights-1.dist-info"
    metadata = Parser().parsestr(members[f"{info}/METADATA"].decode())
    assert (metadata["Metadata-Version"], metadata["Name"], metadata["Version"]) == ("2.4", "velum-weights", "1")
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
    assert metadata["Summary"] == "Weights for velum: cats, dogs"
    licences = metadata.get_all("License-File")
    assert licences == ["cats.txt", "dogs.txt"]
    assert b"Copyright (c) 1999 A. Cat\n\nMIT License" in members[f"{info}/licenses/cats.txt"]
    assert b"Version 2.0, January 2004" in members[f"{info}/licenses/dogs.txt"]
    rows = list(csv.reader(io.StringIO(members[f"{info}/RECORD"].decode())))
    assert rows.pop() == [f"{info}/RECORD", "", ""]
    for name, digest, size in rows:
        data = members.pop(name)
        expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={expected}", len(data))
    assert members.keys() == {f"{info}/RECORD"}
    with zipfile.ZipFile(wheel) as archive:
        assert b"Tag: py3-none-any\n" in archive.read(f"{info}/WHEEL")


def test_equal_models_give_equal_bytes(wheel: Path, models: TinyModels, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    found = {registry.find(name): file for name, file in zip(("cats", "dogs"), models.files, strict=True)}
    write_bundle(found, bundle_target(tmp_path / "again"))
    assert (tmp_path / "again" / WHEEL).read_bytes() == wheel.read_bytes()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_finds_weights_in_a_wheel_that_pip_installed(
    run: Run, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = pip_install(wheel, tmp_path / "site")
    assert isinstance(run("path", "dogs").exception, Unavailable)
    monkeypatch.syspath_prepend(str(site))
    for name in ("cats", "dogs"):
        assert run("path", name).stdout.startswith(f"{site}/velum_weights/velum_weights/{name}-")
        assert run("verify", name).stdout == f"{name}: ok\n"


def test_takes_weights_from_a_folder_of_wheels(
    run: Run, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel.rename(shelf / WHEEL)
    (shelf / "other-1.0-py3-none-any.whl").write_bytes(b"not one of ours")
    monkeypatch.setenv("VELUM_BUNDLES", str(shelf))
    assert '"state": "obtainable"' in run("list", "--json").stdout
    for name in ("cats", "dogs"):
        assert run("pull", name).stdout.startswith(f"{tmp_path}/cache/models/{name}-")
        assert run("verify", name).stdout == f"{name}: ok\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda data: data[:-30], "is not a readable wheel: .*; copy it again", id="cut short"),
        pytest.param(lambda data: data.replace(b"<net", b"<met"), "is not a readable wheel: Bad CRC", id="changed"),
    ],
)
def test_names_a_damaged_wheel(
    run: Run,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes],
    message: str,
) -> None:
    wheel.write_bytes(damage(wheel.read_bytes()))
    monkeypatch.setenv("VELUM_BUNDLES", str(tmp_path))
    with pytest.raises(Unavailable, match=message):
        raise run("pull", "cats").exception or AssertionError
    assert run("list").exit_code == 0
    assert not list((tmp_path / "cache").rglob("*.xml"))


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        pytest.param("weights.zip", BadPlan, "is not a name for a wheel of weights", id="no wheel"),
        pytest.param("missing/", BadPlan, "is not a name for a wheel of weights", id="folder that is not there"),
        pytest.param("a-1-cp311-none-any.whl", BadPlan, "is not a name for a wheel", id="wheel for one Python"),
        pytest.param("a-one-py3-none-any.whl", BadPlan, "is not a name for a wheel", id="no version"),
        pytest.param("missing/a-1-py3-none-any.whl", OutputFailed, "there is no folder", id="no such folder"),
        pytest.param(WHEEL, OutputFailed, "exists", id="already there"),
    ],
)
@pytest.mark.usefixtures("wheel")
def test_refuses_targets_that_cannot_be_a_wheel(
    run: Run, models: TinyModels, output: str, error: type, message: str
) -> None:
    run("add", str(models.files[0]))
    with pytest.raises(error, match=message):
        raise run("bundle", "cats", "-o", output).exception or AssertionError
    if output == WHEEL:
        assert run("bundle", "cats", "-o", output, "--overwrite").exit_code == 0


def test_takes_name_and_version_from_the_file_name(run: Run, models: TinyModels, tmp_path: Path) -> None:
    run("add", str(models.files[0]))
    assert run("bundle", "cats", "-o", "site_cats-2026.1-py3-none-any.whl").exit_code == 0
    with zipfile.ZipFile(tmp_path / "site_cats-2026.1-py3-none-any.whl") as archive:
        assert "Name: site-cats\nVersion: 2026.1\n" in archive.read("site_cats-2026.1.dist-info/METADATA").decode()


def test_refuses_added_models_unknown_licences_and_changed_files(run: Run, models: TinyModels, tmp_path: Path) -> None:
    run("add", str(models.files[0]), "--name", "mine", "--threshold", "0.5")
    with pytest.raises(BadPlan, match="mine cannot be bundled: a wheel holds files of velum's own catalogue"):
        raise run("bundle", "mine", "-o", ".").exception or AssertionError
    odd = replace(registry.find("cats"), licence="Odd-1.0")
    with pytest.raises(BadPlan, match="velum has no text of its licence, 'Odd-1.0'"):
        write_bundle({odd: models.files[0]}, bundle_target(tmp_path))
    changed = models.files[1].with_suffix(".bin")
    changed.write_bytes(b"x" * changed.stat().st_size)
    with pytest.raises(Unavailable, match="changed while it was bundled"):
        write_bundle({registry.find("dogs"): models.files[1]}, bundle_target(tmp_path))
    assert not (tmp_path / WHEEL).exists()


def test_has_the_text_of_every_licence_in_the_catalogue(tmp_path: Path) -> None:
    folder = Path(registry.__file__).parent / "weights" / "licences"
    assert {model.licence for model in registry.catalog().values()} <= {file.stem for file in folder.glob("*.txt")}
    assert all(model.copyright for model in registry.catalog().values() if model.licence == "MIT")
