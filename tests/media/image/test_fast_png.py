"""Fast PNG encoding: exactly the pixels, for every reader, written in bands that no reader notices."""

import io
import itertools
import zlib

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from velum.errors import BadInput, BadPlan
from velum.media.image import fast_png
from velum.media.image.fast_png import encode_png

Bytes = npt.NDArray[np.uint8]


def photo(height: int, width: int, *channels: int) -> Bytes:
    """Return a smooth picture with a little noise, as photographs are."""
    made = np.random.default_rng(height * width).normal(0, 3, (height, width, *channels))
    made += np.linspace(0, 255, width).reshape((1, width) + (1,) * len(channels))
    return np.clip(made, 0, 255).astype(np.uint8)


def seen_by_pillow(data: bytes) -> Bytes:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


SHAPES = [
    ((1, 1), "the smallest, grey"),
    ((1, 1, 3), "the smallest, colour"),
    ((3, 70_000, 3), "a row is almost a band"),
    ((2, 100_000, 3), "a row is more than a band"),
    ((700, 401), "several bands of grey, the last shorter"),
    ((601, 403, 3), "several bands of colour, the last shorter"),
]


@pytest.mark.parametrize(("shape", "why"), SHAPES)
@pytest.mark.parametrize("effort", range(4))
def test_every_reader_decodes_the_same_pixels(shape: tuple[int, ...], why: str, effort: int) -> None:
    pixels = photo(*shape)
    data = encode_png(pixels, effort=effort)
    assert np.array_equal(seen_by_pillow(data), pixels), why
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert by_opencv is not None
    assert np.array_equal(by_opencv[..., ::-1] if pixels.ndim == 3 else by_opencv, pixels), why


def test_the_zlib_stream_is_complete_with_a_right_checksum() -> None:
    data = encode_png(photo(700, 401))
    at, stream, names = 8, b"", []
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        content = data[at + 8 : at + 8 + size]
        assert int.from_bytes(data[at + 8 + size : at + 12 + size]) == zlib.crc32(name + content)
        names.append(name)
        stream += content if name == b"IDAT" else b""
        at += 12 + size
    assert set(names) == {b"IHDR", b"IDAT", b"IEND"}
    inflater = zlib.decompressobj()
    assert len(inflater.decompress(stream)) == 700 * 402
    assert inflater.eof, "zlib has compared the Adler-32"
    assert not inflater.unused_data


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 300), max_size=5))
def test_checksums_of_parts_combine_to_that_of_the_whole(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[start:end] for start, end in itertools.pairwise(edges)]
    bands = [(zlib.adler32(part), len(part)) for part in parts]
    assert fast_png._combine_adler32(bands) == zlib.adler32(data)


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (np.s_[::-1, ::-1], "turned by half"),
        (np.s_[::2, 1::3], "every so manieth"),
        (np.s_[10:400, 5:99], "a part"),
    ],
)
def test_array_views_are_written_as_they_look(view: tuple[slice, slice], why: str) -> None:
    pixels = photo(500, 600, 3)
    before = pixels.copy()
    assert np.array_equal(seen_by_pillow(encode_png(pixels[view])), pixels[view]), why
    turned = pixels.swapaxes(0, 1)
    assert np.array_equal(seen_by_pillow(encode_png(turned)), turned)
    assert np.array_equal(pixels, before)


def test_photographs_take_no_more_bytes_than_with_pillow() -> None:
    pixels = photo(1080, 1920, 3)
    usual = cv2.imencode(".png", pixels)[1]
    assert len(encode_png(pixels)) < 1.1 * len(usual)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((4, 4), np.uint16), "16 bits"),
        (np.zeros((4, 4, 4), np.uint8), "alpha"),
        (np.zeros((0, 4, 3), np.uint8), "nothing"),
        (np.zeros(4, np.uint8), "a line"),
    ],
)
def test_other_arrays_are_refused(array: Bytes, why: str) -> None:
    with pytest.raises(BadInput, match="must be uint8"):
        encode_png(array)


def test_unknown_efforts_are_refused() -> None:
    with pytest.raises(BadPlan, match="0, 1, 2 or 3"):
        encode_png(photo(2, 2), effort=9)
