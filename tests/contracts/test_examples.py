"""Every file of examples/ runs and prints what its text says."""

import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.service.factories import on_the_wire, settings

from velum.testing import check_technique

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOK = FOLDER / "first_steps.ipynb"


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / f"{name}.py"))


def pixels(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as opened:
        return np.asarray(opened)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that does jobs itself, and finds a face wherever it looks."""
    chosen = settings(tmp_path_factory.mktemp("service"))
    with on_the_wire(replace(chosen, jobs=replace(chosen.jobs, in_process=True))) as address:
        yield address


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text()
    assert [path.stem for path in FOLDER.glob("*.py") if f'example("{path.stem}")' not in tested] == []


def test_hide_folder(tmp_path: Path) -> None:
    results = example("hide_folder")["main"](tmp_path)
    assert (results["one.jpg"], results["two.png"]) == ("hid 1", "hid 1")
    assert "unknown kind" in results["broken.jpg"]
    assert not pixels(tmp_path / "safe/two.png")[20:100, 40:120].any()
    assert sorted(path.name for path in (tmp_path / "safe").iterdir()) == ["one.jpg", "two.png"]


def test_plan_in_python(tmp_path: Path) -> None:
    plan, report = example("plan_in_python")["main"](tmp_path)
    assert [str(rule.hide) for rule in plan.rules] == ["blacken", "pixelate(degree=0.1)"]
    assert report.labels == {"zone": 2}


def test_own_technique(tmp_path: Path) -> None:
    made = example("own_technique")
    hidden = pixels(made["main"](tmp_path))
    assert set(np.unique(hidden[45:75, 50:110])) == {63, 191}
    assert (hidden[0, 0] == 200).all()
    check_technique(made["Check"]())


def test_own_localizer(tmp_path: Path) -> None:
    assert example("own_localizer")["main"](tmp_path).labels == {"red": 1}
    hidden = pixels(tmp_path / "hidden.png")
    assert not hidden[40:80, 60:100].any()
    assert (hidden[0, 0] == 230).all()


def test_annotations_out_and_in(tmp_path: Path) -> None:
    assert example("annotations_out_and_in")["main"](tmp_path).labels == {"zone": 2}
    hidden = pixels(tmp_path / "photo.hidden.png")
    assert not hidden[10:50, 10:50].any()
    assert not hidden[60:110, 100:140].any()


def test_evaluate_model(tmp_path: Path) -> None:
    result = example("evaluate_model")["main"](tmp_path)
    assert (result["precision"]["zone"]["hits"], result["precision"]["zone"]["total"]) == (2, 3)
    assert [miss["file"] for miss in result["misses"]] == ["three.png"]


def test_client_and_service(tmp_path: Path, service: str) -> None:
    at_once, from_the_job = example("client_and_service")["main"](tmp_path, service)
    for result in (at_once, from_the_job):
        assert not pixels(result)[20:100, 40:120].any()
        assert (pixels(result)[0, 0] == 210).all()


def test_bmw_request(tmp_path: Path, service: str) -> None:
    assert pixels(example("bmw_request")["main"](tmp_path, service)).shape == (120, 160, 3)


def test_the_notebook_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), "clear its outputs"
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells, start=1):
        exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, code {number}", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("{'zone': 1}\n")
    assert "technique 'blurr' is unknown" in said
    assert said.endswith("False\n")
    assert not pixels(names["folder"] / "both.png")[40:120, 50:110].any()
