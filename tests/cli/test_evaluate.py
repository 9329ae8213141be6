"""`velum evaluate` prints the same figures as text and as JSON, and writes plans and pages whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from velum import Plan
from velum.cli.main import app
from velum.errors import BadInput, BadPlan, OutputFailed

ZONE = ("--rule", "face: fixed(label='face', box=[10, 10, 50, 50]) -> blacken with grow=0")


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    Image.new("RGB", (120, 90), "grey").save(tmp_path / "a.png")
    things = [{"label": "face", "bbox": [10, 10, 50, 50]}, {"label": "face", "bbox": [60, 10, 100, 50]}]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"a.png": {"objects": things, "exhaustive": ["face"]}}))
    return path


def run(truth: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", "--truth", str(truth), *ZONE, *arguments])


def test_prints_tables_for_people(truth: Path) -> None:
    done = run(truth)
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["face", "all", "1/2", "0.500", "0.095", "to", "0.905", "0.500", "0.500", "0.500"] in rows
    assert "face: 0 of 1 detections are false, precision 1.000" in done.stdout
    assert "…" not in done.stdout


def test_prints_json_and_writes_a_page_without_local_paths(truth: Path, tmp_path: Path) -> None:
    done = run(truth, "--json", "--html", str(tmp_path / "page.html"))
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["format"] == "velum-evaluation/1"
    assert told["by_size"][0]["found"] == {"hits": 1, "total": 2, "share": 0.5, "interval": [0.0945, 0.9055]}
    assert [(one["file"], one["xyxy"]) for one in told["misses"]] == [("a.png", [60.0, 10.0, 100.0, 50.0])]
    assert told["plan"]["digest"] == Plan.of(ZONE[1]).digest
    assert "passed" not in told
    assert str(tmp_path) not in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg") == 1
    assert str(tmp_path) not in page


def test_exits_with_1_when_a_profile_is_not_met(truth: Path) -> None:
    done = run(truth, "--profile", "strict", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["passed"] is False
    done = run(truth, "--profile", "strict")
    assert "NOT MET  face: detected 0.500 of 98% wanted" in done.stdout
    assert "NOT MET  license_plate: the plan has no rule for this label" in done.stdout


@pytest.mark.parametrize("name", ["plan.toml", "plan.json"])
def test_writes_a_plan_with_thresholds_for_the_wanted_recall(truth: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    done = run(truth, "--recall", "0.5", "--min-height", "32", "--output", str(out))
    assert done.exit_code == 0, done.output
    assert "chosen: face at 1 finds 1 of 2" in done.stdout
    text = out.read_text()
    plan = Plan.from_json(json.loads(text)) if name == "plan.json" else Plan.from_toml(text)
    assert plan.rules[0].min_score == 1.0  # a zone takes no threshold, and is sure of itself


@pytest.mark.parametrize(
    ("arguments", "kind", "why"),
    [
        (("--recall", "0.9", "--output", "plan.toml"), BadInput, "wanted"),
        (("--recall", "0.9"), BadPlan, "give both options"),
        (("--output", "plan.toml"), BadPlan, "give both options"),
        (("--recall", "0", "--output", "plan.toml"), BadPlan, "recall"),
        (("--profile", "none"), BadPlan, "profile 'none'"),
        (("--media", "nowhere"), BadInput, "none of the labelled files"),
        (("--html", "truth.json"), OutputFailed, "truth.json"),
    ],
)
def test_refuses_wrong_options_before_any_work(
    truth: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], kind: type[Exception], why: str
) -> None:
    monkeypatch.chdir(truth.parent)
    before = truth.read_text()
    done = run(truth, *arguments)
    assert isinstance(done.exception, kind)
    assert why in str(done.exception)
    assert not (truth.parent / "plan.toml").exists()
    assert truth.read_text() == before
