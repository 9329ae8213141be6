"""BMP as Windows, GIMP and games write it: colour masks in any order, 16 and 32 bits, alpha, top row first."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum.errors import BadInput
from velum.frame import Role

from .factories import Array, copy, frames, noise

WIDTH, HEIGHT = 13, 7
RGB = noise(HEIGHT, WIDTH, 3)
ALPHA = noise(HEIGHT, WIDTH, seed=1)
V4, V5 = 108, 124
Masks = tuple[int, int, int, int]


def bmp(pixels: Array, bits: int, masks: Masks, header: int, *, top_down: bool = False, compression: int = 3) -> bytes:
    """A BMP whose samples lie under `masks` as the top bits of `pixels` (rows, columns, 3 or 4)."""
    packed = np.zeros(pixels.shape[:2], np.uint32)
    for channel, mask in enumerate(masks[: pixels.shape[2]]):
        width, shift = mask.bit_count(), max((mask & -mask).bit_length() - 1, 0)
        packed |= (pixels[..., channel].astype(np.uint32) >> np.uint32(8 - min(width, 8))) << np.uint32(shift)
    step = (WIDTH * bits + 31) // 32 * 4
    rows = np.zeros((HEIGHT, step), np.uint8)
    rows[:, : WIDTH * bits // 8] = packed.astype(f"<u{bits // 8}").view(np.uint8).reshape(HEIGHT, -1)
    high = -HEIGHT if top_down else HEIGHT
    head = struct.pack("<IiiHHIIiiII", header, WIDTH, high, 1, bits, compression, rows.nbytes, 2835, 2835, 0, 0)
    fields = struct.pack("<4I", *masks)
    head += fields[: {40: 12, 52: 12}.get(header, 16)] if compression == 3 else b""
    head = head.ljust(header, b"\0")
    start = 14 + len(head)
    body = (rows if top_down else rows[::-1]).tobytes()
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + body


OPAQUE = np.dstack((RGB, np.full((HEIGHT, WIDTH), 255, np.uint8)))
CLEAR = np.dstack((RGB, np.zeros((HEIGHT, WIDTH), np.uint8)))
MIXED = np.dstack((RGB, ALPHA))
BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
KINDS = [
    (RGB, 32, (0xFF0000, 0xFF00, 0xFF, 0), 40, Role.RGB, "the usual order"),
    (RGB, 32, (0xFF, 0xFF00, 0xFF0000, 0), 40, Role.RGB, "red first"),
    (RGB, 32, (0xFF, 0xFF00, 0xFF0000, 0), 52, Role.RGB, "red first, masks in the header"),
    (RGB, 32, (0xFF00, 0xFF0000, 0xFF000000, 0), 56, Role.RGB, "a free byte first"),
    (OPAQUE, 32, BGRA, V4, Role.RGB, "opaque alpha is none"),
    (OPAQUE, 32, BGRA, V5, Role.RGB, "opaque alpha is none"),
    (CLEAR, 32, BGRA, V5, Role.RGB, "alpha that nobody wrote is none"),
    (MIXED, 32, BGRA, V4, Role.RGBA, "alpha"),
    (MIXED, 32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), V5, Role.RGBA, "alpha, red first"),
    (MIXED, 32, (0xFF00, 0xFF0000, 0xFF000000, 0xFF), 56, Role.RGBA, "alpha first"),
]


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize(("pixels", "bits", "masks", "header", "role", "reason"), KINDS)
def test_samples_are_found_under_their_masks(
    tmp_path: Path, pixels: Array, bits: int, masks: Masks, header: int, role: Role, reason: str, *, top_down: bool
) -> None:
    (tmp_path / "a.bmp").write_bytes(bmp(pixels, bits, masks, header, top_down=top_down))
    copy(tmp_path / "a.bmp", tmp_path / "out.bmp")
    for name in ("a.bmp", "out.bmp"):
        info, (frame,) = frames(tmp_path / name)
        assert frame.planes[0].role == role, reason
        assert np.array_equal(frame.planes[0].pixels, pixels[..., : role.channels]), reason
        assert info.coding.first.dpi == pytest.approx((72, 72), abs=0.1)
    with Image.open(tmp_path / "out.bmp") as other:
        assert np.array_equal(np.asarray(other), pixels[..., : role.channels]), "other programs see the same"


@pytest.mark.parametrize(
    ("masks", "header"),
    [
        ((0xF800, 0x7E0, 0x1F, 0), 40),
        ((0x7C00, 0x3E0, 0x1F, 0), 40),
        ((0x7C00, 0x3E0, 0x1F, 0x8000), V4),
        ((0xF00, 0xF0, 0xF, 0), V4),
        ((0xF00, 0xF0, 0xF, 0xF000), V5),
    ],
)
def test_samples_of_few_bits_are_stretched(tmp_path: Path, masks: Masks, header: int) -> None:
    pixels = MIXED if masks[3] else RGB
    (tmp_path / "a.bmp").write_bytes(bmp(pixels, 16, masks, header))
    _, (frame,) = frames(tmp_path / "a.bmp")
    for channel in range(pixels.shape[2]):
        bits = masks[channel].bit_count()
        kept = pixels[..., channel] >> (8 - bits)
        expected = kept * (255 / (2**bits - 1))
        assert np.abs(frame.planes[0].pixels[..., channel] - expected).max() < 1, "Pillow's own way cuts, this rounds"
    copy(tmp_path / "a.bmp", tmp_path / "out.bmp")
    _, (again,) = frames(tmp_path / "out.bmp")
    assert np.array_equal(again.planes[0].pixels, frame.planes[0].pixels)


def test_the_fourth_byte_without_a_mask_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(bmp(MIXED, 32, BGRA, 40, compression=0))
    _, (frame,) = frames(tmp_path / "a.bmp")
    assert np.array_equal(frame.planes[0].pixels, RGB)


def test_ten_bits_are_reduced_with_a_warning(tmp_path: Path) -> None:
    masks = (0x3FF00000, 0xFFC00, 0x3FF, 0)
    (tmp_path / "a.bmp").write_bytes(bmp(RGB, 32, masks, 40))
    assert "10 bits per sample were reduced to 8" in copy(tmp_path / "a.bmp", tmp_path / "out.png").warnings


def test_images_with_alpha_can_be_converted_to_bmp(tmp_path: Path) -> None:
    Image.fromarray(MIXED).save(tmp_path / "a.png", dpi=(72, 72))
    copy(tmp_path / "a.png", tmp_path / "out.bmp")
    _, (frame,) = frames(tmp_path / "out.bmp")
    assert np.array_equal(frame.planes[0].pixels, MIXED)


def test_a_header_of_os2_is_read(tmp_path: Path) -> None:
    rows = np.zeros((HEIGHT, (WIDTH * 3 + 3) // 4 * 4), np.uint8)
    rows[:, : WIDTH * 3] = RGB[::-1, :, ::-1].reshape(HEIGHT, -1)
    head = struct.pack("<2sIHHIIHHHH", b"BM", 26 + rows.nbytes, 0, 0, 26, 12, WIDTH, HEIGHT, 1, 24)
    (tmp_path / "a.bmp").write_bytes(head + rows.tobytes())
    _, (frame,) = frames(tmp_path / "a.bmp")
    assert np.array_equal(frame.planes[0].pixels, RGB)


def test_run_lengths_are_read(tmp_path: Path) -> None:
    palette = bytes(value for level in range(256) for value in (level, 255 - level, 7, 0))
    body = b"".join(bytes((WIDTH, 10 + row)) + b"\0\0" for row in range(HEIGHT)) + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(body), 0, 0, 256, 0) + palette
    start = 14 + len(head)
    (tmp_path / "a.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + body)
    _, (frame,) = frames(tmp_path / "a.bmp")
    assert frame.planes[0].pixels[0, 0].tolist() == [7, 255 - 16, 16], "the last run is the top row"


BAD = [
    (bmp(RGB, 32, (0xFF, 0xFF00, 0xFF0000, 0), 40)[:-9], "truncated", "its last row is not all there"),
    (bmp(RGB, 32, (0, 0, 0, 0), V4), "damaged", "masks of nothing"),
    (bmp(RGB, 32, BGRA, 40, compression=4), "JPEG inside is not supported", "a JPEG in a BMP"),
    (bmp(RGB, 32, BGRA, 40, compression=5), "PNG inside is not supported", "a PNG in a BMP"),
    (bmp(RGB, 32, BGRA, 64, compression=4), "is not supported", "run lengths of OS/2"),
    (b"BM" + bytes(12) + struct.pack("<I", 77) + bytes(200), "header of 77 bytes is not supported", "no such header"),
]


@pytest.mark.parametrize(("data", "says", "reason"), BAD, ids=[row[2] for row in BAD])
def test_unsupported_bmps_are_not_called_damaged(tmp_path: Path, data: bytes, says: str, reason: str) -> None:
    (tmp_path / "a.bmp").write_bytes(data)
    with pytest.raises(BadInput, match=says) as caught:
        frames(tmp_path / "a.bmp")
    assert ("damaged" in str(caught.value)) == (says in {"truncated", "damaged"}), reason
