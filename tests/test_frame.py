"""Frames, planes and orientation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from velum.errors import BadInput
from velum.frame import Frame, Orientation, Plane, Role, Samples
from velum.region import Box

exif = st.integers(1, 8)
boxes = st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(1, 4), st.integers(1, 3)).map(
    lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_agrees_with_pillow(value: int) -> None:
    stored = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = value
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(Orientation.from_exif(value).upright(stored), expected)


@given(exif, boxes)
def test_a_box_of_the_upright_image_covers_the_same_samples_as_stored(value: int, box: Box) -> None:
    width, height = 13, 9
    orientation = Orientation.from_exif(value)
    columns, rows = orientation.stored_size(width, height)
    stored = np.arange(columns * rows, dtype=np.uint16).reshape(rows, columns)
    seen = orientation.upright(stored)[box.slices]
    cut = stored[orientation.stored_box(box, width, height).slices]
    assert np.array_equal(orientation.upright(cut), seen)
    mask = seen % 2 == 0
    assert np.array_equal(orientation.stored_mask(mask), cut % 2 == 0)


@given(boxes, st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 1)]), st.integers(0, 2**32 - 1))
def test_a_subsampled_mask_holds_every_touched_sample(box: Box, scale: tuple[int, int], seed: int) -> None:
    plane = Plane(np.zeros((16, 16), np.uint8), Role.CHROMA, *scale)
    mask = np.random.default_rng(seed).random((box.height, box.width)) < 0.3
    cover, reduced = plane.cover(box), plane.reduce(mask, box)
    assert reduced.shape == (cover.height, cover.width)
    for row, column in np.ndindex(reduced.shape):
        x, y = (cover.x0 + column) * scale[0], (cover.y0 + row) * scale[1]
        touched = [
            mask[yy - box.y0, xx - box.x0]
            for yy in range(max(y, box.y0), min(y + scale[1], box.y1))
            for xx in range(max(x, box.x0), min(x + scale[0], box.x1))
        ]
        assert reduced[row, column] == any(touched)


@pytest.mark.parametrize(
    ("role", "bits", "limited", "black"),
    [
        (Role.RGB, 8, False, (0, 0, 0)),
        (Role.RGBA, 16, False, (0, 0, 0, 65535)),  # opaque, or the outline of what is hidden would show
        (Role.CMYK, 8, False, (0, 0, 0, 255)),
        (Role.LUMA, 8, True, (16,)),
        (Role.LUMA, 10, True, (64,)),
        (Role.LUMA, 8, False, (0,)),
        (Role.CHROMA, 10, True, (512,)),
    ],
)
def test_black_has_its_value_in_each_kind_of_plane(
    role: Role, bits: int, limited: bool, black: tuple[int, ...]
) -> None:
    shape = (2, 2, role.channels) if role.channels > 1 else (2, 2)
    samples: Samples = np.zeros(shape, np.uint8) if bits == 8 else np.zeros(shape, np.uint16)
    plane = Plane(samples, role, bits=bits, limited=limited)
    assert plane.black == black


@pytest.mark.parametrize(
    ("role", "colour", "rgb"),
    [
        (Role.RGB, (10, 20, 30), (10, 20, 30)),
        (Role.RGBA, (10, 20, 30, 0), (10, 20, 30)),  # what is transparent is still in the file
        (Role.GREY, 7, (7, 7, 7)),
        (Role.GREY_ALPHA, (7, 0), (7, 7, 7)),
        (Role.CMYK, (255, 0, 0, 0), (0, 255, 255)),
        (Role.CMYK, (0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_every_role_of_plane_has_an_rgb_view(
    role: Role, colour: int | tuple[int, ...], rgb: tuple[int, int, int]
) -> None:
    pixels = np.empty((4, 6, role.channels) if role.channels > 1 else (4, 6), np.uint8)
    pixels[...] = colour
    for size in ((6, 4), (3, 2), (12, 8)):
        view = Frame.of(Plane(pixels, role)).rgb(*size)
        assert view.shape == (size[1], size[0], 3)
        assert (view == rgb).all()
    deep: Samples = pixels.astype(np.uint16) * np.uint16(256)
    assert (Frame.of(Plane(deep, role, bits=16)).rgb(6, 4) == rgb).all()


@pytest.mark.parametrize("value", range(1, 9))
def test_the_rgb_view_of_a_part_is_upright(value: int) -> None:
    orientation = Orientation.from_exif(value)
    columns, rows = orientation.stored_size(40, 30)
    stored = np.random.default_rng(value).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    frame = Frame.of(Plane(stored, Role.RGB), orientation=orientation)
    assert (frame.width, frame.height) == (40, 30)
    box = Box(3, 4, 33, 14)
    assert np.array_equal(frame.rgb(30, 10, box), orientation.upright(stored)[box.slices])
    assert frame.rgb(15, 5, box).shape == (5, 15, 3)


SMALLER = [
    ((48, 64), (32, 24), "half"), ((48, 64), (16, 12), "a quarter: two halves"), ((48, 64), (21, 16), "a third"),
    ((48, 64), (24, 18), "a half and then some"), ((45, 63), (20, 15), "odd sides cannot be halved"),
    ((48, 64), (60, 44), "less than a half"), ((48, 64), (8, 24), "more across than down"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "size", "reason"), SMALLER)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_smaller_view_averages_samples(
    shape: tuple[int, int], size: tuple[int, int], reason: str, kind: type[np.uint8]
) -> None:
    """Lines of one sample, light and dark in turn, are grey from afar; a slope stays where it is."""
    rows, columns = np.indices(shape)
    bits = 8 * np.dtype(kind).itemsize
    slope = Plane((columns * (200 << (bits - 8)) // shape[1]).astype(kind), Role.GREY, bits=bits)
    seen = Frame.of(slope).grey(*size).astype(float)
    expected = (np.arange(size[0]) + 0.5) * 200 / size[0]
    assert np.abs(seen - expected).max() <= 200 / size[0] + 2, reason
    if size[0] * 2 <= shape[1] and shape[1] % 2 == 0 and size[1] * 2 <= shape[0]:
        lines = Plane(((rows + columns) % 2 * (200 << (bits - 8))).astype(kind), Role.GREY, bits=bits)
        assert np.abs(Frame.of(lines).grey(*size).astype(float) - 100).max() <= 2, reason


def test_a_plane_must_have_the_channels_of_its_role() -> None:
    with pytest.raises(BadInput, match="3 channels"):
        Plane(np.zeros((4, 4), np.uint8), Role.RGB)
    with pytest.raises(BadInput, match="uint8 or uint16"):
        Plane(np.zeros((4, 4), np.float32), Role.GREY)  # type: ignore[arg-type]


@pytest.mark.parametrize(("bits", "limited"), [(8, True), (8, False), (10, True)])
@pytest.mark.parametrize("scale", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("rgb", [(255, 255, 255), (0, 0, 0), (200, 40, 90), (10, 220, 30)])
def test_luma_and_chroma_give_the_right_rgb_view(
    bits: int, limited: bool, scale: tuple[int, int], rgb: tuple[int, int, int]
) -> None:
    red, green, blue = rgb
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    chroma = (blue - luma) / 1.772, (red - luma) / 1.402
    low, reach, swing = (16, 219, 224) if limited else (0, 255, 255)
    levels = low + luma * reach / 255, *(128 + part * swing / 255 for part in chroma)
    planes: list[Plane] = []
    for level, (across, down) in zip(levels, ((1, 1), scale, scale), strict=True):
        value = round(level * (1 << (bits - 8)))
        filled = np.full((-(-9 // down), -(-13 // across)), value)
        pixels: Samples = filled.astype(np.uint8) if bits == 8 else filled.astype(np.uint16)
        planes.append(Plane(pixels, Role.CHROMA if planes else Role.LUMA, across, down, bits, limited))
    view = Frame(tuple(planes), 13, 9).rgb(13, 9)
    assert np.abs(view.astype(int) - rgb).max() <= 4
