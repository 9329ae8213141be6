"""What platforms of street pictures ask for: the same JPEG back, with its place and time, and no face anywhere."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.JpegImagePlugin import JpegImageFile
from tests.service.making import client, parts_of, picture, settings

from velum.locate.models import catalog
from velum.plugins import Host
from velum.service.blur import Blurring

XMP = '<x GPano:ProjectionType="equirectangular" GPano:PoseHeadingDegrees="90" dc:creator="Jane Doe"/>'


def street(size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture as cameras of streets make it, with everything that they write into it."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model], exif[Base.Orientation], exif[Base.DateTime] = (
        "GoPro",
        "Max",
        6,
        "2026:01:02 03:04:05",
    )
    exif[IFD.Exif] = {
        Base.DateTimeOriginal: "2026:01:02 03:04:05", Base.SubsecTimeOriginal: "123", Base.MakerNote: b"secret notes",
        Base.BodySerialNumber: "C123456", Base.FocalLength: 3.5,
    }  # fmt: skip
    exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (48.0, 30.0, 1.5), GPS.GPSImgDirection: 271.25}
    small = io.BytesIO()
    Image.new("RGB", (32, 24), (255, 0, 0)).save(small, "JPEG")
    block = exif.tobytes() + small.getvalue()  # cameras put the thumbnail behind what is told here
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", exif=block, xmp=XMP.encode(), quality=85)
    return out.getvalue()


def test_the_same_jpeg_comes_back_with_what_tells_place_and_time(tmp_path: Path) -> None:
    source = street()
    with client(settings(tmp_path)) as it:
        answer = it.post("/blur/?keep=1", files={"picture": ("p.jpg", source, "image/jpeg")})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["x-velum-hidden"] == "1"
    with Image.open(io.BytesIO(source)) as before, Image.open(io.BytesIO(answer.content)) as after:
        assert (after.format, after.size) == ("JPEG", before.size)
        assert isinstance(before, JpegImageFile)
        assert isinstance(after, JpegImageFile)
        assert after.quantization == before.quantization
        exif, inner, gps = after.getexif(), after.getexif().get_ifd(IFD.Exif), after.getexif().get_ifd(IFD.GPSInfo)
        assert (exif[Base.Make], exif[Base.Model], exif[Base.Orientation]) == ("GoPro", "Max", 6)
        assert (inner[Base.DateTimeOriginal], inner[Base.SubsecTimeOriginal]) == ("2026:01:02 03:04:05", "123")
        assert (gps[GPS.GPSImgDirection], tuple(gps[GPS.GPSLatitude])) == (271.25, (48.0, 30.0, 1.5))
        assert b"equirectangular" in after.info["xmp"]
    for gone in (b"secret notes", b"C123456", b"Jane Doe"):
        assert gone in source
        assert gone not in answer.content
    assert answer.content.count(b"\xff\xd8\xff") == 1, "no thumbnail"


def test_metadata_comes_with_it_where_that_is_asked_for(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as it:
        answer = it.post("/blur/", files={"picture": ("p.jpg", street())}, headers={"accept": "multipart/form-data"})
    metadata, image = parts_of(answer)
    names = [part.get_param("name", header="content-disposition") for part in (metadata, image)]
    assert names == ["metadata", "image"]
    said = json.loads(metadata.get_content())
    assert (said["service_name"], said["annotations"]) == ("velum", [])
    assert image.get_content().startswith(b"\xff\xd8\xff")


WRONG: list[tuple[str, dict[str, Any], int]] = [
    ("another format", {"files": {"picture": ("p.png", picture())}}, 415),
    ("no form", {"content": street(), "headers": {"content-type": "image/jpeg"}}, 415),
    ("no picture", {"data": {"keep": "1"}, "files": {"keep": ("a", b"1")}}, 400),
    ("damaged", {"files": {"picture": ("p.jpg", street()[:400])}}, 422),
    ("too large", {"files": {"picture": ("p.jpg", bytes(50_000))}}, 413),
]


@pytest.mark.parametrize(("sent", "status"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_no_street_picture_is_refused(tmp_path: Path, sent: Any, status: int) -> None:
    with client(settings(tmp_path, picture_bytes=40_000)) as it:
        answer = it.post("/blur/", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_plan_may_be_the_operators(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "street.toml").write_text('rules = ["zone: fixed(box=[0, 0, 64, 16]) -> blacken"]')
    with client(settings(tmp_path, plans=tmp_path / "plans", blur_plan="street")) as it:
        answer = it.post("/blur/", files={"picture": ("p.jpg", street())})
    assert json.loads(answer.headers["x-velum-report"])["labels"] == {"zone": 1}
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.getexif()[Base.Make] == "GoPro", "it names no metadata, so all kinds are kept"


@pytest.mark.parametrize(
    ("here", "labels"),
    [(set(), ["face"]), ({"lpd-yunet"}, ["face", "license_plate"]), (set(catalog()), ["face", "license_plate"] * 2)],
    ids=["no model for plates", "one", "all"],
)
def test_plates_are_blurred_where_models_for_them_are_here(tmp_path: Path, here: set[str], labels: list[str]) -> None:
    host = Host(models=tmp_path)
    blurring = Blurring(None, None, None, host, lambda model: model.name in here, 1)  # type: ignore[arg-type]
    found = [rule.label for rule in blurring.plan().rules]
    assert sorted(set(found)) == sorted(set(labels))
    assert {rule.hide.name for rule in blurring.plan().rules} == {"blur"}
