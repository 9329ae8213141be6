"""Reader of DICOM files: it yields the samples of each frame as they are stored. One frame at a time is in memory."""

import io
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image, UnidentifiedImageError
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options

from velum.errors import BadInput
from velum.file_hash import sha256_of
from velum.frame import Frame, Role
from velum.limits import Limits
from velum.media.dicom.header import Header, read_header, translate_errors
from velum.media.dicom.pixel_format import GREY, LOSSY, PALETTE, PixelFormat, SampleCoder
from velum.media.dicom.view import set_window, states_window
from velum.media.image.info import ImageFormat, ImageInfo, ImagePage

_DECODERS = {
    "RLE": "pydicom", "JPEG": "pillow", "JPEG 2000": "pillow", "JPEG-LS": "pyjpegls", "lossless JPEG": "gdcm",
}  # fmt: skip
"""pydicom's decoder of each coding: with the same one everywhere, results do not depend on what else is installed."""

_CONVERTED = {"JPEG", "lossless JPEG"}
"""Codings whose decoders convert colours to RGB where the file says that they were converted from it."""

_OWN_SIZE = {"JPEG", "JPEG 2000", "JPEG-LS", "lossless JPEG"}
"""Codings whose frames state their size themselves."""

_FRAME_HEADERS = {"JPEG-LS": b"\xff\xf7", "lossless JPEG": b"\xff\xc3"}
_PADDED_END = b"\xff\xd9\0"
"""The end of a JPEG or JPEG 2000 of odd length."""


@dataclass(frozen=True, slots=True, eq=False)
class DicomInfo(ImageInfo):
    """Description of a DICOM file, with its attributes for the writer."""

    header: Header
    coder: SampleCoder

    @classmethod
    def of(cls, source: Path, header: Header, form: PixelFormat) -> Self:
        """Return the description of a file. Raises what pydicom raises for a damaged palette."""
        role = Role.GREY if form.photometric in GREY else Role.RGB
        coding = ImageFormat(ImagePage(role, bits=form.stored), lossless=str(header.transfer_syntax) not in LOSSY)
        coder = SampleCoder.of(form, header.attributes)
        return cls("DICOM", form.columns, form.rows, form.frames, source, coding, header, coder)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the file has besides attributes and frames, in words; a result has none of it."""
        header, frames_size = self.header, self.form.frame_bytes * self.frames
        extra = 0 if header.transfer_syntax.is_encapsulated else header.pixel_data.size - frames_size
        texts = ["bytes before the file's own header (its preamble)"] if header.has_preamble else []
        texts += [f"the attribute {name}, which has {size:,} bytes" for name, size in header.passed_over.items()]
        texts += [f"{extra} bytes after the last frame"] if extra > frames_size % 2 else []
        behind = header.size - header.pixel_data.end
        return tuple([*texts, f"{behind} bytes after the pixel data"] if behind else texts)

    @property
    def form(self) -> PixelFormat:
        """How the samples are stored."""
        return self.coder.form


class DicomReader:
    """Reader of one DICOM file. Use it in a `with` block; each call of `frames()` starts with the first frame."""

    def __init__(self, source: Path, limits: Limits) -> None:
        """Open `source`. Raises `BadInput` for a damaged file or one without pictures, and `LimitExceeded`."""
        try:
            header = read_header(source, limits)
            self.sha256: str | None = sha256_of(source)
        except OSError as error:
            raise BadInput(f"cannot read {source}: {error.strerror or error}") from error
        with translate_errors(str(source)):
            form = PixelFormat.of(header, limits, str(source))
            if form.photometric in GREY and form.allocated == 16 and not states_window(header.attributes):
                # Viewers choose a window by the samples, which hiding changes: the result states that of the source.
                low, high = _range_of(DicomInfo.of(source, header, form))
                set_window(header.attributes, low, high, stored=form.stored, signed=form.signed)
            self.info = DicomInfo.of(source, header, form)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in order. Raises `BadInput` when one is damaged."""
        info = self.info
        for index, (samples, photometric) in enumerate(decode_frames(info)):
            planes = info.coder.planes(samples, photometric, index)
            yield Frame(planes, info.width, info.height, index=index)
            del planes


def decode_frames(info: DicomInfo) -> Iterator[tuple[Any, str]]:
    """Yield the samples of each frame, and their colours. Raises `BadInput` for damaged ones, and for a wrong number.

    JPEGs, also lossless ones, come in the colours that their decoder shows, all others in those that are stored.
    """
    header, form, name, count = info.header, info.form, str(info.source), 0
    options = as_pixel_options(header.attributes)
    options |= {
        "transfer_syntax_uid": header.transfer_syntax, "pixel_keyword": "PixelData", "pixel_vr": header.pixel_data.vr,
    }  # fmt: skip
    wanted = (form.rows, form.columns) if form.photometric in (*GREY, PALETTE) else (form.rows, form.columns, 3)
    with translate_errors(name), closing(header.open(info.source)) as file:
        if form.coding in _OWN_SIZE:
            _check_sizes(info)
        file.seek(header.pixel_data.start)
        decoder = get_decoder(header.transfer_syntax)
        raw, plugin = form.coding not in _CONVERTED, _DECODERS.get(form.coding, "")
        for samples, properties in decoder.iter_array(file, raw=raw, decoding_plugin=plugin, **options):
            if count == info.frames:
                raise BadInput(f"cannot read {name}: it has more frames than it states ({info.frames})")
            if samples.shape != wanted or samples.dtype.itemsize * 8 != form.allocated:
                raise BadInput(
                    f"cannot read {name}: a frame of {samples.shape} with {samples.dtype.itemsize * 8} bits a sample "
                    f"is not what the file states: {wanted} with {form.allocated} bits"
                )
            count += 1
            yield samples, str(properties["photometric_interpretation"])
    if count != info.frames:
        raise BadInput(f"cannot read {name}: it has only {count} of the frames that it states ({info.frames})")


def _range_of(info: DicomInfo) -> tuple[int, int]:
    """Return the lowest and the highest sample of all frames, in order from 0 on."""
    low, high = 1 << info.form.stored, 0
    for samples, _ in decode_frames(info):
        values = info.coder.from_zero(samples)
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    return low, high


def _check_sizes(info: DicomInfo) -> None:
    """Raise `ValueError` where a compressed frame is of another size than the file states, before it is decoded."""
    for frame in coded_frames(info):
        header = _FRAME_HEADERS.get(info.form.coding)
        size = _size_of(frame) if header is None else _size_by(header, frame)
        if size != (info.width, info.height):
            raise ValueError(f"a compressed frame has {size} pixels, the file states {(info.width, info.height)}")


def coded_frames(info: DicomInfo) -> Iterator[bytes]:
    """Yield the bytes of each compressed frame, without padding to an even length. Raises as pydicom does."""
    with closing(info.header.open(info.source)) as file:
        file.seek(info.header.pixel_data.start)
        for frame in generate_frames(file, number_of_frames=info.frames):
            yield frame[:-1] if frame.endswith(_PADDED_END) else frame


def _size_of(frame: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
            return image.size
    except UnidentifiedImageError as error:
        raise ValueError(
            "a compressed frame is neither a JPEG of 8 bits nor a JPEG 2000; decompress it first"
        ) from error


def _size_by(header: bytes, frame: bytes) -> tuple[int, int]:
    """Return the width and height in a frame header (ISO/IEC 14495-1, C.2.2; ISO/IEC 10918-1, B.2.2)."""
    at = 2
    while frame[at : at + 1] == b"\xff":
        if frame[at : at + 2] == header:
            height, width = struct.unpack_from(">HH", frame, at + 5)
            return width, height
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    raise ValueError("a compressed frame is not coded as the file states")
