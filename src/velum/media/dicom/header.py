"""The part of a DICOM file before its frames: attributes, where the pixel data lie, and how samples are coded."""

import io
import mmap
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from velum.errors import BadInput, LimitExceeded, VelumError
from velum.limits import Limits
from velum.media.dicom import structure

MAGIC, PREAMBLE = b"DICM", 128
"""What follows the preamble of every DICOM file (PS3.10, 7.1), and the preamble's length in bytes."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"

DAMAGE = (
    InvalidDicomError, BytesLengthException, ValueError, TypeError, KeyError, AttributeError, IndexError,
    NotImplementedError, RuntimeError, EOFError, OSError, struct.error, OverflowError, RecursionError, AssertionError,
    zlib.error, MemoryError, SyntaxError, Image.DecompressionBombError,
)  # fmt: skip
"""What pydicom and its codecs raise for damaged files."""

# What pydicom would warn of and let pass is either left out or refused here.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\..*")


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the pixel data of a file lie: their first byte, the bytes of their value, and the byte after them."""

    start: int
    size: int
    end: int
    vr: str
    fragments: int = 0
    """Number of fragments of compressed frames, without the table of offsets."""


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The attributes of a DICOM file, and where its pixel data lie. `inflated` has the bytes of a deflated file."""

    attributes: Dataset
    pixel_data: PixelData
    size: int
    has_preamble: bool
    """Whether the first 128 bytes say anything."""
    passed_over: Mapping[str, int]
    """Attributes too large to be read, and the bytes of each."""
    inflated: bytes | None = None

    @property
    def transfer_syntax(self) -> UID:
        """How the file is coded."""
        return UID(str(self.attributes.file_meta.TransferSyntaxUID))

    def open(self, path: Path) -> BinaryIO:
        """Open the bytes in which `pixel_data` lies; the caller closes them."""
        return path.open("rb") if self.inflated is None else io.BytesIO(self.inflated)


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Raise `BadInput` for what pydicom and its codecs raise for a damaged file."""
    try:
        yield
    except VelumError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"cannot read {name}: it is damaged, or coded in a way that is not supported: {reason}"
        ) from error


def read_header(path: Path, limits: Limits) -> Header:
    """Return the attributes of a DICOM file.

    Raises `BadInput` for one that is damaged or that has no pictures, and `LimitExceeded`.
    """
    name = str(path)
    size = path.stat().st_size
    limits.check("bytes", size, name)
    with translate_errors(name), path.open("rb") as file:
        if file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] != MAGIC:
            raise BadInput(f"cannot read {name}: it is no DICOM file; 'DICM' is missing at byte {PREAMBLE}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            begin = structure.end_of_header(data, PREAMBLE + len(MAGIC), name)
            meta = pydicom.filereader.read_file_meta_info(path)
            syntax = UID(str(meta.get("TransferSyntaxUID", "")))
            if not syntax:
                raise BadInput(f"cannot read {name}: it does not say how it is coded (TransferSyntaxUID)")
            inflated = _inflate(path, begin, limits) if syntax == _DEFLATED else None
            return _read_attributes(data if inflated is None else inflated, begin, meta, limits, name, inflated)


def _read_attributes(
    data: structure.Data, begin: int, meta: FileMetaDataset, limits: Limits, name: str, inflated: bytes | None
) -> Header:
    """Return what lies behind a file's own header, which ends at `begin`."""
    syntax = UID(str(meta.TransferSyntaxUID))
    known = structure.scan(data, begin, syntax, limits, name)
    read = io.BytesIO(known.attributes)
    attributes: Dataset = read_dataset(read, syntax.is_implicit_VR, syntax.is_little_endian)
    attributes.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    attributes.file_meta = meta
    _refuse_other_objects(attributes, known, name)
    pixel_data = _find_pixel_data(data, attributes, known, limits, name)
    return Header(attributes, pixel_data, len(data), any(data[:PREAMBLE]), known.passed_over, inflated)


def _refuse_other_objects(attributes: Dataset, known: structure.Structure, name: str) -> None:
    """Raise `BadInput` for an object that is no picture: a directory, a report, a document."""
    kind = UID(str(attributes.get("SOPClassUID") or attributes.file_meta.get("MediaStorageSOPClassUID", "")))
    if kind == _DIRECTORY or "DirectoryRecordSequence" in attributes:
        raise BadInput(
            f"cannot read {name}: it is a DICOMDIR, which lists patients and their files; leave it out, hide in the "
            "files that it lists, and have a new one made of the results"
        )
    for keyword, what in _CONTENTS.items():
        if keyword in attributes or keyword in known.passed_over:
            raise BadInput(
                f"cannot read {name}: it holds {what} ({kind.name or 'of an unknown kind'}), which velum does not "
                "hide; leave the file out"
            )


_CONTENTS = {
    "EncapsulatedDocument": "a document", "ContentSequence": "a structured report with text",
    "WaveformSequence": "a waveform", "GraphicAnnotationSequence": "drawn notes (a presentation state)",
    "StructureSetROISequence": "outlines of organs", "PixelDataProviderURL": "only the address of its picture",
    "SpectroscopyData": "a spectrum",
}  # fmt: skip
"""Attributes of objects that show or say something besides pictures, and what they are."""


def _find_pixel_data(
    data: structure.Data, attributes: Dataset, known: structure.Structure, limits: Limits, name: str
) -> PixelData:
    """Return where the pixel data lie."""
    syntax, start = UID(str(attributes.file_meta.TransferSyntaxUID)), known.pixel_data
    if start is None:
        kind = UID(str(attributes.get("SOPClassUID", ""))).name or "of an unknown kind"
        if "Rows" in attributes:
            raise BadInput(f"cannot read {name}: it is truncated, or was written without its pixel data ({kind})")
        raise BadInput(f"cannot read {name}: it has no pictures ({kind}); leave the file out")
    head = data[start : start + (8 if syntax.is_implicit_VR else 12)]
    order = "<" if syntax.is_little_endian else ">"
    group, element = struct.unpack(f"{order}HH", head[:4])
    if (group, element) != (0x7FE0, 0x0010):
        raise BadInput(f"cannot read {name}: its samples are floating point numbers, which velum does not hide in")
    length: int = struct.unpack(f"{order}I", head[-4:])[0]
    vr = "OW" if syntax.is_implicit_VR else head[4:6].decode("ascii", "replace")
    start += len(head)
    if length != structure.UNDEFINED:
        if syntax.is_encapsulated or start + length > len(data):
            raise BadInput(f"cannot read {name}: its pixel data are cut off, or their length is wrong")
        return PixelData(start, length, start + length, vr)
    if not syntax.is_encapsulated:
        raise BadInput(f"cannot read {name}: its pixel data have no length, and are not compressed")
    found, end = structure.fragments(data, start, known.elements, limits, name)
    return PixelData(start, end - start, end, vr, len(found) - 1)


def _inflate(path: Path, begin: int, limits: Limits) -> bytes:
    """Return a deflated file with its attributes unpacked. Raises `LimitExceeded` where they are too many bytes."""
    data = path.read_bytes()
    most = min(limits.unpacked_bytes, max(limits.unpacked_ratio * len(data), 16 << 20))
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = unpacker.decompress(data[begin:], most)
    if unpacker.unconsumed_tail:
        raise LimitExceeded("unpacked_bytes", most + 1, most, str(path))
    if not unpacker.eof:
        raise BadInput(f"cannot read {path}: its deflated part is cut off")
    return data[:begin] + unpacked
