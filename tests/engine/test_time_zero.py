"""Times in plans count from the first shown frame, wherever the clock of a file begins."""

import os
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from tests.media.video.factories import Clip, decoded, made, packets
from tests.rows import but_for

from velum import Engine, Plan
from velum.errors import BadInput, BadPlan
from velum.limits import Limits
from velum.media import LiveSource
from velum.plan import Video
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check

WRAP = 1 << 33
TS = Clip(suffix=".ts", base=Fraction(1, 90_000), container={"mpegts_copyts": "1"})
HOURS = 7200
BEFORE = {"avoid_negative_ts": "disabled"}


OTHERS = (".mp4", ".mkv", ".avi")


def ticks(clip: Clip, start: float, step: float = 0.04, count: int = 40) -> Clip:
    return replace(clip, stamps=tuple(round((start + index * step) / clip.base) for index in range(count)))


CLIPS = {
    "the clock of a TS wraps on the way": ticks(TS, WRAP / 90_000 - 1),
    "the clock of a TS wraps long after the start": ticks(TS, WRAP / 90_000 - 90, 2.4),
    "a TS that began hours ago": ticks(TS, HOURS),
    "an MKV that began hours ago": ticks(Clip(suffix=".mkv", base=Fraction(1, 1000)), HOURS),
    "an MP4 that begins with a pause": ticks(Clip(container={"movie_timescale": "12800"}), HOURS),
    "an MP4 whose edit list skips the first pictures": ticks(Clip(container=BEFORE), -0.4, count=50),
    "a MOV whose edit list skips the first pictures": ticks(Clip(suffix=".mov", container=BEFORE), -0.4, count=50),
}


@pytest.mark.parametrize(
    ("name", "suffix"),
    but_for([(name, None) for name in CLIPS], [(name, None) for name in list(CLIPS)[::3]])
    + but_for(product(list(CLIPS)[:3], OTHERS), zip(list(CLIPS)[:1], OTHERS[:1], strict=True)),
)
def test_a_zone_without_a_start_is_in_every_frame(tmp_path: Path, name: str, suffix: str | None) -> None:
    clip = CLIPS[name]
    source = made(tmp_path / "source", clip)
    target = tmp_path / f"out{suffix or clip.suffix}"
    plan = Plan.of("zone: fixed(box=[0, 0, 32, 48]) -> blacken with grow=0")
    with Engine() as engine:
        report = engine.hide(source, target, plan)
        checked = Check(engine, RuntimeConfig(), Limits())(target, plan, against=source)
    shown = decoded(target)
    assert len(shown) == report.frames == 40
    assert [index for index, (_, planes) in enumerate(shown) if planes[0][:, :30].max() > 40] == []
    before = [time for time, _ in decoded(source)]
    if suffix != ".avi":  # which counts pictures
        steps = [float(time - shown[0][0]) for time, _ in shown]
        assert steps == pytest.approx([float(time - before[0]) for time in before], abs=0.001)
    assert checked.frames == 40


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_from_and_to_count_from_the_first_shown_frame(tmp_path: Path, clip: Clip) -> None:
    source = made(tmp_path / "source", clip)
    times = [time for time, _ in decoded(source)]
    first, last = (float(times[index] - times[0]) - 0.001 for index in (5, 9))
    plan = Plan.of(f"zone: fixed(from={first}, to={last}) -> blacken", video=Video(codec="ffv1"))
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "out.mkv", plan)
    dark = [index for index, (_, planes) in enumerate(decoded(tmp_path / "out.mkv")) if (planes[0] == 16).all()]
    assert dark == [5, 6, 7, 8]
    assert [(one.first_frame, one.last_frame) for one in report.tracks] == [(5, 8)]


def early(source: Path, target: Path, seconds: float) -> Path:
    """Copy the packets of a file to a TS whose clock begins `seconds` before it wraps."""
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=TS.container | BEFORE) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None and packet.pts is not None:
                ticks = round(seconds / packet.time_base)
                packet.dts, packet.pts, packet.stream = (
                    packet.dts - ticks,
                    packet.pts - ticks,
                    streams[packet.stream.index],
                )
                new.mux(packet)
    return target


@pytest.mark.parametrize("name", ["an MP4 that begins with a pause", "an MKV that began hours ago"])
def test_segments_have_the_times_of_the_whole_video(tmp_path: Path, name: str) -> None:
    clip = ticks(replace(CLIPS[name], options={"g": "10", "sc_threshold": "0", "bf": "2"}), HOURS, count=120)
    source, plan = made(tmp_path / "source", clip), Plan.of("zone: fixed(from=1.0, to=3.8) -> blacken")
    with Engine() as engine:
        whole = engine.hide(source, tmp_path / "whole.mkv", plan)
        spans = engine.split(source, "MKV", plan, seconds=1.0, given=True)
        assert not isinstance(spans, str), spans
        assert len(spans) > 2
        parts = [(tmp_path / f"{span.index}.part", span) for span in spans]
        reports = [engine.hide_segment(source, part, plan, span) for part, span in parts]
        joined = engine.concat(
            source, [(parts[i][0], one) for i, one in enumerate(reports)], tmp_path / "joined.mkv", plan
        )
    assert sum(track.frames for track in joined.tracks) == sum(track.frames for track in whole.tracks) == 70
    for (time, planes), (other, theirs) in zip(
        decoded(tmp_path / "whole.mkv"), decoded(tmp_path / "joined.mkv"), strict=True
    ):
        assert time == other
        assert (planes[0].max() <= 20) == (theirs[0].max() <= 20)


def test_a_stream_is_timed_like_a_file(tmp_path: Path) -> None:
    source = made(tmp_path / "source", CLIPS["the clock of a TS wraps on the way"])
    plan = Plan.of("zone: fixed(from=0.5) -> blacken", video=Video(codec="ffv1"))
    pipe = os.open(source, os.O_RDONLY)
    try:
        with Engine() as engine:
            engine.hide(LiveSource("-", descriptor=pipe), tmp_path / "out.mkv", plan)
    finally:
        os.close(pipe)
    dark = [bool((planes[0] == 16).all()) for _, planes in decoded(tmp_path / "out.mkv")]
    assert dark == [index >= 13 for index in range(40)]


def test_smart_rendering_encodes_the_groups_of_a_zone_and_copies_the_rest(tmp_path: Path) -> None:
    clip = ticks(replace(CLIPS["an MP4 that begins with a pause"], options={"g": "10", "sc_threshold": "0"}), HOURS)
    source = made(tmp_path / "source", clip)
    plan = Plan.of("zone: fixed(from=0.4, to=0.8) -> blacken", video=Video(smart=True))
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "out.mp4", plan)
    assert report.encoding.startswith("smart: 30 of 40 frames copied")
    dark = [bool(planes[0].max() <= 20) for _, planes in decoded(tmp_path / "out.mp4")]
    assert dark == [10 <= index < 20 for index in range(40)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_audio_stays_in_sync_with_the_frames(tmp_path: Path, suffix: str) -> None:
    source = early(
        made(tmp_path / "made", replace(ticks(Clip(), 0), audio=("libmp3lame",))), tmp_path / "source.ts", 1.0
    )
    with Engine() as engine:
        engine.hide(source, tmp_path / f"out{suffix}", Plan.of("zone: fixed -> blacken"))
    (before,), (after,) = packets(source), packets(tmp_path / f"out{suffix}")
    assert [digest for _, digest in after] == [digest for _, digest in before]
    apart = decoded(source)[0][0] - before[0][0]
    assert float(decoded(tmp_path / f"out{suffix}")[0][0] - after[0][0]) == pytest.approx(float(apart), abs=0.09)


@pytest.mark.parametrize(("seconds", "count"), [(0.4, 10), (0.79, 20), (0.81, 21)])
def test_an_edit_list_may_end_before_the_file_does(tmp_path: Path, seconds: float, count: int) -> None:
    source = made(tmp_path / "source", ticks(Clip(options={"bf": "2"}, container=BEFORE), -0.4))
    data = bytearray(source.read_bytes())
    scale = int.from_bytes(data[(at := data.index(b"mvhd")) + 16 : at + 20])
    at = data.index(b"elst")
    data[at + 12 : at + 16] = round(seconds * scale).to_bytes(4)
    source.write_bytes(data)
    with Engine() as engine:
        report = engine.hide(source, tmp_path / "out.mp4", Plan.of("zone: fixed -> blacken"))
    assert report.frames == len(decoded(tmp_path / "out.mp4")) == count
    source.write_bytes(data[: len(data) - 20])
    with Engine() as engine, pytest.raises(BadInput):
        engine.hide(source, tmp_path / "cut.mp4", Plan.of("zone: fixed -> blacken"))


@pytest.mark.parametrize(("rule", "said"), [("from=-3", "from the first picture"), ("from=-9, to=-1", "0 or more")])
def test_times_before_the_first_frame_are_refused(rule: str, said: str) -> None:
    with Engine() as engine, pytest.raises(BadPlan, match=said):
        engine.hide_pixels(np.zeros((8, 8), np.uint8), Plan.of(f"zone: fixed({rule}) -> blacken"))


def test_a_reported_file_whose_clock_wraps_is_hidden_in_every_frame(shared: Path, tmp_path: Path) -> None:
    source = shared / "cases" / "zone-before-time-zero" / "wrapmid.ts"
    if not source.exists():
        pytest.skip("the case is not there")
    with Engine() as engine:
        engine.hide(source, tmp_path / "out.ts", Plan.of("zone: fixed(box=[16, 16, 80, 64]) -> blacken"))
    shown = decoded(tmp_path / "out.ts")
    assert len(shown) == 58
    assert all(planes[0][18:62, 18:78].max() <= 24 for _, planes in shown)
