"""Metadata that a plan does not name is removed everywhere in the file; what it names is kept tag by tag."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from velum.media.image import exif_tags
from velum.plan import METADATA, Plan

from .factories import copy, encoded, image, saved, smooth

SECRETS = {
    "owner": b"Owner Of The Camera",
    "serial": b"SERIAL-0815",
    "note": b"a maker note with a face in it",
    "xmp": b"creator Jane Example",
    "comment": b"a comment by Jane",
    "tail": b"a film after the end of the picture",
    "text": b"a text chunk by Jane",
}
KEEPABLE = {
    "camera": b"Maker And Sons",
    "copyright": b"Somebody 2020",
    "datetime": b"2020:01:02 03:04:05",
    "description": b"at the harbour",
    "gps": b"WGS-84",
}


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Copyright] = "Maker And Sons", "Somebody 2020"
    exif[Base.DateTime], exif[Base.ImageDescription] = "2020:01:02 03:04:05", "at the harbour"
    exif[Base.Orientation] = 6
    exif[IFD.Exif] = {
        Base.ExposureTime: 0.25, Base.MakerNote: SECRETS["note"], Base.BodySerialNumber: "SERIAL-0815",
        Base.CameraOwnerName: "Owner Of The Camera",
    }  # fmt: skip
    exif[IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 14.0), 18: "WGS-84"}
    return exif


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + SECRETS["xmp"] + b"</x:xmpmeta>"


def _text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRETS["text"].decode())
    info.add_text("Author", SECRETS["comment"].decode(), zip=False)
    return info


def _sources() -> dict[str, bytes]:
    picture, exif = Image.fromarray(smooth(3)), _exif()
    return {
        ".jpg": encoded(picture, "JPEG", exif=exif, xmp=XMP, comment=SECRETS["comment"]) + SECRETS["tail"],
        ".png": encoded(picture, "PNG", exif=exif, pnginfo=_text()) + SECRETS["tail"],
        ".webp": encoded(picture, "WEBP", exif=exif, xmp=XMP, lossless=True),
        ".tif": encoded(picture, "TIFF", exif=exif.tobytes()) + SECRETS["tail"],
        ".avif": encoded(picture, "AVIF", exif=exif, xmp=XMP),
        ".gif": encoded(image("P"), "GIF", comment=SECRETS["comment"]) + SECRETS["tail"],
        ".jp2": encoded(picture, "JPEG2000", comment=SECRETS["comment"]) + SECRETS["tail"],
    }


SOURCES = _sources()


@pytest.mark.parametrize("suffix", SOURCES)
def test_by_default_no_metadata_survives(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
    source.write_bytes(SOURCES[suffix])
    assert any(secret in SOURCES[suffix] for secret in SECRETS.values()), "the test has something to find"
    writer = copy(source, target)
    left = target.read_bytes()
    assert [name for name, secret in (SECRETS | KEEPABLE).items() if secret in left] == []
    assert not any("metadata" in warning for warning in writer.warnings)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("kind", KEEPABLE)
def test_only_the_kind_of_metadata_that_the_plan_names_is_kept(tmp_path: Path, suffix: str, kind: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
    source.write_bytes(SOURCES[suffix])
    writer = copy(source, target, Plan(metadata=(kind,)))
    left = target.read_bytes()
    assert [name for name, value in KEEPABLE.items() if value in left] == [kind]
    assert [name for name, secret in SECRETS.items() if secret in left] == []
    assert f"metadata kept: {kind}" in writer.warnings


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_keeping_every_kind_still_drops_all_other_metadata(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
    source.write_bytes(SOURCES[suffix])
    copy(source, target, Plan(metadata=METADATA))
    with Image.open(target) as picture:
        exif = picture.getexif()
        assert exif.get_ifd(IFD.Exif)[Base.ExposureTime] == 0.25
        assert [float(part) for part in exif.get_ifd(IFD.GPSInfo)[2]] == [48, 8, 14]
        assert Base.MakerNote not in exif.get_ifd(IFD.Exif)
    assert [name for name, secret in SECRETS.items() if secret in target.read_bytes()] == []


def test_metadata_that_a_format_cannot_hold_is_reported(tmp_path: Path) -> None:
    exif = _exif()
    exif[Base.Orientation] = 1
    source = saved(tmp_path / "a.jpg", Image.fromarray(smooth(3)), exif=exif)
    writer = copy(source, tmp_path / "out.bmp", Plan(metadata=("gps",)))
    assert "metadata not kept, BMP has no place for it: gps" in writer.warnings


def test_a_very_long_text_tag_is_dropped() -> None:
    exif = Image.Exif()
    exif[Base.ImageDescription] = "x" * 5000
    assert "description" not in exif_tags.keepable(exif)


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"Exif\0\0garbage that is no TIFF", b"MM\0*\xff\xff\xff\xff"])
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged blocks
def test_a_damaged_exif_block_is_dropped(block: bytes) -> None:
    exif = exif_tags.load(block)
    assert exif_tags.orientation(exif) == 1
    assert exif_tags.keepable(exif) == {}


def test_embedded_second_images_are_dropped(tmp_path: Path) -> None:
    first, second = Image.fromarray(smooth(3)), image("RGB")
    source = tmp_path / "a.jpg"
    first.save(source, "MPO", save_all=True, append_images=[second])
    copy(source, tmp_path / "out.jpg")
    data = (tmp_path / "out.jpg").read_bytes()
    assert data.count(b"\xff\xd8\xff") == 1
    with Image.open(io.BytesIO(data)) as after:
        assert after.format == "JPEG"
        assert np.abs(np.asarray(after).astype(int) - smooth(3)).max() < 12
