"""Sound for browsers: a file that each plays, and a picture of how loud it is."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.media.sound.factories import decode_sound, noise, talk, write_sound, write_wave

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.still import render_still
from velum.media.video.proxy import write_preview


@pytest.mark.parametrize(
    ("name", "encoder", "form", "channels"),
    [("a.flac", "flac", "s16", 2), ("a.mka", "alac", "s16p", 1), ("a.m4a", "aac", "", 6), ("a.opus", "libopus", "", 1)],
)
def test_a_preview_of_sound_has_its_samples_at_their_times(
    tmp_path: Path, name: str, encoder: str, form: str, channels: int
) -> None:
    wave = np.concatenate([np.zeros(16_000), 8 * noise(1), np.zeros(8_000)])
    source = write_sound(tmp_path / name, [wave] * channels, encoder, rate=16_000, format=form)
    steps = list(write_preview(source, tmp_path / "preview.mp4", Limits()))
    start, samples = decode_sound(tmp_path / "preview.mp4")
    assert [done for done, _ in steps] == [1, 2]
    assert (start, samples.shape[0]) == (0.0, 2)
    assert samples.shape[1] / 48_000 == pytest.approx(2.5, abs=0.1)
    loud = np.flatnonzero(np.abs(samples).max(axis=0) > 0.03) / 48_000
    assert (loud[0], loud[-1]) == pytest.approx((1, 2), abs=0.1)


def test_what_is_far_beyond_full_scale_does_not_spoil_a_preview(tmp_path: Path) -> None:
    source = write_wave(tmp_path / "a.wav", [1e30 * talk()], "f4")
    list(write_preview(source, tmp_path / "preview.mp4", Limits()))
    assert np.isfinite(decode_sound(tmp_path / "preview.mp4")[1]).all()


def test_a_still_of_sound_shows_where_it_is_loud_and_tells_its_length(tmp_path: Path) -> None:
    wave = np.concatenate([np.zeros(16_000), 8 * noise(1), np.zeros(16_000)])
    source = write_wave(tmp_path / "a.wav", [wave, 0 * wave])
    still = render_still(source, Limits(), 0, 300)
    with Image.open(io.BytesIO(still.jpeg)) as picture:
        bright = np.asarray(picture.convert("L")) > 90
    assert (bright.shape, still.pages, still.seconds) == ((169, 300), 1, 3.0)
    height = bright.sum(axis=0)
    assert height[5:95].max() <= 3, "a line where nothing can be heard"
    assert height[105:195].min() > 40
    assert height[205:].max() <= 3


@pytest.mark.parametrize("samples", [1, 200])
def test_very_short_sounds_have_a_still_too(tmp_path: Path, samples: int) -> None:
    still = render_still(write_wave(tmp_path / "a.wav", [np.full(samples, 0.5)]), Limits(), 0, 64)
    assert still.seconds == pytest.approx(samples / 16_000, abs=0.001)


def test_sound_in_an_archive_is_previewed_by_its_name(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav", [noise(1)])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
        archive.write(tmp_path / "a.wav", "in/a.wav")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    list(write_preview(tmp_path / "all.zip", tmp_path / "preview.mp4", Limits(), "in/a.wav", unpacked))
    assert decode_sound(tmp_path / "preview.mp4")[1].shape[1] >= 48_000
    assert render_still(tmp_path / "all.zip", Limits(), 0, 64, "in/a.wav", unpacked).seconds == 1.0
    with pytest.raises(BadInput, match=r"no picture 'notes\.txt'"):
        list(write_preview(tmp_path / "all.zip", tmp_path / "preview.mp4", Limits(), "notes.txt", unpacked))
