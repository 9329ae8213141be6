"""HEIF and AVIF of more than 8 bits, and HEIF of several pictures: written where that is asked for, and said."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from velum.errors import BadInput, BadPlan
from velum.frame import Role

from .factories import Array, copy, frames

WIDTH, HEIGHT = 64, 48


def _ramp(*channels: int) -> Array:
    """Colours of 10 bits, smooth, from black to white."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    flat = ((x * 1023 // (WIDTH - 1)) * (HEIGHT - y // 2) // HEIGHT).astype(np.uint16)
    return np.dstack([np.roll(flat, 9 * channel, axis=0) for channel in range(channels[0])]) if channels else flat


def _deep(path: Path, channels: int) -> Array:
    """Write a picture of 10 bits and return its samples as 16."""
    samples = _ramp(channels)
    if path.suffix == ".avif":
        order = [2, 1, 0, 3][:channels]
        options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
        path.write_bytes(cv2.imencode(".avif", samples[..., order], options)[1].tobytes())
    else:
        heif = pytest.importorskip("pillow_heif")
        mode = {1: "L;16", 3: "RGB;16", 4: "RGBA;16"}[channels]
        heif.from_bytes(mode, (WIDTH, HEIGHT), (samples << 6).tobytes()).save(path, quality=100, chroma=444)
    return (samples << 6 | samples >> 4).squeeze()


@pytest.mark.parametrize("source", ["a.heic", "a.hif", "a.avif"])
@pytest.mark.parametrize(("channels", "role"), [(3, Role.RGB), (4, Role.RGBA)])
@pytest.mark.parametrize("target", ["out.png", "out.tif"])
def test_ten_bits_become_sixteen(tmp_path: Path, source: str, channels: int, role: Role, target: str) -> None:
    samples = _deep(tmp_path / source, channels)
    writer = copy(tmp_path / source, tmp_path / target)
    _, (frame,) = frames(tmp_path / target)
    assert (frame.planes[0].role, frame.planes[0].bits) == (role, 16)
    assert np.abs(frame.planes[0].pixels.astype(int) - samples).mean() < 1500, "2 % of white: what lossy coding costs"
    assert frame.planes[0].pixels.max() > 65_000, "white stays white"
    assert not [warning for warning in writer.warnings if "bits" in warning]


def test_ten_bits_of_grey_become_sixteen(tmp_path: Path) -> None:
    samples = _deep(tmp_path / "a.heic", 1)
    copy(tmp_path / "a.heic", tmp_path / "out.png")
    _, (frame,) = frames(tmp_path / "out.png")
    assert (frame.planes[0].role, frame.planes[0].bits) == (Role.GREY, 16)
    assert np.abs(frame.planes[0].pixels.astype(int) - samples).mean() < 1500


@pytest.mark.parametrize("source", ["a.hif", "a.avif"])
@pytest.mark.parametrize("target", ["out.jpg", "out.webp"])
def test_ten_bits_become_eight_where_a_format_has_no_more(tmp_path: Path, source: str, target: str) -> None:
    samples = _deep(tmp_path / source, 3)
    writer = copy(tmp_path / source, tmp_path / target)
    _, (frame,) = frames(tmp_path / target)
    assert np.abs(frame.planes[0].pixels.astype(int) - samples // 257).mean() < 6
    assert [warning for warning in writer.warnings if warning.startswith("10 bits per sample are reduced to 8")]


@pytest.mark.parametrize("name", ["a.heic", "a.avif"])
def test_a_format_that_would_lose_bits_is_refused_with_a_proposal(tmp_path: Path, name: str) -> None:
    _deep(tmp_path / name, 3)
    with pytest.raises(BadPlan, match=r"10 bits per sample; choose another suffix, such as \.jpg"):
        copy(tmp_path / name, tmp_path / f"out{Path(name).suffix}")
    copy(tmp_path / name, tmp_path / "out.jpg")


def test_an_animation_of_ten_bits_is_refused(tmp_path: Path) -> None:
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(_ramp(3) + 1)] * 2
    animation.durations = [100, 100]
    source = tmp_path / "a.avif"
    if not cv2.imwriteanimation(str(source), animation, [cv2.IMWRITE_AVIF_DEPTH, 10]):
        pytest.skip("this OpenCV writes no such thing")
    with pytest.raises(BadInput, match="10 bits per sample in an animation"):
        frames(source)


def test_a_png_states_high_dynamic_range(tmp_path: Path) -> None:
    """PQ with the primaries of BT.2020 (ITU-T H.273): shown as sRGB it would be another picture."""
    _deep(tmp_path / "a.avif", 3)
    data = (tmp_path / "a.avif").read_bytes()
    at = data.index(b"colrnclx") + 8
    (tmp_path / "a.avif").write_bytes(data[:at] + b"\0\x09\0\x10" + data[at + 4 :])
    copy(tmp_path / "a.avif", tmp_path / "out.png")
    assert b"\0\0\0\4cICP\x09\x10\0\1" in (tmp_path / "out.png").read_bytes()
    writer = copy(tmp_path / "a.avif", tmp_path / "out.jpg")
    assert [warning for warning in writer.warnings if "cICP" in warning]


def test_the_primary_one_of_several_images_is_written(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    views = heif.from_pillow(Image.new("RGB", (WIDTH, HEIGHT), "red"))
    views.add_from_pillow(Image.new("RGB", (WIDTH, HEIGHT), "blue"))
    views.save(tmp_path / "a.heic", primary_index=1, quality=100)
    with pytest.raises(BadPlan, match=r"1 further images .* such as \.jpg"):
        copy(tmp_path / "a.heic", tmp_path / "out.heic")
    for target in ("out.jpg", "out.png"):
        writer = copy(tmp_path / "a.heic", tmp_path / target)
        _, (frame,) = frames(tmp_path / target)
        assert frame.planes[0].pixels[5, 5, 2] > 200 > frame.planes[0].pixels[5, 5, 0]
        assert any("only the primary image is written; 1 further" in warning for warning in writer.warnings)
