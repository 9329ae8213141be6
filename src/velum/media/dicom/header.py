"""The part of a DICOM file before its frames: attributes, where the pixel data lie, and how samples are coded."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID

from velum.errors import BadInput, LimitExceeded, VelumError
from velum.limits import Limits

MAGIC, PREAMBLE = b"DICM", 128
"""What follows the preamble of every DICOM file (PS3.10, 7.1), and the preamble's length in bytes."""

_PIXEL_DATA = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
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
    fragments: tuple[tuple[int, int], ...] = ()
    """First byte and size of each fragment of compressed frames, without the table of offsets."""


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The attributes of a DICOM file, and where its pixel data lie. `inflated` has the bytes of a deflated file."""

    attributes: Dataset
    pixel_data: PixelData
    size: int
    has_preamble: bool
    """Whether the first 128 bytes say anything."""
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
    """Return the attributes of a DICOM file. Raises `BadInput` for one that is damaged or that has no pictures."""
    name = str(path)
    limits.check("bytes", path.stat().st_size, name)
    with translate_errors(name), path.open("rb") as file:
        preamble = file.read(PREAMBLE)
        if file.read(len(MAGIC)) != MAGIC:
            raise BadInput(f"cannot read {name}: it is no DICOM file; 'DICM' is missing at byte {PREAMBLE}")
        file.seek(0)
        meta = pydicom.filereader.read_file_meta_info(path)
        syntax = str(meta.get("TransferSyntaxUID", ""))
        if not syntax:
            raise BadInput(f"cannot read {name}: it does not say how it is coded (TransferSyntaxUID)")
        inflated = _inflate(path, meta, limits) if syntax == _DEFLATED else None
        source: BinaryIO = file if inflated is None else io.BytesIO(inflated)
        attributes: Dataset = read_partial(source, stop_when=_is_pixel_data)
        attributes.file_meta = meta
        size = path.stat().st_size if inflated is None else len(inflated)
        _refuse_other_objects(attributes, name)
        pixel_data = _find_pixel_data(source, attributes, UID(syntax), size, name)
        return Header(attributes, pixel_data, size, any(preamble), inflated)


def _is_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom passes them
    return int(tag) in _PIXEL_DATA


def _refuse_other_objects(attributes: Dataset, name: str) -> None:
    """Raise `BadInput` for an object that is no picture: a directory, a report, a document."""
    kind = UID(str(attributes.get("SOPClassUID") or attributes.file_meta.get("MediaStorageSOPClassUID", "")))
    if kind == _DIRECTORY or "DirectoryRecordSequence" in attributes:
        raise BadInput(
            f"cannot read {name}: it is a DICOMDIR, which lists patients and their files; leave it out, hide in the "
            "files that it lists, and have a new one made of the results"
        )
    for keyword, what in _CONTENTS.items():
        if keyword in attributes:
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


def _find_pixel_data(file: BinaryIO, attributes: Dataset, syntax: UID, size: int, name: str) -> PixelData:
    """Return where the pixel data lie; `file` stands before them."""
    start = file.tell()
    order = "<" if syntax.is_little_endian else ">"
    head = file.read(8 if syntax.is_implicit_VR else 12)
    kind = UID(str(attributes.get("SOPClassUID", ""))).name or "of an unknown kind"
    if len(head) < 8:
        raise BadInput(f"cannot read {name}: it has no pictures ({kind}); leave the file out")
    group, element = struct.unpack(f"{order}HH", head[:4])
    if (group, element) != (0x7FE0, 0x0010):
        raise BadInput(f"cannot read {name}: its samples are floating point numbers, which velum does not hide in")
    length: int = struct.unpack(f"{order}I", head[-4:])[0]
    vr = "OW" if syntax.is_implicit_VR else head[4:6].decode("ascii", "replace")
    start += len(head)
    if length != _UNDEFINED:
        if syntax.is_encapsulated or start + length > size:
            raise BadInput(f"cannot read {name}: its pixel data are cut off, or their length is wrong")
        return PixelData(start, length, start + length, vr)
    if not syntax.is_encapsulated:
        raise BadInput(f"cannot read {name}: its pixel data have no length, and are not compressed")
    fragments, end = _find_fragments(file, start, size, name)
    return PixelData(start, end - start, end, vr, fragments)


def _find_fragments(file: BinaryIO, at: int, size: int, name: str) -> tuple[tuple[tuple[int, int], ...], int]:
    """Return where the fragments of compressed frames lie (PS3.5, A.4), and the byte after them."""
    fragments: list[tuple[int, int]] = []
    while True:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] == _END:
            return tuple(fragments[1:]), at + 8
        if head[:4] != _ITEM or at + 8 + length > size:
            raise BadInput(f"cannot read {name}: its compressed pixel data are cut off, or a length in them is wrong")
        fragments.append((at + 8, length))
        at += 8 + length


def _inflate(path: Path, meta: Dataset, limits: Limits) -> bytes:
    """Return a deflated file with its attributes unpacked. Raises `LimitExceeded` where they are too many bytes."""
    data = path.read_bytes()
    begin = PREAMBLE + len(MAGIC) + 12 + int(meta.FileMetaInformationGroupLength)
    most = min(limits.unpacked_bytes, max(limits.unpacked_ratio * len(data), 16 << 20))
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = unpacker.decompress(data[begin:], most)
    if unpacker.unconsumed_tail:
        raise LimitExceeded("unpacked_bytes", most + 1, most, str(path))
    if not unpacker.eof:
        raise BadInput(f"cannot read {path}: its deflated part is cut off")
    # Read on as what it is when it is unpacked: with the syntax of files that are not deflated.
    plain = data[:begin].replace(_DEFLATED.encode(), b"1.2.840.10008.1.2.1\0\0\0", 1)
    return plain + unpacked
