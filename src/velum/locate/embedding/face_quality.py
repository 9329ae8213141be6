"""Tell whether a face is large, sharp and frontal enough to be compared.

Measured on labelled photographs that were scaled down, blurred and pixelated, with CenterFace's and YuNet's points:
with 16 pixels between the eyes, two photographs of one person are as far apart as large ones (95 % within 0.52); a blur
of 4 % of that distance still tells persons apart, one of 8 % does not.
"""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Rgb
from velum.locate.embedding.alignment import FACE, POINTS, align
from velum.region import Points

Fault = Literal["small", "turned", "blurred", "hidden"]
"""Why a face is not compared; `hidden`: it is pixelated."""

LEAST_EYES = 16.0
"""Least distance between the eyes, in pixels of the frame."""

NOSE_ACROSS, NOSE_DOWN = (0.15, 0.85), (0.35, 0.8)
"""Where the tip of the nose lies between the eyes, and on the way from the eyes to the mouth, in a face from the front;
0.5 and 0.57 in the mean."""

LEAST_RATIO = 0.6
"""Least distance between the eyes, as a share of that from the eyes to the mouth; 1 in the mean, less in profile."""

LEAST_SHARPNESS = 0.05
"""Least contrast of fine detail, as a share of the whole contrast of the face: 0.1 to 0.2 in sharp photographs."""

MOST_FLAT = 0.4
"""Most pixels, as a share, that are as bright as their neighbours: up to 0.2 in photographs, 0.5 and more in cells."""

_INNER = slice(25, 125)


def fault_of(frame: Frame, points: Points, least_eyes: float = LEAST_EYES) -> Fault | None:
    """Return why the face at five points of a frame cannot be compared, None where it can."""
    if len(points) != POINTS:
        return "turned"
    left, right, nose, mouth_left, mouth_right = np.array(points, np.float64)
    across, eyes, mouth = right - left, (left + right) / 2, (mouth_left + mouth_right) / 2
    width, height = float(np.hypot(*across)), float(np.hypot(*(mouth - eyes)))
    if width < least_eyes and height < least_eyes / LEAST_RATIO:
        return "small"
    nose_across = float((nose - left) @ across) / max(width, 1e-6) ** 2
    nose_down = float((nose - eyes) @ (mouth - eyes)) / max(height, 1e-6) ** 2
    if (
        width < LEAST_RATIO * height
        or not NOSE_ACROSS[0] <= nose_across <= NOSE_ACROSS[1]
        or not NOSE_DOWN[0] <= nose_down <= NOSE_DOWN[1]
    ):
        return "turned"
    if width < least_eyes:
        return "small"
    return _fault_of_detail(align(frame, points, FACE))


def _fault_of_detail(face: Rgb) -> Fault | None:
    grey = cv2.cvtColor(face[_INNER, _INNER], cv2.COLOR_RGB2GRAY)
    values = grey.astype(np.float32)
    detail = cv2.Laplacian(cv2.GaussianBlur(values, (0, 0), 1.0), cv2.CV_32F)
    if float(detail.std()) < LEAST_SHARPNESS * max(float(values.std()), 1.0):
        return "blurred"
    return "hidden" if _flat_share(np.asarray(grey, np.uint8)) > MOST_FLAT else None


def _flat_share(grey: npt.NDArray[np.uint8]) -> float:
    values = grey.astype(np.int16)
    down, across = (np.abs(np.diff(values, axis=axis)) <= 1 for axis in (0, 1))
    return float((down[:, :-1] & across[:-1]).mean())
