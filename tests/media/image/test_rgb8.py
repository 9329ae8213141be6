"""Images in memory: the same pixels as from a file, upright RGB, and the same refusals."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from velum import media
from velum.errors import BadInput, BadPlan, LimitExceeded, VelumError
from velum.frame import Role
from velum.limits import Limits
from velum.media.image import reader, sixteen_bit
from velum.media.image.decode_errors import _DAMAGE
from velum.media.image.probe import open_header
from velum.media.image.strip_metadata import strip_metadata

from .factories import HEIGHT, WIDTH, Array, encoded, image, noise

LIMITS = Limits()
TURNED = Image.Exif()
TURNED[0x0112] = 6


def by_pillow(data: bytes) -> Array:
    """Return the first picture as Pillow shows it, upright."""
    with Image.open(io.BytesIO(data)) as opened:
        turned = {6: Image.Transpose.ROTATE_270}.get(opened.getexif().get(0x0112, 1))
        upright = opened.transpose(turned) if turned is not None else opened
        return np.asarray(upright.convert("RGB"))


KINDS: list[tuple[str, str, dict[str, Any], bool, str]] = [
    ("JPEG", "RGB", {"quality": 90}, True, "a photograph"),
    ("JPEG", "RGB", {"quality": 90, "subsampling": 0}, True, "without chroma subsampling"),
    ("JPEG", "RGB", {"quality": 90, "restart_marker_blocks": 2}, True, "with restart markers in the scan"),
    ("JPEG", "RGB", {"quality": 90, "progressive": True}, True, "several scans"),
    ("JPEG", "RGB", {"quality": 90, "keep_rgb": True}, True, "red, green, blue components"),
    ("JPEG", "L", {"quality": 90}, True, "grey"),
    ("JPEG", "RGB", {"exif": TURNED}, False, "to be turned by who shows it"),
    ("PNG", "RGB", {}, True, "colour"),
    ("PNG", "RGB", {"icc_profile": b"profile" * 40}, True, "with a profile"),
    ("PNG", "RGB", {"exif": TURNED}, False, "to be turned"),
    ("PNG", "L", {}, True, "grey"),
    ("PNG", "LA", {}, False, "grey with alpha"),
    ("PNG", "RGBA", {}, False, "alpha"),
    ("PNG", "RGB", {"transparency": (1, 2, 3)}, False, "a colour key"),
    ("PNG", "1", {}, False, "one bit"),
    ("PNG", "P", {}, False, "palette"),
    ("PNG", "P", {"transparency": 5}, False, "palette with a transparent colour"),
    ("BMP", "RGB", {}, True, "plain"),
    ("WEBP", "RGB", {"lossless": True}, True, "lossless"),
    ("WEBP", "RGB", {"quality": 80}, True, "lossy"),
    ("WEBP", "RGBA", {"lossless": True, "exact": True}, False, "alpha"),
    ("TIFF", "RGB", {}, False, "a kind that not everyone reads"),
    ("GIF", "P", {}, False, "likewise"),
]


@pytest.mark.parametrize(("kind", "mode", "options", "sent_on", "why"), KINDS)
def test_any_kind_becomes_upright_rgb(kind: str, mode: str, options: dict[str, Any], sent_on: bool, why: str) -> None:
    data = encoded(image(mode), kind, **options)
    plain = media.read_plain(data, LIMITS)
    (plane,) = plain.frame.planes
    assert (plane.role, plane.bits, plane.pixels.dtype.name, plain.format) == (Role.RGB, 8, "uint8", kind), why
    assert np.array_equal(plane.pixels, by_pillow(data)), why
    assert plane.pixels.flags.writeable
    assert plain.frame.encoded == (strip_metadata(data, kind) if sent_on else None), why
    assert (plain.frame.encoded is not None) == sent_on, why
    assert (plain.frame.width, plain.frame.height) == plane.pixels.shape[1::-1]


@pytest.mark.parametrize("mode", ["CMYK", "I;16"])  # their conversions are those of Frame.rgb
def test_print_colours_and_16_bits_are_reduced(mode: str) -> None:
    data = encoded(image(mode), "TIFF")
    plain = media.read_plain(data, LIMITS)
    assert plain.frame.planes[0].role == Role.RGB
    assert plain.frame.planes[0].pixels.dtype == np.uint8
    assert plain.frame.encoded is None


def test_colour_of_16_bits_is_reduced() -> None:
    pixels, file = noise(HEIGHT, WIDTH, 3, kind=np.uint16), io.BytesIO()
    sixteen_bit.write_png(file, pixels, Role.RGB, [])
    assert np.array_equal(media.read_plain(file.getvalue(), LIMITS).frame.planes[0].pixels, pixels >> 8)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_images_is_read(kind: str) -> None:
    first, second = image("RGB", 1), image("RGB", 2)
    more = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=[second], **more)
    plain = media.read_plain(data, LIMITS)
    assert np.array_equal(plain.frame.planes[0].pixels, by_pillow(data))
    assert plain.frame.encoded is None
    assert (plain.frame.index, plain.frame.time) == (0, None)


def test_a_jpeg_with_further_images_behind_it_is_encoded_anew() -> None:
    data = encoded(image("RGB", 1), "MPO", save_all=True, append_images=[image("RGB", 2)])
    plain = media.read_plain(data, LIMITS)
    assert plain.frame.encoded is None
    assert np.array_equal(plain.frame.planes[0].pixels, by_pillow(data))


@pytest.mark.parametrize(
    ("kind", "options", "quick_too"),
    [
        ("JPEG", {"quality": 90}, True),
        ("JPEG", {"quality": 90, "restart_marker_blocks": 3}, True),
        ("JPEG", {"progressive": True}, False),
        ("PNG", {}, True),
        ("WEBP", {"quality": 80}, True),
        ("WEBP", {"lossless": True}, True),
    ],
)
def test_opencv_decodes_the_same_pixels_as_pillow_or_declines(
    kind: str, options: dict[str, Any], quick_too: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Damage of every sort: where the quick way gives pixels, Pillow gives the same ones."""
    whole, chance = encoded(image("RGB"), kind, **options), random.Random(7)
    for damage in range(300):
        data, at = bytearray(whole), chance.randrange(len(whole))
        if damage % 3 == 0:
            del data[at:]
        elif damage % 3 == 1:
            data[at] ^= 1 << chance.randrange(8)
        else:
            del data[at : at + chance.randrange(1, 40)]
        try:
            damaged = open_header(kind, bytes(data))
        except _DAMAGE:
            continue
        pixels = reader.decode_8_bits(damaged, bytes(data), "RGB")
        if pixels is not None:
            damaged.load()
            assert np.array_equal(pixels, np.asarray(damaged)), f"damage {damage} at {at}"
    capfd.readouterr()  # what the decoders say of it
    again = reader.decode_8_bits(open_header(kind, whole), whole, "RGB")
    assert (again is not None) == quick_too


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("BMP", {}), ("GIF", {}), ("TIFF", {})]
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_truncated_files_are_refused(kind: str, options: dict[str, Any], share: float) -> None:
    whole = encoded(image("P" if kind == "GIF" else "RGB"), kind, **options)
    with pytest.raises(BadInput, match="the picture"):
        media.read_plain(whole[: int(share * len(whole))], LIMITS)


@pytest.mark.parametrize(
    ("data", "limits", "error", "says"),
    [
        (b"", LIMITS, BadInput, "empty"),
        (b"no picture at all", LIMITS, BadInput, "unknown kind"),
        (encoded(image("RGB"), "PNG"), Limits(pixels=100), LimitExceeded, "pixels"),
        (encoded(image("RGB"), "PNG"), Limits(bytes=100), LimitExceeded, "bytes"),
    ],
)
def test_unreadable_files_are_refused(data: bytes, limits: Limits, error: type[VelumError], says: str) -> None:
    with pytest.raises(error, match=says):
        media.read_plain(data, limits)


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    header = encoded(image("RGB"), "PNG")[:60]
    with pytest.raises(LimitExceeded):
        media.read_plain(header, Limits(pixels=WIDTH * HEIGHT - 1))


def test_png_keeps_every_sample() -> None:
    pixels = noise(HEIGHT, WIDTH, 3)
    data, encoding = media.write_plain(pixels, "PNG", None, None)
    assert np.array_equal(by_pillow(data), pixels)
    assert encoding == "lossless"


@pytest.mark.parametrize(
    ("options", "quality", "sampling", "says"),
    [
        ({"quality": 77, "subsampling": "4:2:0"}, None, 2, "tables and 4:2:0 of the source"),
        ({"quality": 77, "subsampling": "4:4:4", "progressive": True}, None, 0, "tables and 4:4:4 of the source"),
        ({"quality": 77, "subsampling": "4:2:2"}, 40, 1, "quality 40, 4:2:2"),
        (None, None, 0, "quality 95, 4:4:4"),
        (None, 100, 0, "quality 100, 4:4:4"),
    ],
)
def test_jpeg_is_coded_like_the_source(
    options: dict[str, Any] | None, quality: int | None, sampling: int, says: str
) -> None:
    source = encoded(image("RGB"), "JPEG" if options else "PNG", **(options or {}))
    plain = media.read_plain(source, LIMITS)
    pixels: Any = plain.frame.planes[0].pixels
    data, encoding = media.write_plain(pixels, "JPEG", quality, plain.jpeg)
    assert says in encoding
    with Image.open(io.BytesIO(data)) as after, Image.open(io.BytesIO(source)) as before:
        assert after.format == "JPEG"
        assert "progressive" not in after.info
        assert not after.getexif()
        if options and quality is None:
            assert after.quantization == before.quantization  # type: ignore[attr-defined]
    again = media.read_plain(data, LIMITS).jpeg
    assert again is not None
    assert again.subsampling == ("4:4:4", "4:2:2", "4:2:0")[sampling]


@pytest.mark.parametrize(
    ("format", "quality", "says"), [("GIF", None, "PNG, JPEG"), ("JPEG", 0, "quality"), ("JPEG", 101, "quality")]
)
def test_impossible_encoding_options_are_refused(format: Any, quality: int | None, says: str) -> None:
    with pytest.raises(BadPlan, match=says):
        media.write_plain(noise(4, 4, 3), format, quality, None)


def test_a_picture_wider_than_jpeg_is_refused() -> None:
    with pytest.raises(BadPlan, match="choose PNG"):
        media.write_plain(noise(1, 65_501, 3), "JPEG", None, None)


@pytest.mark.parametrize(("mode", "options", "sent_on"), [("RGB", {}, True), ("RGB", {"exif": TURNED}, False)])
def test_frames_of_files_carry_the_encoded_bytes_that_can_be_passed_on(
    tmp_path: Path, mode: str, options: dict[str, Any], sent_on: bool
) -> None:
    data = encoded(image(mode), "JPEG", **options)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with media.open_source(path, LIMITS) as reader:
        (frame,) = reader.frames()
    assert frame.encoded == (data if sent_on else None)
