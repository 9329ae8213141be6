"""The command line, as a user types it, with a localizer of the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import Command

import velum

RULE = ("--rule", "face: fake -> blacken with grow=0")


def test_hides_one_photo(velum_command: Command) -> None:
    done = velum_command("hide", "photo.png", *RULE)
    assert "photo.hidden.png: 1 face hidden" in done.stdout
    assert (velum_command.pixels("photo.hidden.png")[5:25, 10:30] == 0).all()


@pytest.mark.parametrize("name", [".", "./", "inner/.."])
def test_the_results_of_a_folder_without_a_name_lie_beside_it(velum_command: Command, name: str) -> None:
    (velum_command.folder / "room" / "inner").mkdir(parents=True)
    (velum_command.folder / "photo.png").rename(velum_command.folder / "room" / "photo.png")
    velum_command.patch.chdir(velum_command.folder / "room")
    velum_command("hide", name, *RULE)
    assert (velum_command.pixels("room.hidden/photo.png")[5:25, 10:30] == 0).all()
    assert sorted(path.name for path in (velum_command.folder / "room").iterdir()) == ["inner", "photo.png"]
    assert "there is no folder beside /" in velum_command("hide", "/", *RULE, code=4).stderr


def test_prints_the_report_as_json(velum_command: Command) -> None:
    done = velum_command("hide", "photo.png", "-o", "out.png", "--json", *RULE)
    report = json.loads(done.stdout)
    assert report["target"] == "out.png"
    assert report["hidden"][0]["xyxy"] == [10, 5, 30, 25]


def test_plan_show_prints_a_plan_that_hide_reads(velum_command: Command) -> None:
    shown = velum_command(
        "plan", "show", "--rule", "face: fake(x=0) -> pixelate", "--keep", "gps,datetime", "--quality", "80"
    )
    (velum_command.folder / "plan.toml").write_text(shown.stdout)
    again = velum_command("plan", "show", "--plan", "plan.toml")
    assert again.stdout == shown.stdout
    report = json.loads(velum_command("hide", "photo.png", "--plan", "plan.toml", "--json").stdout)
    assert report["plan"] in shown.stdout
    assert report["hidden"][0]["xyxy"] == [0, 5, 20, 25]


def test_hides_the_regions_that_locate_wrote(velum_command: Command) -> None:
    velum_command("locate", "photo.png", "-o", "regions.json", *RULE)
    regions = json.loads((velum_command.folder / "regions.json").read_text())
    regions["frames"][0]["regions"][0]["xyxy"] = [0, 0, 7, 7]
    (velum_command.folder / "regions.json").write_text(json.dumps(regions))
    velum_command("hide", "photo.png", "--regions", "regions.json", *RULE)
    assert (velum_command.pixels("photo.hidden.png") == 0).all(axis=2).sum() == 49
    assert json.loads(velum_command("locate", "photo.png", *RULE).stdout)["width"] == 60


def test_an_annotation_file_may_set_technique_and_off_for_each_region(velum_command: Command) -> None:
    velum_command("locate", "photo.png", "-o", "regions.json", *RULE)
    told = json.loads((velum_command.folder / "regions.json").read_text())
    told["frames"][0]["regions"] = [
        {"label": "face", "xyxy": [0, 0, 8, 8]},
        {"label": "face", "xyxy": [20, 0, 40, 20], "technique": "pixelate(degree=1)"},
        {"label": "face", "xyxy": [0, 20, 8, 28], "off": True},
    ]
    (velum_command.folder / "regions.json").write_text(json.dumps(told))
    done = velum_command("hide", "photo.png", "--regions", "regions.json", *RULE, "--json")
    report = json.loads(done.stdout.splitlines()[0])
    assert [one["technique"] for one in report["hidden"]] == ["blacken", "pixelate(degree=1)"]
    before, after = velum_command.pixels("photo.png"), velum_command.pixels("photo.hidden.png")
    assert not after[:8, :8].any()
    assert len({tuple(colour) for row in after[0:20, 20:40] for colour in row}) == 1
    assert (after[20:28, :8] == before[20:28, :8]).all()


def test_hides_the_other_files_of_a_folder_with_a_bad_one(velum_command: Command) -> None:
    folder = velum_command.folder / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.fromarray(velum_command.pixels("photo.png")).save(folder / name)
    (folder / "bad.jpg").write_bytes(b"")
    done = velum_command("hide", "photos", "-o", "safe", *RULE, code=1)
    assert "bad.jpg" in done.stderr
    assert "2 files, 2 faces hidden" in done.stdout
    assert "1 failed" in done.stdout
    done = velum_command("hide", "photos", "-o", "safe", "--resume", "--json", *RULE, code=1)
    assert [json.loads(line)["error"]["kind"] for line in done.stdout.splitlines()] == ["BadInput"]


def test_a_file_that_crashes_the_decoder_does_not_end_the_run(velum_command: Command) -> None:
    folder = velum_command.folder / "photos"
    folder.mkdir()
    for number, width in enumerate((20, 13, 20, 20)):
        Image.new("RGB", (width, 20), "white").save(folder / f"{number}.png")
    done = velum_command("hide", "photos", "-o", "safe", "--rule", "face: crashing -> blacken", code=1)
    assert "photos/1.png: the decoder crashed on this file (SIGSEGV); it was not hidden" in done.stderr
    assert "safe: 3 files, 3 faces hidden; 0 with nothing found, 0 skipped, 1 failed" in done.stdout
    assert sorted(path.name for path in (velum_command.folder / "safe").glob("*.png")) == ["0.png", "2.png", "3.png"]


def test_dry_run_writes_nothing(velum_command: Command) -> None:
    done = velum_command("hide", "photo.png", "--dry-run", *RULE)
    assert "photo.png -> photo.hidden.png" in done.stdout
    assert sorted(path.name for path in velum_command.folder.iterdir() if path.is_file()) == ["photo.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.png", *RULE], 3, "missing.png does not exist"),
        (["empty.jpg", *RULE], 3, "empty.jpg"),
        (["text.jpg", *RULE], 3, "text.jpg"),
        (["photo.png", "--rule", "face"], 4, "cannot read rule"),
        (["photo.png", "--rule", "face: fake -> blackn"], 4, "installed are blacken"),
        (["photo.png", "--rule", "face: fake(y=1) -> blur"], 4, "no option y"),
        (["photo.png", "--rule", "face: fake -> blur(degree=2)"], 4, "degree"),
        (["photo.png", "--rule", "plate: fake -> blur"], 4, "finds face"),
        (["photo.png", "--plan", "nowhere.toml"], 4, "cannot read nowhere.toml"),
        (["photo.png", "--plan", ""], 4, "--plan is empty; give a file, or a plan of velum: street"),
        (["photo.png", "--plan", "text.jpg"], 4, "not valid TOML"),
        (["photo.png", "--keep", "everything", *RULE], 4, "allowed are camera"),
        (["photo.png", "--rule", "face: failing -> blur"], 7, "no such device"),
        (["photo.png", "-o", "photo.png", *RULE], 8, "photo.png"),
        (["photo.png", "-o", "nowhere/out.png", *RULE], 8, "nowhere"),
        (["photo.png", "-o", "taken.png", *RULE], 8, "exists"),
        (["photo.png", "--regions", "text.jpg", *RULE], 3, "not valid JSON"),
        (["photo.png", "--resume", *RULE], 2, "--resume"),
        (["photo.png", "--quality", "0", *RULE], 2, "quality"),
        ([], 2, "SRC"),
    ],
)
def test_each_mistake_has_one_message_and_an_exit_code(
    velum_command: Command, arguments: list[str], code: int, message: str
) -> None:
    folder = velum_command.folder
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "taken.png").write_bytes(b"mine")
    before = sorted(path.name for path in folder.iterdir())
    done = velum_command("hide", *arguments, code=code)
    assert message in done.stderr
    assert sorted(path.name for path in folder.iterdir() if path.name != "cache") == before
    assert (folder / "taken.png").read_bytes() == b"mine"


def test_lists_the_techniques(velum_command: Command) -> None:
    lines = velum_command("techniques", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["blacken", "blur", "fill", "pixelate", "plate", "replace"]
    assert json.loads(lines[0])["options"]["degree"] == 1.0
    assert "pixelate(degree=0.2" in velum_command("techniques").stdout


@pytest.mark.parametrize("call", [("",), ("photo.png", ""), ("photo.png", "-o", "")])
def test_an_empty_name_is_not_taken_for_this_folder(velum_command: Command, call: tuple[str, ...]) -> None:
    assert "SRC or DST is empty" in velum_command("hide", *call, "--rule", "face: fake -> blacken", code=4).stderr
    assert [path.name for path in velum_command.folder.iterdir()] == ["photo.png"]


def test_prints_the_version(velum_command: Command) -> None:
    assert velum_command("--version").stdout.strip() == f"velum {velum.__version__}"


@pytest.mark.slow
def test_runs_as_a_module_and_as_a_command(velum_command: Command, site: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHONPATH": str(site)}
        return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=60, check=False)

    done = run(sys.executable, "-m", "velum", "hide", "photo.png", *RULE)
    assert (done.returncode, done.stdout.partition(",")[0]) == (0, "photo.hidden.png: 1 face hidden"), done.stderr
    assert (velum_command.pixels("photo.hidden.png")[5:25, 10:30] == 0).all()
    again = run(str(Path(sys.executable).with_name("velum")), "hide", "photo.png", *RULE)
    assert again.returncode == 8
    assert again.stderr.startswith("velum: cannot write photo.hidden.png: it exists")
    assert "Traceback" not in again.stderr
