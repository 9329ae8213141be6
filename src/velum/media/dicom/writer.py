"""Writer of DICOM files: stored samples of all frames, the attributes of the allow-list, and nothing else."""

import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.uid import UID, ExplicitVRLittleEndian

from velum.atomic import AtomicWriter, ensure_free, keep_original, publish
from velum.errors import BadPlan, LimitExceeded, OutputFailed
from velum.file_hash import sha256_of
from velum.frame import Frame
from velum.media.dicom.attributes import (
    FEATURES,
    PIXELS,
    AttributeTable,
    UidMap,
    record,
    reduce_attributes,
    removed_attributes,
)
from velum.media.dicom.header import translate_errors
from velum.media.dicom.pixel_format import GREY, LOSSY, PALETTE
from velum.media.dicom.reader import DicomInfo, coded_frames
from velum.media.dicom.side_content import COPIED, without_metadata
from velum.media.formats import DICOM_SUFFIXES, is_suffix_of
from velum.media.image.info import ImageInfo
from velum.plan import Plan, Rule
from velum.secret_key import read_secret_key

IMPLEMENTATION = UID("2.25.231408129733716350464104329480107061413")
"""Names velum as the program that wrote a file (PS3.7, D.3.3.2). A random number."""

MOST_BYTES = 0xFFFFFFFE
"""Most bytes of uncompressed pixel data (PS3.5, 7.1.2)."""

_SLICES = {"CT", "MR", "PT", "NM"}
"""Modalities from whose slices a face can be rebuilt."""

FACE_IN_SLICES = (
    "a face can be rebuilt from slices of a head ({modality}): velum hides what each picture shows, and does not "
    "remove that"
)


class DicomWriter(AtomicWriter):
    """Writer of one DICOM file like its source. Use it in a `with` block: leaving that without an error publishes it.

    `sha256` and `warnings` are final once the file is published.
    """

    def __init__(
        self, target: Path, info: DicomInfo, plan: Plan, *, overwrite: bool, uid_key: Path | None, searched: bool
    ) -> None:
        """Prepare the target. `uid_key` is the file with the secret for UIDs.

        `searched` says that localizers ran, so that what the plan hides was looked for.
        """
        if not is_suffix_of(target.suffix, "DICOM"):
            raise BadPlan(
                f"cannot write {info.source} to {target}: the result of a DICOM file is one; allowed suffixes are "
                f"{', '.join(DICOM_SUFFIXES)}"
            )
        keep_original(target, info.source)
        ensure_free(target, overwrite=overwrite)
        size = info.form.frame_bytes * info.frames
        if size > MOST_BYTES:
            raise LimitExceeded("bytes", size, MOST_BYTES, f"{info.source}, uncompressed")
        super().__init__()
        self._target, self._info, self._plan, self._overwrite = target, info, plan, overwrite
        self._searched = searched
        self._uids = UidMap(read_secret_key(uid_key))
        self._table = AttributeTable.load().of(frozenset(plan.metadata))
        self._count = 0
        self._photometric = info.form.photometric
        self._is_copied = info.form.coding in COPIED
        self.sha256: str | None = None
        self.warnings: tuple[str, ...] = ()

    @property
    def encoding(self) -> str:
        """How the samples were encoded, for the report."""
        coding = self._info.form.coding
        if self._is_copied:
            return f"exact: the {coding} of the source, since nothing was hidden in it"
        if coding in {"uncompressed", "deflated"}:
            return "exact: uncompressed; samples outside of regions are those of the source"
        return f"exact: uncompressed; samples outside of regions are those that the source's {coding} decodes to"

    def _begin(self, stack: ExitStack) -> None:
        self._part = stack.enter_context(publish(self._target, overwrite=self._overwrite))
        self._pixels = TemporaryFile(dir=self._target.parent)  # noqa: SIM115 - the stack closes it
        stack.callback(self._pixels.close)

    def write(self, frame: Frame) -> None:
        """Write the next frame. Raises `OutputFailed` when it cannot be written."""
        if frame.index != self._count or self._count >= self._info.frames:
            raise OutputFailed(
                f"cannot write {self._target}: got frame {frame.index} instead of frame {self._count} of "
                f"{self._info.frames}; nothing was published"
            )
        samples = self._info.coder.samples(frame)
        self._photometric = self._info.coder.photometric(frame)
        if samples.nbytes != self._info.form.frame_bytes:
            raise OutputFailed(f"cannot write {self._target}: a frame has another size than its source")
        self._is_copied = self._is_copied and frame.touched == ()
        with self._translate_full_disk():
            self._pixels.write(samples.tobytes())
        self._count += 1

    @contextmanager
    def _translate_full_disk(self) -> Iterator[None]:
        try:
            yield
        except OutputFailed:
            raise
        except OSError as error:
            reason = error.strerror or error
            raise OutputFailed(f"cannot write {self._target}: {reason}; nothing was published") from error

    def _finish(self) -> None:
        info = self._info
        if self._count != info.frames:
            raise OutputFailed(
                f"cannot write {self._target}: got only {self._count} of {info.frames} frames; nothing was published"
            )
        with translate_errors(str(info.source)), self._translate_full_disk():
            self._is_copied = self._is_copied and self._copy_frames()
            if not self._is_copied and info.form.frame_bytes * info.frames % 2:
                self._pixels.write(b"\0")
            self._pixels.seek(0)
            result = self._attributes()
            vr = "OW" if info.form.allocated == 16 and not self._is_copied else "OB"
            pixel_data = DataElement(0x7FE00010, vr, self._pixels)
            pixel_data.is_undefined_length = self._is_copied
            result.add(pixel_data)
            pydicom.dcmwrite(self._part, result, enforce_file_format=True, overwrite=True)
        self.sha256 = sha256_of(self._part)

    def _copy_frames(self) -> bool:
        """Write the compressed frames of the source, without metadata, in place of their samples (PS3.5, A.4).

        Returns False, and writes none, where a frame has anything in it that no decoder needs.
        """
        info = self._info
        if any(without_metadata(frame, info.form.coding) is None for frame in coded_frames(info)):
            return False
        self._pixels.seek(0)
        self._pixels.truncate()
        self._pixels.write(struct.pack("<HHI", 0xFFFE, 0xE000, 0))
        for frame in coded_frames(info):
            stripped = without_metadata(frame, info.form.coding) or b""
            padded = stripped + b"\0" * (len(stripped) % 2)
            self._pixels.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(padded)) + padded)
        return True

    def _attributes(self) -> Dataset:
        """Return the attributes of the result, with the description of its samples and the record of what was done."""
        info, form = self._info, self._info.form
        source = info.header.attributes
        syntax = info.header.transfer_syntax
        result = reduce_attributes(source, self._table, self._uids)
        correct_ambiguous_vr(result, syntax.is_little_endian)
        if not syntax.is_little_endian:
            _swap_words(result)
        form.describe(result)
        if form.photometric == PALETTE and "RedPaletteColorLookupTableData" not in result:
            raise ValueError("its palette has another length than it states")
        if form.photometric not in (*GREY, PALETTE) and not self._is_copied:
            result.PlanarConfiguration = 0
            result.PhotometricInterpretation = self._photometric
        if syntax in LOSSY:
            result.LossyImageCompression = "01"
        codes = self._codes()
        if PIXELS in codes:
            result.BurnedInAnnotation = "NO"
        if FEATURES in codes:
            result.RecognizableVisualFeatures = "NO"
        record(result, self._table, codes)
        self.warnings = tuple(self._warnings(source, result))
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax if self._is_copied else ExplicitVRLittleEndian
        meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION, "VELUM"
        result.file_meta = meta
        return result

    def _codes(self) -> tuple[str, ...]:
        """Return the codes of what was looked for in the samples; of nothing where regions were given, or kept."""
        if not self._searched or self._plan.keep_out or self._plan.people is not None:
            return ()
        rules = self._plan.rules
        text = any(rule.locate.name == "text" and not rule.locate.options and _is_black(rule) for rule in rules)
        photo = self._info.form.photometric not in GREY
        face = photo and any(
            rule.label in {"face", "person", "head"} and rule.locate.name != "fixed" and _is_black(rule)
            for rule in rules
        )
        return (*((PIXELS,) if text else ()), *((FEATURES,) if face else ()))

    def _warnings(self, source: Dataset, result: Dataset) -> list[str]:
        counts = removed_attributes(source, result)
        texts = [f"left out: {counts.total()} attributes, {counts['private']} of them private"] if counts else []
        texts += ["left out: overlay graphics"] if counts["overlay"] else []
        texts += ["left out: an icon, a small picture of the image"] if "IconImageSequence" in source else []
        texts += [f"left out: {note}" for note in self._info.notes]
        modality = str(source.get("Modality", ""))
        texts += [FACE_IN_SLICES.format(modality=modality)] if modality in _SLICES else []
        if str(source.get("BurnedInAnnotation", "")) == "YES" and result.get("BurnedInAnnotation") != "NO":
            texts.append("the source says that text is burned into its pictures; hide it with --hide text")
        return texts


def write_like(
    info: ImageInfo, target: Path, plan: Plan, *, overwrite: bool, uid_key: Path | None, searched: bool
) -> DicomWriter:
    """Return the writer of a file like a DICOM source. Raises as `media.open_sink` does, and `Unavailable`."""
    if not isinstance(info, DicomInfo):
        raise BadPlan(f"cannot write {target}: {info.source} is no DICOM file")
    return DicomWriter(target, info, plan, overwrite=overwrite, uid_key=uid_key, searched=searched)


def _is_black(rule: Rule) -> bool:
    return rule.hide.name == "blacken" and not rule.hide.options and not rule.min_score


def _swap_words(attributes: Dataset) -> None:
    """Turn the 16-bit words of tables around, as a file of the other byte order has them."""
    for element in list(attributes):
        if element.VR == "OW" and isinstance(element.value, bytes) and len(element.value) % 2 == 0:
            pairs = bytearray(element.value)
            pairs[::2], pairs[1::2] = pairs[1::2], pairs[::2]
            element.value = bytes(pairs)
        elif element.VR == "SQ":
            for item in element.value or []:
                _swap_words(item)
