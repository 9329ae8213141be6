"""Images of more than 8 bits per channel, which Pillow reduces to 8: OpenCV or libheif decodes them, this file writes.

It writes PNG (third edition) and TIFF 6.0, both compressed with Deflate after subtracting the sample to the left. ISA-L
compresses: on photographs it takes a third of zlib's time or less, for as many bytes up to a tenth more.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from PIL import Image, TiffImagePlugin, TiffTags
from PIL.ExifTags import Base

from velum.errors import BadInput
from velum.frame import Role
from velum.media.image.info import PNG_XMP, ImageFormat, ImagePage

Deep = npt.NDArray[np.uint16]

_BAND_SAMPLES = 1 << 20
_LEVEL = 1
_DEPTH = 16
_PNG_TYPES = {Role.GREY: 0, Role.RGB: 2, Role.GREY_ALPHA: 4, Role.RGBA: 6}
_CHANNELS_OF_BGRA = {Role.RGB: [2, 1, 0], Role.RGBA: [2, 1, 0, 3], Role.GREY_ALPHA: [0, 3]}


def decode(data: bytes, index: int, size: tuple[int, int], role: Role, depth: int = 16) -> Deep:
    """Return page `index` of a PNG, TIFF or AVIF as an array (rows, columns, channels) of 16-bit samples.

    Samples of `depth` bits, where that is less than 16, are stretched to 16.

    Raises `BadInput` when OpenCV decodes it to another size or role than `size` (width, height) and `role`.
    """
    buffer = np.frombuffer(data, np.uint8)
    if index:
        _, pages = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(index, index + 1))
        stored = pages[0] if pages else None
    else:
        stored = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    order = _CHANNELS_OF_BGRA[role]
    if stored is None or stored.dtype != np.uint16 or stored.shape != (size[1], size[0], 4 if 3 in order else 3):
        raise BadInput("its 16-bit samples are laid out in a way that is not supported; convert it first")
    if depth < _DEPTH:
        stored = _stretch_to_16(stored.astype(np.uint16, copy=False), depth)
    if role == Role.GREY_ALPHA:
        return np.ascontiguousarray(stored[..., order])
    code = cv2.COLOR_BGR2RGB if role == Role.RGB else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(stored, code, dst=stored)  # type: ignore[return-value]  # its stubs lose the dtype


def decode_heif(data: bytes, size: tuple[int, int], role: Role, depth: int) -> Deep:
    """Return the primary image of a HEIF, of 10 or 12 bits per sample, as `decode` does."""
    import pillow_heif  # noqa: PLC0415  # an extra; the caller has opened the file with it

    pictures = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    stored = np.asarray(pictures[pictures.primary_index])
    expected = (size[1], size[0]) if role == Role.GREY else (size[1], size[0], role.channels)
    if stored.dtype != np.uint16 or stored.shape != expected:
        raise BadInput("its samples are laid out in a way that is not supported; convert it first")
    return _stretch_to_16(stored.astype(np.uint16) >> np.uint16(_DEPTH - depth), depth)


def _stretch_to_16(samples: npt.NDArray[np.uint16], depth: int) -> Deep:
    """Return samples of `depth` bits scaled to 16: 0 stays 0, and the largest value becomes 65,535."""
    stretched: Deep = samples << np.uint16(_DEPTH - depth)
    stretched |= samples >> np.uint16(2 * depth - _DEPTH)
    return stretched


def write_png(file: IO[bytes], pixels: Deep, role: Role, chunks: Sequence[tuple[bytes, bytes]]) -> None:
    """Write `pixels` (rows, columns, channels) as a PNG; `chunks`, (name, content), come before the samples."""
    rows, columns = pixels.shape[:2]
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, _PNG_TYPES[role], 0, 0, 0))
    for name, content in chunks:
        _chunk(file, name, content)
    compressor = isal_zlib.compressobj(_LEVEL)
    for band in _bands(pixels):
        raw = band.astype(">u2").view(np.uint8).reshape(len(band), -1)
        step = 2 * role.channels
        lines = np.empty((len(band), raw.shape[1] + 1), np.uint8)
        lines[:, 0] = 1  # filter Sub
        lines[:, 1 : step + 1] = raw[:, :step]
        np.subtract(raw[:, step:], raw[:, :-step], out=lines[:, step + 1 :])
        if packed := compressor.compress(lines.data):
            _chunk(file, b"IDAT", packed)
    _chunk(file, b"IDAT", compressor.flush())
    _chunk(file, b"IEND", b"")


def write_tiff(file: IO[bytes], pixels: Deep, role: Role, tags: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    """Write `pixels` as one self-contained TIFF page, with `tags` and those that describe the samples.

    With Compression 1 (none) in `tags` the samples are stored uncompressed, else with Deflate.
    """
    plain = tags.get(Base.Compression) == 1
    _set_layout_tags(tags, pixels, role, plain=plain)
    start = file.tell()
    # The directory comes first, at its final size: Pillow counts the strips' offsets from its end.
    file.write(b"II*\0\x08\0\0\0" + bytes(len(tags.tobytes(8))))
    offsets, counts, at = [], [], 0
    for band in _bands(pixels):
        strip = band.astype("<u2").tobytes() if plain else isal_zlib.compress(_subtract_left(band), _LEVEL)
        offsets.append(at)
        counts.append(len(strip))
        at += file.write(strip + bytes(len(strip) % 2))
    tags[Base.StripOffsets], tags[Base.StripByteCounts] = tuple(offsets), tuple(counts)
    file.seek(start + 8)
    file.write(tags.tobytes(8))
    file.seek(0, io.SEEK_END)


def _set_layout_tags(tags: TiffImagePlugin.ImageFileDirectory_v2, pixels: Deep, role: Role, *, plain: bool) -> None:
    """Set the tags for the layout of the samples; the offsets of strips are 0 until they are written."""
    rows, columns = pixels.shape[:2]
    strips = -(-rows // _rows(pixels))
    facts: dict[int, int | tuple[int, ...]] = {
        Base.ImageWidth: columns, Base.ImageLength: rows, Base.BitsPerSample: (16,) * role.channels,
        Base.Compression: 1 if plain else 8, Base.PhotometricInterpretation: 2 if role in {Role.RGB, Role.RGBA} else 1,
        Base.SamplesPerPixel: role.channels, Base.RowsPerStrip: _rows(pixels), Base.PlanarConfiguration: 1,
        Base.SampleFormat: (1,) * role.channels,
    }  # fmt: skip
    if not plain:
        facts[Base.Predictor] = 2
    if role in {Role.RGBA, Role.GREY_ALPHA}:
        facts[Base.ExtraSamples] = 2
    for listed in (Base.StripOffsets, Base.StripByteCounts):
        facts[listed] = (0,) * strips
        tags.tagtype[listed] = TiffTags.LONG
    for tag, value in facts.items():
        tags[tag] = value


def _subtract_left(band: Deep) -> bytes:
    """Return the bytes of a band after horizontal differencing (TIFF 6.0, section 14)."""
    changed = band.astype("<u2")
    changed[:, 1:] -= band[:, :-1]
    return changed.tobytes()


def _rows(pixels: Deep) -> int:
    return max(1, _BAND_SAMPLES // int(pixels.shape[1] * 4))


def _bands(pixels: Deep) -> Iterator[Deep]:
    rows = _rows(pixels)
    for top in range(0, len(pixels), rows):
        yield pixels[top : top + rows]


def _chunk(file: IO[bytes], name: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + name + content)
    file.write(struct.pack(">I", isal_zlib.crc32(content, isal_zlib.crc32(name))))


def png_metadata_chunks(
    coding: ImageFormat, page: ImagePage, exif: Image.Exif | None, xmp: bytes = b""
) -> list[tuple[bytes, bytes]]:
    """Return the chunks (name, content) between header and samples, for a PNG of 16 bits that Pillow cannot write."""
    chunks = list(coding.colour)
    if page.icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(page.icc)))
    if page.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in page.dpi), 1)))
    if xmp:
        chunks.append((b"iTXt", PNG_XMP.encode() + bytes(5) + xmp))
    if exif is not None:
        chunks.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    return chunks
