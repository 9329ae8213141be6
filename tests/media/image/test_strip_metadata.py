"""A file without its metadata: the same image, and nothing about the person who took it."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from velum.media.image.strip_metadata import strip_metadata

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 40, 3), np.uint8)
SECRET = b"Erika Mustermann"
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x010E] = SECRET.decode()
    made.get_ifd(0x8825)[1] = "N"
    return made


def saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def text() -> PngImagePlugin.PngInfo:
    made = PngImagePlugin.PngInfo()
    made.add_text("Author", SECRET.decode())
    return made


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"exif": exif(), "comment": SECRET, "icc_profile": ICC}),
        ("JPEG", {"exif": exif(), "progressive": True, "xmp": SECRET}),
        ("PNG", {"exif": exif(), "pnginfo": text(), "icc_profile": ICC}),
    ],
)
def test_stripping_keeps_the_image_and_drops_all_else(kind: str, options: dict[str, Any]) -> None:
    data = saved(kind, **options)
    assert SECRET in data
    left = strip_metadata(data, kind)
    assert left is not None
    assert SECRET not in left
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(left))
    assert not after.getexif()
    assert after.info.get("icc_profile") == options.get("icc_profile")
    np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


@pytest.mark.parametrize("kind", ["BMP", "WEBP", "JPEG", "PNG"])
def test_a_file_without_metadata_stays_byte_for_byte(kind: str) -> None:
    data = saved(kind)
    assert strip_metadata(data, kind) == data


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("JPEG", saved("JPEG")[:40]),  # no scan
        ("JPEG", saved("JPEG")[:-2]),  # no end
        ("PNG", saved("PNG")[:60]),  # no end
        ("WEBP", saved("WEBP", exif=exif())),  # its header tells of the metadata too
        ("GIF", saved("GIF")),  # nobody asked for it
    ],
)
def test_a_file_that_stripping_cannot_clean_is_not_passed_on(kind: str, data: bytes) -> None:
    assert strip_metadata(data, kind) is None


@pytest.mark.parametrize(
    ("kind", "behind"),
    [
        ("PNG", SECRET),
        ("JPEG", SECRET),  # phones keep a film behind the picture
        ("JPEG", saved("JPEG", exif=exif())),  # or a second picture
    ],
)
def test_bytes_behind_the_end_of_an_image_are_dropped(kind: str, behind: bytes) -> None:
    assert strip_metadata(saved(kind) + behind, kind) == saved(kind)


def test_metadata_between_two_scans_of_a_jpeg_is_dropped() -> None:
    data = saved("JPEG", progressive=True)
    second = data.rindex(b"\xff\xda")
    comment = b"\xff\xfe" + (len(SECRET) + 2).to_bytes(2) + SECRET
    assert strip_metadata(data[:second] + comment + data[second:], "JPEG") == data


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]))
def test_any_bytes_give_a_result_or_none(data: bytes, kind: str) -> None:
    head = {"JPEG": b"\xff\xd8\xff\xe1", "PNG": b"\x89PNG\r\n\x1a\n"}.get(kind, b"")
    left = strip_metadata(head + data, kind)
    assert left is None or len(left) <= len(head + data)
