"""Samples of DICOM frames: how they are stored (PS3.3, C.7.6.3), and the planes that they make."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from velum.errors import BadInput
from velum.frame import Frame, Plane, Role, Samples, Touched
from velum.limits import Limits
from velum.media.dicom.header import Header
from velum.media.dicom.view import GreyView
from velum.media.image.palette import Indexed
from velum.report import say_count

SYNTAXES = {
    "1.2.840.10008.1.2": "uncompressed", "1.2.840.10008.1.2.1": "uncompressed",
    "1.2.840.10008.1.2.1.99": "deflated", "1.2.840.10008.1.2.2": "uncompressed", "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.50": "JPEG", "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.57": "lossless JPEG", "1.2.840.10008.1.2.4.70": "lossless JPEG",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS", "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}  # fmt: skip
"""Transfer syntaxes that are read, and the coding of their frames."""

LOSSY = frozenset({
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91",
})  # fmt: skip

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_PALETTE_COLOURS = ("Red", "Green", "Blue")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the samples of all frames are stored."""

    columns: int
    rows: int
    frames: int
    photometric: str
    allocated: int
    stored: int
    signed: bool
    coding: str
    subsampled: bool
    """Whether two pixels share their colour in uncompressed data (YBR_FULL_422)."""

    @classmethod
    def of(cls, header: Header, limits: Limits, name: str) -> Self:
        """Return how a file's samples are stored.

        Raises `BadInput` for what velum does not hide in, `LimitExceeded`, and what pydicom raises.
        """
        attributes = header.attributes
        syntax = str(header.transfer_syntax)
        if syntax not in SYNTAXES:
            raise BadInput(
                f"cannot read {name}: its coding is {UID(syntax).name or syntax}; read are uncompressed, deflated, "
                "RLE, JPEG of 8 bits, lossless JPEG, JPEG-LS and JPEG 2000; decompress it first, for instance with "
                "dcmdjpeg"
            )
        if SYNTAXES[syntax] == "lossless JPEG" and find_spec("gdcm") is None:
            raise BadInput(
                f"cannot read {name}: its coding is lossless JPEG, which needs a library that is not installed; "
                "pip install python-gdcm, or decompress it first, for instance with dcmdjpeg"
            )
        numbers = {keyword: _number(attributes, keyword) for keyword in _NUMBERS}
        photometric = str(attributes.get("PhotometricInterpretation", "")).strip()
        form = cls(
            numbers["Columns"], numbers["Rows"], numbers["NumberOfFrames"], photometric, numbers["BitsAllocated"],
            numbers["BitsStored"], numbers["PixelRepresentation"] == 1, SYNTAXES[syntax],
            photometric == "YBR_FULL_422" and not header.transfer_syntax.is_encapsulated,
        )  # fmt: skip
        form._check_samples(numbers, name)
        limits.check("pixels", form.columns * form.rows, name)
        limits.check("frames", form.frames, name)
        limits.check("image_pixels", form.columns * form.rows * form.frames, name)
        form._check_length(header, name)
        return form

    def describe(self, attributes: Dataset) -> None:
        """State in a result's attributes how its samples are stored, as the source does."""
        attributes.Rows, attributes.Columns, attributes.SamplesPerPixel = self.rows, self.columns, self._samples
        attributes.PhotometricInterpretation = self.photometric
        attributes.BitsAllocated, attributes.BitsStored = self.allocated, self.stored
        attributes.HighBit, attributes.PixelRepresentation = self.stored - 1, int(self.signed)
        if self.frames > 1:
            attributes.NumberOfFrames = self.frames

    @property
    def _samples(self) -> int:
        return 1 if self.photometric in (*GREY, PALETTE) else 3

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.columns * self.rows * self.allocated // 8 * self.bands

    @property
    def bands(self) -> int:
        """Samples of a pixel as they are stored; 2 where pixels share their colour."""
        return 2 if self.subsampled else self._samples

    def _check_samples(self, numbers: dict[str, int], name: str) -> None:
        if self.photometric not in (*GREY, PALETTE, *_COLOURS):
            raise BadInput(
                f"cannot read {name}: its colours are {self.photometric or 'not stated'}; read are "
                f"{', '.join((*GREY, PALETTE, *_COLOURS))}"
            )
        if min(self.columns, self.rows, self.frames) < 1 or max(self.columns, self.rows) > 0xFFFF:
            frames = say_count(self.frames, "frame", "frames")
            raise BadInput(f"cannot read {name}: {frames} of {self.columns} x {self.rows} make no picture")
        if (self.allocated, self.stored) != (8, 8) and not (self.allocated == 16 and 8 <= self.stored <= 16):
            raise BadInput(
                f"cannot read {name}: its samples have {self.stored} bits of {self.allocated}; read are 8 of 8, and 8 "
                "to 16 of 16"
            )
        if numbers["HighBit"] != self.stored - 1:
            raise BadInput(f"cannot read {name}: its samples do not begin at bit 0 (HighBit is {numbers['HighBit']})")
        if numbers["SamplesPerPixel"] != self._samples:
            raise BadInput(
                f"cannot read {name}: {self.photometric} has {self._samples} samples a pixel, not "
                f"{numbers['SamplesPerPixel']}"
            )
        if self.photometric not in GREY and self.signed:
            raise BadInput(f"cannot read {name}: signed samples of {self.photometric} are not supported")
        if self.subsampled and (self.columns % 2 or self.allocated != 8):
            raise BadInput(f"cannot read {name}: YBR_FULL_422 needs an even number of columns and 8 bits")

    def _check_length(self, header: Header, name: str) -> None:
        """Raise `BadInput` where the pixel data are too short for the frames; longer ones may have padding."""
        data = header.pixel_data
        if header.transfer_syntax.is_encapsulated:
            if data.fragments < self.frames:
                fragments = say_count(data.fragments, "fragment", "fragments")
                raise BadInput(f"cannot read {name}: it has {fragments} for {self.frames} frames")
            return
        wanted = self.frame_bytes * self.frames
        if data.size < wanted:
            raise BadInput(
                f"cannot read {name}: its pixel data are truncated: {data.size} bytes where "
                f"{say_count(self.frames, 'frame', 'frames')} of {self.columns} x {self.rows} need {wanted}"
            )


_NUMBERS = {
    "Columns": None, "Rows": None, "NumberOfFrames": 1, "BitsAllocated": None, "BitsStored": None, "HighBit": None,
    "SamplesPerPixel": None, "PixelRepresentation": 0,
}  # fmt: skip
"""Attributes that describe samples, each with the value that it has where it is missing; None: it must be there."""


def _number(attributes: Dataset, keyword: str) -> int:
    value = attributes.get(keyword)
    if value is None:
        value = _NUMBERS[keyword]
    if value is None:
        raise ValueError(f"the attribute {keyword} is missing")
    return int(value)


@dataclass(frozen=True, slots=True, eq=False)
class SampleCoder:
    """Turns the stored samples of frames into planes and back, each sample bit for bit."""

    form: PixelFormat
    attributes: Dataset
    view: GreyView
    table: npt.NDArray[np.uint8] | None
    """Colours of a palette."""

    @classmethod
    def of(cls, form: PixelFormat, attributes: Dataset) -> Self:
        """Return the coder of a file's samples. Raises what pydicom raises for a damaged palette."""
        table = None
        if form.photometric == PALETTE:
            table = _colours_of(attributes, form)
        return cls(form, attributes, GreyView.of(attributes, stored=form.stored, signed=form.signed), table)

    def planes(self, samples: npt.NDArray[Any], photometric: str, index: int) -> tuple[Plane, ...]:
        """Return the planes of one frame: `samples` are (rows, columns[, 3]) in the stated colours."""
        form = self.form
        stored = self.from_zero(samples)
        if photometric in GREY:
            return (Plane(stored, Role.GREY, bits=form.stored, view=self.view.table(stored, index)),)
        if self.table is not None:
            return (Indexed(self.table[stored], Role.RGB, indices=stored),)  # type: ignore[arg-type]  # up to 16 bits here
        if photometric in {"YBR_FULL", "YBR_FULL_422"}:
            step = 2 if form.subsampled else 1
            chroma = (stored[:, ::step, band].copy() for band in (1, 2))
            return (
                Plane(stored[..., 0].copy(), Role.LUMA, bits=form.stored),
                *(Plane(band, Role.CHROMA, scale_x=step, bits=form.stored) for band in chroma),
            )
        return (Plane(stored, Role.RGB, bits=form.stored),)

    def photometric(self, frame: Frame) -> str:
        """Return the colours in which `samples` are: those of the source, or RGB where its decoder has converted."""
        if self.form.photometric in (*GREY, PALETTE) or self.form.subsampled:
            return self.form.photometric
        return "YBR_FULL" if frame.planes[0].role == Role.LUMA else "RGB"

    def samples(self, frame: Frame) -> npt.NDArray[Any]:
        """Return the samples of a frame as they are stored: unsigned numbers of `allocated` bits, little endian."""
        first, form = frame.planes[0], self.form
        if isinstance(first, Indexed) and self.table is not None and first.indices is not None:
            stored: npt.NDArray[Any] = _nearest_indices(first, self.table, frame.touched)
        elif first.role == Role.LUMA:
            stored = _interleave([plane.pixels for plane in frame.planes], subsampled=form.subsampled)
        else:
            stored = first.pixels
        if form.signed:
            sign = 1 << (form.stored - 1)
            stored = ((stored.astype(np.int32) - sign) & ((1 << form.allocated) - 1)).astype(np.uint32)
        return stored.astype("<u2" if form.allocated == 16 else np.uint8)

    def from_zero(self, samples: npt.NDArray[Any]) -> Samples:
        """Return samples from 0 on, in their order; bits above the stored ones do not count."""
        form = self.form
        plain = samples.view(samples.dtype.str.replace("i", "u")).astype(np.uint16) & np.uint16((1 << form.stored) - 1)
        if form.signed:
            plain ^= np.uint16(1 << (form.stored - 1))
        return np.ascontiguousarray(plain.astype(np.uint8) if form.stored == 8 else plain)


def _colours_of(attributes: Dataset, form: PixelFormat) -> npt.NDArray[np.uint8]:
    """Return the colour (red, green, blue) of each index of a palette, 8 bits."""
    if "SegmentedRedPaletteColorLookupTableData" in attributes:
        _write_out_palette(attributes)
    indices = np.arange(1 << form.stored, dtype=np.uint16 if form.allocated == 16 else np.uint8)
    colours = apply_color_lut(indices, attributes)[..., :3]
    if colours.dtype.itemsize == 2:
        bits = int(attributes.RedPaletteColorLookupTableDescriptor[2])
        colours = colours >> 8 if bits == 16 else colours
    return np.ascontiguousarray(colours.astype(np.uint8))


def _write_out_palette(attributes: Dataset) -> None:
    """Replace a palette in segments by plain tables of 16 bits, which all programs read (PS3.3, C.7.9.2).

    Raises `ValueError` for one that contradicts itself, and what pydicom raises.
    """
    count, first, bits = map(int, attributes.RedPaletteColorLookupTableDescriptor)
    count = count or 1 << 16
    for colour in _PALETTE_COLOURS:
        descriptor = [int(value) for value in attributes[f"{colour}PaletteColorLookupTableDescriptor"].value]
        segments = attributes[f"Segmented{colour}PaletteColorLookupTableData"].value or b""
        data = np.frombuffer(segments, f"<u{bits // 8}")
        if descriptor[1:] != [first, bits] or (descriptor[0] or 1 << 16) != count or _segments_length(data) != count:
            raise ValueError("the segments of its palette have another length than it states")
    dtype = np.uint16 if first + count > 1 << 8 else np.uint8
    table = apply_color_lut(np.arange(first, first + count).astype(dtype), attributes)
    for band, colour in enumerate(_PALETTE_COLOURS):
        values = table[..., band].astype("<u2") * (0x101 if bits == 8 else 1)
        attributes[f"{colour}PaletteColorLookupTableDescriptor"].value = [count % (1 << 16), first, 16]
        del attributes[f"Segmented{colour}PaletteColorLookupTableData"]
        attributes.add_new(f"{colour}PaletteColorLookupTableData", "OW", values.tobytes())


def _segments_length(data: npt.NDArray[Any]) -> int:
    """Return how many values discrete and linear segments make. Raises `ValueError` for those that repeat others."""
    at, length = 0, 0
    while at + 1 < len(data):
        kind, count = int(data[at]), int(data[at + 1])
        if kind > 1:
            raise ValueError("its palette has indirect segments; write it out first")
        at += 2 + (count if kind == 0 else 1)
        length += count
    if at > len(data):
        raise ValueError("its palette is truncated")
    return length


def _nearest_indices(plane: Indexed, table: npt.NDArray[np.uint8], touched: Touched | None) -> npt.NDArray[Any]:
    """Return the palette indices of a plane: the old ones, and those of the nearest colours where it was changed."""
    indices: npt.NDArray[Any] = np.asarray(plane.indices).copy()
    changed = (table[indices] != plane.pixels).any(axis=2)
    for box, mask in touched or ():
        changed[box.slices] |= True if mask is None else mask
    if not changed.any():
        return indices
    colours, places = np.unique(plane.pixels[changed], axis=0, return_inverse=True)
    known = table.astype(np.int32)
    nearest = [int(((known - colour.astype(np.int32)) ** 2).sum(axis=1).argmin()) for colour in colours]
    indices[changed] = np.array(nearest, indices.dtype)[places.reshape(-1)]
    return indices


def _interleave(planes: list[Samples], *, subsampled: bool) -> npt.NDArray[Any]:
    luma, blue, red = planes
    if not subsampled:
        return np.stack([luma, blue, red], axis=2)
    return np.stack([luma[:, ::2], luma[:, 1::2], blue, red], axis=2)
