"""Every kind of image survives reading and writing unchanged; an image that could not is refused with a reason."""

import io
import os
import struct
import zlib
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from velum import media
from velum.errors import BadInput, LimitExceeded, VelumError
from velum.frame import Orientation, Role
from velum.limits import Limits
from velum.media.image import sixteen_bit
from velum.media.image.info import ImagePage

from .factories import HEIGHT, WIDTH, Array, copy, encoded, frames, image, noise, profile, saved, smooth

PROFILE = profile(600)

LOSSLESS = [
    ("a.png", "1", {}, Role.GREY, "one bit per sample"),
    ("a.png", "L", {"icc_profile": PROFILE, "dpi": (300, 300)}, Role.GREY, "grey"),
    ("a.png", "LA", {}, Role.GREY_ALPHA, "grey with alpha"),
    ("a.png", "RGB", {"icc_profile": PROFILE, "dpi": (72, 72)}, Role.RGB, "colour"),
    ("a.png", "RGBA", {}, Role.RGBA, "colour with alpha"),
    ("a.png", "P", {"icc_profile": PROFILE}, Role.RGB, "palette"),
    ("a.png", "P", {"transparency": bytes(range(0, 185, 5))}, Role.RGBA, "palette, each colour with its alpha"),
    ("a.png", "P", {"transparency": 5}, Role.RGBA, "palette with one transparent colour"),
    ("a.png", "I;16", {"icc_profile": PROFILE}, Role.GREY, "grey of 16 bits"),
    ("a.gif", "P", {}, Role.RGB, "palette"),
    ("a.gif", "P", {"transparency": 5}, Role.RGBA, "palette with a transparent colour"),
    ("a.gif", "L", {}, Role.GREY, "palette that is the grey ramp"),
    ("a.gif", "L", {"transparency": 9}, Role.RGBA, "grey ramp with a transparent colour"),
    ("a.bmp", "1", {}, Role.GREY, "one bit per sample"),
    ("a.bmp", "L", {}, Role.GREY, "grey"),
    ("a.bmp", "P", {}, Role.RGB, "palette"),
    ("a.bmp", "RGB", {"dpi": (300, 300)}, Role.RGB, "colour"),
    ("a.tif", "1", {"compression": "group4"}, Role.GREY, "fax compression"),
    ("a.tif", "1", {"compression": "group3"}, Role.GREY, "older fax compression"),
    ("a.tif", "L", {"compression": "packbits"}, Role.GREY, "run lengths"),
    ("a.tif", "LA", {"compression": "tiff_adobe_deflate"}, Role.GREY_ALPHA, "deflate"),
    ("a.tif", "RGB", {"compression": "raw", "icc_profile": PROFILE, "dpi": (300, 300)}, Role.RGB, "not compressed"),
    ("a.tif", "RGBA", {"compression": "tiff_lzw", "icc_profile": PROFILE}, Role.RGBA, "lzw"),
    ("a.tif", "P", {"compression": "tiff_lzw"}, Role.RGB, "palette"),
    ("a.tif", "CMYK", {"compression": "tiff_lzw"}, Role.CMYK, "print colours"),
    ("a.tif", "I;16", {"compression": "tiff_lzw"}, Role.GREY, "grey of 16 bits"),
    ("a.webp", "RGB", {"lossless": True, "icc_profile": PROFILE}, Role.RGB, "lossless"),
    ("a.webp", "RGBA", {"lossless": True, "exact": True}, Role.RGBA, "colours under transparent samples, too"),
    ("a.jp2", "L", {}, Role.GREY, "reversible"),
    ("a.jp2", "RGB", {}, Role.RGB, "reversible"),
    ("a.jp2", "RGBA", {}, Role.RGBA, "reversible with alpha"),
    ("a.j2k", "RGB", {}, Role.RGB, "a bare code stream"),
    ("a.jp2", "I;16", {}, Role.GREY, "grey of 16 bits"),
]


@pytest.mark.parametrize(("name", "mode", "options", "role", "reason"), LOSSLESS)
def test_lossless_formats_come_back_sample_by_sample(
    tmp_path: Path, name: str, mode: str, options: dict[str, object], role: Role, reason: str
) -> None:
    source = saved(tmp_path / name, image(mode), **options)
    target = tmp_path / f"out{source.suffix}"
    writer = copy(source, target)
    info, (frame,) = frames(source)
    again, (same,) = frames(target)
    assert frame.planes[0].role == same.planes[0].role == role, reason
    assert np.array_equal(frame.planes[0].pixels, same.planes[0].pixels), reason
    assert again.coding.first.icc == info.coding.first.icc == options.get("icc_profile")
    assert again.coding.first.dpi == info.coding.first.dpi
    assert again.coding.first.compression == info.coding.first.compression
    assert writer.encoding == "lossless"
    with Image.open(source) as before, Image.open(target) as after:
        assert after.mode == before.mode
        assert np.array_equal(np.asarray(after), np.asarray(before)), "palette numbers, too"
        assert after.getpalette() == before.getpalette()


@pytest.mark.parametrize(
    ("name", "channels", "options"),
    [
        ("a.png", 3, []),
        ("a.png", 4, []),
        ("a.tif", 3, []),
        ("a.tif", 4, []),
        ("a.tif", 3, [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
    ],
)
def test_colour_of_16_bits_survives(tmp_path: Path, name: str, channels: int, options: list[int]) -> None:
    stored = noise(HEIGHT, WIDTH, channels, kind=np.uint16)
    source, target = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    source.write_bytes(cv2.imencode(source.suffix, stored, options)[1].tobytes())
    copy(source, target)
    info, (frame,) = frames(target)
    assert frame.planes[0].bits == 16
    assert np.array_equal(frame.planes[0].pixels, stored[..., [2, 1, 0, 3][:channels]])
    again = cv2.imdecode(np.frombuffer(target.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert again is not None
    assert np.array_equal(again, stored)
    assert info.coding.lossless


def test_grey_with_alpha_of_16_bits_survives(tmp_path: Path) -> None:
    pixels = noise(HEIGHT, WIDTH, 2, kind=np.uint16)
    source = tmp_path / "a.png"
    with source.open("wb") as file:
        sixteen_bit.write_png(file, pixels, Role.GREY_ALPHA, [])
    copy(source, tmp_path / "out.png")
    _, (frame,) = frames(tmp_path / "out.png")
    assert frame.planes[0].role == Role.GREY_ALPHA
    assert np.array_equal(frame.planes[0].pixels, pixels)


def test_pages_of_16_bits_survive(tmp_path: Path) -> None:
    pages = [noise(HEIGHT, WIDTH, 3, seed=seed, kind=np.uint16) for seed in range(3)]
    source = tmp_path / "a.tif"
    source.write_bytes(cv2.imencodemulti(".tif", pages)[1].tobytes())
    copy(source, tmp_path / "out.tif")
    _, found = frames(tmp_path / "out.tif")
    assert [np.array_equal(f.planes[0].pixels[..., ::-1], page) for f, page in zip(found, pages, strict=True)] == [
        True
    ] * 3


def test_pages_may_be_of_different_kinds(tmp_path: Path) -> None:
    modes = ["RGB", "L", "P", "CMYK", "1", "I;16"]
    pages = [image(mode, seed) for seed, mode in enumerate(modes)]
    source = saved(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:], compression="tiff_lzw")
    copy(source, tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as after:
        for index, page in enumerate(pages):
            after.seek(index)
            assert after.mode == page.mode
            assert np.array_equal(np.asarray(after), np.asarray(page))


ANIMATIONS = [
    ("a.gif", "P", {"loop": 0}, "for ever"),
    ("a.gif", "P", {"loop": 3}, "three times"),
    ("a.gif", "P", {}, "once"),
    ("a.gif", "P", {"transparency": 3, "disposal": 2}, "each picture from nothing"),
    ("a.png", "RGB", {"loop": 2}, "colour"),
    ("a.png", "RGBA", {"loop": 0}, "alpha"),
    ("a.png", "L", {}, "grey"),
    ("a.webp", "RGB", {"lossless": True, "loop": 5}, "lossless"),
    ("a.webp", "RGBA", {"lossless": True}, "lossless with alpha"),
]


@pytest.mark.parametrize(("name", "mode", "options", "reason"), ANIMATIONS)
def test_animations_keep_frames_durations_and_loop_count(
    tmp_path: Path, name: str, mode: str, options: dict[str, object], reason: str
) -> None:
    pictures = [image(mode, seed) for seed in range(4)]
    durations = [50, 70, 90, 110]
    source = saved(
        tmp_path / name, pictures[0], save_all=True, append_images=pictures[1:], duration=durations, **options
    )
    target = tmp_path / f"out{source.suffix}"
    copy(source, target)
    info, before = frames(source)
    again, after = frames(target)
    assert (again.frames, again.coding.loop) == (4, info.coding.loop), reason
    assert [frame.time for frame in after] == [Fraction(ms, 1000) for ms in (0, 50, 120, 210)]
    assert isinstance(page := after[3].page, ImagePage)
    assert page.duration_ms == 110
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(_visible(old.planes[0].pixels), _visible(new.planes[0].pixels)), reason


def _visible(pixels: Array) -> Array:
    """Samples without the colours under wholly transparent ones."""
    return pixels * (pixels[..., 3:] > 0) if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels


def test_the_still_image_of_an_apng_stays_apart_from_its_frames(tmp_path: Path) -> None:
    pictures = [image("RGB", seed) for seed in range(3)]
    source = saved(
        tmp_path / "a.png",
        pictures[0],
        save_all=True,
        append_images=pictures[1:],
        duration=[40, 60],
        default_image=True,
    )
    copy(source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as after:
        assert after.info["default_image"]
        for index, picture in enumerate(pictures):
            after.seek(index)
            assert np.array_equal(np.asarray(after.convert("RGB")), np.asarray(picture))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".avif", ".webp", ".heic"])
def test_lossy_formats_stay_close(tmp_path: Path, suffix: str, mode: str) -> None:
    picture = Image.fromarray(smooth(*{"L": (), "RGB": (3,), "RGBA": (4,)}[mode]))
    source, target = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").from_pillow(picture).save(source, quality=90)
    else:
        picture.save(source, quality=90)
    writer = copy(source, target)
    _, (before,) = frames(source)
    _, (after,) = frames(target)
    assert after.planes[0].role == before.planes[0].role
    assert np.abs(after.planes[0].pixels.astype(int) - before.planes[0].pixels).max() <= 12
    assert writer.encoding.startswith("re-encoded: ")
    assert any("quality is not known" in warning for warning in writer.warnings)


def test_an_animated_avif_keeps_its_frames(tmp_path: Path) -> None:
    pictures = [Image.fromarray(smooth(3, seed=seed)) for seed in range(3)]
    source = saved(tmp_path / "a.avif", pictures[0], save_all=True, append_images=pictures[1:], duration=[40, 80, 120])
    copy(source, tmp_path / "out.avif")
    _, after = frames(tmp_path / "out.avif")
    assert [frame.time for frame in after] == [Fraction(0), Fraction(40, 1000), Fraction(120, 1000)]


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_orientation_turns_the_frame_and_stays_in_the_file(tmp_path: Path, suffix: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    picture = Image.fromarray(smooth(3))
    source = saved(tmp_path / f"a{suffix}", picture, exif=exif)
    copy(source, tmp_path / f"out{suffix}")
    info, (before,) = frames(source)
    again, (after,) = frames(tmp_path / f"out{suffix}")
    turned = Orientation.from_exif(value).stored_size(WIDTH, HEIGHT)
    assert (info.width, info.height) == (again.width, again.height) == (before.width, before.height) == turned
    expected = Orientation.from_exif(value).upright(np.asarray(picture))
    assert np.abs(after.rgb(*turned).astype(int) - expected).max() < 24


def _png(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0")
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, body)]
    return b"\x89PNG\r\n\x1a\n" + chunks[0] + chunks[1]


def _tiff(mode: str) -> bytes:
    return encoded(Image.new(mode, (8, 8)), "TIFF")


MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(64)
FULL = encoded(image("RGB"), "PNG")

BAD = [
    (b"", BadInput, "empty", "nothing in it"),
    (b"hello world, I am text", BadInput, "unknown kind; supported are AVIF", "no image"),
    (MP4, BadInput, "damaged", "the first bytes of a film"),
    (FULL[: len(FULL) // 2], BadInput, "truncated", "PNG cut in half"),
    (encoded(image("RGB"), "JPEG")[:-300], BadInput, "truncated", "JPEG cut"),
    (encoded(image("RGB"), "WEBP", lossless=True)[:-300], BadInput, "truncated", "WebP cut"),
    (encoded(image("RGB"), "TIFF")[:-300], BadInput, "truncated", "TIFF cut"),
    (encoded(image("RGB"), "TIFF", compression="tiff_lzw")[:-3000], BadInput, "truncated", "compressed TIFF cut"),
    (encoded(image("RGB"), "BMP")[:-300], BadInput, "truncated", "BMP cut"),
    (encoded(image("RGB"), "AVIF")[:-300], BadInput, "truncated", "AVIF cut"),
    (encoded(image("P"), "GIF")[:-300], BadInput, "truncated", "GIF cut"),
    (encoded(image("P"), "GIF")[:-2], BadInput, "no end", "GIF without the end of its picture"),
    (encoded(image("RGB"), "JPEG2000")[:-300], BadInput, "truncated", "JPEG 2000 cut"),
    (FULL[:20], BadInput, "damaged", "only the start of a PNG"),
    (b"\xff\xd8\xff", BadInput, "damaged", "only the start of a JPEG"),
    (_png(200_000, 200_000), LimitExceeded, "40,000,000,000 pixels", "a decompression bomb"),
    (_png(65_535, 1), BadInput, "truncated", "wide, within the limits, without samples"),
    (_tiff("F"), BadInput, "32 bits", "floating point"),
    (_tiff("I"), BadInput, "32 bits", "32-bit whole numbers"),
    (_tiff("LAB"), BadInput, "samples of LAB", "a colour space that no technique knows"),
    (_tiff("YCbCr"), BadInput, "samples of YCbCr", "likewise"),
]


@pytest.mark.filterwarnings("ignore")  # Pillow warns before it fails
@pytest.mark.parametrize(("data", "error", "says", "reason"), BAD, ids=[row[3] for row in BAD])
def test_bad_files_have_one_clear_error_each(
    tmp_path: Path, data: bytes, error: type[VelumError], says: str, reason: str
) -> None:
    source = tmp_path / "bad.jpg"
    source.write_bytes(data)
    with pytest.raises(error, match=says):
        frames(source)


def test_a_source_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, says in [
        (tmp_path, "a folder"),
        (tmp_path / "none.jpg", "no such file"),
        (tmp_path / "pipe.jpg", "not a"),
    ]:
        with pytest.raises(BadInput, match=says):
            media.open_source(path, Limits())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", image("L"))
    source.chmod(0)
    with pytest.raises(BadInput, match="ermission"):
        media.open_source(source, Limits())


@pytest.mark.parametrize(
    ("limits", "name"),
    [(Limits(bytes=100), "bytes"), (Limits(pixels=WIDTH * HEIGHT - 1), "pixels"), (Limits(frames=2), "frames")],
)
def test_images_beyond_a_limit_are_refused(tmp_path: Path, limits: Limits, name: str) -> None:
    pictures = [image("P", seed) for seed in range(3)]
    source = saved(tmp_path / "a.gif", pictures[0], save_all=True, append_images=pictures[1:])
    with pytest.raises(LimitExceeded) as caught:
        media.open_source(source, limits)
    assert caught.value.limit == name


def test_every_page_is_checked_against_the_limits(tmp_path: Path) -> None:
    source = saved(
        tmp_path / "a.tif", Image.new("L", (4, 4)), save_all=True, append_images=[Image.new("L", (400, 400))]
    )
    with media.open_source(source, Limits(pixels=1000)) as reader, pytest.raises(LimitExceeded):
        list(reader.frames())


@pytest.mark.parametrize(("width", "height"), [(1, 1), (65_535, 1), (1, 20_000), (3000, 8)])
def test_images_of_extreme_shapes_survive(tmp_path: Path, width: int, height: int) -> None:
    source = saved(tmp_path / "a.png", Image.fromarray(noise(height, width, 3)))
    copy(source, tmp_path / "out.png")
    _, (frame,) = frames(tmp_path / "out.png")
    assert np.array_equal(frame.planes[0].pixels, noise(height, width, 3))


def test_the_content_decides_the_format_and_the_suffix_that_of_the_copy(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    source.write_bytes(encoded(image("RGB"), "JPEG"))
    info, (before,) = frames(source)
    assert info.format == "JPEG"
    copy(source, tmp_path / "out.png")
    again, (after,) = frames(tmp_path / "out.png")
    assert again.format == "PNG"
    assert np.array_equal(before.planes[0].pixels, after.planes[0].pixels)


def test_a_transparent_colour_becomes_alpha_with_a_warning(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", image("RGB"), transparency=tuple(int(v) for v in noise(HEIGHT, WIDTH, 3)[0, 0]))
    writer = copy(source, tmp_path / "out.png")
    _, (frame,) = frames(tmp_path / "out.png")
    assert frame.planes[0].role == Role.RGBA
    assert frame.planes[0].pixels[0, 0, 3] == 0
    assert "alpha channel" in writer.warnings[0]


def test_frames_can_be_read_again_and_are_writable(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", image("RGB"))
    with media.open_source(source, Limits()) as reader:
        (first,) = reader.frames()
        first.planes[0].pixels[:] = 0
        (second,) = reader.frames()
    assert second.planes[0].pixels.any()


DAMAGED = [
    encoded(image("RGB"), "PNG"), encoded(image("P"), "GIF"), encoded(image("RGB"), "JPEG"),
    encoded(image("RGB"), "TIFF", compression="tiff_lzw"), encoded(image("RGB"), "WEBP"),
    encoded(image("RGB"), "JPEG2000"), encoded(image("RGB"), "AVIF"), encoded(image("P"), "BMP"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@given(data=st.sampled_from(DAMAGED), harm=st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=8))
def test_any_damage_raises_bad_input_and_no_other_error(
    data: bytes, harm: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.BytesIO(data)
    for at, value in harm:
        file.getbuffer()[at % len(data)] = value
    source = tmp_path_factory.getbasetemp() / "damaged"
    source.write_bytes(file.getvalue())
    with suppress(BadInput, LimitExceeded):
        frames(source)


@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_16_bit_images_are_turned_like_8_bit_images(tmp_path: Path, value: int) -> None:
    pixels, tags = noise(HEIGHT, WIDTH, 3, kind=np.uint16), TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = value
    with (tmp_path / "a.tif").open("w+b") as file:
        sixteen_bit.write_tiff(file, pixels, Role.RGB, tags)
    info, (frame,) = frames(tmp_path / "a.tif")
    assert np.array_equal(frame.planes[0].pixels, Orientation.from_exif(value).upright(pixels))
    assert (info.width, info.height) == Orientation.from_exif(value).stored_size(WIDTH, HEIGHT)


def test_premultiplied_alpha_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.tif", image("RGBA"))
    data = source.read_bytes()
    # ExtraSamples (338), one SHORT: 2 is straight, 1 is premultiplied (TIFF 6.0, section 18).
    straight, premultiplied = (struct.pack("<HHLHH", 338, 3, 1, kind, 0) for kind in (2, 1))
    assert data.count(straight) == 1
    source.write_bytes(data.replace(straight, premultiplied))
    with pytest.raises(BadInput, match="premultiplied"):
        frames(source)
