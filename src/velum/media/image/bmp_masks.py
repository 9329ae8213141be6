"""Conversion of BMPs with colour masks, of 16 or 32 bits per pixel in any order, to 24 or 32 bits that Pillow reads.

Headers: BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER of the Windows GDI. An alpha channel that is opaque
everywhere, or 0 everywhere (as programs without support for alpha write it), is dropped.
"""

import struct
from collections.abc import Sequence
from typing import IO

import numpy as np
import numpy.typing as npt

from velum.errors import BadInput

Bytes = npt.NDArray[np.uint8]
_INFO, _V2, _V3, _OS2, _V4, _V5 = 40, 52, 56, 64, 108, 124
_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_KINDS = {4: "a JPEG inside", 5: "a PNG inside", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_PLAIN = {(16, (0xF800, 0x7E0, 0x1F, 0)), (16, (0x7C00, 0x3E0, 0x1F, 0)), (32, (0xFF0000, 0xFF00, 0xFF, 0))}
"""Bits and masks that Pillow reads itself."""
_SRGB = b"BGRs"
_EMBEDDED = b"DEBM"
_HEADERS = {12, _INFO, _V2, _V3, _OS2, _V4, _V5}


def plain(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a BMP that Pillow reads, and notes for the report; `data` itself where Pillow reads that.

    Raises `BadInput` when it is damaged or of a kind that velum does not support.
    """
    size = int.from_bytes(data[14:18], "little")
    if size not in _HEADERS:
        raise BadInput(
            f"its header of {size} bytes is not supported; supported are those of Windows 2 to 5; convert it first"
        )
    if size < _INFO:
        return data, ()
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data.ljust(_V5 + 14, b"\0"), 18)
    if size == _OS2 and compression in {3, 4}:
        raise BadInput(
            "a BMP of OS/2 with run lengths of 24 bits, or Huffman codes, is not supported; convert it first"
        )
    if compression in _KINDS:
        raise BadInput(f"a BMP with {_KINDS[compression]} is not supported; convert it to PNG first")
    notes: tuple[str, ...] = ("its colour profile is not kept",) if _has_profile(data, size) else ()
    if compression not in {_BITFIELDS, _ALPHA_BITFIELDS} or bits not in {16, 32} or size == _OS2:
        return data, notes
    masks = _masks(data, size, compression)
    if (bits, masks) in _PLAIN:
        return data, notes
    if width <= 0 or height == 0 or not any(masks[:3]):
        raise BadInput("it is damaged: its size or its colour masks are impossible; copy the file again")
    pixels = _pixels(data, size, compression, width, abs(height), bits)
    channels = [_channel(pixels, mask) for mask in masks]
    if any(mask.bit_count() > 8 for mask in masks):
        notes = (*notes, f"{max(mask.bit_count() for mask in masks)} bits per sample were reduced to 8")
    order = slice(None, None, -1 if height > 0 else 1)
    rgb = np.stack(channels[:3], axis=2)[order]
    alpha = channels[3][order] if masks[3] else None
    if alpha is not None and (alpha.min() != alpha.max() or alpha.flat[0] not in {0, 255}):
        rgb = np.dstack((rgb, alpha))
    return _file(rgb, struct.unpack_from("<ii", data, 38)), notes


def _has_profile(data: bytes, size: int) -> bool:
    return size == _V5 and data[70:74] == _EMBEDDED


def write_bgra(file: IO[bytes], pixels: Bytes, dpi: tuple[float, float] | None) -> None:
    """Write RGBA samples (rows, columns, 4) as a BMP of 32 bits, whose header has a mask for alpha."""
    metres = tuple(round(value / 0.0254) for value in dpi) if dpi else (0, 0)
    file.write(_file(pixels, metres))


def _masks(data: bytes, size: int, compression: int) -> tuple[int, int, int, int]:
    count = 4 if size >= _V3 or compression == _ALPHA_BITFIELDS else 3
    if len(data) < 54 + 4 * count:
        raise BadInput("it is damaged or truncated: it ends in its header; copy the file again")
    red, green, blue, alpha = (*struct.unpack_from(f"<{count}I", data, 54), 0)[:4]
    return red, green, blue, alpha


def _pixels(
    data: bytes, size: int, compression: int, width: int, height: int, bits: int
) -> npt.NDArray[np.uint32]:  # fmt: skip
    masks = 0 if size > _INFO else 16 if compression == _ALPHA_BITFIELDS else 12
    start = int.from_bytes(data[10:14], "little") or 14 + size + masks
    step = (width * bits + 31) // 32 * 4
    if start + step * height > len(data):
        raise BadInput(
            f"it is damaged or truncated ({len(data)} of {start + step * height} bytes); copy the file again"
        )
    rows = np.frombuffer(data, np.uint8, step * height, start).reshape(height, step)
    kind = "<u2" if bits == 16 else "<u4"
    return rows[:, : width * bits // 8].copy().view(kind).astype(np.uint32, copy=False)


def _channel(pixels: npt.NDArray[np.uint32], mask: int) -> Bytes:
    """Return the bits under a mask scaled to 8 bits; 0 everywhere for an empty mask."""
    if not mask:
        return np.zeros(pixels.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    values = (pixels & np.uint32(mask)) >> np.uint32(shift)
    if most == 255:
        return values.astype(np.uint8)
    scaled: Bytes = np.rint(values * (255 / most)).astype(np.uint8)
    return scaled


def _file(pixels: Bytes, metres: Sequence[int]) -> bytes:
    """Return the bytes of a BMP, bottom row first, of RGB or RGBA samples (rows, columns, channels)."""
    height, width, channels = pixels.shape
    step = (width * channels + 3) // 4 * 4
    rows = np.zeros((height, step), np.uint8)
    order = [2, 1, 0, 3][:channels]
    rows[:, : width * channels] = pixels[::-1][..., order].reshape(height, -1)
    size = _V4 if channels == 4 else _INFO
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, 8 * channels, _BITFIELDS if channels == 4 else 0,
                       step * height, metres[0], metres[1], 0, 0)  # fmt: skip
    if channels == 4:
        head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + _SRGB + bytes(48)
    start = 14 + len(head)
    return struct.pack("<2sIHHI", b"BM", start + rows.nbytes, 0, 0, start) + head + rows.tobytes()
