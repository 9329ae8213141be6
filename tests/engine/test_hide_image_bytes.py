"""An image in memory is decoded once, hidden, turned upright and encoded, without metadata of its file."""

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from velum import Engine, Limits, Plan, Region, RuntimeConfig
from velum.engine.stages import NOTHING_FOUND
from velum.errors import BadInput, BadPlan, LimitExceeded, PluginFault
from velum.frame import Frame
from velum.media.image.strip_metadata import strip_metadata
from velum.plan import Rule
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

FACE = Region(Box(10, 5, 30, 25), "face", 0.8)
PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),))
PIXELS = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)


def finding(regions: Sequence[Region] | Callable[[Frame], Sequence[Region]], limits: Limits | None = None) -> Engine:
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(regions)}), limits=limits)


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG", orientation: int = 1, comment: bytes = b"") -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    if comment:
        exif[0x010E] = comment.decode()
    Image.fromarray(pixels).save(file, kind, exif=exif)
    return file.getvalue()


def decoded(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def test_located_regions_are_hidden_and_nothing_else_changes() -> None:
    with finding([FACE]) as engine:
        data, report = engine.hide_image_bytes(encoded(PIXELS), PLAN)
    expected = PIXELS.copy()
    expected[5:25, 10:30] = 0
    assert data.startswith(b"\x89PNG")
    assert np.array_equal(decoded(data), expected)
    assert report.labels == {"face": 1}
    assert (report.source, report.target, report.format, report.encoding) == (None, None, "PNG", "lossless")
    assert (report.width, report.height, report.frames, report.plan) == (60, 40, 1, PLAN.digest)
    assert set(report.seconds) == {"decode", "locate", "hide", "encode"}
    assert report.warnings == ()


def test_a_report_says_that_nothing_was_found() -> None:
    with finding([]) as engine:
        data, report = engine.hide_image_bytes(encoded(PIXELS), PLAN)
    assert np.array_equal(decoded(data), PIXELS)
    assert report.warnings == (NOTHING_FOUND,)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_result_is_upright_whatever_the_file_says(orientation: int) -> None:
    source = encoded(PIXELS, orientation=orientation)
    with Image.open(io.BytesIO(source)) as image:
        turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Image.Transpose
        upright = image.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else image
        expected = np.array(upright)
    expected[5:25, 10:30] = 0
    with finding([FACE]) as engine:
        data, report = engine.hide_image_bytes(source, PLAN)
    assert np.array_equal(decoded(data), expected)
    assert (report.height, report.width) == expected.shape[:2]
    with Image.open(io.BytesIO(data)) as image:
        assert not image.getexif()


def test_localizers_get_the_file_without_metadata_and_hidden_frames_do_not_carry_it() -> None:
    source = encoded(PIXELS, "JPEG", comment=b"taken at home")
    seen: list[bytes] = []

    def look(frame: Frame) -> list[Region]:
        seen.append(frame.encoded or b"")
        return [FACE]

    with finding(look) as engine:
        data, _ = engine.hide_image_bytes(source, PLAN, format="JPEG")
    assert seen == [strip_metadata(source, "JPEG")]
    assert b"taken at home" not in seen[0]
    assert data != source


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_no_metadata_is_left(format: str) -> None:
    source = encoded(PIXELS, "JPEG", comment=b"taken at home")
    assert b"taken at home" in source
    with finding([FACE]) as engine:
        data, _ = engine.hide_image_bytes(source, PLAN, format=format)  # type: ignore[arg-type]
    assert b"taken at home" not in data


def test_a_jpeg_is_coded_like_the_source_unless_a_quality_is_given() -> None:
    with finding([FACE]) as engine:
        like, told = engine.hide_image_bytes(encoded(PIXELS, "JPEG"), PLAN, format="JPEG")
        small, _ = engine.hide_image_bytes(encoded(PIXELS, "JPEG"), PLAN, format="JPEG", quality=10)
    assert "of the source" in told.encoding
    assert len(small) < len(like)
    assert decoded(like).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("data", "limits", "error"),
    [
        (b"", Limits(), BadInput),
        (encoded(PIXELS, "JPEG")[:900], Limits(), BadInput),
        (encoded(PIXELS), Limits(pixels=99), LimitExceeded),
    ],
)
def test_bytes_that_are_no_image_are_refused(data: bytes, limits: Limits, error: type[Exception]) -> None:
    with finding([FACE], limits) as engine, pytest.raises(error):
        engine.hide_image_bytes(data, PLAN)


def test_impossible_output_options_are_refused() -> None:
    with finding([FACE]) as engine:
        with pytest.raises(BadPlan, match="quality"):
            engine.hide_image_bytes(encoded(PIXELS), PLAN, format="JPEG", quality=101)
        with pytest.raises(BadPlan, match="PNG, JPEG"):
            engine.hide_image_bytes(encoded(PIXELS), PLAN, format="GIF")  # type: ignore[arg-type]


def test_a_failing_part_is_named() -> None:
    def fail(frame: Frame) -> list[Region]:
        raise KeyError("lost")

    with finding(fail) as engine, pytest.raises(PluginFault, match="lost"):
        engine.hide_image_bytes(encoded(PIXELS), PLAN)


def test_images_of_several_threads_are_not_mixed_up() -> None:
    barrier = threading.Barrier(4)

    def where(frame: Frame) -> list[Region]:
        barrier.wait(20)
        x = int(frame.rgb(frame.width, frame.height)[0, 0, 0])
        return [Region(Box(x, 10, x + 5, 20), "face", 0.9)]

    def one(x: int) -> bool:
        pixels = PIXELS.copy()
        pixels[0, 0] = x
        data, _ = engine.hide_image_bytes(encoded(pixels), PLAN)
        pixels[10:20, x : x + 5] = 0
        return np.array_equal(decoded(data), pixels)

    with finding(where) as engine, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(1, 41)))
