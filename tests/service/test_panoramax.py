"""Street images for Panoramax: the same JPEG is returned, with its place and time, and without faces and plates."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.JpegImagePlugin import JpegImageFile
from starlette.testclient import TestClient
from tests.bmw.test_folders import ssd
from tests.service.factories import client, parts_of, picture
from tests.service.factories import settings as made

from velum.locate import registry, user_models
from velum.locate.import_model import ImportOptions, identify_model
from velum.locate.registry import catalog
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.service.panoramax import PanoramaxService
from velum.service.problem_details import NotInstalled
from velum.settings import Settings
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

PLATE = Region(Box(20, 30, 40, 38), "license_plate", 0.9)
XMP = '<x GPano:ProjectionType="equirectangular" GPano:PoseHeadingDegrees="90" dc:creator="Jane Doe"/>'


def settings(folder: Path, rules: str = '"face: centerface -> blur"', **service: Any) -> Settings:
    """The service with a plan of the operator for `/blur/`, by default one that says faces only."""
    (folder / "plans").mkdir(exist_ok=True)
    (folder / "plans" / "street.toml").write_text(f"rules = [{rules}]")
    return made(folder, plans=folder / "plans", blur_plan="street", **service)


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


def test_the_blurred_jpeg_keeps_its_place_and_time(tmp_path: Path) -> None:
    source = street()
    with client(settings(tmp_path)) as api:
        answer = api.post("/blur/?keep=1", files={"picture": ("p.jpg", source, "image/jpeg")})
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


def test_the_response_has_metadata_where_the_client_accepts_multipart(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        answer = api.post("/blur/", files={"picture": ("p.jpg", street())}, headers={"accept": "multipart/form-data"})
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


@pytest.fixture(scope="module")
def small_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that takes small pictures alone."""
    with client(settings(tmp_path_factory.mktemp("small"), picture_bytes=40_000)) as given:
        yield given


@pytest.mark.parametrize(("sent", "status"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_bodies_other_than_jpeg_are_refused(small_service: TestClient, sent: Any, status: int) -> None:
    answer = small_service.post("/blur/", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_operator_can_name_the_plan(tmp_path: Path) -> None:
    with client(settings(tmp_path, '"zone: fixed(box=[0, 0, 64, 16]) -> blacken"')) as api:
        answer = api.post("/blur/", files={"picture": ("p.jpg", street())})
    assert json.loads(answer.headers["x-velum-report"])["labels"] == {"zone": 1}
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.getexif()[Base.Make] == "GoPro", "it names no metadata, so all kinds are kept"


def asked(api: TestClient) -> Any:
    return api.post("/blur/", files={"picture": ("p.jpg", street())})


def test_images_are_refused_while_no_model_finds_plates(tmp_path: Path) -> None:
    """Faces alone would leave plates readable, with status 200 and no word."""
    with client(made(tmp_path)) as api:
        answer, ready = asked(api), api.get("/health/ready")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["code"] == "NotInstalled"
    assert "velum models pull lpd-yunet" in answer.json()["detail"]
    assert "service.blur_plan" in answer.json()["detail"]
    assert "retry-after" not in answer.headers, "trying again soon does not help"
    assert "velum models pull lpd-yunet" in ready.json()["blur"]
    assert (ready.status_code, ready.json()["ready"]) == (200, True), "all but /blur/ works"


def test_the_error_names_the_model_that_may_not_be_fetched(tmp_path: Path) -> None:
    with client(settings(tmp_path, '"license_plate: lpd-yunet -> blur"')) as api:
        answer, ready = asked(api), api.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "NotInstalled")
    for text in (answer.json()["detail"], ready.json()["blur"]):
        assert "velum models pull lpd-yunet" in text


def test_ready_says_whether_street_pictures_are_blurred(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        assert api.get("/health/ready").json()["blur"] == "ready"
        (tmp_path / "plans" / "street.toml").unlink()
        assert "plan 'street' is unknown" in api.get("/health/ready").json()["blur"]
        assert asked(api).status_code == 422
    with client(made(tmp_path, strict=True)) as api:
        assert api.get("/health/ready").json()["blur"] == "off"
        assert asked(api).status_code == 404


def test_plates_are_hidden_once_a_model_for_them_is_installed(tmp_path: Path) -> None:
    found = {
        "centerface": lambda: FakeLocalizer(()),
        "plates": lambda: FakeLocalizer((PLATE,), labels=frozenset({"license_plate"})),
    }
    chosen = made(tmp_path)
    with client(chosen, localizers=found) as api:
        assert asked(api).status_code == 503
        ssd(tmp_path / "plates.xml", classes=2)
        wish = ImportOptions(labels=("", "license_plate"), family="ssd", input={"size_wh": (32, 32)})
        user_models.put(identify_model(tmp_path / "plates.xml", wish), chosen.host())
        answer = asked(api)
        assert api.get("/health/ready").json()["blur"] == "ready"
    assert (answer.status_code, answer.headers["x-velum-hidden"]) == (200, "1")


def test_plates_are_blurred_by_a_stand_in_for_a_missing_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the answer says so, since that finds more than plates."""
    zone = PartSpec("fixed", {"box": (8, 8, 24, 16), "label": "license_plate"})
    models = {name: replace(model, instead=(zone,)) for name, model in catalog().items()}
    monkeypatch.setattr(registry, "_shipped_catalog", lambda: registry.Catalog(models, {}, {}, "centerface"))
    with client(made(tmp_path), localizers={"centerface": lambda: FakeLocalizer(())}) as api:
        answer = asked(api)
        assert api.get("/health/ready").json()["blur"] == "ready"
    assert (answer.status_code, answer.headers["x-velum-hidden"]) == (200, "1")
    (warning,) = json.loads(answer.headers["x-velum-report"])["warnings"][-1:]
    assert "no model of licence plates is installed" in warning
    assert "velum models pull lpd-yunet" in warning


@pytest.mark.parametrize("here", [{"lpd-yunet"}, set(catalog())], ids=["one", "all"])
def test_plates_are_blurred_where_models_for_them_are_installed(tmp_path: Path, here: set[str]) -> None:
    host = RuntimeConfig(models=tmp_path)
    blurring = PanoramaxService(None, None, None, host, lambda model: model.name in here, 1)  # type: ignore[arg-type]
    found = [rule.label for rule in blurring.plan().rules]
    assert set(found) == {"face", "license_plate"}
    assert {rule.hide.name for rule in blurring.plan().rules} == {"blur"}


def test_a_model_that_is_installed_later_is_used_without_a_restart(tmp_path: Path) -> None:
    here = set[str]()
    blurring = PanoramaxService(None, None, None, RuntimeConfig(models=tmp_path), lambda model: model.name in here, 1)  # type: ignore[arg-type]
    with pytest.raises(NotInstalled, match="velum models pull"):
        blurring.plan()
    for name, locate in (
        ("ppocr-det", "text(shape='plate')"), ("lpd-yunet-2022", "lpd-yunet-2022"), ("lpd-yunet", "lpd-yunet"),
    ):  # fmt: skip
        here.add(name)
        (rule,) = (rule for rule in blurring.plan().rules if rule.label == "license_plate")
        assert str(rule.locate) == locate
