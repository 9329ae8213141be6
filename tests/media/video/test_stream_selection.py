"""Audio, subtitles and text tracks are copied where a container can hold them, else dropped with a warning."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.codec.codec import Codec
from tests.rows import but_for, exhaustive

from velum.errors import BadPlan, OutputFailed
from velum.limits import Limits
from velum.media.formats import VIDEO_SUFFIXES
from velum.media.image.side_content import beside
from velum.media.video.containers import Container, container_for_codecs, open_muxer, supported_codecs
from velum.media.video.side_streams import iter_texts
from velum.plan import Plan, Video

from .factories import Clip, copy, full_disk, made, packets, pictures

DJI = "F/2.8, SS 206, ISO 100, EV 0, GPS (8.4037, 49.0069, 17), D 3.1m"
NMEA = "$GPRMC,081836,A,3751.65,S,14507.36,E,000.0,360.0,130998,011.3,E*62"


def spoken(path: Path, codec: str, lines: Sequence[str | bytes]) -> Path:
    """A video with a text track of one line each 40 ms."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        words = container.add_mux_stream(codec)
        words.time_base = Fraction(1, 1000)
        ready = [packet for frame in pictures("yuv420p", (64, 48), 6) for packet in stream.encode(frame)]
        ready += stream.encode(None)
        container.start_encoding()
        for number, line in enumerate(lines):
            data = line.encode() if isinstance(line, str) else line
            packet = av.Packet(len(data).to_bytes(2) + data if codec == "mov_text" else data)
            packet.stream, packet.pts, packet.dts, packet.duration = words, 40 * number, 40 * number, 40
            packet.time_base, packet.is_keyframe = Fraction(1, 1000), True
            ready.append(packet)
        for packet in ready:
            container.mux(packet)
    return path


TELEMETRY = [
    ("a.mp4", "mov_text", [DJI], "a drone"),
    ("a.mov", "mov_text", ["no fix yet", "no fix yet", DJI], "a drone that finds its place later"),
    ("a.mp4", "mov_text", [DJI.encode("utf-16")], "text of two bytes a character"),
    ("a.mkv", "subrip", ["[latitude: 22.540123] [longtitude: 113.934567]"], "a drone's file of subtitles"),
    ("a.mkv", "ass", ["0,0,Default,,0,0,0,,{\\an8}N48.1371 E11.5754"], "styled subtitles"),
    ("a.mkv", "subrip", [NMEA], "a dashcam"),
    ("a.mkv", "subrip", [b"48\xb007'24.1\"N 11\xb034'31.0\"E"], "degrees in an old encoding"),
    ("a.mkv", "webvtt", ["+48.1371+011.5754/"], "ISO 6709"),
]


@pytest.mark.parametrize(("name", "codec", "lines", "reason"), TELEMETRY, ids=[one[-1] for one in TELEMETRY])
def test_a_text_track_with_coordinates_is_dropped(
    tmp_path: Path, name: str, codec: str, lines: list[str | bytes], reason: str
) -> None:
    source, target = spoken(tmp_path / name, codec, lines), tmp_path / f"out_{name}"
    writer = copy(source, target)
    assert packets(target) == []
    told = [one for one in writer.warnings if "left out" in one]
    assert len(told) == 1
    assert codec in told[0]
    assert "--keep gps" in told[0]
    assert not any("subtitles are kept" in one for one in writer.warnings)
    assert "place" in {one.kind for one in beside(source, Limits())}
    assert not [one for one in beside(target, Limits()) if one.kind in {"place", "subtitles"}]


def test_coordinates_in_text_tracks_are_kept_where_the_plan_says_so(tmp_path: Path) -> None:
    source = spoken(tmp_path / "a.mp4", "mov_text", [DJI])
    copy(source, tmp_path / "b.mp4", plan=Plan(metadata=("gps",)))
    assert [one.text for one in iter_texts(tmp_path / "b.mp4", Limits())] == [DJI]
    allowed = [one for one in beside(tmp_path / "b.mp4", Limits()) if one.kind == "place"]
    assert [one.kinds for one in allowed] == [{"gps"}]


def test_text_tracks_without_coordinates_are_kept(tmp_path: Path) -> None:
    source = spoken(tmp_path / "a.mkv", "subrip", ["Jane Roe lives here", "at 20.5 degrees, in room 4.12"])
    writer = copy(source, tmp_path / "b.mkv")
    assert packets(tmp_path / "b.mkv") == packets(source)
    assert any("subtitles are kept" in one for one in writer.warnings)
    assert next(one.text for one in iter_texts(source, Limits())) == "Jane Roe lives here"


SOUND_SECONDS = 0.25
ENCODERS = (
    "aac", "ac3", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "alac", "eac3", "flac", "g722",
    "g726", "libmp3lame", "libopus", "libvorbis", "mp2", "nellymoser", "pcm_alaw", "pcm_dvd", "pcm_f32le", "pcm_mulaw",
    "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le", "pcm_s32le", "pcm_s8", "pcm_u8", "tta", "wavpack", "wmav1",
    "wmav2",
)  # fmt: skip
NARROW = {"g722": 16_000, "g726": 8000, "nellymoser": 44_100, "pcm_alaw": 8000, "pcm_mulaw": 8000, "adpcm_swf": 44_100}
"""Encoders of one channel, and their rates."""


def sounding(path: Path, encoder: str) -> Path | None:
    """A video with a tone; None where FFmpeg does not make it."""
    kind_of = VIDEO_SUFFIXES[path.suffix]
    rate, layout = NARROW.get(encoder, 48_000), "mono" if encoder in NARROW else "stereo"
    try:
        kind: Container | None = container_for_codecs(kind_of, {Codec(encoder, "w").canonical_name})
        if kind is None:
            return None
        with open_muxer(str(path), kind, {}) as container:
            stream: Any = container.add_stream("mpeg2video" if kind_of == "MPEG" else "mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            sound: Any = container.add_stream(encoder, rate=rate, options={"strict": "-2"})
            sound.codec_context.layout = layout
            sound.codec_context.bit_rate = 32_000 if encoder == "g726" else 128_000
            sound.codec_context.time_base = Fraction(1, rate)
            ready = [packet for frame in pictures("yuv420p", (64, 48), 5) for packet in stream.encode(frame)]
            ready += stream.encode(None)
            sound.codec_context.open(strict=False)
            step = sound.codec_context.frame_size or 1024
            resampler = av.AudioResampler(sound.codec_context.format.name, layout, rate)
            for at in range(0, int(SOUND_SECONDS * rate), step):
                wave = (np.sin(np.arange(at, at + step) / 20) * 8000).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
                ready += [packet for part in resampler.resample(frame) for packet in sound.encode(part)]
            ready += sound.encode(None)
            for packet in sorted(ready, key=lambda one: (one.dts or 0) * one.time_base):
                container.mux(packet)
    except (av.FFmpegError, ValueError):
        return None
    return path


def heard(path: Path) -> tuple[str, npt.NDArray[Any]] | None:
    """The codec and the samples of the first sound of a file, None where there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)] or [np.zeros((1, 0))]
        return stream.codec_context.codec.canonical_name, np.concatenate(frames, axis=1)


def makeable(folder: Path, suffix: str) -> Iterator[tuple[str, Path]]:
    for encoder in ENCODERS:
        path = sounding(folder / f"{encoder}{suffix}", encoder)
        if path is not None:
            yield encoder, path


HELD = {
    ".mkv": {"adpcm_ms", "g722", "g726", "pcm_alaw", "pcm_mulaw", "wmav1", "wmav2", "wavpack"},
    ".avi": {"adpcm_ima_wav", "adpcm_ms", "g722", "pcm_alaw", "wmav2", "libmp3lame"},
    ".mov": {"pcm_alaw", "pcm_s24be", "alac", "nellymoser"},
    ".mp4": {"aac", "ac3", "alac", "flac"},
    ".mpg": {"mp2", "pcm_dvd", "pcm_s16be"},
    ".ts": {"aac", "libopus"},
    ".m2ts": {"ac3"},
}
"""Some of what each container holds, so that the table below does not pass because nothing could be made."""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", but_for(HELD, [".mp4"]))
def test_audio_that_a_container_can_hold_is_copied_sample_by_sample(tmp_path: Path, suffix: str) -> None:
    copied: set[str] = set()
    for encoder, source in makeable(tmp_path, suffix):
        before = heard(source)
        if before is None:
            continue  # such as a transport stream that says nothing of what is in it
        writer = copy(source, tmp_path / f"out{suffix}")
        after = heard(tmp_path / f"out{suffix}")
        if after is None:
            assert any(f"({before[0]}) was left out" in one for one in writer.warnings), encoder
            continue
        assert after[0] == before[0], encoder
        assert np.array_equal(after[1], before[1]), encoder
        copied.add(encoder)
    assert copied >= HELD[suffix]
    assert "tta" not in copied


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mov", ".mp4", ".mpg", ".ts"])
@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="PyAV's FFmpeg cannot encode DTS, and that of the system is not")
def test_dts_is_copied_packet_by_packet(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a{suffix}"
    sources = (
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:rate=25:duration=0.4",
        "-f",
        "lavfi",
        "-i",
        "sine=d=0.4:r=48000",
    )
    codec = "mpeg2video" if suffix == ".mpg" else "mpeg4"
    command = [
        "ffmpeg",
        "-v",
        "error",
        *sources,
        "-ac",
        "2",
        "-c:v",
        codec,
        "-c:a",
        "dca",
        "-strict",
        "-2",
        str(source),
    ]
    subprocess.run(command, check=True, timeout=60)
    writer = copy(source, tmp_path / f"b{suffix}")
    assert not any("left out" in one for one in writer.warnings)
    before, after = packets(source, ["audio"]), packets(tmp_path / f"b{suffix}", ["audio"])
    assert [[one for _, one in track] for track in after] == [[one for _, one in track] for track in before]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".avi", *exhaustive([".mkv"])])
def test_all_audio_is_silenced_where_the_plan_says_so(tmp_path: Path, suffix: str) -> None:
    for encoder, source in makeable(tmp_path, suffix):
        copy(source, tmp_path / f"out{suffix}", Video(audio="silence"))
        after = heard(tmp_path / f"out{suffix}")
        assert after is not None, encoder
        middle = 128 if after[1].dtype == np.uint8 else 0
        assert np.abs(after[1].astype(np.float64) - middle).max(initial=0) < 1e-4, encoder


def unknown(path: Path) -> Path:
    """The sound of a MOV as of a codec that nobody knows, beside one that everybody does."""
    source = made(path, Clip(suffix=".mov", audio=("pcm_s16le", "aac")))
    data = source.read_bytes()
    assert data.count(b"sowt") == 1
    source.write_bytes(data.replace(b"sowt", b"apac"))
    return source


@pytest.mark.parametrize("target", ["b.mov", "b.mp4", "b.mkv"])
@pytest.mark.parametrize("audio", ["copy", "silence"])
def test_a_track_of_an_unknown_codec_is_dropped_and_others_are_kept(tmp_path: Path, target: str, audio: str) -> None:
    source = unknown(tmp_path / "a")
    writer = copy(source, tmp_path / target, Video(audio=audio))  # type: ignore[arg-type]
    assert any("audio track 1" in one and "left out" in one for one in writer.warnings)
    found = packets(tmp_path / target)
    assert len(found) == 1
    if audio == "copy":
        assert [one for _, one in found[0]] == [one for _, one in packets(source)[1]]


def test_sound_that_a_ts_does_not_name_is_not_dropped_in_silence(tmp_path: Path) -> None:
    source = made(tmp_path / "a", Clip(frames=5, audio=("flac",), suffix=".ts"))
    with av.open(str(source)) as container:
        assert not container.streams.audio
    assert any("may be sound" in warning for warning in copy(source, tmp_path / "b.ts").warnings)
    named = copy(made(tmp_path / "c", Clip(frames=5, audio=("mp2",), suffix=".ts")), tmp_path / "d.ts")
    assert not any("may be sound" in warning for warning in named.warnings)


def test_the_advised_suffix_works(tmp_path: Path) -> None:
    source = sounding(tmp_path / "a.mov", "pcm_alaw")
    assert source
    with pytest.raises(BadPlan, match=r"MP4 cannot hold the audio .*such as \.mov") as told:
        copy(source, tmp_path / "b.mp4")
    assert "video.audio to drop" in str(told.value)
    copy(source, tmp_path / "b.mov")
    copy(source, tmp_path / "c.mp4", Video(audio="drop"))


def test_a_full_disk_is_reported_and_percent_signs_in_names_are_harmless(tmp_path: Path) -> None:
    source = sounding(tmp_path / "a.mkv", "pcm_alaw")
    assert source
    with full_disk(2000), pytest.raises(OutputFailed):
        copy(source, tmp_path / "b%d.mkv")
    assert not (tmp_path / "b%d.mkv").exists()
    copy(source, tmp_path / "b%d [x]|.mkv")
    assert heard(tmp_path / "b%d [x]|.mkv") is not None
    assert supported_codecs("MKV").isdisjoint({"pcm_alaw"})
