"""`velum strength` attacks the given techniques, and marks attacks above chance."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.evaluation.reidentification.test_attack import painted
from typer.testing import CliRunner, Result

from velum.cli.main import app
from velum.errors import BadInput, BadPlan

WHOLE = ("--locate", "fixed(label='face')")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "photos"
    folder.mkdir()
    for seed in range(12):
        Image.fromarray(painted(seed)).save(folder / f"{seed}.png")
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["strength", *arguments])


@pytest.mark.exhaustive
@pytest.mark.slow
def test_tells_a_strong_technique_from_a_weak_one(photos: Path) -> None:
    asked = (str(photos), "--with", "blacken", "--with", "blacken(degree=0.5)", *WHOLE, "--most", "10")
    done = run(*asked, "--json")
    assert done.exit_code == 0, done.output
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["hidden"], one["shot"]) for one in results] == [
        (name, shot) for name in ("nothing", "blacken", "blacken(degree=0.5)") for shot in ("copy", "reshot")
    ]
    assert {one["faces"] for one in results} == {10}
    assert set(results[2]["right"].values()) == {0.1}
    assert results[4]["right"]["undone"] > 0.9


@pytest.mark.exhaustive
@pytest.mark.slow
def test_prints_a_table_for_people(photos: Path) -> None:
    done = run(str(photos), "--with", "blacken", *WHOLE, "--most", "10")
    assert done.exit_code == 0, done.output
    assert "10 faces; guessing identifies 10.0%" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("blacken")]
    assert [(row[1], row[-3], row[-1]) for row in rows] == [("copy", "yes", "px"), ("reshot", "yes", "px")]
    assert "…" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "why"),
    [
        (("--with", "smear"), BadPlan, "unknown technique"),
        (("--locate", "nobody"), BadPlan, "unknown localizer"),
        (("--locate", "fixed"), BadInput, "finds zones, not faces"),
        ((*WHOLE, "--min-height", "1000"), BadInput, "no face is large enough"),
    ],
)
def test_names_the_mistake_in_an_option(
    photos: Path, arguments: tuple[str, ...], kind: type[Exception], why: str
) -> None:
    done = run(str(photos), *arguments)
    assert isinstance(done.exception, kind), why


def test_refuses_a_technique_that_cannot_hide_faces(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "techniques"
    folder.mkdir()
    (folder / "plates.py").write_text(
        "class Plates:\n    destroys = True\n    labels = {'license_plate'}\n    def hide(self, patch): ...\n"
    )
    monkeypatch.setenv("VELUM_TECHNIQUES", str(folder))
    done = run(str(photos), "--with", "plates", *WHOLE)
    assert isinstance(done.exception, BadPlan)
    assert "hides only license_plate, not 'face'" in str(done.exception)
