"""Of XMP, only the pose of a street image is kept, whatever the file holds."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from velum.service.panoramax import pose, with_pose_of

ATTRIBUTES = (
    'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular" '
    "GPano:PoseHeadingDegrees='271.5'"
)


def jpeg(xmp: str = "", **options: object) -> bytes:
    out = io.BytesIO()
    more = {"xmp": xmp.encode()} if xmp else {}
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(out, "JPEG", **more, **options)
    return out.getvalue()


ROWS = [
    ("attributes", ATTRIBUTES, {"GPano:ProjectionType": "equirectangular", "GPano:PoseHeadingDegrees": "271.5"}),
    ("elements", "<GPano:PosePitchDegrees> -3 </GPano:PosePitchDegrees>", {"GPano:PosePitchDegrees": "-3"}),
    ("of the camera", 'Camera:Yaw="12.25" Camera:Model="x"', {"Camera:Yaw": "12.25"}),
    ("text is not kept", 'GPano:ProjectionType="Jane Doe" dc:creator="Jane"', {}),
    ("unknown names are not kept", 'GPano:Thumbnail="1"', {}),
    ("the first one counts", 'Camera:Roll="1" Camera:Roll="2"', {"Camera:Roll": "1"}),
    ("nothing there", "", {}),
]


@pytest.mark.parametrize(("xmp", "kept"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_only_the_pose_of_the_camera_is_kept_of_the_xmp(xmp: str, kept: dict[str, str]) -> None:
    source, written = jpeg(f"<x {xmp}/>" if xmp else ""), jpeg()
    assert pose(source) == kept
    result = with_pose_of(source, written)
    assert pose(result) == kept
    assert (result == written) == (not kept)
    with Image.open(io.BytesIO(result)) as image:
        image.load()


def test_the_xmp_segment_follows_the_exif_segment() -> None:
    exif = Image.Exif()
    exif[271] = "maker"
    result = with_pose_of(jpeg(ATTRIBUTES), jpeg(exif=exif))
    with Image.open(io.BytesIO(result)) as image:
        assert image.getexif()[271] == "maker"
        assert b"equirectangular" in image.info["xmp"]
    assert result.index(b"Exif\0") < result.index(b"http://ns.adobe.com")


@given(st.binary(max_size=200))
def test_a_damaged_xmp_is_dropped_without_an_error(tail: bytes) -> None:
    assert with_pose_of(b"\xff\xd8" + tail, b"\xff\xd8\xff\xd9")[:2] == b"\xff\xd8"
