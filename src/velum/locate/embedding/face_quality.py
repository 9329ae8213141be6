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
from velum.locate.embedding.alignment import FACE, POINTS, align, scale_of, similarity
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

MOST_FLAT = 0.45
"""Most pixels, as a share, that are as bright as their neighbours: up to 0.2 in photographs and 0.35 in videos, 0.5 and
more in cells."""


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
    if _sharpness(align(frame, points, FACE)) < LEAST_SHARPNESS:
        return "blurred"
    # Not enlarged: between two pixels of a small face, a larger one has others that are nearly the same.
    aligned = align(frame, points, FACE.resize(min(1.0, 1 / scale_of(similarity(points, FACE)))))
    return "hidden" if _flat_share(aligned) > MOST_FLAT else None


def _inner_grey(face: Rgb) -> npt.NDArray[np.uint8]:
    margin = len(face) // 6
    inner = face[margin : len(face) - margin, margin : len(face) - margin]
    return np.asarray(cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY), np.uint8)


def _sharpness(face: Rgb) -> float:
    values = _inner_grey(face).astype(np.float32)
    detail = cv2.Laplacian(cv2.GaussianBlur(values, (0, 0), 1.0), cv2.CV_32F)
    return float(detail.std()) / max(float(values.std()), 1.0)


def _flat_share(face: Rgb) -> float:
    values = _inner_grey(face).astype(np.int16)
    down, across = (np.abs(np.diff(values, axis=axis)) <= 1 for axis in (0, 1))
    return float((down[:, :-1] & across[:-1]).mean())
