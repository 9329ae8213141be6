"""What each technique does to samples, at each degree."""

import math
from collections.abc import Callable, Mapping

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from velum.errors import BadPlan
from velum.frame import Plane, Role, Samples
from velum.plugins import Patch, Technique
from velum.techniques.blacken import Blacken
from velum.techniques.blur import Blur
from velum.techniques.fill import Fill
from velum.techniques.pixelate import SMALLEST_CELL, Pixelate
from velum.testing import check_technique

degrees = st.floats(0, 1)


def patch_of(pixels: Samples, bits: int = 8) -> Patch:
    return Patch((Plane(pixels, Role.RGB, bits=bits),), (None,), pixels.shape[1], pixels.shape[0])


def noise(width: int = 80, height: int = 60, bits: int = 8) -> Samples:
    drawn = np.random.default_rng(0).integers(0, 1 << bits, (height, width, 3))
    return drawn.astype(np.uint8) if bits == 8 else drawn.astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("degree", [0, 0.25, 0.5, 1])
def test_blacken_blends_with_black(degree: float, bits: int) -> None:
    pixels = noise(bits=bits)
    expected = np.rint(pixels * (1 - degree))
    Blacken(degree).hide(patch_of(pixels, bits))
    assert np.abs(pixels.astype(np.float64) - expected).max() <= 1


def test_only_solid_black_destroys_without_a_warning() -> None:
    assert Blacken().destroys
    assert Blacken().warning is None
    assert not Blacken(0.99).destroys
    assert "can be undone" in str(Blacken(0.99).warning)


@pytest.mark.parametrize(
    ("degree", "width", "height", "grid"),
    [
        (1, 200, 200, (1, 1)),  # one colour
        (0.5, 200, 200, (2, 2)),
        (0.1, 200, 200, (10, 10)),
        (0.05, 200, 200, (20, 20)),  # 1 / 0.05 must not become 19
        (0.1, 200, 100, (10, 5)),  # square cells
        (0.1, 4000, 4000, (10, 10)),  # a large region is not hidden less
        (0.01, 40, 40, (10, 10)),  # no cell under 4 pixels
        (0, 40, 20, (10, 5)),
        (0.1, 3, 3, (1, 1)),
        (0.3, 1, 1, (1, 1)),
    ],
)
def test_pixelate_makes_the_documented_grid(degree: float, width: int, height: int, grid: tuple[int, int]) -> None:
    assert Pixelate(degree).grid(width, height) == grid


@given(degrees, st.integers(1, 3000), st.integers(1, 3000))
def test_pixelate_never_has_more_or_smaller_cells_than_documented(degree: float, width: int, height: int) -> None:
    columns, rows = Pixelate(degree).grid(width, height)
    assert columns >= 1
    assert rows >= 1
    for cells, side in ((columns, width), (rows, height)):
        assert cells == 1 or side / cells >= SMALLEST_CELL
        assert degree == 0 or cells <= round(1 / degree, 9) or cells == 1


def test_pixelate_fills_cells_with_their_mean_colour() -> None:
    pixels = noise(80, 80)
    means = pixels.reshape(4, 20, 4, 20, 3).mean(axis=(1, 3))
    Pixelate(0.25).hide(patch_of(pixels))
    cells = pixels.reshape(4, 20, 4, 20, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    assert np.abs(cells[:, 0, :, 0] - means).max() <= 1


@pytest.mark.parametrize("side", [30, 120, 400])
@pytest.mark.parametrize("degree", [0.1, 0.5, 1])
def test_blur_is_at_least_as_strong_as_its_gaussian(degree: float, side: int) -> None:
    pixels = noise(side, side)
    sigma = Blur(degree).sigma_pixels(side, side)
    assert sigma >= 25 * degree
    exact = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    Blur(degree).hide(patch_of(pixels))
    assert pixels.std() <= exact.std() + 1


def test_blur_grows_with_the_region() -> None:
    assert Blur(1).sigma_pixels(400, 800) == 100
    assert Blur(0.5).sigma_pixels(40, 40) == 12.5


@pytest.mark.parametrize("technique", [Blacken(0), Blur(0)])
def test_degree_zero_changes_nothing(technique: Technique) -> None:
    pixels = noise()
    technique.hide(patch_of(pixels))
    assert np.array_equal(pixels, noise())


@pytest.mark.parametrize("technique", [Blacken, Blur, Pixelate])
@pytest.mark.parametrize("degree", [-0.1, 1.1, float("nan")])
def test_degree_must_be_from_0_to_1(technique: type, degree: float) -> None:
    with pytest.raises(BadPlan, match="from 0"):
        technique(degree)


@pytest.mark.parametrize(
    ("technique", "doubtful"),
    [
        (Blur(1), False),
        (Blur(0.75), True),
        (Blur(0.5), True),
        (Blur(0.1), True),
        (Pixelate(0.2), False),
        (Pixelate(0.125), False),
        (Pixelate(0.1), True),
        (Pixelate(0.07), True),
        (Pixelate(0), True),
    ],
)
def test_warns_of_weak_settings(technique: Blur | Pixelate, doubtful: bool) -> None:
    assert (technique.warning is not None) is doubtful


def face(width: int, height: int) -> Samples:
    """Bright, with two dark eyes and a mouth: contrast of the kind that identifies."""
    pixels = np.full((height, width, 3), 230, np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 3] = 10
    pixels[height // 4 : height // 2, 2 * width // 3 : 3 * width // 4] = 10
    pixels[2 * height // 3 : 3 * height // 4, width // 3 : 2 * width // 3] = 40
    return pixels


def by_the_bmw_api(name: str, pixels: Samples, degree: float, repeats: int) -> Samples:
    """What its filters, which are Pillow's, make of a region that they go over again and again."""
    image = Image.fromarray(pixels)
    for _ in range(repeats):
        if name == "blur":
            image = image.filter(ImageFilter.GaussianBlur(25 * degree))
        elif name == "blacken":
            image = Image.blend(image, Image.new("RGB", image.size), degree)
        else:
            cells = math.floor(1 / degree + 1e-9)
            image = image.resize((cells, cells), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.NEAREST)
    return np.asarray(image)


REPEATING: Mapping[str, Callable[..., Technique]] = {"blacken": Blacken, "blur": Blur, "pixelate": Pixelate}


@pytest.mark.parametrize("objects", [1, 2, 5, 12, 40])
@pytest.mark.parametrize("degree", [0.05, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("name", REPEATING)
def test_leaves_no_more_contrast_than_the_repeated_passes_of_the_bmw_api(
    name: str, degree: float, objects: int
) -> None:
    for source in (noise(80, 80), face(80, 80), face(40, 120)):
        pixels, theirs = source.copy(), by_the_bmw_api(name, source, degree, objects)
        height, width = pixels.shape[:2]
        patch = Patch((Plane(pixels, Role.RGB),), (None,), width, height, objects=objects)
        REPEATING[name](degree, per_object=1).hide(patch)
        if name == "blacken":
            assert (pixels <= theirs).all()
        assert pixels.std(axis=(0, 1)).mean() <= theirs.std(axis=(0, 1)).mean() + 0.5


def test_passes_blend_towards_the_black_of_the_plane() -> None:
    for bits, black in ((8, 16), (10, 64)):
        values = np.arange(1 << bits)[None].repeat(4, 0)
        luma: Samples = values.astype(np.uint8) if bits == 8 else values.astype(np.uint16)
        chroma = luma.copy()
        planes = (Plane(luma, Role.LUMA, bits=bits, limited=True), Plane(chroma, Role.CHROMA, bits=bits))
        Blacken(0.5, per_object=1).hide(Patch(planes, (None, None), 1 << bits, 4, objects=12))
        assert np.abs(luma.astype(int) - black).max() <= 1
        assert (chroma == 1 << (bits - 1)).all()


def test_counts_passes_by_overlaps_of_outlines_and_by_number_of_boxes() -> None:
    for options, left in (({}, 127), ({"per_overlap": 1}, 63), ({"per_object": 1}, 31), ({"per_object": 2}, 3)):
        pixels = np.full((4, 4, 3), 254, np.uint8)
        Blacken(0.5, **options).hide(Patch((Plane(pixels, Role.RGB),), (None,), 4, 4, overlaps=2, objects=3))
        assert (pixels == left).all(), options


@pytest.mark.parametrize("name", REPEATING)
@pytest.mark.parametrize("value", [-1, 1001, 0.5, True, "2"])
def test_refuses_wrong_options_for_passes(name: str, value: object) -> None:
    for option in ("per_object", "per_overlap"):
        with pytest.raises(BadPlan, match=rf"{option} of {name} is .*from 0 to 1000"):
            REPEATING[name](0.5, **{option: value})


def test_many_passes_take_no_more_time_and_memory_than_few() -> None:
    pixels = noise(300, 200)
    Blur(1.0, per_object=1000).hide(Patch((Plane(pixels, Role.RGB),), (None,), 300, 200, objects=10**9))
    assert np.ptp(pixels, axis=(0, 1)).max() <= 1, "one colour"


@pytest.mark.parametrize(
    ("plane", "stored"),
    [
        (Plane(np.zeros((4, 4, 3), np.uint8), Role.RGB), (255, 128, 0)),
        (Plane(np.zeros((4, 4, 3), np.uint16), Role.RGB, bits=16), (65535, 32896, 0)),
        (Plane(np.zeros((4, 4, 4), np.uint8), Role.RGBA), (255, 128, 0, 255)),
        (Plane(np.zeros((4, 4, 4), np.uint8), Role.CMYK), (0, 127, 255, 0)),
        (Plane(np.zeros((4, 4), np.uint8), Role.GREY), (146,)),
        (Plane(np.zeros((4, 4), np.uint8), Role.GREY, view=np.arange(255, -1, -1, dtype=np.uint8)), (109,)),
        (Plane(np.zeros((4, 4), np.uint16), Role.LUMA, bits=10, limited=True), (565,)),
        (Plane(np.zeros((4, 4), np.uint8), Role.ALPHA), (255,)),
    ],
)
def test_fill_writes_the_colour_as_each_plane_stores_it(plane: Plane, stored: tuple[int, ...]) -> None:
    Fill("#ff8000").hide(Patch((plane,), (None,), 4, 4))
    assert np.array_equal(np.unique(plane.pixels.reshape(-1, len(stored)), axis=0), [stored])


@given(st.tuples(*[st.integers(0, 255)] * 3), st.booleans())
def test_fill_shows_its_colour_in_planes_of_luma_and_chroma(rgb: tuple[int, int, int], limited: bool) -> None:
    planes = tuple(Plane(np.zeros((2, 2), np.uint8), role, limited=limited) for role in (Role.LUMA, *[Role.CHROMA] * 2))
    Fill("#{:02x}{:02x}{:02x}".format(*rgb)).hide(Patch(planes, (None,) * 3, 2, 2))
    y, cb, cr = (float(plane.pixels[0, 0]) for plane in planes)
    luma, swing = ((y - 16) / 219, 224) if limited else (y / 255, 255)
    red, blue = luma + 1.5748 * (cr - 128) / swing, luma + 1.8556 * (cb - 128) / swing
    green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152
    assert np.abs(np.subtract((red, green, blue), np.divide(rgb, 255))).max() < 0.02


def test_fill_keeps_the_contract_of_techniques_and_refuses_other_colours() -> None:
    check_technique(Fill("yellow"))
    with pytest.raises(BadPlan, match=r"color of fill is 'mauve'; it must be of black, white, .* '#ff8000'"):
        Fill("mauve")
