"""`velum inspect` tells what a stranger would see, and how to hide it."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command

from velum.plan import Plan

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELUM_OFFLINE", "true")


def code(text: str = "Jane Doe, 12 Elm Street") -> Image.Image:
    """A photograph-like picture with a QR code."""
    drawn = cv2.QRCodeEncoder.create().encode(text)
    large = cv2.resize(drawn, None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST)
    canvas = np.full((400, 500), 200, np.uint8)
    canvas[60 : 60 + large.shape[0], 80 : 80 + large.shape[1]] = large
    return Image.fromarray(canvas).convert("RGB")


def placed(path: Path, image: Image.Image) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010E] = "Jane"
    image.save(path, exif=exif)
    return path


def test_it_tells_objects_coordinates_and_metadata_and_a_command_that_hides_them(velum_command: Command) -> None:
    placed(velum_command.folder / "photo.jpg", code())
    done = velum_command("inspect", "photo.jpg", "--html", "seen.html")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith("photo.jpg: identifies - ")
    assert "codes 1" in lines
    assert any(line.startswith("coordinates EXIF GPS") for line in lines)
    assert any("ImageDescription" in line for line in lines)
    assert lines[-1] == "hide it velum hide photo.jpg --hide code"
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "ImageDescription" in (velum_command.folder / "seen.html").read_text()
    velum_command(*lines[-1].removeprefix("hide it velum ").split())
    after = json.loads(velum_command("inspect", "photo.hidden.jpg", "--json").stdout)
    assert (after["grade"], after["findings"]) == ("nothing found", [])


def test_members_of_archives_are_inspected(velum_command: Command) -> None:
    folder = velum_command.folder
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.write(placed(folder / "a.jpg", code()), "a.jpg")
        archive.write(placed(folder / "b.jpg", Image.new("RGB", (64, 64))), "b.jpg")
    found = json.loads(velum_command("inspect", "photos.zip", "--json").stdout)
    amounts = {finding["subject"]: (finding["most"], finding["frames"]) for finding in found["findings"]}
    assert amounts["code"] == (1, 1)
    assert {"place", "metadata"} <= amounts.keys()
    assert {rule.label for rule in Plan.from_json(found["plan"]).rules} == {"code"}


def test_what_cannot_be_searched_for_is_told(velum_command: Command) -> None:
    Image.new("RGB", (64, 64)).save(velum_command.folder / "plain.png")
    done = velum_command("inspect", "plain.png")
    assert "plain.png: nothing found - that is no proof" in done.stdout
    assert "no search for license_plate: " in done.stderr


def test_a_page_is_not_written_over(velum_command: Command) -> None:
    Image.new("RGB", (64, 64)).save(velum_command.folder / "plain.png")
    (velum_command.folder / "seen.html").write_text("mine")
    assert "seen.html" in velum_command("inspect", "plain.png", "--html", "seen.html", code=8).stderr
    assert (velum_command.folder / "seen.html").read_text() == "mine"
