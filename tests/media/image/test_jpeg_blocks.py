"""JPEG to JPEG: blocks outside regions keep their coefficients, and those inside keep nothing."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from velum import Engine
from velum.annotations import Annotations
from velum.errors import VelumError
from velum.media.image import jpeg_blocks, turbojpeg
from velum.media.image.info import Jpeg
from velum.plan import Plan, Rule
from velum.region import Box, Region
from velum.spec import PartSpec

needs_turbo = pytest.mark.skipif(
    not turbojpeg.available(), reason="no TurboJPEG library here (Debian: apt-get install libturbojpeg0)"
)
PLAN = Plan((Rule("zone", PartSpec("centerface"), PartSpec("blacken"), grow=0),))
Coefficients = dict[tuple[int, int], turbojpeg.Blocks]


def photo(width: int, height: int, *, grey: bool = False, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 230, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.integers(-12, 12, (height, width, 3))
    image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    return image.convert("L") if grey else image


def of(data: bytes) -> Coefficients:
    found: Coefficients = {}
    turbojpeg.coefficients(data, lambda component, row, blocks: found.update({(component, row): blocks.copy()}))
    return found


def hidden(source: Path, *boxes: Box, size: tuple[int, int], plan: Plan = PLAN) -> tuple[bytes, str]:
    target = source.with_name("out.jpg")
    with Engine() as engine:
        regions = Annotations(*size, {0: tuple(Region(box, "zone") for box in boxes)})
        report = engine.hide(source, target, plan, regions=regions, overwrite=True)
    return target.read_bytes(), report.encoding


def changed(before: Coefficients, after: Coefficients, unit: int) -> set[tuple[int, int]]:
    """Return the units (across, down) in which any coefficient has changed; `unit` luma blocks across and down."""
    assert before.keys() == after.keys()
    found = set()
    for (component, row), blocks in before.items():
        per_unit = unit if component == 0 else 1
        for column in np.nonzero((blocks != after[component, row]).any(axis=1))[0]:
            found.add((int(column) // per_unit, row // per_unit))
    return found


ROWS: list[tuple[str, tuple[int, int], dict[str, Any], int]] = [
    ("4:2:0", (96, 80), {"subsampling": "4:2:0"}, 2),
    ("4:4:4", (96, 80), {"subsampling": "4:4:4"}, 1),
    ("odd size", (101, 77), {"subsampling": "4:2:0"}, 2),
    ("odd size, 4:4:4", (101, 77), {"subsampling": "4:4:4"}, 1),
    ("progressive", (101, 77), {"subsampling": "4:2:0", "progressive": True}, 2),
    ("restart markers", (96, 80), {"subsampling": "4:2:0", "restart_marker_blocks": 2}, 2),
    ("best quality", (96, 80), {"quality": 100, "subsampling": "4:4:4"}, 1),
    ("poor quality", (96, 80), {"quality": 12, "subsampling": "4:2:0"}, 2),
    ("two tables of its own", (96, 80), {"qtables": [[7] * 64, [9] * 64], "subsampling": "4:2:0"}, 2),
    ("one table", (96, 80), {"qtables": [list(range(1, 65))], "subsampling": "4:4:4"}, 1),
    ("red, green, blue", (96, 80), {"keep_rgb": True, "subsampling": "4:4:4"}, 1),
    ("best Huffman codes", (96, 80), {"optimize": True, "subsampling": "4:2:0"}, 2),
]


@needs_turbo
@pytest.mark.parametrize(("size", "options", "unit"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_blocks_outside_all_regions_keep_their_coefficients(
    tmp_path: Path, size: tuple[int, int], options: dict[str, Any], unit: int
) -> None:
    source = tmp_path / "in.jpg"
    photo(*size).save(source, "JPEG", **{"quality": 85, **options})
    box = Box(19, 21, 50, 47)
    data, encoding = hidden(source, box, size=size)
    assert encoding == "exact: jpeg, only the blocks that a region touches are coded anew"
    side = 8 * unit
    touched = {(x // side, y // side) for x in range(box.x0, box.x1) for y in range(box.y0, box.y1)}
    assert changed(of(source.read_bytes()), of(data), unit) == touched
    with Image.open(io.BytesIO(data)) as image, Image.open(source) as before:
        assert image.info.get("progressive") == before.info.get("progressive")
        assert vars(image)["quantization"] == vars(before)["quantization"]
        inner = np.asarray(image)[24:47, 24:48]
    assert inner.max() <= 60, "black, but for what the blocks' other pixels make of it"


@needs_turbo
@pytest.mark.parametrize("subsampling", ["4:2:2"])
def test_coded_units_that_are_wider_than_high_are_edited(tmp_path: Path, subsampling: str) -> None:
    source = tmp_path / "in.jpg"
    photo(96, 80).save(source, "JPEG", subsampling=subsampling)
    data, encoding = hidden(source, Box(17, 17, 31, 23), size=(96, 80))
    assert encoding.startswith("exact")
    before, after = of(source.read_bytes()), of(data)
    different = {
        (component, row, int(column))
        for (component, row), blocks in before.items()
        for column in np.nonzero((blocks != after[component, row]).any(axis=1))[0]
    }
    assert different <= {(0, 2, 2), (0, 2, 3), (1, 2, 1), (2, 2, 1)}
    assert (0, 2, 2) in different


@needs_turbo
def test_grey_jpegs_are_edited_block_by_block(tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    photo(50, 42, grey=True).save(source, "JPEG", quality=90)
    data, encoding = hidden(source, Box(8, 8, 24, 16), size=(50, 42))
    assert encoding.startswith("exact")
    assert changed(of(source.read_bytes()), of(data), 1) == {(1, 1), (2, 1)}
    assert not np.asarray(Image.open(io.BytesIO(data)))[8:16, 8:24].any()


@needs_turbo
def test_no_coefficient_of_a_hidden_region_is_left(tmp_path: Path) -> None:
    """Two pictures that differ under the region alone, in units that it covers, become the same file."""
    results = []
    for seed in (1, 2):
        pixels = np.asarray(photo(96, 80)).copy()
        pixels[16:48, 16:64] = np.asarray(photo(48, 32, seed=seed))
        source = tmp_path / f"{seed}.jpg"
        Image.fromarray(pixels).save(source, "JPEG", quality=90, subsampling="4:2:0")
        results.append(hidden(source, Box(16, 16, 64, 48), size=(96, 80))[0])
    assert results[0] == results[1]


@needs_turbo
@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_with_an_orientation_are_edited_at_the_right_place(tmp_path: Path, orientation: int) -> None:
    source = tmp_path / "in.jpg"
    exif = Image.Exif()
    exif[274] = orientation
    photo(96, 80).save(source, "JPEG", subsampling="4:2:0", exif=exif)
    size = (80, 96) if orientation >= 5 else (96, 80)
    data, encoding = hidden(source, Box(0, 0, 16, 16), size=size)
    assert encoding.startswith("exact")
    (unit,) = changed(of(source.read_bytes()), of(data), 2)
    assert unit in {(0, 0), (5, 0), (0, 4), (5, 4)}
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[274] == orientation if orientation > 1 else 274 not in image.getexif()
        upright = np.asarray(_upright(image))
    assert upright[:14, :14].max() == 0, "at the very edge the colour of the neighbours shines in"
    assert upright[20:, 20:].min() > 0


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps  # noqa: PLC0415

    return ImageOps.exif_transpose(image)


@needs_turbo
def test_metadata_is_removed_but_for_the_kinds_that_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    exif = Image.Exif()
    exif[306], exif[270] = "2024:05:06 07:08:09", "of a secret"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo(96, 80).save(source, "JPEG", exif=exif, comment=b"secret", icc_profile=icc, dpi=(300, 300))
    source.write_bytes(source.read_bytes() + b"secret behind the end")
    data, encoding = hidden(source, Box(0, 0, 9, 9), size=(96, 80), plan=replace(PLAN, metadata=("datetime",)))
    assert encoding.startswith("exact")
    assert b"secret" not in data
    assert data.endswith(b"\xff\xd9")
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[306] == "2024:05:06 07:08:09"
        assert (image.info["icc_profile"], image.info["dpi"]) == (icc, (300, 300))


@pytest.mark.slow
@needs_turbo
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(1, 70), height=st.integers(1, 70), subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    progressive=st.booleans(), corners=st.lists(st.tuples(*[st.integers(0, 80)] * 4), max_size=4),
)  # fmt: skip
def test_any_size_with_any_regions_is_edited(
    tmp_path: Path, width: int, height: int, subsampling: str, *, progressive: bool, corners: list[Any]
) -> None:
    source = tmp_path / "in.jpg"
    photo(width, height).save(source, "JPEG", subsampling=subsampling, progressive=progressive)
    boxes = [Box(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners]
    boxes = [inside for box in boxes if (inside := box.clip(width, height)) is not None]
    data, encoding = hidden(source, *boxes, size=(width, height))
    assert encoding.startswith("exact")
    before, after = of(source.read_bytes()), of(data)
    wide, high = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}[subsampling]
    touched = np.zeros((-(-height // (8 * high)), -(-width // (8 * wide))), bool)
    for box in boxes:
        touched[box.y0 // (8 * high) : -(-box.y1 // (8 * high)), box.x0 // (8 * wide) : -(-box.x1 // (8 * wide))] = True
    for (component, row), blocks in before.items():
        across, down = (wide, high) if component == 0 else (1, 1)
        kept = ~np.repeat(touched[row // down], across)[: len(blocks)]
        assert (blocks[kept] == after[component, row][kept]).all()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (width, height)
        image.load()


@pytest.mark.slow
@needs_turbo
@given(st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject) -> None:
    memory = io.BytesIO()
    photo(40, 40).save(memory, "JPEG")
    damaged = bytearray(memory.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(2, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(2, len(damaged))) :]
    source = Jpeg(((1,) * 64,), "4:2:0", progressive=False, rgb=False, data=bytes(damaged))
    plane = _plane()
    try:
        made = jpeg_blocks.edit_blocks(
            source, plane, ((Box(0, 0, 9, 9), None),), {"qtables": [[1] * 64], "subsampling": "4:2:0"}
        )
    except (jpeg_blocks.Inexact, VelumError):
        return
    assert made.startswith(b"\xff\xd8")


@needs_turbo
def test_a_header_with_more_rows_than_the_image_is_refused() -> None:
    memory = io.BytesIO()
    photo(40, 40).save(memory, "JPEG")
    data = bytearray(memory.getvalue())
    height = data.index(b"\xff\xc0") + 5
    data[height : height + 2] = (808).to_bytes(2, "big")
    source = Jpeg(((1,) * 64,), "4:2:0", progressive=False, rgb=False, data=bytes(data))
    options = {"qtables": [[1] * 64], "subsampling": "4:2:0"}
    with pytest.raises(jpeg_blocks.Inexact, match="more rows"):
        jpeg_blocks.edit_blocks(source, _plane(), ((Box(0, 0, 9, 9), None),), options)


def _plane() -> Any:
    from velum.frame import Plane, Role  # noqa: PLC0415

    return Plane(np.asarray(photo(40, 40)).copy(), Role.RGB)


def test_without_turbojpeg_the_whole_image_is_encoded_anew_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turbojpeg, "_library", lambda: None)
    source = tmp_path / "in.jpg"
    photo(96, 80).save(source, "JPEG", subsampling="4:2:0")
    target = tmp_path / "out.jpg"
    with Engine() as engine:
        regions = Annotations(96, 80, {0: (Region(Box(16, 16, 32, 32), "zone"),)})
        report = engine.hide(source, target, PLAN, regions=regions)
    assert report.encoding == (
        "re-encoded: jpeg, quantisation tables and 4:2:0 of the source (not exact: no TurboJPEG library here)"
    )
    (warning,) = report.warnings
    assert "libturbojpeg0" in warning
    data = target.read_bytes()
    assert np.asarray(Image.open(io.BytesIO(data)))[18:30, 18:30].max() < 20
    with pytest.raises(turbojpeg.TurboJpegError):
        turbojpeg.coefficients(data, lambda *_: None)


# Decoders take the last one for luma and chroma, because it is marked as JFIF, too.
UNUSUAL: list[dict[str, Any]] = [
    {}, {"progressive": True}, {"subsampling": "4:2:2"}, {"keep_rgb": True}, {"keep_rgb": True, "dpi": (72, 72)}
]  # fmt: skip


@pytest.mark.parametrize("options", UNUSUAL, ids=str)
def test_a_jpeg_in_which_nothing_is_hidden_keeps_its_samples_and_nothing_else(
    tmp_path: Path, has_turbojpeg: bool, options: dict[str, Any]
) -> None:
    source, exif = tmp_path / "in.jpg", Image.Exif()
    exif[0x010E] = "Ada"
    photo(96, 80).save(source, "JPEG", exif=exif, comment=b"Ada", **options)
    before = source.read_bytes()
    source.write_bytes(before + b"Ada")
    data, encoding = hidden(source, size=(96, 80))
    assert encoding.startswith("exact: jpeg")
    assert b"Ada" not in data
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(before))), np.asarray(Image.open(io.BytesIO(data))))
    if not has_turbojpeg:
        scan = before[before.index(b"\xff\xda") :]
        assert data.endswith(scan)


@needs_turbo
@pytest.mark.parametrize("why", ["arithmetic", "uncommon components"])
def test_a_jpeg_that_cannot_be_edited_says_why(tmp_path: Path, why: str) -> None:
    if why == "arithmetic":
        memory = io.BytesIO()
        photo(40, 40).save(memory, "JPEG")
        data = memory.getvalue().replace(b"\xff\xc0", b"\xff\xc9", 1)
        with pytest.raises(jpeg_blocks.Inexact, match="arithmetic"):
            jpeg_blocks.edit_blocks(Jpeg((), "4:2:0", progressive=False, rgb=False, data=data), _plane(), (), {})
        return
    source = tmp_path / "in.jpg"
    photo(40, 40).convert("CMYK").save(source, "JPEG")
    assert "not exact: uncommon components" in hidden(source, Box(0, 0, 9, 9), size=(40, 40))[1]
