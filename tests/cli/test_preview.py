"""`velum hide --preview` hides a first part only, says so, and what the whole takes."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command
from tests.media.video.factories import Clip, made
from tests.rows import exhaustive

RULE = ("--rule", "face: fake -> blacken with grow=0")


def frames_of(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("clip", "suffix"),
    [
        (Clip(suffix=".mp4", frames=30, audio=("aac",)), ".mp4"),
        *exhaustive(
            [
                (Clip("mpeg2video", suffix=".ts", frames=30, base=Fraction(1, 25), audio=("mp2",)), ".ts"),
                (Clip("mpeg4", suffix=".avi", frames=30, base=Fraction(1, 25)), ".avi"),
            ]
        ),
    ],
)
def test_the_first_seconds_are_hidden_into_a_file_that_says_preview(
    velum_command: Command, clip: Clip, suffix: str
) -> None:
    source = made(velum_command.folder / "clip", clip)
    before = set(velum_command.folder.iterdir())
    done = velum_command("hide", source.name, "--preview", "0.4s", "--audio", "drop", *RULE)
    result, sheet = velum_command.folder / f"clip.preview{suffix}", velum_command.folder / "clip.preview.jpg"
    assert set(velum_command.folder.iterdir()) - before - {velum_command.folder / "cache"} == {result, sheet}
    frames = frames_of(result)
    assert len(frames) == 10
    assert all(abs(frame[7:23, 12:28].astype(int) - 16).max() < 12 for frame in frames)
    assert "a preview, only the first 0.4 s of 1.2 s" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["velum", "hide", source.name, "--audio", "drop", *_quoted(RULE)]
    with Image.open(sheet) as image:
        tile = np.asarray(image.convert("L"))[:240, :320]
    assert tile.shape == (240, 320)
    assert tile[40:100, 65:140].max() < 40, "the region is hidden on the sheet"
    assert tile.max() > 100


def _quoted(words: tuple[str, ...]) -> list[str]:
    return " ".join((words[0], f"'{words[1]}'")).split()


def test_the_check_takes_no_preview_for_a_result(velum_command: Command) -> None:
    made(velum_command.folder / "clip", Clip(frames=4))
    rule = ("--rule", "zone: fixed(box=[0, 0, 16, 16]) -> blacken with grow=0")
    velum_command("hide", "clip.mp4", "--preview", "9s", *rule)
    found = velum_command("check", "clip.preview.mp4", *rule, code=1)
    assert "frames  its name says that it is a preview" in found.stdout
    velum_command("hide", "clip.mp4", *rule)
    velum_command("check", "clip.hidden.mp4", *rule)


def test_a_folder_is_previewed_by_its_first_files(velum_command: Command) -> None:
    (velum_command.folder / "photos").mkdir()
    for name in "abc":
        Image.new("RGB", (60, 40), "white").save(velum_command.folder / "photos" / f"{name}.png")
    done = velum_command("hide", "photos", "--preview", "2", *RULE)
    made = {path.name for path in (velum_command.folder / "photos.preview").iterdir()}
    assert made == {"a.preview.png", "b.preview.png", "contact-sheet.preview.jpg"}
    assert velum_command.pixels("photos.preview/a.preview.png")[5:25, 10:30].max() == 0
    assert "a preview, only 2 of 3 files; 2 faces hidden" in done.stdout
    assert not (velum_command.folder / "photos.hidden").exists()


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (("photo.png", "--preview", "3s"), "is no video", 4),
        (("photo.png", "--preview", "soon"), "--preview is 'soon'; write it as 90s", 4),
        (("photo.png", "--preview", "0s"), "must be more than 0 s", 4),
        ((".", "--preview", "3s"), "a number from 1 to 1000", 4),
        (("photo.png", "--preview", "3s", "--evidence", "e.json"), "--evidence has no place", 2),
        (("photo.png", "--preview", "3s", "--dry-run"), "--dry-run has no place", 2),
    ],
)
def test_wrong_previews_are_refused(velum_command: Command, words: tuple[str, ...], says: str, code: int) -> None:
    before = set(velum_command.folder.iterdir())
    done = velum_command("hide", *words, *RULE, code=code)
    assert says in " ".join(done.stderr.replace("│", "").split())
    assert set(velum_command.folder.iterdir()) - before <= {velum_command.folder / "cache"}
