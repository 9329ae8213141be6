"""`velum hide --keep-person` and `--only-person`, with people made here."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.engine.scripted_people import Places, save_photo, shown

from velum import parts

PARTS = """[velum.localizers]
scripted = tests.engine.scripted_people:scripted
[velum.embeddings]
colours = tests.engine.scripted_people:ColourEmbedder
"""

ALL: Places = {"anna": (10, 30), "ben": (140, 30)}
PLAN = 'rules = ["face: scripted -> blacken with grow=0"]\n'


@pytest.fixture
def desk(velum_command: Command, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Command:
    info = tmp_path_factory.mktemp("parts") / "scripted_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(PARTS)
    monkeypatch.syspath_prepend(info.parent)
    parts._installed_parts.cache_clear()
    save_photo(velum_command.folder / "anna.png", {"anna": (20, 30)})
    save_photo(velum_command.folder / "in.png", ALL)
    (velum_command.folder / "plan.toml").write_text(PLAN)
    people = 'people = { keep = { Anna = "anna.png" }, embedding = "colours" }\n'
    (velum_command.folder / "keep.toml").write_text(PLAN + people)
    (velum_command.folder / "only.toml").write_text(PLAN + people.replace("keep", "only"))
    return velum_command


@pytest.mark.parametrize(("mode", "visible"), [("keep", "anna"), ("only", "ben")])
def test_a_plan_file_names_people(desk: Command, mode: str, visible: str) -> None:
    done = desk("hide", "in.png", "-o", "out.png", "--plan", f"{mode}.toml", "--json")
    report = json.loads(done.stdout)
    assert shown(desk.pixels("out.png"), ALL) == {name: name == visible for name in ALL}
    assert report["people"]["decisions"][0]["why"] == "it is Anna"
    assert json.loads(desk("plan", "show", "--plan", f"{mode}.toml", "--json").stdout)["digest"] == report["plan"]


def test_located_people_are_ignored_in_the_annotation_file(desk: Command) -> None:
    found = json.loads(desk("locate", "in.png", "--plan", "keep.toml").stdout)
    assert [region.get("off", False) for region in found["frames"][0]["regions"]] == [True, False]
    Path("in.json").write_text(json.dumps(found))
    desk("hide", "in.png", "-o", "out.png", "--plan", "plan.toml", "--regions", "in.json")
    assert shown(desk.pixels("out.png"), ALL) == {"anna": True, "ben": False}


def test_a_folder_of_photos_names_its_persons(desk: Command) -> None:
    Path("photos").mkdir()
    for name in ("one", "two"):
        save_photo(Path("photos") / f"{name}.png", ALL)
    desk("hide", "photos", "-o", "safe", "--plan", "keep.toml", "-q")
    for name in ("one", "two"):
        assert shown(desk.pixels(f"safe/{name}.png"), ALL) == {"anna": True, "ben": False}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--keep-person", "anna.png"], 4, "cannot read person 'anna.png'; write NAME=photo.jpg"),
        (["--keep-person", "Anna=nowhere.png"], 3, "cannot read nowhere.png"),
        (["--keep-person", "A=anna.png", "--only-person", "B=anna.png"], 4, "--keep-person cannot be combined with"),
        (["--plan", "keep.toml", "--only-person", "B=anna.png"], 4, "cannot be combined with the people of a --plan"),
        (["--regions", "in.json", "--keep-person", "A=anna.png"], 2, "give --keep-person or --only-person to velum"),
        (["--plan", "plan.toml", "--keep-person", "A=anna.png", "--no-track"], 4, "decided for each track of a video"),
        (["--plan", "plan.toml", "--keep-person", "A=anna.png"], 6, "run 'velum models pull dlib-resnet'"),
    ],
)
def test_impossible_options_for_people_are_refused(
    desk: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.setenv("VELUM_OFFLINE", "1")
    done = desk("hide", "in.png", "-o", "out.png", *arguments, code=code)
    assert " ".join(message.split()) in " ".join(done.stderr.replace("│", " ").split())
    assert not Path("out.png").exists()


def test_the_identity_check_needs_the_source(desk: Command) -> None:
    done = desk("check", "in.png", "--plan", "plan.toml", "--identity", code=4)
    assert "give the source (--against)" in " ".join(done.stderr.split())
