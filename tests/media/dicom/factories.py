"""DICOM files for tests: samples of pydicom, and made ones in which every text is a secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from velum import Engine, Region
from velum.frame import Frame, Rgb
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.region import Box
from velum.spec import PartSpec

SECRET = "MUSTERMANN"
BOX = Box(2, 3, 20, 15)
SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
PLAN = Plan((Rule("face", PartSpec("finder"), PartSpec("blacken"), grow=0.0),))


class Finder:
    """A localizer that finds one region in every frame, and keeps what it was shown."""

    labels = frozenset({"face", "text"})

    def __init__(self, *regions: Region) -> None:
        self.regions = list(regions)
        self.shown: list[Rgb] = []

    def locate(self, frames: list[Frame]) -> list[list[Region]]:
        self.shown += [frame.rgb(frame.width, frame.height) for frame in frames]
        return [self.regions for _ in frames]

    def close(self) -> None:
        pass


def engine_with(finder: Finder, key: Path, **techniques: Any) -> Engine:
    """An engine with this localizer and these techniques, whose secret is in `key`."""
    key.parent.mkdir(parents=True, exist_ok=True)
    if not key.exists():
        key.write_text("5e" * 32, encoding="ascii")
    return Engine(host=RuntimeConfig(uid_key=key, localizers={"finder": lambda: finder}, techniques=techniques))


def picture(path: Path, samples: "np.typing.NDArray[Any] | None" = None, **attributes: Any) -> Path:
    """A grey picture of 12 bits in 16 with few attributes; `attributes` add to these, and None takes one away."""
    if samples is None:
        samples = np.arange(24 * 32, dtype="<u2").reshape(24, 32) * 5
    file = Dataset()
    file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    file.SOPInstanceUID, file.StudyInstanceUID, file.SeriesInstanceUID = (generate_uid() for _ in range(3))
    file.Modality, file.PatientName, file.PatientID = "OT", SECRET, SECRET
    file.Rows, file.Columns = samples.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.PixelData = samples.tobytes()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta = meta
    return save(file, path, attributes)


def save(file: Dataset, path: Path, attributes: Mapping[str, Any]) -> Path:
    """Write a file with further attributes, whatever they say."""
    for keyword, value in attributes.items():
        if value is None:
            delattr(file, keyword)
        elif isinstance(value, tuple):
            file.add_new(*value)
        else:
            setattr(file, keyword, value)
    file["PixelData"].VR = "OW" if file.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


def values_of(path: Path) -> list[str]:
    """All values of a file as text, in sequences too."""
    return [str(element.value) for element in pydicom.dcmread(path).iterall() if element.VR != "SQ"]
