"""Techniques from a folder need no entry point, run when a plan names them, and their mistakes are reported."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

from velum.bmw.techniques import list_techniques
from velum.engine.engine import Engine
from velum.errors import BadPlan, PluginFault, Unavailable
from velum.parts import load, make, names
from velum.plan import Plan
from velum.plugin_folder import FolderTechniques
from velum.plugins import RuntimeConfig, Technique
from velum.region import Box, Region
from velum.settings import Settings
from velum.spec import PartSpec
from velum.testing import FakeLocalizer, check_technique

PAINT = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar, Literal
from velum.plugins import Patch

@dataclass(frozen=True)
class Paint:
    '''Fill with a level.'''

    level: Literal["low", "high"] = "low"
    destroys: ClassVar[bool] = True
    labels: ClassVar[frozenset[str] | None] = None

    def hide(self, patch: Patch) -> None:
        for plane in patch.planes:
            plane.pixels[...] = {"low": 1, "high": 200}[self.level]
"""

SPECIAL = """
class _Base:
    destroys = True
    def hide(self, patch):
        for plane in patch.planes:
            plane.pixels[...] = 0

class Tag(_Base):
    '''For plates.'''
    labels = frozenset({"license_plate"})

class Anything(_Base):
    labels = None

class NotOne:
    pass
"""


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.py").write_text(text)
    return path


def test_a_file_provides_its_techniques_by_the_names_of_their_classes(tmp_path: Path) -> None:
    host = RuntimeConfig(techniques=FolderTechniques(folder(tmp_path, one=PAINT, two=SPECIAL)))
    assert names("velum.techniques", host) == [
        "anything",
        "blacken",
        "blur",
        "fill",
        "paint",
        "pixelate",
        "plate",
        "replace",
        "tag",
    ]
    paint = make("velum.techniques", PartSpec.parse("paint(level=high)"), host)
    assert isinstance(paint, Technique)
    check_technique(paint)
    check_technique(make("velum.techniques", PartSpec("tag"), host), "license_plate")


def test_the_bmw_interface_lists_them_for_the_right_labels(tmp_path: Path) -> None:
    host = RuntimeConfig(techniques=FolderTechniques(folder(tmp_path, one=PAINT, two=SPECIAL)))

    def listed(label: str) -> list[str]:
        return [one.name for one in list_techniques(host) if one.suits(label) and one.own in host.techniques]

    assert listed("face") == ["anything", "paint"]
    assert listed("license_plate") == ["anything", "paint", "tag"]


def test_options_are_checked_with_postponed_annotations_too(tmp_path: Path) -> None:
    host = RuntimeConfig(techniques=FolderTechniques(folder(tmp_path, one=PAINT)))
    with pytest.raises(BadPlan, match="option level of technique paint is 'middle'; it must be one of 'low', 'high'"):
        make("velum.techniques", PartSpec.parse("paint(level=middle)"), host)


def test_a_special_technique_is_refused_for_other_labels(tmp_path: Path) -> None:
    host = RuntimeConfig(
        techniques=FolderTechniques(folder(tmp_path, two=SPECIAL)),
        localizers={"fake": lambda: FakeLocalizer([Region(Box(0, 0, 4, 4), "face")])},
    )
    with Engine(host=host) as engine:
        with pytest.raises(BadPlan, match="tag hides only license_plate, not 'face'"):
            engine.hide_pixels(np.full((8, 8, 3), 9, np.uint8), Plan.of("face: fake -> tag"))
        hidden, _ = engine.hide_pixels(np.full((8, 8, 3), 9, np.uint8), Plan.of("face: fake -> anything"))
    assert hidden[0, 0, 0] == 0


def test_the_settings_name_the_folder(tmp_path: Path) -> None:
    folder(tmp_path, one=PAINT)
    assert "paint" in names("velum.techniques", Settings.load({"VELUM_TECHNIQUES": str(tmp_path)}, tmp_path).host())
    (tmp_path / "velum.toml").write_text('techniques = "."')
    assert "paint" in names("velum.techniques", Settings.load({}, tmp_path).host())
    assert not Settings.load({"VELUM_TECHNIQUES": str(tmp_path / "none")}, tmp_path.parent).offline  # read when needed


def test_a_file_runs_only_when_a_plan_names_it_and_leaves_no_module_behind(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    text = f"{PAINT}\nfrom pathlib import Path\nPath({str(marker)!r}).touch()"
    before, path = set(sys.modules), list(sys.path)
    mounted = FolderTechniques(folder(tmp_path, one=text, two=SPECIAL))
    assert sorted(mounted) == ["anything", "paint", "tag"]
    assert "paint" in mounted
    assert not marker.exists()
    kind = mounted["paint"]
    assert marker.exists()
    assert mounted["paint"] is kind
    assert kind.__doc__ == "Fill with a level."
    assert "class Paint" in inspect.getsource(kind)
    assert sys.path == path
    assert not {"one", "two"} & (set(sys.modules) - before)
    assert {entry.name for entry in tmp_path.iterdir()} == {"one.py", "two.py", "ran"}


def test_the_code_that_was_read_is_the_code_that_runs(tmp_path: Path) -> None:
    mounted = FolderTechniques(folder(tmp_path, one=PAINT))
    (tmp_path / "one.py").write_text("raise SystemExit")
    check_technique(mounted["paint"]())


def test_files_may_be_links_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    folder(tmp_path / "..data", one=PAINT)
    (tmp_path / "one.py").symlink_to(Path("..data") / "one.py")
    folder(tmp_path, _draft="not python", **{".#one": "not python"})
    (tmp_path / "notes.txt").write_text("not python either")
    assert list(FolderTechniques(tmp_path)) == ["paint"]


WRONG_FOLDERS = [
    ("not Python", {"one": "class Paint(\n"}, r"one\.py is not Python 3\.\d+: .*one\.py, line 1"),
    ("nested too deep", {"one": f"x = {'(' * 90}{'-' * 5000}1{')' * 90}"}, r"one\.py is not Python"),
    ("no text", {"one": "\0"}, r"one\.py is not Python"),
    ("nothing in it", {"one": "import os\n"}, r"one\.py has no technique in it; write a class with a method 'hide'"),
    ("only a private one", {"one": "class _P:\n def hide(self, patch): ...\n"}, r"one\.py has no technique"),
    (
        "as one of ours",
        {"one": "class Blur:\n def hide(self, patch): ...\n"},
        r"one\.py: technique 'blur' is installed",
    ),
    ("twice", {"one": PAINT, "two": PAINT}, r"two\.py: technique 'paint' is in .*one\.py too"),
    ("twice in a file", {"one": SPECIAL + "class TAG(Tag): ..."}, r"one\.py: class TAG cannot be .*'tag'"),
    ("no plain name", {"one": PAINT.replace("Paint", "Übermalt")}, r"one\.py: class Übermalt cannot be"),
]


@pytest.mark.parametrize(
    ("files", "message"), [row[1:] for row in WRONG_FOLDERS], ids=[row[0] for row in WRONG_FOLDERS]
)
def test_a_wrong_file_in_the_folder_is_reported_at_once(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        FolderTechniques(folder(tmp_path, **files))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match=r"folder of techniques .*/none cannot be read: No such file"):
        FolderTechniques(tmp_path / "none")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.py").mkdir()
    with pytest.raises(BadPlan, match=r"one\.py cannot be read: Is a directory"):
        FolderTechniques(tmp_path)


WRONG_FILES: list[tuple[str, str, type[Exception], str]] = [
    (
        "a missing library",
        f"import no_such_library\n{SPECIAL}",
        Unavailable,
        r"one\.py needs a library .*no_such_library",
    ),
    ("fails", f"{SPECIAL}\n1 / 0", PluginFault, r"one\.py cannot be run: ZeroDivisionError"),
    ("replaced by something else", f"{SPECIAL}\nTag = 3", PluginFault, r"one\.py: Tag is no class"),
    ("removed again", f"{SPECIAL}\ndel Tag", PluginFault, r"one\.py: Tag is no class"),
    ("keeps silent", "class Tag:\n def hide(self, patch): ...", PluginFault, r"no destroys and no labels"),
]


@pytest.mark.parametrize(
    ("text", "kind", "message"), [row[1:] for row in WRONG_FILES], ids=[row[0] for row in WRONG_FILES]
)
def test_a_file_that_fails_is_reported_when_a_plan_names_it(
    tmp_path: Path, text: str, kind: type[Exception], message: str
) -> None:
    host = RuntimeConfig(techniques=FolderTechniques(folder(tmp_path, one=text)))
    assert "tag" in names("velum.techniques", host)
    with pytest.raises(kind, match=message):
        load("velum.techniques", "tag", host)
