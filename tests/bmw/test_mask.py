"""Masks of segmentation servers: each value is read as every label that it may stand for, or the mask is refused."""

import io
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from velum.bmw import mask
from velum.errors import BadInput

from .fake_inference_api import painted, voc_palette

Plane = npt.NDArray[np.uint8]
IDS: Plane = np.array([[0, 1, 1, 0, 2], [0, 0, 1, 0, 0], [3, 0, 0, 0, 2]], np.uint8)
SIZE = (5, 3)


def saved(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def coloured(ids: Plane, palette: list[int]) -> Image.Image:
    return Image.fromarray(np.array(palette, np.uint8).reshape(-1, 3)[ids])


def shallow(ids: Plane, bits: int) -> bytes:
    """Return a grey PNG of few bits, whose greys are the ids."""
    image = Image.fromarray(ids)
    image.putpalette(voc_palette(1 << bits))
    body = bytearray(saved(image, bits=bits))
    body[25] = 0  # the colour type: grey
    head, chunk = bytes(body[:8]), bytes(body[8:33])
    crc = zlib.crc32(chunk[4:21]).to_bytes(4)
    rest = bytes(body[33:])
    start = rest.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(rest[start : start + 4])
    return head + chunk[:21] + crc + rest[:start] + rest[end:]


def planes(ids: mask.Ids, size: tuple[int, int] = SIZE) -> dict[int, list[list[int]]]:
    """Return the pixels that the components of each label cover."""
    drawn: dict[int, Plane] = {}
    for label, box, inside in mask.components(ids):
        canvas = drawn.setdefault(label, np.zeros(size[::-1], np.uint8))
        canvas[box.slices] |= np.uint8(1) if inside is None else inside.astype(np.uint8)
    return {label: canvas.tolist() for label, canvas in sorted(drawn.items())}


PLAIN = {label: np.equal(IDS, label).astype(int).tolist() for label in range(4)}


def gif(ids: Plane, palette: list[int] | None = None) -> bytes:
    image = Image.fromarray(ids)
    image.putpalette(palette or voc_palette(4))
    return saved(image, "GIF")


@pytest.mark.parametrize(
    "body",
    [
        painted(IDS, voc_palette(4)),
        painted(IDS, voc_palette(21)),
        painted(IDS, voc_palette(256)),
        saved(Image.fromarray(IDS)),
        shallow(IDS, 2),
        shallow(IDS, 4),
        saved(coloured(IDS, voc_palette(4))),
        saved(coloured(IDS, voc_palette(4)), "BMP"),
        gif(IDS),
        gif(IDS, [grey for value in range(4) for grey in [value] * 3]),
    ],
    ids=[
        "2 bits",
        "8 bits",
        "all colours",
        "grey",
        "grey of 2 bits",
        "grey of 4 bits",
        "colours",
        "BMP",
        "GIF",
        "GIF of greys",
    ],
)
def test_reads_ids_from_every_image_mode(body: bytes) -> None:
    ids = mask.read(body, SIZE, 4, tuple(voc_palette(4)))
    assert planes(ids) == PLAIN


def test_reads_black_and_white_as_0_and_1() -> None:
    ids = mask.read(saved(Image.fromarray(IDS == 1)), SIZE, 2, None)
    assert planes(ids)[1] == PLAIN[1]


def test_reads_palette_indices_and_not_colours() -> None:
    body = painted(IDS, [7, 7, 7] * 4)
    assert planes(mask.read(body, SIZE, 4, (7, 7, 7) * 4)) == PLAIN


def test_a_colour_shared_by_labels_counts_for_each() -> None:
    palette = (0, 0, 0, 9, 9, 9, 5, 0, 0, 9, 9, 9)
    seen = planes(mask.read(saved(coloured(IDS, list(palette))), SIZE, 4, palette))
    assert seen[1] == seen[3] == np.isin(IDS, (1, 3)).astype(int).tolist()
    assert seen[2] == PLAIN[2]


def test_labels_beyond_a_short_palette_are_grey() -> None:
    grey = coloured(IDS, [0, 0, 0, 1, 2, 3, 2, 2, 2, 3, 3, 3])
    assert planes(mask.read(saved(grey), SIZE, 4, (0, 0, 0, 1, 2, 3))) == PLAIN


def test_a_merged_id_counts_for_every_label_whose_bits_it_has() -> None:
    seen = planes(mask.read(painted(IDS, voc_palette(5)), SIZE, 5, None, merged=True))
    assert seen == {**PLAIN, 1: np.isin(IDS, (1, 3)).astype(int).tolist(), 2: np.isin(IDS, (2, 3)).astype(int).tolist()}


def test_resizes_a_mask_to_the_image() -> None:
    ids = mask.read(painted(IDS, voc_palette(4)), (10, 9), 4, None)
    assert np.array_equal(ids.plane, IDS.repeat(3, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("body", "labels", "palette", "why"),
    [
        (b"", 4, None, "neither PNG, GIF nor BMP"),
        (b'{"data":null,"error":"Model not found","success":false}', 4, None, "Model not found"),
        (painted(IDS, voc_palette(4))[:60], 4, None, "damaged"),
        (painted(IDS, voc_palette(4))[:20], 4, None, "damaged"),
        (saved(Image.fromarray(IDS), "JPEG"), 4, None, "neither PNG, GIF nor BMP"),
        (saved(Image.fromarray(IDS).convert("RGBA")), 4, (0, 0, 0), "mode RGBA"),
        (saved(Image.fromarray(IDS.astype(np.uint16))), 4, None, "mode I;16"),
        (saved(coloured(IDS, voc_palette(4))), 4, None, "no palette"),
        (saved(coloured(IDS, voc_palette(4))), 4, tuple(voc_palette(3)), "colour [128, 128, 0]"),
        (painted(IDS, voc_palette(4)), 5, tuple(voc_palette(4)), "2 bits and the palette 4 colours for 5 labels"),
        (gif(IDS)[:-12], 4, None, "damaged"),
        (painted(np.zeros((2000, 2000), np.uint8), voc_palette(4)), 4, None, "2000 x 2000"),
    ],
    ids=[
        "nothing", "JSON", "cut off", "cut off in its header", "JPEG", "with alpha", "16 bits", "colours of no palette",
        "a strange colour", "ids that wrapped", "a GIF cut off", "much larger than the picture",
    ],
)  # fmt: skip
def test_refuses_masks_that_cannot_be_interpreted(
    body: bytes, labels: int, palette: tuple[int, ...] | None, why: str
) -> None:
    with pytest.raises(BadInput) as caught:
        mask.read(body, SIZE, labels, palette)
    assert why in str(caught.value)


def test_values_without_a_label_count_for_every_label() -> None:
    ids = mask.read(painted(IDS, voc_palette(4)), SIZE, 3, None)
    assert ids.has_unknown_values
    assert planes(ids) == {label: (np.isin(IDS, (label, 3))).astype(int).tolist() for label in range(3)}
    assert not mask.read(painted(IDS, voc_palette(4)), SIZE, 4, None).has_unknown_values


def test_separates_connected_components() -> None:
    found = [(label, box.xyxy) for label, box, _ in mask.components(mask.Ids(IDS, {1: [1], 2: [2]}))]
    assert sorted(found) == [(1, (1, 0, 3, 2)), (2, (4, 0, 5, 1)), (2, (4, 2, 5, 3))]


def test_merges_the_components_of_noise() -> None:
    noise = np.zeros((200, 200), np.uint8)
    noise[::3, ::3] = 1
    ((label, box, inside),) = mask.components(mask.Ids(noise, {1: [1]}))
    assert (label, box.xyxy) == (1, (0, 0, 199, 199))
    assert inside is not None
    assert np.array_equal(inside, noise[:199, :199] == 1)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)))
def test_components_cover_exactly_the_pixels_of_a_label(plane: Plane) -> None:
    size = (plane.shape[1], plane.shape[0])
    ids = mask.read(painted(plane, voc_palette(4)), size, 4, tuple(voc_palette(4)))
    present = {int(value) for value in np.unique(plane)}
    assert planes(ids, size) == {label: (plane == label).astype(int).tolist() for label in present}


@given(st.data())
def test_reports_a_damaged_mask(data: st.DataObject) -> None:
    body = bytearray(painted(IDS, voc_palette(4)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        ids = mask.read(bytes(body), SIZE, 4, tuple(voc_palette(4)))
    except BadInput:
        return
    assert ids.plane.shape == SIZE[::-1]


def test_ignores_an_impossible_bit_depth() -> None:
    good = saved(Image.fromarray(IDS))
    strange = good[12:24] + b"\0" + good[25:29]
    ids = mask.read(good[:8] + good[8:12] + strange + zlib.crc32(strange).to_bytes(4) + good[8:], SIZE, 4, None)
    assert np.array_equal(ids.plane, IDS)
