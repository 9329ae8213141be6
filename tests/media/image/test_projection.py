"""The projection of a panorama is kept like its orientation; nothing else of its XMP is."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from velum.frame import Frame
from velum.limits import Limits
from velum.media import open_sink, open_source
from velum.media.image.side_content import beside
from velum.media.projection import is_projection_alone, packet, projection
from velum.plan import Plan
from velum.region import Box

from .factories import copy, frames, noise, smooth

KEPT = {
    "GPano:ProjectionType": "equirectangular", "GPano:UsePanoramaViewer": "True", "GPano:FullPanoWidthPixels": "640",
    "GPano:CroppedAreaLeftPixels": "0", "GPano:PoseRollDegrees": "-2.5",
}  # fmt: skip
DROPPED = {
    "GPano:PoseHeadingDegrees": "12.5", "GPano:InitialViewHeadingDegrees": "90", "GPano:FirstPhotoDate": "2024-01-02",
    "GPano:StitchingSoftware": "Jane", "exif:GPSLatitude": "48,8N", "dc:creator": "Jane",
}  # fmt: skip
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    "<rdf:Description rdf:about='' " + " ".join(f'{name}="{value}"' for name, value in (KEPT | DROPPED).items())
    + "/></rdf:RDF></x:xmpmeta>"
).encode()  # fmt: skip
ELEMENTS = "".join(f"<{name}>\n {value} </{name}>" for name, value in (KEPT | DROPPED).items()).encode()


def _panorama(path: Path, xmp: bytes = XMP) -> Path:
    image = Image.fromarray(smooth(3))
    match path.suffix:
        case ".png":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", xmp.decode())
            image.save(path, pnginfo=info)
        case ".tif":
            image.save(path, tiffinfo={700: xmp})
        case ".heic":
            pytest.importorskip("pillow_heif").from_pillow(image).save(path, xmp=xmp)
        case _:
            image.save(path, xmp=xmp)
    return path


def _projection(path: Path) -> dict[str, str]:
    return dict(frames(path)[0].coding.projection)


@pytest.mark.parametrize("xmp", [XMP, ELEMENTS], ids=["attributes", "elements"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
def test_the_projection_is_kept_and_nothing_else(tmp_path: Path, suffix: str, xmp: bytes) -> None:
    source, target = _panorama(tmp_path / f"a{suffix}", xmp), tmp_path / f"out{suffix}"
    copy(source, target)
    assert _projection(target) == KEPT
    assert not [value for value in (b"Heading", b"Jane", b"48,8N", b"2024") if value in target.read_bytes()]
    assert beside(target, Limits()) == [], "the check knows what is kept"
    assert beside(source, Limits()) != []


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_the_projection_is_kept_when_the_format_changes(tmp_path: Path, suffix: str) -> None:
    copy(_panorama(tmp_path / "a.jpg"), tmp_path / f"out{suffix}")
    assert _projection(tmp_path / f"out{suffix}") == KEPT


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_projection_is_kept_in_16_bit_images(tmp_path: Path, suffix: str) -> None:
    plain = cv2.imencode(".png", noise(40, 60, 3, kind=np.uint16))[1].tobytes()
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
    chunk = len(text).to_bytes(4) + b"iTXt" + text + bytes(4)  # its checksum is wrong, and does not matter
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk + plain[33:])
    copy(tmp_path / "a.png", tmp_path / f"out{suffix}")
    assert _projection(tmp_path / f"out{suffix}") == KEPT
    assert frames(tmp_path / f"out{suffix}")[1][0].planes[0].bits == 16


def test_a_format_that_cannot_hold_the_projection_gives_a_warning(tmp_path: Path) -> None:
    source = _panorama(tmp_path / "a.jpg")
    for suffix in (".bmp", ".jp2"):
        assert any(
            "projection of the panorama is not kept" in text
            for text in copy(source, tmp_path / f"out{suffix}").warnings
        )


def test_a_jpeg_that_is_edited_block_by_block_keeps_the_projection(tmp_path: Path) -> None:
    source = _panorama(tmp_path / "a.jpg")
    with open_source(source, Limits()) as reader, open_sink(tmp_path / "out.jpg", reader, Plan()) as writer:
        for frame in reader.frames():
            writer.write(Frame(frame.planes, frame.width, frame.height, touched=((Box(0, 0, 8, 8), None),)))
    assert writer.encoding.startswith(("exact", "re-encoded"))
    assert _projection(tmp_path / "out.jpg") == KEPT


def test_xmp_without_a_projection_is_dropped(tmp_path: Path) -> None:
    source = _panorama(tmp_path / "a.jpg", b'<x GPano:PosePitchDegrees="3" dc:creator="Jane"/>')
    copy(source, tmp_path / "out.jpg")
    assert _projection(tmp_path / "out.jpg") == {}
    assert b"adobe:ns" not in (tmp_path / "out.jpg").read_bytes()


@pytest.mark.parametrize(
    "value", ["Jane Doe", "1;2", "12345678901", "1.1234567890", "&lt;", "equirectangular Jane", ""]
)
def test_only_numbers_and_known_words_of_the_projection_are_kept(value: str) -> None:
    xmp = f'<x GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="{value}"/>'.encode()
    assert projection(xmp) == {"GPano:ProjectionType": "equirectangular"}


@given(st.binary(max_size=200))
def test_an_xmp_packet_of_others_is_not_taken_for_the_one_of_velum(more: bytes) -> None:
    own = packet(KEPT)
    assert is_projection_alone(own)
    assert is_projection_alone(own[:200] + more + own[200:]) == (not more)
    projection(own[:200] + more + own[200:])


@pytest.mark.real
def test_a_real_panorama_keeps_its_projection(shared: Path, tmp_path: Path) -> None:
    copy(shared / "cases" / "panorama-flattened" / "gpano.jpg", tmp_path / "out.jpg")
    assert _projection(tmp_path / "out.jpg") == {
        "GPano:ProjectionType": "equirectangular", "GPano:UsePanoramaViewer": "True",
        "GPano:FullPanoWidthPixels": "640", "GPano:FullPanoHeightPixels": "320",
    }  # fmt: skip
