"""DICOM files, hidden as anybody's: what fails leaves no file behind, what does not tells no name."""

import functools
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from velum.engine.engine import Engine
from velum.errors import VelumError
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec
from velum.verify.leak_check import Check

_PLAN = Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken")
_NOTHING = replace(_PLAN, keep_out=(PartSpec("fixed", {"box": (0, 0, 999, 999)}),))
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_NAME = "MUSTERMANN"


@functools.cache
def files() -> list[bytes]:
    """One small file of each coding, with a name in a text, in a sequence, in a private attribute and in an overlay."""
    grey = np.random.default_rng(1).integers(0, 256, (24, 24), np.uint8)
    coded = {JPEGBaseline8Bit: "JPEG", JPEG2000Lossless: "JPEG2000"}
    made = [_bytes(_file(grey.tobytes()), syntax) for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)]
    made.append(_bytes(_file(grey.tobytes()), DeflatedExplicitVRLittleEndian))
    for syntax, form in coded.items():
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, form, **({"no_jp2": True} if form == "JPEG2000" else {}))
        made.append(_bytes(_file(encapsulate([buffer.getvalue()])), syntax))
    for syntax in (RLELossless, JPEGLSLossless):
        file = _file(grey.tobytes())
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.compress(syntax)
        made.append(_bytes(file, syntax))
    return made


def _file(pixels: bytes) -> Dataset:
    file, item = Dataset(), Dataset()
    file.file_meta = FileMetaDataset()
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = "1.2.840.10008.5.1.4.1.1.7", "1.2.3", "OT"
    file.PatientName, item.PatientName, item.PixelSpacing = _NAME, _NAME, [1, 1]
    file.SharedFunctionalGroupsSequence = Sequence([item])
    file.Rows = file.Columns = 24
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 8, 8, 7
    file.WindowCenter, file.WindowWidth = 128, 256
    file.add_new(0x00091001, "LO", _NAME)
    file.add_new(0x60003000, "OW", _NAME.encode())
    file.add_new(0x7FE00010, "OB", pixels)
    return file


def _bytes(file: Dataset, syntax: UID) -> bytes:
    file.file_meta.TransferSyntaxUID = syntax
    file["PixelData"].is_undefined_length = syntax.is_encapsulated
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def hide(data: bytes, folder: Path) -> None:
    """Hide in a DICOM file, and check the result. What fails leaves nothing; what does not tells no attribute."""
    source, target, key = folder / "in.dcm", folder / "out.dcm", folder / "key"
    source.write_bytes(data)
    key.write_text("5e" * 32, encoding="ascii")
    limits = Limits(bytes=1 << 20, pixels=1_000_000, frames=50, unpacked_bytes=8 << 20)
    with Engine(host=RuntimeConfig(uid_key=key), limits=limits) as engine:
        # Compressed frames are copied where nothing is hidden.
        plan = _PLAN if len(data) % 2 else _NOTHING
        try:
            engine.hide(source, target, plan)
        except VelumError:
            left = [path.name for path in folder.iterdir() if path not in {source, key}]
            assert not left, f"left behind: {left}"
            raise
        leaks = Check(engine, RuntimeConfig(), limits)(target, plan).leaks
    assert not leaks, f"a stranger finds: {leaks[0].message}"
    # Of a damaged file anything may be samples.
    attributes = target.read_bytes().partition(_PIXEL_DATA)[0]
    assert _NAME.encode() not in attributes, "the patient's name is in the result"
