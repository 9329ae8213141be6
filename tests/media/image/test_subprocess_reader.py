"""Images in a process of their own: the same as in this one, and its end is nobody else's."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.media.image.bombs import encoded, gif, scanned

from velum import Engine, Limits, Plan
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, Unavailable
from velum.media import BytesSource, DecoderPool
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
def test_the_result_is_the_same(pool: DecoderPool, tmp_path: Path, suffix: str, data: bytes) -> None:
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


def test_a_file_on_a_disk_is_read_there_too_and_a_video_is_not(pool: DecoderPool, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(64))
    assert pool.takes(tmp_path / "a.png")
    assert not pool.takes(tmp_path / "a.mp4")
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
def test_what_goes_wrong_there_is_told_here(
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


def test_a_target_that_is_there_stays(pool: DecoderPool, tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    target.write_bytes(b"mine")
    with Engine(host=HOST, decoders=pool) as engine, pytest.raises(OutputFailed):
        engine.hide(BytesSource("x", encoded("TIFF")), target)
    assert target.read_bytes() == b"mine"


def test_a_picture_that_nobody_would_decode_twice_is_not_verified(pool: DecoderPool, tmp_path: Path) -> None:
    with Engine(host=HOST, decoders=pool) as engine, pytest.raises(BadPlan, match="hand in a job"):
        engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "a.tif", Plan(verify=True))


@pytest.mark.parametrize(
    ("end", "error"), [(signal.SIGSEGV, BadInput), (signal.SIGKILL, Unavailable), (signal.SIGXCPU, LimitExceeded)]
)
def test_its_death_is_told(tmp_path: Path, end: signal.Signals, error: type[Exception]) -> None:
    own = DecoderPool()
    with Engine(host=HOST, decoders=own) as engine:
        with own.read(BytesSource("x", encoded("TIFF")), Limits()) as reader:
            (process,) = own._busy
            process._process.send_signal(end)
            with pytest.raises(error):
                list(reader.frames())
        assert len(engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "a.tif").hidden) == 1
    own.close()
    with pytest.raises(Unavailable, match="ending"):
        own.read(BytesSource("x", encoded("TIFF")), Limits())


def test_work_that_is_stopped_publishes_nothing(pool: DecoderPool, tmp_path: Path) -> None:
    class Broken(FakeLocalizer):
        def locate(self, frames: Any) -> Any:
            raise BadInput("no")

    host = RuntimeConfig(localizers={"centerface": lambda: Broken(())})
    with Engine(host=host, decoders=pool) as engine, pytest.raises(BadInput, match="no"):
        engine.hide(BytesSource("x", encoded("TIFF")), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())
