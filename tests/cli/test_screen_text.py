"""Messages as a terminal shows them: names of files break no line, and advice is what the reader can type."""

import json
import os
from pathlib import Path

import pytest
from tests.cli.conftest import Command

from velum.cli.screen_text import as_options
from velum.errors import printable

RULE = ("--rule", "face: fake -> blacken with grow=0")
NAME = "two\nlines\x1b[31m\u202e.png"
SHOWN = r"two\nlines\x1b[31m\u202e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 1.jpg", "Größe 1.jpg"),
        ("at\u202f10\u00a0h.jpg", "at\u202f10\u00a0h.jpg"),  # as a Mac names pictures of its screen
        ("👩\u200d🚀.jpg", "👩\u200d🚀.jpg"),
        ("a\nb\r\t\x07", r"a\nb\r\t\x07"),
        ("\u2028\u2066", r"\u2028\u2066"),
        (os.fsdecode(b"\xff.jpg"), r"\udcff.jpg"),
    ],
)
def test_characters_that_a_terminal_acts_on_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_name_breaks_no_line_of_output(velum_command: Command) -> None:
    folder = velum_command.folder
    (folder / "photo.png").rename(folder / NAME)
    (folder / "bad\nname.png").write_bytes(b"nothing")
    assert velum_command("hide", NAME, *RULE).stdout.startswith(f"{SHOWN}.hidden.png: 1 face hidden")
    assert velum_command("hide", NAME, "--dry-run", *RULE).stdout.splitlines()[0].startswith(f"{SHOWN}.png -> {SHOWN}.")
    error, *others = velum_command("hide", "bad\nname.png", *RULE, code=3).stderr.splitlines()
    assert error.startswith(r"velum: bad\nname.png is of an unknown kind")
    assert not others
    errors = velum_command("hide", ".", "-o", "out", *RULE, code=1).stderr.splitlines()
    assert any(line.startswith(r"velum: bad\nname.png is of an unknown kind") for line in errors)
    checked = velum_command("check", f"{NAME[:-4]}.hidden.png", *RULE, code=1)
    assert checked.stdout.splitlines()[-1].startswith(f"{SHOWN}.hidden.png: 1 leak found")


def test_reports_name_files_whose_name_is_not_utf_8(velum_command: Command) -> None:
    name = os.fsdecode(b"\xff.png")
    try:
        (velum_command.folder / "photo.png").rename(velum_command.folder / name)
    except OSError:
        pytest.skip("this file system holds names in UTF-8 only")
    printed = velum_command("hide", name, "--report", "report.json", "--json", *RULE).stdout
    written = (velum_command.folder / "report.json").read_text(encoding="utf-8")
    assert json.loads(printed)["source"] == json.loads(written)["source"] == name
    velum_command("hide", ".", "-o", "out", "--report", "all.json", "--evidence", "evidence.json", *RULE, code=3)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("have them covered (on_damage = cover)", "have them covered (--on-damage cover)"),
        ("leave it out (drop_members = a.emf)", "leave it out (--drop-member a.emf)"),
        ("take it over (copy_members = NAME)", "take it over (--copy-member NAME)"),
        ("render the pages (pdf_pages = render)", "render the pages (--render)"),
        ("set video.audio to drop", "set video.audio to drop"),
    ],
)
def test_fields_of_a_plan_are_options_on_the_command_line(text: str, shown: str) -> None:
    assert as_options(text) == shown
