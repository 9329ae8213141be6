"""`velum inspect` tells what a stranger would see, and how to hide it."""

import html
import json
import zipfile
from pathlib import Path

import av
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


def test_a_sound_file_is_told_and_its_command_silences_it(velum_command: Command) -> None:
    with av.open(str(velum_command.folder / "talk.flac"), "w") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        container.metadata["artist"] = "Jane"
        tone = (8000 * np.sin(np.arange(16_000) / 20)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    done = velum_command("inspect", "talk.flac", "--html", "seen.html")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith("talk.flac: hints - ")
    assert any(line.startswith("sound stream 0 is heard") for line in lines)
    assert lines[-1] == "hide it velum hide talk.flac --audio silence"
    velum_command(*lines[-1].removeprefix("hide it velum ").split())
    after = json.loads(velum_command("inspect", "talk.hidden.flac", "--json").stdout)
    assert (after["grade"], after["findings"]) == ("nothing found", [])
    page = html.unescape((velum_command.folder / "seen.html").read_text())
    assert ">sound</th>" in page
    assert 'audio = "silence"' in page


def test_the_command_leaves_out_members_that_velum_cannot_read(velum_command: Command) -> None:
    with zipfile.ZipFile(velum_command.folder / "all.zip", "w") as archive:
        archive.writestr("a [1].emf", b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(80))
        archive.writestr("notes.txt", "hello")
    done = velum_command("inspect", "all.zip")
    command = done.stdout.splitlines()[-1].partition("velum ")[2]
    assert command == "hide all.zip --hide face --drop-member 'a [[]1].emf'"
    assert "not its own text nor other files in it" in done.stderr


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
