"""Plans that velum ships under a name."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from velum.built_in_plans import BUILT_IN_PLANS, BuiltInPlan
from velum.cli.main import app
from velum.parts import names
from velum.plan import Plan
from velum.plugins import RuntimeConfig

RUNNER = CliRunner()


@pytest.mark.parametrize("named", BUILT_IN_PLANS.values(), ids=BUILT_IN_PLANS)
def test_a_named_plan_names_only_parts_that_velum_has_and_techniques_that_destroy(named: BuiltInPlan) -> None:
    plan = named.plan()
    host = RuntimeConfig()
    known = {*names("velum.localizers", host), "centerface", "lpd-yunet"}
    assert {rule.locate.name for rule in plan.rules} <= known
    assert {rule.hide.name for rule in plan.rules} == {"blacken"}
    assert plan.metadata == ()


@pytest.mark.parametrize("name", BUILT_IN_PLANS)
def test_plan_takes_a_name_and_prints_a_file_that_makes_the_same_plan(name: str, tmp_path: Path) -> None:
    printed = RUNNER.invoke(app, ["plan", "show", "--plan", name])
    assert printed.exit_code == 0
    file = tmp_path / "copy.toml"
    file.write_text(printed.stdout)
    again = RUNNER.invoke(app, ["plan", "show", "--plan", str(file), "--json"])
    assert json.loads(again.stdout)["digest"] == BUILT_IN_PLANS[name].plan().digest
    assert Plan.from_toml(printed.stdout) == BUILT_IN_PLANS[name].plan()


def test_options_change_a_named_plan() -> None:
    printed = RUNNER.invoke(app, ["plan", "show", "--plan", "street", "--keep", "gps", "--json"])
    assert json.loads(printed.stdout)["metadata"] == ["gps"]


def test_a_file_of_that_name_is_not_passed_over_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("street").write_text('rules = ["face: centerface -> blur"]')
    refused = RUNNER.invoke(app, ["plan", "show", "--plan", "street"])
    assert "both a plan of velum and a file here; write ./street for the file" in str(refused.exception)
    taken = RUNNER.invoke(app, ["plan", "show", "--plan", "./street"])
    assert "blur" in taken.stdout


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    refused = RUNNER.invoke(app, ["plan", "show", "--plan", "strete"])
    assert "there is no file strete, and velum's own plans are street, documents" in str(refused.exception)


def test_the_list_says_what_each_plan_is_for() -> None:
    listed = RUNNER.invoke(app, ["plan", "list"])
    assert all(f"{named.name:12}" in listed.stdout for named in BUILT_IN_PLANS.values())
    assert all(len(line) <= 80 for line in listed.stdout.splitlines())
    lines = RUNNER.invoke(app, ["plan", "list", "--json"]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == list(BUILT_IN_PLANS)
