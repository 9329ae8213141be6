"""Grey frames as viewers show them: scaled by the modality, then by a window or a table (PS3.3, C.11)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.valuerep import DSfloat

from velum.frame import Samples

_SHOWN = ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
          "VOILUTSequence")  # fmt: skip
_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_FAILURES = (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError, OverflowError)

Table = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class GreyView:
    """What viewers show for each value that a sample can have, frame by frame.

    `common` is what all frames show that state nothing of their own: greys from 0 to 255, and whether these are of a
    window that can be used.
    """

    attributes: Dataset
    stored: int
    signed: bool
    common: tuple[npt.NDArray[np.float64], bool]

    @classmethod
    def of(cls, attributes: Dataset, *, stored: int, signed: bool) -> Self:
        """Return the view of a file's grey samples of `stored` bits."""
        return cls(attributes, stored, signed, _greys(attributes, stored=stored, signed=signed))

    def table(self, samples: Samples, index: int) -> Table:
        """Return the shown grey, 8 bits, of each value from 0 on. A file without a usable window shows all values.

        `samples` are those of frame `index`, in order from 0 on. White is 0 in MONOCHROME1.
        """
        values, windowed = self._values(index)
        low, high = int(samples.min()), int(samples.max())
        # A window that shows a frame as a single grey would hide from localizers what another window shows.
        if windowed and (low == high or round(float(values[low])) != round(float(values[high]))):
            shown = values
        else:
            shown = self._stretch(low, high)
        grey = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
        return 255 - grey if self.attributes.get("PhotometricInterpretation") == "MONOCHROME1" else grey

    def _stretch(self, low: int, high: int) -> npt.NDArray[np.float64]:
        steps = np.arange(1 << self.stored, dtype=np.float64) - low
        stretched: npt.NDArray[np.float64] = np.clip(steps / max(high - low, 1), 0, 1) * 255
        return stretched

    def _values(self, index: int) -> tuple[npt.NDArray[np.float64], bool]:
        stated = _attributes_of_frame(self.attributes, index)
        return self.common if stated is None else _greys(stated, stored=self.stored, signed=self.signed)


def _greys(stated: Dataset, *, stored: int, signed: bool) -> tuple[npt.NDArray[np.float64], bool]:
    """Return greys from 0 to 255 for all values, and whether they are of a window that can be used."""
    plain = np.arange(1 << stored, dtype=np.int32)
    if "WindowWidth" not in stated and "VOILUTSequence" not in stated:
        return plain.astype(np.float64), False
    numbers = plain - (1 << (stored - 1)) if signed else plain
    try:
        shown: npt.NDArray[Any] = np.asarray(apply_voi_lut(apply_modality_lut(numbers, stated), stated, index=0))
    except _FAILURES:
        return plain.astype(np.float64), False
    low, high = float(shown.min()), float(shown.max())
    if not np.isfinite((low, high)).all() or low == high:
        return plain.astype(np.float64), False
    return (shown.astype(np.float64) - low) / (high - low) * 255, True


def states_window(attributes: Dataset) -> bool:
    """Tell whether a file says which values it shows, for all frames or for single ones."""
    groups = [
        *(attributes.get("SharedFunctionalGroupsSequence") or []),
        *(attributes.get("PerFrameFunctionalGroupsSequence") or [])[:1],
    ]
    return any("WindowWidth" in stated or "VOILUTSequence" in stated for stated in (attributes, *_items(groups)))


def set_window(attributes: Dataset, low: int, high: int, *, stored: int, signed: bool) -> None:
    """State the window that shows all samples of a file, from `low` to `high` in order from 0 on."""
    numbers = np.array([low, high], np.int32) - (1 << (stored - 1) if signed else 0)
    try:
        first, last = sorted(float(value) for value in apply_modality_lut(numbers, attributes))
    except _FAILURES:
        return
    if not np.isfinite((first, last)).all():
        return
    attributes.WindowCenter = DSfloat((first + last + 1) / 2, auto_format=True)
    attributes.WindowWidth = DSfloat(max(last - first + 1, 1), auto_format=True)
    attributes.VOILUTFunction = "LINEAR"


def _items(groups: list[Dataset]) -> list[Dataset]:
    return [item for group in groups for name in _GROUPS for item in (group.get(name) or [])[:1]]


def _attributes_of_frame(attributes: Dataset, index: int) -> Dataset | None:
    """Return the attributes that say how a frame is shown, with those of its functional groups (PS3.3, C.7.6.16).

    Returns None where no group says anything about it.
    """
    frames = attributes.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*(attributes.get("SharedFunctionalGroupsSequence") or [])[:1], *frames[index : index + 1]]
    items = _items(groups)
    if not items:
        return None
    stated = Dataset()
    for source in (attributes, *items):
        for keyword in (*_SHOWN, "PhotometricInterpretation", "BitsStored", "PixelRepresentation"):
            if keyword in source:
                stated[keyword] = source[keyword]
    return stated
