"""Search for what a DICOM file holds besides the pictures that it shows: identifying attributes, overlays, bytes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset

from velum.limits import Limits
from velum.media.dicom.attributes import AttributeTable, identifying_attributes
from velum.media.dicom.header import translate_errors
from velum.media.dicom.reader import DicomInfo, DicomReader, coded_frames
from velum.media.image.strip_metadata import strip_metadata
from velum.media.inventory import image_surplus

Kind = Literal["picture", "metadata", "rest"]

COPIED = {"JPEG": "JPEG", "JPEG 2000": "JPEG2000"}
"""Codings whose frames can be searched for anything besides samples, and the inventory for each."""

_META = {
    "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
    "MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName",
}  # fmt: skip
MOST_NAMED = 20
"""Most attributes that are named one by one."""


def list_side_content(path: Path, limits: Limits) -> Iterator[tuple[Kind, str, frozenset[str]]]:
    """Yield what a file holds besides its pictures: kind, words, and the kinds of metadata in a plan that allow it."""
    info = DicomReader(path, limits).info
    attributes = info.header.attributes
    with translate_errors(str(path)):
        table = AttributeTable.load().of(frozenset())
        found = list(identifying_attributes(attributes, table))
        found += [(f"{keyword} of the file", "") for keyword in _meta_surplus(attributes)]
        found.sort(key=lambda named: not (named[0].startswith("Patient") or named[0].endswith("of the file")))
        for name, keeper in found[:MOST_NAMED]:
            yield _kind_of(name), f"the attribute {name}", frozenset({keeper} if keeper else ())
        if len(found) > MOST_NAMED:
            yield "metadata", f"{len(found) - MOST_NAMED} further attributes", frozenset()
        for note in (*info.notes, *_sample_notes(info)):
            yield "rest", note, frozenset()


def _kind_of(name: str) -> Kind:
    return "picture" if name.startswith(("IconImageSequence", "OverlayData", "(60")) else "metadata"


def _meta_surplus(attributes: Dataset) -> list[str]:
    """Return the attributes of a file's own header that name who wrote or sent it."""
    return [element.keyword or str(element.tag) for element in attributes.file_meta if element.keyword not in _META]


def without_metadata(frame: bytes, coding: str) -> bytes | None:
    """Return a compressed frame without what no decoder needs; None where it cannot be taken out."""
    plain = strip_metadata(frame, "JPEG") if coding == "JPEG" else frame
    if plain is None or any(image_surplus(plain, COPIED[coding])):
        return None
    return plain


def _sample_notes(info: DicomInfo) -> Iterator[str]:
    """Yield what the bytes of the frames hold besides samples."""
    if info.header.transfer_syntax.is_encapsulated:
        inventory = COPIED.get(info.form.coding)
        for number, frame in enumerate(coded_frames(info) if inventory else (), 1):
            if inventory == "JPEG" and strip_metadata(frame, "JPEG") not in {frame, None}:
                yield f"metadata in the JPEG of frame {number}"
            yield from (f"{surplus} of frame {number}" for surplus in image_surplus(frame, str(inventory)))
        return
    if info.form.stored < info.form.allocated and any(_has_high_bits(info)):
        yield "bits above those of the samples, where old files have overlays"


def _has_high_bits(info: DicomInfo) -> Iterator[bool]:
    """Yield for each frame whether bits above the stored ones say anything but the sign."""
    form = info.form
    order = "<" if info.header.transfer_syntax.is_little_endian else ">"
    with closing(info.header.open(info.source)) as file:
        file.seek(info.header.pixel_data.start)
        for _ in range(info.frames):
            samples = np.frombuffer(file.read(form.frame_bytes), f"{order}u2")
            high = samples >> np.uint16(form.stored)
            sign = (samples >> np.uint16(form.stored - 1)) & 1
            filled = np.where(sign, np.uint16((1 << (16 - form.stored)) - 1), 0) if form.signed else 0
            yield bool((high != filled).any())
