"""Clock resets, and time stamps that repeat or are missing: each frame is kept, in order, and hidden."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.media.video.factories import Clip, copy, decoded, made, packets
from tests.rows import exhaustive

from velum import Engine, Plan
from velum.errors import BadInput
from velum.plan import Video
from velum.report import Report

PLAN = Plan.of("zone: fixed(box=[0, 0, 32, 48]) -> blacken with grow=0")
TS = {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
HALF = 30
PACKET = 188


def hidden(source: Path, target: Path, plan: Plan = PLAN) -> Report:
    """Hide, and see that the zone is black in each picture of the result, whose times go up."""
    with Engine() as engine:
        report = engine.hide(source, target, plan)
    shown = decoded(target)
    assert len(shown) == report.frames
    assert [index for index, (_, planes) in enumerate(shown) if planes[0][:, :30].max() > 40] == []
    times = [time for time, _ in shown]
    assert all(one < other for one, other in pairwise(times))
    return report


def remuxed(source: Path, target: Path, change: Callable[[int, int, int], tuple[int, int]], **options: str) -> Path:
    """Copy a clip, each of whose pictures' (number, pts, dts) becomes another (pts, dts); sound stays."""
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for stream in old.streams:
            streams[stream.index].time_base = stream.time_base
        count = 0
        for packet in old.demux():
            if packet.dts is None or packet.pts is None:
                continue
            packet.stream, video = streams[packet.stream.index], packet.stream.type == "video"
            if video:
                packet.pts, packet.dts = change(count, packet.pts, packet.dts)
                count += 1
            new.mux(packet)
    return target


def recording(path: Path, start: float, **more: object) -> Path:
    """A transport stream of a second or so, whose clock begins at `start`, with sound."""
    clip = replace(Clip(frames=HALF, audio=("libmp3lame",), options={"bf": "2", "g": "10"}), **more)  # type: ignore[arg-type]
    source = made(path.with_name(f"{path.stem}_made"), clip)
    with av.open(str(source)) as old, av.open(str(path), "w", format="mpegts", container_options=TS) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None and packet.pts is not None:
                ahead = round(start / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts + ahead, packet.dts + ahead, streams[packet.stream.index],
                )  # fmt: skip
                new.mux(packet)
    return path


STARTS = {
    "the same clock": (10, 10),
    "an earlier one": (500, 20),
    "one of hours later": (10, 9000),
    "one that wraps": ((1 << 33) / 90_000 - 0.5, 300),
    "one that goes on": (10, 11.2),
    "three of them": (10, 4, 700),
}
RESETS = ("an earlier one", "one of hours later")
"""Beginnings that are a reset, as "the same clock" is."""


@pytest.mark.parametrize(
    ("starts", "suffix"),
    [
        *(pytest.param(STARTS[name], ".ts", id=name) for name in STARTS if name not in RESETS),
        pytest.param(STARTS["one that goes on"], ".mp4", id="to MP4"),
        *exhaustive([pytest.param((500, 20), ".mkv", id="to MKV")]),
        *exhaustive(pytest.param(STARTS[name], ".ts", id=name) for name in RESETS),
    ],
)
def test_joined_recordings_become_one_video(tmp_path: Path, starts: tuple[float, ...], suffix: str) -> None:
    parts = [recording(tmp_path / f"{index}.ts", start) for index, start in enumerate(starts)]
    source = tmp_path / "joined.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    report = hidden(source, tmp_path / f"out{suffix}")
    assert report.frames == HALF * len(parts)
    assert not any("damage" in one or "black" in one for one in report.warnings)
    resets: dict[tuple[float, ...], str] = {(10, 10): "1 time ", (10, 4, 700): "2 times "}
    assert any(f"clock was reset {resets.get(starts, '')}" in one for one in report.warnings) or starts not in resets
    shown = [float(time) for time, _ in decoded(tmp_path / f"out{suffix}")]
    assert [other - one for one, other in pairwise(shown)] == pytest.approx([0.04] * (len(shown) - 1), abs=0.12)
    (sound,) = packets(tmp_path / f"out{suffix}")
    assert [digest for _, digest in sound] == [digest for part in parts for _, digest in packets(part)[0]]
    per_part = len(sound) // len(parts)
    apart = [float(sound[per_part * index][0]) - shown[HALF * index] for index in range(len(parts))]
    assert apart == pytest.approx([apart[0]] * len(parts), abs=0.13)


def test_the_advice_for_damaged_files_works_on_joined_recordings(tmp_path: Path) -> None:
    parts = [recording(tmp_path / f"{index}.ts", start) for index, start in enumerate((10, 10))]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    plan = replace(PLAN, video=Video(on_damage="cover"))
    report = hidden(tmp_path / "joined.ts", tmp_path / "out.ts", plan)
    assert report.frames == 2 * HALF
    assert any("reset 1 time (" in one for one in report.warnings)


def test_a_gap_inside_a_frame_still_counts_as_damage(tmp_path: Path) -> None:
    data = recording(tmp_path / "a.ts", 10).read_bytes()
    lost = data.index(b"\x47\x01\x00", len(data) // 2)
    while lost % PACKET:
        lost = data.index(b"\x47\x01\x00", lost + 1)
    (tmp_path / "a.ts").write_bytes(data[:lost] + data[lost + PACKET :])
    with pytest.raises(BadInput, match="damaged"):
        copy(tmp_path / "a.ts", tmp_path / "b.ts")


@pytest.mark.parametrize(
    ("suffix", "target"),
    [(".mp4", ".mp4"), (".mp4", ".mkv"), (".mov", ".avi"), (".mkv", ".mkv"), (".mkv", ".avi"), (".ts", ".ts")],
)
def test_frames_with_equal_time_stamps_are_all_kept(tmp_path: Path, suffix: str, target: str) -> None:
    source = made(tmp_path / "made", Clip(frames=20, options={"bf": "0"}))

    def change(number: int, pts: int, dts: int) -> tuple[int, int]:
        twice = number in {4, 9, 10, 19}
        return pts + 1024 - 512 * (1 + (number == 10) if twice else 0), dts

    repeated = remuxed(source, tmp_path / f"repeated{suffix}", change)
    stamps = [time for time, _ in decoded(repeated)]
    assert len(stamps) == 20
    assert len(set(stamps)) == 16
    report = hidden(repeated, tmp_path / f"out{target}")
    assert report.frames == 20
    assert any(one.startswith("4 time stamps repeat") for one in report.warnings)
    before, after = (decoded(one) for one in (repeated, tmp_path / f"out{target}"))
    for (_, old), (_, new) in zip(before, after, strict=True):
        assert abs(old[0][:, 40:].astype(int) - new[0][:, 40:]).mean() < 4


@pytest.mark.parametrize(
    ("repeated", "words"), [({4}, "1 time stamp repeats or goes back; "), ({4, 9}, "2 time stamps repeat or go back; ")]
)
def test_warnings_use_singular_and_plural_correctly(tmp_path: Path, repeated: set[int], words: str) -> None:
    source = made(tmp_path / "made", Clip(frames=20, options={"bf": "0"}))

    def change(number: int, pts: int, dts: int) -> tuple[int, int]:
        return pts + 1024 - 512 * (number in repeated), dts

    report = hidden(remuxed(source, tmp_path / "repeated.mp4", change), tmp_path / "out.mp4")
    assert [one for one in report.warnings if one.startswith(words)]


def test_frames_before_time_zero_in_mkv_are_left_out_with_a_warning(tmp_path: Path) -> None:
    stamps = tuple(-400 + 40 * index for index in range(30))
    clip = Clip(
        suffix=".mkv", base=Fraction(1, 1000), stamps=stamps, audio=("aac",), options={"g": "25", "bf": "2"},
        container={"avoid_negative_ts": "disabled"},
    )  # fmt: skip
    source = made(tmp_path / "source", clip)
    report = hidden(source, tmp_path / "out.mkv")
    assert report.frames == 20
    assert any(one.startswith("10 frames were left out before the first time stamp") for one in report.warnings)
    plan = Plan.of("zone: fixed(from=0.2) -> blacken", video=Video(codec="ffv1"))
    with Engine() as engine:
        engine.hide(source, tmp_path / "timed.mkv", plan)
    assert [bool((one[0] == 16).all()) for _, one in decoded(tmp_path / "timed.mkv")] == [n >= 5 for n in range(20)]


def untimed(data: bytes, keep: Callable[[int], bool]) -> bytes:
    """Take the time stamps out of the headers of pictures, but for those whose number is to be kept."""
    made, count = bytearray(data), 0
    for at in range(0, len(made), PACKET):
        pid, start = (made[at + 1] & 0x1F) << 8 | made[at + 2], made[at + 1] & 0x40
        payload = at + 4 + (made[at + 4] + 1 if made[at + 3] & 0x20 else 0)
        if pid == 0x100 and start and made[payload : payload + 3] == b"\0\0\1":
            if not keep(count):
                made[payload + 7] &= 0x3F
                made[payload + 9 : payload + 9 + made[payload + 8]] = b"\xff" * made[payload + 8]
            count += 1
    return bytes(made)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize(
    ("keep", "left_out"),
    [(lambda number: number % 5 == 0, 0), (lambda number: False, 0), (lambda number: number >= 5, 5)],
    ids=["some", "none", "the later ones"],
)
def test_frames_without_time_stamps_are_kept(
    tmp_path: Path, codec: str, keep: Callable[[int], bool], left_out: int
) -> None:
    clip = Clip(codec, suffix=".ts", frames=25, options={"bf": "0", "g": "12"}, base=Fraction(1, 25))
    source = made(tmp_path / "source", clip)
    source.write_bytes(untimed(source.read_bytes(), keep))
    report = hidden(source, tmp_path / "out.mkv")
    assert report.frames in {25, 25 - left_out}
    assert report.frames == 25 or any("before the first time stamp" in one for one in report.warnings)


@pytest.mark.parametrize(
    ("case", "frames"),
    [
        ("joined-ts/disc.ts", 116),
        *exhaustive([("equal-time-stamps/zero_dur.mp4", 58), ("cut-clip-no-time/neg.mkv", 49)]),
    ],
)
def test_reported_files_with_clock_resets_are_hidden_frame_by_frame(
    shared: Path, tmp_path: Path, case: str, frames: int
) -> None:
    source = shared / "cases" / case
    if not source.exists():
        pytest.skip("the case is not there")
    plan = Plan.of("zone: fixed(box=[16, 16, 80, 64]) -> blacken")
    with Engine() as engine:
        report = engine.hide(source, tmp_path / f"out{source.suffix}", plan)
    shown = decoded(tmp_path / f"out{source.suffix}")
    assert len(shown) == report.frames == frames
    assert all(planes[0][18:62, 18:78].max() <= 26 for _, planes in shown)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_an_mxf_with_b_frames_is_whole_although_its_time_stamps_count_stored_frames(codec: str, tmp_path: Path) -> None:
    source = tmp_path / "a.mxf"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream(codec, 25, options={"bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(24):
            picture = np.full((48, 64, 3), 100 + 5 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    report = hidden(source, tmp_path / "b.mkv")
    assert not any("damaged" in warning or "time stamp" in warning for warning in report.warnings)
    levels = [planes[0][:, 40:].mean() for _, planes in decoded(tmp_path / "b.mkv")]
    assert len(levels) == 24
    assert levels == sorted(levels)
