"""Images and videos read in a subprocess: the same results, and its crash ends nothing else."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from tests.bmw.test_videos import clip
from tests.media.image.bombs import be_busy, busy_steps, encoded, end_this_process, gif, scanned, steps_until_the_end
from tests.rows import exhaustive

from velum import Engine, Limits, Plan
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, Unavailable
from velum.frame import Frame
from velum.media import BytesSource, DecoderPool
from velum.media.image import subprocess_reader
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.testing import FakeLocalizer

HOST = RuntimeConfig(localizers={"centerface": lambda: FakeLocalizer([Region(Box(10, 8, 34, 30), "face", 0.9)])})


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    made = DecoderPool(1)
    yield made
    made.close()


KINDS = {
    "tif": encoded("TIFF"), "gif": encoded("GIF"), "avif": encoded("AVIF"), "jp2": encoded("JPEG2000"),
    "jpg": scanned(60),
}  # fmt: skip
FRAMES = {"gif": gif(64, 48, 4)}


@pytest.mark.parametrize(("suffix", "data"), [*KINDS.items(), *FRAMES.items()])
def test_an_image_read_in_a_subprocess_gives_the_same_result(
    pool: DecoderPool, tmp_path: Path, suffix: str, data: bytes
) -> None:
    assert pool.takes(BytesSource("x", data))
    made: list[Any] = []
    for decoders in (None, pool):
        target = tmp_path / f"{decoders is None}.{suffix}"
        with Engine(host=HOST, decoders=decoders) as engine:
            report = engine.hide(BytesSource("x", data), target, Plan(metadata=("camera",)))
            found = engine.locate(BytesSource("x", data))
            plain = engine.hide_image_bytes(data, format="JPEG")
        made.append((
            target.read_bytes(), replace(report, seconds={}, target=None), found.to_json(), plain[0],
            replace(plain[1], seconds={}),
        ))  # fmt: skip
    assert made[0] == made[1]


def test_a_file_by_its_path_is_read_in_the_subprocess(pool: DecoderPool, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    assert pool.takes(tmp_path / "a.png")
    assert not pool.takes(tmp_path / "none")
    with Engine(host=HOST, decoders=pool) as engine:
        assert len(engine.hide(tmp_path / "a.png", tmp_path / "b.png").hidden) == 1


@pytest.mark.parametrize(
    ("data", "limits", "error", "message"),
    [
        (encoded("TIFF")[:-400], Limits(), BadInput, "cannot read x"),
        (encoded("TIFF"), Limits(pixels=100), LimitExceeded, "x has 3,072 pixels"),
        (encoded("TIFF"), Limits(bytes=100), LimitExceeded, "bytes"),
        (scanned(101), Limits(), LimitExceeded, "x has 101 scans"),
        (gif(3000, 3000, 1000), Limits(work_seconds=1), LimitExceeded, "more than the 1 allowed"),
    ],
)
def test_errors_of_the_subprocess_are_raised_in_the_caller(
    pool: DecoderPool, tmp_path: Path, data: bytes, limits: Limits, error: type[Exception], message: str
) -> None:
    target = tmp_path / ("a.gif" if data.startswith(b"GIF") else "a.tif")
    with Engine(host=HOST, limits=limits, decoders=pool) as engine, pytest.raises(error, match=message):
        engine.hide(BytesSource("x", data), target)
    assert not target.exists()
    with Engine(host=HOST, decoders=pool) as engine:
        assert len(engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "b.tif").hidden) == 1, (
            "the next one is done"
        )


def test_an_existing_target_is_not_overwritten(pool: DecoderPool, tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    target.write_bytes(b"mine")
    with Engine(host=HOST, decoders=pool) as engine, pytest.raises(OutputFailed):
        engine.hide(BytesSource("x", encoded("TIFF")), target)
    assert target.read_bytes() == b"mine"


def test_an_image_too_costly_to_decode_twice_is_not_verified(pool: DecoderPool, tmp_path: Path) -> None:
    with Engine(host=HOST, decoders=pool) as engine, pytest.raises(BadPlan, match="hand in a job"):
        engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "a.tif", Plan(verify=True))


@pytest.mark.parametrize(
    ("end", "error"), [(signal.SIGSEGV, BadInput), (signal.SIGKILL, Unavailable), (signal.SIGXCPU, LimitExceeded)]
)
def test_a_crash_of_the_subprocess_is_reported(
    pool: DecoderPool, tmp_path: Path, end: signal.Signals, error: type[Exception]
) -> None:
    with Engine(host=HOST, decoders=pool) as engine:
        with pool.read(BytesSource("x", encoded("TIFF")), Limits()) as reader:
            (process,) = pool._busy
            process._process.send_signal(end)
            with pytest.raises(error):
                list(reader.frames())
        assert len(engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "a.tif").hidden) == 1


def test_a_pool_that_is_closed_reads_nothing() -> None:
    own = DecoderPool()
    own.close()
    with pytest.raises(Unavailable, match="shutting down"):
        own.read(BytesSource("x", encoded("TIFF")), Limits())


@pytest.mark.parametrize(
    ("kind", "codec", "audio", "video"),
    [
        ("matroska", "libx264", "libopus", {"two_pass": True}),
        *exhaustive(
            [
                ("mp4", "libx264", None, {}),
                ("matroska", "libx264", None, {"smart": True, "track": False}),
                ("webm", "libvpx", "libopus", {"every": 2}),
                ("avi", "mpeg4", "pcm_s16le", {"on_damage": "cover"}),
            ]
        ),
    ],
)  # fmt: skip
def test_a_video_read_in_a_subprocess_gives_the_same_result(
    pool: DecoderPool, tmp_path: Path, kind: str, codec: str, audio: str | None, video: dict[str, Any]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(clip(kind, codec, audio, frames=20))
    made: list[Any] = []
    for decoders in (None, pool):
        suffix = {"matroska": "mkv"}.get(kind, kind)
        target = tmp_path / f"{decoders is None}.{suffix}"
        with Engine(host=HOST, decoders=decoders) as engine:
            plan = Plan.from_json({"rules": ["face: centerface -> blur"], "video": video})
            report = engine.hide(source, target, plan)
            found = engine.locate(source)
            followed = engine.follow(source, 3, Region(Box(10, 8, 34, 30), "face", 0.9))
        shown = [
            (frame.pts, frame.to_ndarray().tobytes()) for frame in av.open(str(target), "r").decode(video=0)
        ]  # fmt: skip
        facts = replace(report, seconds={}, target=None, output_sha256=None)
        made.append((shown, facts, found.to_json(), followed.to_json()))
    assert len(made[0][0]) == 20
    assert made[0] == made[1]


def test_only_changed_parts_of_video_frames_are_sent_back(pool: DecoderPool, tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(clip(frames=3))
    with (
        pool.read(source, Limits()) as reader,
        reader.writer(tmp_path / "b.mp4", Plan(), overwrite=False) as writer,
    ):
        for frame in reader.frames():
            frame.planes[0].pixels[...] = 16
            box = Box(0, 0, 16, 16)
            writer.write(replace(frame, touched=((box, None),) if frame.index else None))
    luma = [frame.to_ndarray()[:48] for frame in av.open(str(tmp_path / "b.mp4"), "r").decode(video=0)]
    assert [int(plane[4, 4]) // 10 for plane in luma] == [1, 1, 1]
    assert [int(plane[40, 60]) > 150 for plane in luma] == [False, True, True]


def killing(pool: DecoderPool, end: signal.Signals) -> Callable[[Frame], list[Region]]:
    """Return what a localizer finds; when it has seen some frames, it ends the process that decodes them, once."""
    left = iter(range(3, -1, -1))

    def found(_: Frame) -> list[Region]:
        if next(left, None) == 0:
            (process,) = pool._busy
            process._process.send_signal(end)
        return [Region(Box(10, 8, 34, 30), "face", 0.9)]

    return found


ENDS = [(signal.SIGSEGV, BadInput), (signal.SIGKILL, Unavailable), (signal.SIGXCPU, LimitExceeded)]


@pytest.mark.parametrize(("end", "error"), [ENDS[0], *exhaustive(ENDS[1:])])
def test_a_crash_in_the_middle_of_a_video_is_reported(
    pool: DecoderPool, tmp_path: Path, end: signal.Signals, error: type[Exception]
) -> None:
    (tmp_path / "a.mp4").write_bytes(clip(frames=40))
    found = killing(pool, end)
    host = RuntimeConfig(localizers={"centerface": lambda: FakeLocalizer(found)})
    with Engine(host=host, decoders=pool) as engine:
        with pytest.raises(error):
            engine.hide(tmp_path / "a.mp4", tmp_path / "b.mp4")
        assert engine.hide(tmp_path / "a.mp4", tmp_path / "c.mp4").frames == 40
    assert not (tmp_path / "b.mp4").exists()


def test_a_subprocess_that_died_while_idle_is_replaced(pool: DecoderPool) -> None:
    with Engine(host=HOST, decoders=pool) as engine:
        engine.locate(BytesSource("x", encoded("TIFF")))
        pool._idle[0].kill()
        assert engine.locate(BytesSource("x", encoded("TIFF"))).frames


ALL_ENDS = [*ENDS, (signal.SIGSTOP, BadInput)]


@pytest.mark.parametrize(
    ("how", "end", "error"),
    [
        *(("call", *end) for end in ALL_ENDS),
        ("steps", *ALL_ENDS[0]),
        *exhaustive(("steps", *end) for end in ALL_ENDS[1:]),
    ],
)
def test_a_call_fails_when_its_subprocess_ends(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch, how: str, end: signal.Signals, error: type[Exception]
) -> None:
    monkeypatch.setattr(subprocess_reader, "WAIT_FACTOR", 1)
    limits = Limits(work_seconds=1 if end == signal.SIGSTOP else 60)
    pool.call("x", Limits(), os.getpid)  # the process has started
    with pytest.raises(error, match=None if error is Unavailable else "x"):
        if how == "call":
            pool.call("x", limits, end_this_process, end)
        else:
            list(pool.steps("x", limits, steps_until_the_end, end))
    assert pool.call("x", Limits(), os.getpid) != os.getpid()


def test_time_limits_apply_to_each_step_and_to_the_whole_call(pool: DecoderPool) -> None:
    assert sum(pool.steps("x", Limits(work_seconds=1), busy_steps, 4)) == 4
    with pytest.raises(LimitExceeded, match="the work on x"):
        pool.call("x", Limits(work_seconds=1), be_busy, 4.0)


def test_stopped_work_publishes_no_file(pool: DecoderPool, tmp_path: Path) -> None:
    class Broken(FakeLocalizer):
        def locate(self, frames: Any) -> Any:
            raise BadInput("no")

    host = RuntimeConfig(localizers={"centerface": lambda: Broken(())})
    with Engine(host=host, decoders=pool) as engine, pytest.raises(BadInput, match="no"):
        engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())
