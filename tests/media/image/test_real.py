"""Real files of unusual kinds are read and written, without a trace of their metadata."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum.errors import BadInput

from .factories import copy, frames

pytestmark = pytest.mark.real

LOSSLESS = [
    "alpha.png", "animated.gif", "grey16.png", "jpeg2000.jp2", "la.png", "lzw.tif", "one_bit.png", "one_pixel.png",
    "palette.png", "plain.bmp", "rgb16.png", "rgb16.tiff", "thin.png",
]  # fmt: skip
LOSSY = [
    "UPPER.JPEG", "alpha.webp", "cmyk.jpg", "faces_orientation_6.jpg", "gps_camera.jpg", "grey.jpg",
    "metadata_gps_thumbnail.jpg", "multipage.tif", "portrait_orientation_6.jpg", "progressive.jpg", "still.webp",
    "subsampling_444.jpg",
]  # fmt: skip
SECRETS = {
    "metadata_gps_thumbnail.jpg": [b"Exif", b"TestCam", b"Jane Example", b"xmpmeta", b"2020:01:02"],
    "gps_camera.jpg": [b"Exif", b"COOLPIX", b"xpacket", b"2008:11:01", b"Nikon"],
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_come_back_sample_by_sample(shared: Path, tmp_path: Path, name: str) -> None:
    source, target = shared / "media" / "odd" / name, tmp_path / name
    writer = copy(source, target)
    _, before = frames(source)
    _, after = frames(target)
    for old, new in zip(before, after, strict=True):
        assert old.planes[0].role == new.planes[0].role
        assert np.array_equal(old.planes[0].pixels, new.planes[0].pixels)
        assert old.time == new.time
    assert writer.encoding == "lossless"
    with Image.open(source) as one, Image.open(target) as two:
        assert two.mode == one.mode
        assert len(before) > 1 or two.getpalette() == one.getpalette()


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_stay_close_and_as_large(shared: Path, tmp_path: Path, name: str) -> None:
    source, target = shared / "media" / "odd" / name, tmp_path / name
    copy(source, target)
    info, before = frames(source)
    again, after = frames(target)
    assert (again.format, again.width, again.height) == (info.format, info.width, info.height)
    assert again.coding.orientation == info.coding.orientation
    for old, new in zip(before, after, strict=True):
        assert old.planes[0].role == new.planes[0].role
        assert np.abs(old.planes[0].pixels.astype(int) - new.planes[0].pixels).mean() < 3


@pytest.mark.parametrize("name", SECRETS)
def test_no_metadata_of_the_source_is_left_in_the_bytes(shared: Path, tmp_path: Path, name: str) -> None:
    source, target = shared / "media" / "odd" / name, tmp_path / name
    data = source.read_bytes()
    assert all(secret in data for secret in SECRETS[name])
    assert data.count(b"\xff\xd8\xff") > 1, "there is a thumbnail to be found"
    copy(source, target)
    left = target.read_bytes()
    assert [secret for secret in SECRETS[name] if secret in left] == []
    assert left.count(b"\xff\xd8\xff") == 1


@pytest.mark.exhaustive
def test_a_photo_of_a_phone_is_hidden_and_loses_its_metadata(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    copy(shared / "media" / "odd" / "phone.heic", tmp_path / "out.heic")
    info, _ = frames(tmp_path / "out.heic")
    assert (info.width, info.height) == (2566, 3313)
    left = (tmp_path / "out.heic").read_bytes()
    assert not any(secret in left for secret in (b"iPhone 11", b"Exif", b"xpacket", b"2021:04:11"))


def test_files_whose_suffix_does_not_fit_their_content_are_read(shared: Path, tmp_path: Path) -> None:
    odd = shared / "media" / "odd"
    for name in ("jpeg_named.png", "名前 with space é.jpg"):
        copy(odd / name, tmp_path / name)
    info, _ = frames(tmp_path / "jpeg_named.png")
    assert info.format == "PNG"


@pytest.mark.parametrize("name", ["empty.jpg", "text.jpg", "truncated.jpg"])
def test_bad_files_are_refused(shared: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        copy(shared / "media" / "odd" / name, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
