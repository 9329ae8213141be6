"""Reader of still images, animations and multi-page TIFFs. It reads the file once and yields the samples as stored.

Plain 8-bit images are decoded by OpenCV, which is faster than Pillow.
"""

import hashlib
import io
import os
import stat
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from velum.errors import BadInput
from velum.frame import Frame, Orientation, Plane, Role, Samples
from velum.limits import Limits
from velum.media.formats import format_of
from velum.media.image import sixteen_bit
from velum.media.image.decode_cost import scans_of
from velum.media.image.decode_errors import translate_errors
from velum.media.image.info import ImageInfo, ImagePage
from velum.media.image.palette import Indexed
from velum.media.image.probe import open_header, probe_file, probe_page
from velum.media.image.repair import (
    archive_notes,
    further_picture_notes,
    is_whole,
    keep_decodable,
    refuse_raw,
    with_end,
)
from velum.media.image.strip_metadata import strip_metadata
from velum.media.projection import projection
from velum.media.sources import BytesSource

_BAND_BYTES = 1 << 22
_SENDABLE = {"BMP", "JPEG", "PNG", "WEBP"}


class ImageReader:
    """Reader of one image file. Use it in a `with` block; each call of `frames()` starts with the first frame."""

    def __init__(self, source: Path, data: bytes, limits: Limits, *, sha256: str | None = None) -> None:
        self._limits, self._source = limits, source
        self.sha256 = sha256
        """SHA-256 of the file as it was read, in hexadecimal; None where the caller did not compute it."""
        refuse_raw(data, source)
        self._format = format_of(data, str(source))
        with translate_errors(source, data, self._format):
            whole = keep_decodable(data, self._format, source)
        self._data, self._profile = whole.data, whole.profile
        with translate_errors(source, self._data, self._format), self._open() as image:
            self._check_size(image)
            if self._format == "JPEG":
                limits.check("scans", scans_of(self._data, limits.scans), str(source))
            self._data, notes = with_end(self._data, self._format, source)
            pictures = int(getattr(image, "n_frames", 1))
            frames = 1 if self._format == "HEIF" else pictures
            limits.check("frames", frames, str(source))
            limits.check("image_pixels", image.width * image.height * frames, str(source))
            coding = probe_file(image, self._data, self._format, frames, source, self._profile)
            others = (*archive_notes(data), *further_picture_notes(data, self._format, source))
            coding = replace(
                coding, further=pictures - frames, notes=(*coding.notes, *whole.notes, *notes, *others),
                projection=projection(whole.xmp or _xmp_bytes(image.info.get("xmp"))),
            )  # fmt: skip
            width, height = Orientation.from_exif(coding.orientation).stored_size(*image.size)
        self.info = ImageInfo(self._format, width, height, frames, source, coding)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data = b""

    def frames(self) -> Generator[Frame, None, None]:
        """Yield every frame or page in order. Only frames of animations have a `time`.

        Raises `BadInput` when a frame is damaged and `LimitExceeded` when it is too large.
        """
        with translate_errors(self._source, self._data, self._format):
            image = self._open()
        with image:
            time = Fraction(0)
            for index in range(self.info.frames):
                with translate_errors(self._source, self._data, self._format):
                    plane, page = self._decode(image, index)
                    if self.info.frames == 1:
                        image.close()
                animated = self.info.coding.animated
                orientation = Orientation.from_exif(self.info.coding.orientation)
                encoded = strip_metadata(self._data, self._format) if self._is_sendable(page, image) else None
                yield Frame.of(
                    plane, index=index, time=time if animated else None, orientation=orientation,
                    encoded=encoded, page=page,
                )  # fmt: skip
                time += Fraction(page.duration_ms).limit_denominator(1000) / 1000
                del plane

    def sendable_file(self) -> bytes | None:
        """Return the file without metadata where it can stand for its only frame, else None. Nothing is decoded."""
        with translate_errors(self._source, self._data, self._format), self._open() as image:
            if self.info.frames > 1 or self._format not in _SENDABLE:
                return None
            page, _ = probe_page(image, self._data, self._source, animated=False, profile=self._profile)
            return strip_metadata(self._data, self._format) if self._is_sendable(page, image) else None

    def _open(self) -> ImageFile.ImageFile:
        return open_header(self._format, self._data)

    def _check_size(self, image: Image.Image) -> None:
        self._limits.check("pixels", image.width * image.height, str(self._source))

    def _is_sendable(self, page: ImagePage, image: Image.Image) -> bool:
        """Tell whether the file's bytes can stand for this frame: it holds one image, upright and of 8 bits."""
        return (
            self.info.frames == 1
            and self._format in _SENDABLE
            and self.info.coding.orientation == 1
            and page.role in {Role.GREY, Role.RGB}
            and page.bits == 8
            and not page.bilevel
            and page.palette is None
            and "mp" not in image.info  # further images of a JPEG (CIPA DC-007)
        )

    def _decode(self, image: ImageFile.ImageFile, index: int) -> tuple[Plane, ImagePage]:
        # HEIF opens at its primary image, which need not be the first.
        if self.info.frames > 1:
            image.seek(index)
        self._check_size(image)
        page, mode = probe_page(
            image, self._data, self._source, animated=self.info.coding.animated, profile=self._profile
        )
        pixels = decode_8_bits(image, self._data, mode) if self.info.frames == 1 else None
        if pixels is not None:
            return Plane(pixels, page.role), page
        image.load()
        page = replace(page, duration_ms=float(image.info.get("duration", 0)))
        if mode.endswith(";deep"):
            size = image.size
            image.im = None  # type: ignore[assignment]  # its 8-bit pixels only showed that the file is complete
            return Plane(self._decode_deep(index, size, page), page.role, bits=16), page
        if page.palette is not None:
            indices = samples(image)
            return Indexed(page.palette.expand(indices), page.role, indices=indices), page
        stored = image if image.mode == mode else image.convert(mode)
        return Plane(samples(stored), page.role, bits=page.bits), page

    def _decode_deep(self, index: int, size: tuple[int, int], page: ImagePage) -> sixteen_bit.Deep:
        if self._format == "HEIF":
            return sixteen_bit.decode_heif(self._data, size, page.role, page.depth or 16)
        if self._format == "PNG" and not is_whole(self._data):
            raise BadInput(f"cannot read {self._source}: it is damaged or truncated; copy the file again")
        return sixteen_bit.decode(self._data, index, size, page.role, page.depth or 16)


def read(source: Path, limits: Limits) -> ImageReader:
    """Return a reader of the image file at a path.

    Raises `BadInput` when it is missing, empty, damaged, not an image or of a kind that velum cannot write back,
    `LimitExceeded` when it is too large, and `Unavailable` for HEIF without the extra.
    """
    data = _read_file(source, limits)
    return ImageReader(source, data, limits, sha256=hashlib.sha256(data).hexdigest())


def read_bytes(source: BytesSource, limits: Limits) -> ImageReader:
    """Return a reader of an image file in memory. Raises as `read` does."""
    if not source.data:
        raise BadInput(f"cannot read {source}: it is empty")
    limits.check("bytes", len(source.data), str(source))
    return ImageReader(Path(source.name), source.data, limits, sha256=hashlib.sha256(source.data).hexdigest())


def samples(image: Image.Image) -> npt.NDArray[Any]:
    """Return a writable array of the image's samples, (rows, columns[, channels]); a bilevel image has 0 and 255.

    Copied in bands: `np.array(image)` would hold two further copies of the image meanwhile.
    """
    width, height = image.size
    probe = np.asarray(image.crop((0, 0, 1, 1)))
    bilevel = probe.dtype == bool
    kind = np.uint16 if probe.dtype.itemsize == 2 else np.uint8
    pixels = np.empty((height, width, *probe.shape[2:]), kind)
    rows = max(1, _BAND_BYTES // (width * 4))
    for top in range(0, height, rows):
        band = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        pixels[top : top + rows] = np.where(band, 255, 0) if bilevel else band
    return pixels


def _xmp_bytes(xmp: Any) -> bytes:
    return xmp.encode() if isinstance(xmp, str) else xmp if isinstance(xmp, bytes) else b""


def _read_file(source: Path, limits: Limits) -> bytes:
    try:
        # Not blocking: a pipe without a writer would otherwise hang here before it can be refused.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = _read_descriptor(descriptor, source, limits)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise BadInput(f"cannot read {source}: there is no such file") from error
    except OSError as error:
        raise BadInput(f"cannot read {source}: {error.strerror or error}") from error
    limits.check("bytes", len(data), str(source))
    if not data:
        raise BadInput(f"cannot read {source}: the file is empty")
    return data


def _read_descriptor(descriptor: int, source: Path, limits: Limits) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a file"
        raise BadInput(f"cannot read {source}: it is {kind}; give an image file")
    limits.check("bytes", status.st_size, str(source))
    with io.FileIO(descriptor, closefd=False) as file:
        return file.read() or b""


_EOI, _RST0, _RST_MASK = 0xD9, 0xD0, 0xF8
_VP8X_ANIMATION = 0x02
_IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"
_COLOUR = int(cv2.IMREAD_COLOR_RGB) | int(cv2.IMREAD_IGNORE_ORIENTATION)
_GREY = int(cv2.IMREAD_GRAYSCALE) | int(cv2.IMREAD_IGNORE_ORIENTATION)


def decode_8_bits(image: ImageFile.ImageFile, data: bytes, mode: str) -> Samples | None:
    """Return the pixels (rows, columns[, 3]) of a still image of 8 bits; None where Pillow has to decode it.

    Pillow has opened `image` from `data`, but not loaded it. `mode` is Pillow's mode of the samples that are wanted.
    """
    if image.mode != mode or not _can_decode(image, data):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _COLOUR if mode == "RGB" else _GREY)
    except cv2.error:
        return None
    if pixels is None or pixels.shape != ((*image.size[::-1], 3) if mode == "RGB" else image.size[::-1]):
        return None
    return pixels  # type: ignore[return-value]  # OpenCV states any array


def _can_decode(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Tell whether OpenCV and Pillow decode the file to the same pixels, and the file is complete."""
    match image.format, image.mode:
        case "JPEG", "RGB" | "L":
            return _has_one_scan(image, data)
        # libpng prints about profiles on the standard error; and the default image of an animation is not a frame.
        case "PNG", "RGB":
            still = b"acTL" not in data[: data.find(b"IDAT")]
            return still and "icc_profile" not in image.info and data.endswith(_IEND) and is_whole(data)
        case "WEBP", "RGB":
            return data[12:16] != b"VP8X" or not data[20] & _VP8X_ANIMATION
    return False


def _has_one_scan(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Tell whether a JPEG has one scan, and only the end-of-image marker follows it.

    A damaged scan has other markers in it, and a truncated one no end. In a scan a byte of 255 is followed by 0, and
    restart markers belong to it (ISO/IEC 10918-1, B.1.1.5 and B.1.1.2).
    """
    # OpenCV's library prints about other versions of JFIF on the standard error.
    if image.fp is None or "progressive" in image.info or image.info.get("jfif_version", (1,))[0] != 1:
        return False
    scan = np.frombuffer(data, np.uint8)[image.fp.tell() :]
    starts = np.flatnonzero(scan[:-1] == 0xFF)
    kinds = scan[1:][starts]
    markers = (kinds != 0) & (kinds & _RST_MASK != _RST0)
    return bool(markers.sum() == 1 and markers[-1] and kinds[-1] == _EOI and starts[-1] == len(scan) - 2)
