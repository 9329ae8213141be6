"""The work that a small file can cause is estimated before a library reads it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.media.image.bombs import encoded, gif, scanned

from velum import Limits, media
from velum.errors import LimitExceeded
from velum.media.image.decode_cost import is_light, scans_of


@pytest.mark.parametrize(
    ("data", "scans"),
    [
        (encoded("JPEG"), 1),
        (encoded("JPEG", progressive=True), 10),
        (scanned(99), 99),
        (scanned(101), 101),
        (scanned(5000), 101),
        (scanned(101).replace(b"\xff\xda", b"\xff\xff\xff\xda"), 101),
        (scanned(90) + scanned(90), 90),
        (b"\xff\xd8\xff\xe1" + (2 + 400).to_bytes(2) + b"\xff\xda" * 200 + scanned(12)[2:], 12),
    ],
    ids=["one", "usual", "most", "one more", "many", "filled up", "another picture behind", "in a segment"],
)
def test_scans_are_counted_as_decoders_meet_them(data: bytes, scans: int) -> None:
    assert scans_of(data, 100) == scans


@pytest.mark.parametrize(
    ("data", "kind", "light"),
    [
        (encoded("JPEG"), "JPEG", True),
        (encoded("JPEG", progressive=True), "JPEG", True),
        (scanned(25), "JPEG", False),
        (partial(encoded, "JPEG", 6000, 5000, quality=20, progressive=True), "JPEG", True),
        (encoded("JPEG", 60, 50).replace(b"\x00\x32\x00\x3c", b"\xff\xff\xff\xff", 1), "JPEG", False),
        (b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2000 + encoded("JPEG")[2:], "JPEG", False),
        (b"\xff\xd8" + b"\xff" * 2000 + encoded("JPEG")[2:], "JPEG", False),
        (encoded("JPEG")[:30], "JPEG", False),
        (encoded("PNG"), "PNG", True),
        (encoded("PNG")[:8] + b"\0\0\0\x0dIHDR\0\0\xff\xff\0\0\xff\xff" + encoded("PNG")[24:], "PNG", False),
        (encoded("PNG").replace(b"IDAT", b"acTL", 1), "PNG", False),
        (encoded("PNG")[:33] + b"\0\0\0\0IDAT\0\0\0\0" * 30_000 + encoded("PNG")[33:], "PNG", False),
        (encoded("BMP"), "BMP", True),
        (encoded("BMP")[:30] + b"\x01" + encoded("BMP")[31:], "BMP", False),
        (encoded("WEBP"), "WEBP", True),
        (encoded("WEBP", lossless=True), "WEBP", True),
        (encoded("WEBP", exif=b"Exif\0\0" + b"x" * (2 << 20)), "WEBP", False),
        (partial(encoded, "WEBP", 4000, 2100, quality=1), "WEBP", False),
        (gif(64, 48, 2), "GIF", False),
        (encoded("TIFF"), "TIFF", False),
        (encoded("AVIF"), "AVIF", False),
        (encoded("JPEG2000"), "JPEG2000", False),
        (b"", "JPEG", False),
        (b"", "PNG", False),
        (b"", "BMP", False),
        (b"", "WEBP", False),
    ],
)
def test_only_files_of_little_work_count_as_light(data: bytes | Callable[[], bytes], kind: str, light: bool) -> None:
    assert is_light(data() if callable(data) else data, kind) is light


@pytest.mark.parametrize(
    ("name", "data", "limits", "limit"),
    [
        ("a.jpg", scanned(101), Limits(), "scans"),
        ("a.jpg", scanned(12), Limits(scans=11), "scans"),
        ("a.gif", gif(8000, 8000, 9999), Limits(), "image_pixels"),
        ("a.gif", gif(64, 48, 3), Limits(image_pixels=64 * 48 * 3 - 1), "image_pixels"),
    ],
)
def test_more_work_than_is_accepted_is_refused_before_a_pixel(
    tmp_path: Path, name: str, data: bytes, limits: Limits, limit: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LimitExceeded) as refused:
        media.open_source(tmp_path / name, limits)
    assert refused.value.limit == limit


def test_a_file_within_the_limit_of_scans_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(scanned(100))
    (tmp_path / "a.gif").write_bytes(gif(64, 48, 3))
    for name, limits in (("a.jpg", Limits()), ("a.gif", Limits(image_pixels=64 * 48 * 3))):
        with media.open_source(tmp_path / name, limits) as reader:
            assert len(list(reader.frames())) == reader.info.frames
