"""`size = "like-source"`: how large a result is, what is reduced for it, and the warning where it cannot be kept."""

import re
from pathlib import Path

import av
import pytest
from tests.media.video.factories import Clip, copy, made
from tests.rows import exhaustive
from typer.testing import CliRunner

from velum import Engine, Plan, media
from velum.cli.main import app
from velum.errors import BadPlan
from velum.limits import Limits
from velum.plan import Video

SMALL = {"crf": "30", "preset": "superfast"}
"""Options of a source that velum's own quality would make much larger."""


def noisy(tmp_path: Path, options: dict[str, str], frames: int = 75, suffix: str = ".mp4") -> Path:
    return made(tmp_path / "a", Clip(frames=frames, size=(160, 96), options=options, suffix=suffix))


def video_bytes(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size for packet in container.demux(container.streams.video[0]))


@pytest.mark.parametrize(
    ("codec", "suffix", "says_quality"),
    [
        ("h264", ".mp4", "quantiser"), ("vp9", ".webm", "quantiser"),
        *exhaustive([("h264", ".mkv", "quantiser"), ("hevc", ".mp4", "quantiser"), ("av1", ".mkv", "quantiser")]),
    ],
)  # fmt: skip
def test_the_video_is_no_larger_than_the_source_and_the_report_says_what_gave_way(
    tmp_path: Path, codec: str, suffix: str, says_quality: str
) -> None:
    source = noisy(tmp_path, SMALL)
    free = copy(source, tmp_path / f"free{suffix}", Video(codec=codec))
    bound = copy(source, tmp_path / f"bound{suffix}", Video(codec=codec, size="like-source"))
    most = video_bytes(source)
    assert video_bytes(tmp_path / f"free{suffix}") > 1.3 * most
    assert video_bytes(tmp_path / f"bound{suffix}") <= 1.1 * most
    assert not any("small as the source" in text for text in free.warnings)
    (warning,) = (text for text in bound.warnings if "small as the source" in text)
    assert says_quality in warning
    assert "of 75 frames" in warning


def test_a_source_of_higher_quality_is_encoded_without_a_bound(tmp_path: Path) -> None:
    source = noisy(tmp_path, {"crf": "6", "preset": "ultrafast"})
    bound = copy(source, tmp_path / "bound.mp4", Video(size="like-source"))
    copy(source, tmp_path / "free.mp4")
    assert 0.9 <= video_bytes(tmp_path / "bound.mp4") / video_bytes(tmp_path / "free.mp4") <= 1.1
    assert not any("source" in text for text in bound.warnings)


@pytest.mark.parametrize(
    ("options", "video", "suffix", "message"),
    [
        ({"crf": "50"}, Video(size="like-source"), ".mp4", "quality is not lowered beyond quantiser"),
        (SMALL, Video(codec="mjpeg", size="like-source"), ".mkv", "the size of mjpeg cannot be bounded"),
        (SMALL, Video(codec="ffv1", size="like-source"), ".mkv", "the size of ffv1 cannot be bounded"),
    ],
)  # fmt: skip
def test_a_result_that_is_larger_all_the_same_says_so_and_why(
    tmp_path: Path, options: dict[str, str], video: Video, suffix: str, message: str
) -> None:
    source = noisy(tmp_path, options, frames=25)
    writer = copy(source, tmp_path / f"b{suffix}", video)
    ratio = video_bytes(tmp_path / f"b{suffix}") / video_bytes(source)
    assert ratio > 1.1
    (warning,) = (text for text in writer.warnings if "times as many bytes" in text)
    assert message in warning
    assert float(re.findall(r"takes ([0-9.]+) times", warning)[0]) == pytest.approx(ratio, abs=0.02)


def test_lossless_and_a_bound_exclude_each_other(tmp_path: Path) -> None:
    source = noisy(tmp_path, SMALL, frames=5)
    with pytest.raises(BadPlan, match=r"crf is 0 \(lossless\), so video.size cannot be like-source"):
        copy(source, tmp_path / "b.mp4", Video(crf=0, size="like-source"))


def test_a_stream_cannot_have_a_size_bound(tmp_path: Path) -> None:
    with Engine() as engine, pytest.raises(BadPlan, match="leave out two_pass, smart, size and people"):
        engine.hide("udp://:9", tmp_path / "b.mkv", Plan(video=Video(size="like-source")))


def test_the_command_line_bounds_the_size(tmp_path: Path) -> None:
    source, target = noisy(tmp_path, SMALL), tmp_path / "b.mp4"
    run = ["hide", str(source), "-o", str(target), "--rule", "zone: fixed(box=[8, 8, 40, 40]) -> blacken", "--json"]
    done = CliRunner().invoke(app, [*run, "--size", "like-source"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "to stay as small as the source" in done.output
    assert video_bytes(target) <= 1.1 * video_bytes(source)


def test_segments_are_encoded_with_the_bound_of_the_whole(tmp_path: Path) -> None:
    source = noisy(tmp_path, SMALL | {"g": "25", "sc_threshold": "0"}, frames=100)
    plan = Plan(video=Video(size="like-source"))
    with media.open_source(source, Limits()) as reader:
        segments = media.split_video(reader, "MP4", seconds=2, overlap_frames=0)
    assert not isinstance(segments, str)
    assert len(segments) == 2
    notes = []
    for segment in segments:
        with (
            media.open_segment(source, Limits(), segment) as reader,
            media.open_segment_sink(tmp_path / f"{segment.index}.part", reader, plan, segment) as writer,
        ):
            for frame in reader.frames():
                writer.write(frame)
        notes += [text for text in writer.warnings if "small as the source" in text]
    assert ["frames from 0 to 49" in notes[0], "frames from 50 to 99" in notes[1]] == [True, True]
    parts = [tmp_path / f"{segment.index}.part" for segment in segments]
    with media.open_source(source, Limits()) as reader:
        media.join_segments(tmp_path / "b.mp4", reader, plan, parts)
    assert video_bytes(tmp_path / "b.mp4") <= 1.2 * video_bytes(source)


def test_smart_rendering_keeps_the_bound_too(tmp_path: Path) -> None:
    source = noisy(tmp_path, SMALL | {"g": "25", "sc_threshold": "0"}, frames=100)
    plan = Plan(video=Video(size="like-source"))
    with (
        media.open_source(source, Limits()) as reader,
        media.open_sink(tmp_path / "b.mp4", reader, plan, touched=range(25, 50)) as writer,
    ):
        for frame in reader.frames():
            writer.write(frame)
    assert writer.encoding.startswith("smart: 75 of 100 frames copied")
    assert video_bytes(tmp_path / "b.mp4") <= 1.1 * video_bytes(source)
    assert any("small as the source" in text for text in writer.warnings)
