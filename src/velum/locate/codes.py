"""The localizer `codes`: finds QR codes and barcodes, whose content often names a person, an account or a place.

OpenCV finds QR codes and the barcodes of goods (EAN, UPC). With the extra `codes`, zxing-cpp also finds Data Matrix,
Aztec, PDF417, Micro QR and MaxiCode, and further QR codes.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame
from velum.region import Box, Region, ious

Grey = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]
"""Corners of codes (n, 4, 2), x and y in pixels."""

LABEL = "code"

ENLARGED_PIXELS = 4_000_000
"""Most pixels of an image that is also searched at twice its size; larger ones hold few readable codes so small."""

SHARPNESS, SHARPEN_SIGMA = 1.2, 1.2
"""Weight and standard deviation, in pixels, of the sharpening of the enlarged image.

Of 60 drawn codes of 36 to 260 pixels in photographs, 65 % are found in the image as it is, 67 % when it is enlarged,
and 72 % when it is enlarged and sharpened: all but those under 64 pixels, which have two pixels a module.
"""

SAME_IOU = 0.3
"""Two boxes of at least this IoU are the same code."""

QUIET_ZONE = 0.06
"""Margin around the corners, in longer sides of the code: detectors put corners in the middle of the outer modules."""

MATRIX_FORMATS = ("QRCode", "MicroQRCode", "RMQRCode", "DataMatrix", "Aztec", "PDF417", "MaxiCode")
"""Formats that zxing-cpp looks for. Of a barcode, zxing-cpp returns one scan line and not the area."""


class Codes:
    """Finds QR codes and barcodes of any orientation: `code: codes -> blacken`."""

    labels = frozenset({LABEL})

    def __init__(self) -> None:
        """Prepare the detectors. They take no options, and find a code that a reader could read, or nearly."""
        self._zxing = _import_zxing()

    @cached_property
    def description(self) -> Mapping[str, str]:
        """Names and versions of the libraries that find codes, for the report."""
        facts = {"model": "codes", "opencv": cv2.__version__}
        return facts if self._zxing is None else facts | {"zxing-cpp": version("zxing-cpp")}

    def for_video(self, *, sparse: bool) -> "Codes":  # noqa: ARG002 - the same for both
        """Return this localizer: it runs on a few frames a second, and codes are tracked between them."""
        return self

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the codes in each frame, each as the box around its corners."""
        return [list(self._codes_in(frame)) for frame in frames]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _codes_in(self, frame: Frame) -> Iterator[Region]:
        grey = frame.grey(frame.width, frame.height)
        distinct: list[Box] = []
        for box in sorted(self._boxes(grey), key=lambda candidate: -candidate.width * candidate.height):
            inside = box.clip(frame.width, frame.height)
            if inside is not None and not any(_is_same(inside, other) for other in distinct):
                distinct.append(inside)
                yield Region(inside, LABEL)

    def _boxes(self, grey: Grey) -> Iterator[Box]:
        for look in self._looks(grey):
            for find_corners in _DETECTORS:
                yield from map(_box_around, find_corners(look.grey) / look.scale)
            if self._zxing is not None:
                yield from map(_box_around, _find_matrix_codes(self._zxing, look.grey) / look.scale)

    def _looks(self, grey: Grey) -> Iterator["CodeLook"]:
        yield CodeLook(grey, 1.0)
        yield CodeLook(np.asarray(255 - grey, np.uint8), 1.0)  # light codes on dark ground
        if grey.size <= ENLARGED_PIXELS:
            large = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            soft = cv2.GaussianBlur(large, (0, 0), SHARPEN_SIGMA)
            yield CodeLook(np.asarray(cv2.addWeighted(large, 1 + SHARPNESS, soft, -SHARPNESS, 0), np.uint8), 2.0)
        else:
            yield CodeLook(
                np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8), 0.5
            )


@dataclass(frozen=True, slots=True)
class CodeLook:
    """A grey image to search, and its size relative to the frame's."""

    grey: Grey
    scale: float


def _find_qr_codes(grey: Grey) -> Corners:
    # The detector keeps state, so each call has its own.
    _, corners = cv2.QRCodeDetectorAruco().detectMulti(grey)
    return _corners(corners)


def _find_barcodes(grey: Grey) -> Corners:
    _, corners = cv2.barcode.BarcodeDetector().detectMulti(grey)
    return _corners(corners)


_DETECTORS: tuple[Callable[[Grey], Corners], ...] = (_find_qr_codes, _find_barcodes)


def _find_matrix_codes(zxing: Any, grey: Grey) -> Corners:
    formats = [getattr(zxing.BarcodeFormat, name) for name in MATRIX_FORMATS if hasattr(zxing.BarcodeFormat, name)]
    # Only codes that zxing-cpp can read: most other candidates are not codes.
    barcodes = zxing.read_barcodes(grey, formats=formats)
    names = ("top_left", "top_right", "bottom_right", "bottom_left")
    places = [[getattr(code.position, name) for name in names] for code in barcodes]
    return _corners([[(point.x, point.y) for point in place] for place in places])


def _corners(barcode: object) -> Corners:
    return np.array([] if barcode is None else barcode, np.float32).reshape(-1, 4, 2)


def _box_around(corners: npt.NDArray[np.float32]) -> Box:
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    margin = 1 + QUIET_ZONE * max(x1 - x0, y1 - y0)
    return Box.around(x0 - margin, y0 - margin, x1 + margin, y1 + margin)


def _is_same(first: Box, other: Box) -> bool:
    boxes = [np.array([box.xyxy], np.float32) for box in (first, other)]
    return bool(ious(*boxes)[0, 0] >= SAME_IOU)


def _import_zxing() -> Any:
    """Return the module of zxing-cpp; None where it is not installed."""
    try:
        return importlib.import_module("zxingcpp")
    except ImportError:
        return None
