"""Frames whose size changes within a video are scaled to the size of the first one, so that places stay the same."""

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from tests.media.video.factories import Clip, decoded, made, pictures
from tests.rows import exhaustive

from velum import Engine, Plan, media
from velum.errors import BadInput, LimitExceeded
from velum.limits import Limits
from velum.media.video.pixel_formats import layout_of, refit, views
from velum.plan import Video

FIRST, LARGER, TALL = (64, 48), (128, 96), (48, 64)
ZONE = "zone: fixed(box=[0, 0, 32, 48]) -> blacken with grow=0"
HALF = 20


def changing(path: Path, codec: str, *sizes: tuple[int, int]) -> Path:
    """A WebM with twenty pictures of each size, in groups of ten."""
    with av.open(str(path), "w") as container:
        kept, count = None, 0
        for size in sizes:
            stream: Any = container.add_stream(codec, 25) if kept is None else scratch(codec)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.options = {"g": "10", "keyint_min": "10", "lag-in-frames": "0", "crf": "10", "b": "2M"}
            kept = kept or stream
            packets = []
            for frame in drawn(size):
                frame.pts, frame.time_base = count, Fraction(1, 25)
                packets += stream.encode(frame)
                count += 1
            for packet in [*packets, *stream.encode(None)]:
                packet.stream = kept
                container.mux(packet)
    return path


def scratch(codec: str) -> Any:
    return av.open("/dev/null", "w", format="webm").add_stream(codec, 25)


def drawn(size: tuple[int, int]) -> list[av.VideoFrame]:
    """The same scene at that size: bright on the left, darker on the right and below."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    grey = (220 - 100 * (x / width) - 60 * (y / height)).astype(np.uint8)
    return [
        av.VideoFrame.from_ndarray(np.repeat(np.roll(grey, step, 1)[..., None], 3, 2), "rgb24").reformat(
            format="yuv420p"
        )
        for step in range(HALF)
    ]


CHANGES = [(FIRST, LARGER, FIRST), (FIRST, LARGER), (LARGER, FIRST)]


@pytest.mark.parametrize("codec", ["libvpx-vp9", *exhaustive(["libvpx"])])
@pytest.mark.parametrize(
    "sizes", [CHANGES[0], *(pytest.param(sizes, marks=pytest.mark.exhaustive) for sizes in CHANGES[1:])]
)
def test_every_frame_gets_the_size_of_the_first_and_keeps_its_zone(
    tmp_path: Path, codec: str, sizes: tuple[tuple[int, int], ...]
) -> None:
    source = changing(tmp_path / "a.webm", codec, *sizes)
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "b.webm", Plan.of(ZONE))
    assert (report.frames, report.width, report.height) == (HALF * len(sizes), *sizes[0])
    others = sorted({size for size in sizes if size != sizes[0]})
    assert [one for one in report.warnings if "were scaled" in one] == [
        f"frames of {width} x {height} were scaled to fit the first frame's {sizes[0][0]} x {sizes[0][1]}; "
        "check that fixed regions still fit there"
        for width, height in others
    ]
    before = decoded(source)
    for (_, old), (_, new) in zip(before, decoded(tmp_path / "b.webm"), strict=True):
        assert new[0].shape == sizes[0][::-1]
        assert new[0][:46, :30].max() <= 40
        same = cv2.resize(old[0], sizes[0], interpolation=cv2.INTER_AREA)
        assert abs(same[:, 36:].astype(int) - new[0][:, 36:]).mean() < 6


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_joined_recordings_of_two_sizes_become_one_video(tmp_path: Path, codec: str) -> None:
    clip = Clip(codec, suffix=".ts", frames=HALF, base=Fraction(1, 25))
    first, other = (made(tmp_path / name, replace(clip, size=size)) for name, size in (("a", FIRST), ("b", LARGER)))
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + other.read_bytes())
    with Engine() as engine:
        report = engine.hide(tmp_path / "both.ts", tmp_path / "out.mp4", Plan.of(ZONE))
    shown = decoded(tmp_path / "out.mp4")
    assert (report.frames, len(shown)) == (2 * HALF, 2 * HALF)
    assert all(planes[0][:46, :30].max() <= 40 for _, planes in shown)
    assert any("128 x 96 were scaled" in one for one in report.warnings)


@pytest.mark.slow
def test_segments_scale_frames_like_one_run(tmp_path: Path) -> None:
    source = changing(tmp_path / "a.webm", "libvpx-vp9", FIRST, LARGER)
    plan = Plan.of(ZONE, video=Video(codec="ffv1"))
    with Engine() as engine:
        engine.hide(source, tmp_path / "whole.mkv", plan)
        spans = engine.split(source, "MKV", plan, seconds=0.4, given=True)
        assert not isinstance(spans, str), spans
        parts = [(tmp_path / str(span.index), span) for span in spans]
        done = [(part, engine.hide_segment(source, part, plan, span)) for part, span in parts]
        joined = engine.concat(source, done, tmp_path / "joined.mkv", plan)
    assert joined.frames == 2 * HALF
    assert sum("were scaled" in one for one in joined.warnings) == 1
    for (time, one), (other_time, other) in zip(
        decoded(tmp_path / "whole.mkv"), decoded(tmp_path / "joined.mkv"), strict=True
    ):
        assert time == other_time
        assert all(map(np.array_equal, one, other))


@pytest.mark.slow
def test_groups_of_another_size_are_not_copied(tmp_path: Path) -> None:
    source = changing(tmp_path / "a.webm", "libvpx-vp9", FIRST, LARGER, FIRST)
    plan = Plan.of("zone: fixed(from=0.4, to=0.8) -> blacken", video=Video(smart=True))
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "b.webm", plan)
    assert report.encoding.startswith("smart: 30 of 60 frames copied")
    shown = [planes[0] for _, planes in decoded(tmp_path / "b.webm")]
    assert {one.shape for one in shown} == {FIRST[::-1]}
    assert [bool(one.max() <= 30) for one in shown] == [10 <= index < 20 for index in range(60)]


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv411p", "gray", "rgb24", "rgba64le"])
@pytest.mark.parametrize(
    ("size", "window"),
    [(LARGER, (0, 64)), ((64, 47), (0, 64)), (TALL, (14, 50)), ((640, 10), (0, 64))],
    ids=["larger", "nearly the same", "turned", "very wide"],
)
def test_scaled_frames_keep_their_aspect_ratio(name: str, size: tuple[int, int], window: tuple[int, int]) -> None:
    layout = layout_of(name)
    frame = pictures("gray", size, 1)[0] if name == "gray" else av.VideoFrame(*size, name)
    for plane in views(frame, layout):
        plane[...] = (1 << layout.bits) * 3 // 4
    canvas = refit(frame, layout, av.VideoFrame(*FIRST, name), limited=not layout.rgb)
    first = views(canvas, layout)[0]
    lit = (first if first.ndim == 2 else first[..., 0]) > (1 << layout.bits) // 2
    columns, rows = np.flatnonzero(lit.any(0)), np.flatnonzero(lit.any(1))
    assert (columns[0], columns[-1] + 1) == pytest.approx(window, abs=4)
    assert lit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert abs(rows[0] - (FIRST[1] - 1 - rows[-1])) <= 4, "in the middle"


def test_a_later_frame_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    source = changing(tmp_path / "a.webm", "libvpx", FIRST, LARGER)
    with pytest.raises((LimitExceeded, BadInput)), media.open_source(source, Limits(pixels=64 * 48)) as reader:
        list(reader.frames())


def test_a_reported_file_with_size_changes_is_hidden_in_every_frame(shared: Path, tmp_path: Path) -> None:
    source = shared / "cases" / "size-changes" / "reschange.webm"
    if not source.exists():
        pytest.skip("the case is not there")
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "b.webm", Plan.of("zone: fixed(box=[16, 16, 80, 64]) -> blacken"))
    shown = decoded(tmp_path / "b.webm")
    assert len(shown) == report.frames == 30
    assert all(one[0].shape == (240, 320) and one[0][18:62, 18:78].max() <= 40 for _, one in shown)


OPTIONS = {"crf": "5", "bf": "0", "x264-params": "colorprim=bt709"}
"""With a colour, x264 states the range, too."""


def of_formats(path: Path, *formats: tuple[str, int]) -> Path:
    """A transport stream of H.264 whose pixel format, or range, changes: joined recordings of one scene."""
    data = []
    for name, reach in formats:
        with av.open(part := io.BytesIO(), "w", format="mpegts") as container:
            stream: Any = container.add_stream("libx264", 25, options=OPTIONS)
            stream.width, stream.height, stream.pix_fmt, stream.codec_context.color_range = *FIRST, name, reach
            for frame in drawn(FIRST)[:4]:
                changed = frame.reformat(format=name, src_color_range=1, dst_color_range=reach)
                changed.color_range = reach
                container.mux(stream.encode(changed))
            container.mux(stream.encode(None))
        data.append(part.getvalue())
    path.write_bytes(b"".join(data))
    return path


@pytest.mark.parametrize(
    ("formats", "warning"),
    [
        ((("yuv420p", 1), ("yuv444p", 1)), "4 frames have the pixel format yuv444p, converted to yuv420p, that of"),
        ((("yuv444p", 1), ("yuv420p", 1)), "4 frames have the pixel format yuv420p, converted to yuv444p, that of"),
        ((("yuv420p", 1), ("yuv420p10le", 1)), "4 frames have the pixel format yuv420p10le, converted to yuv420p"),
        ((("yuv420p", 1), ("yuv420p", 2)), "the range of samples changes within the video; the result states"),
        ((("yuv420p", 2), ("yuv420p", 1)), "the range of samples changes within the video; the result states"),
        ((("yuv420p", 2), ("yuv420p", 2)), None),
    ],
)
def test_a_change_of_the_pixel_format_or_range_within_a_video_is_reported(
    formats: tuple[tuple[str, int], ...], warning: str | None, tmp_path: Path
) -> None:
    source = of_formats(tmp_path / "a.ts", *formats)
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "b.ts", Plan.of(ZONE))
    luma = [planes[0][:, 40:] for _, planes in decoded(tmp_path / "b.ts")]
    assert len(luma) == 8
    if formats[0][1] == formats[1][1]:  # then the scene is the same in both halves
        assert all(np.abs(luma[n].astype(int) - luma[n + 4]).mean() < 2 for n in range(4))
    noted = [text for text in report.warnings if "pixel format" in text or "range of samples" in text]
    assert len(noted) == (warning is not None)
    assert all(text.startswith(str(warning)) for text in noted)
