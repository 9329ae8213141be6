"""DB, PP-OCR's text detector: a map of the probability that a pixel lies in the shrunken kernel of a line of text.

After Liao et al., "Real-time Scene Text Detection with Differentiable Binarization" (2020): the first output, (1, h, w)
or (h, w) from 0 to 1, as large as the input, is cut at a threshold. Each connected component is the kernel of one line,
shrunken so that neighbours do not touch. The line is the component's smallest rectangle, of any angle, grown by
`area * UNCLIP / perimeter`. Its score is the mean of the map over the kernel.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import PluginFault
from velum.locate.output_formats import Floats, Input, Signature, Tensors
from velum.locate.output_formats.semantic import MapFamily

TextMap = npt.NDArray[np.uint8]

KERNEL = 0.3
"""Probability from which a pixel belongs to a kernel; the value of the paper and of PP-OCR."""

UNCLIP = 1.8
"""How far a kernel is grown; the paper uses 1.5 and PP-OCR up to 2. Higher values hide more around the text, lower ones
cut it off."""

SMALLEST_KERNEL = 2
"""Shorter side of a kernel's rectangle, in pixels of the map, below which the kernel is noise."""


def read(outputs: Tensors, labels: int) -> Floats:
    """Return the map as (1, rows, columns)."""
    name, values = next(iter(outputs.items()))
    if labels != 1 or values.ndim not in {2, 3} or (values.ndim == 3 and values.shape[0] != 1):
        raise PluginFault(
            f"output {name} of the network is {values.shape}, and the model has {labels} labels; a text map is "
            "(1, h, w) and has one label, text"
        )
    return values.reshape(1, *values.shape[-2:]).astype(np.float32)


def lines(text_map: TextMap, threshold: float) -> tuple[Floats, Floats]:
    """Return the lines of text in a map (rows, columns), best first; 0 to 255 in the map stand for 0 to 1.

    Returns corners (n, 4, 2) in pixels of the map, and scores (n,) of at least `threshold`. Corners are clockwise from
    the one that is top left when the longer side is level, and can lie outside the map.
    """
    kernels = (text_map >= round(KERNEL * 255)).astype(np.uint8)
    contours, _ = cv2.findContours(kernels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [(_score(text_map, contour), _unclip(contour)) for contour in map(np.asarray, contours)]
    accepted = [(score, corners) for score, corners in outlines if corners is not None and score >= threshold]
    accepted.sort(key=lambda line: -line[0])
    corners = np.array([corners for _, corners in accepted], np.float32).reshape(-1, 4, 2)
    return corners, np.array([score for score, _ in accepted], np.float32)


def recognise(signature: Signature) -> str | None:
    """Return why the signature fits a text map: one channel of the size of an input without fixed size."""
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        return None
    input_shape, output_shape = (next(iter(tensors.values())) for tensors in (signature.inputs, signature.outputs))
    if (
        len(input_shape) != 4
        or len(output_shape) != 4
        or input_shape[1] != 3
        or output_shape[1] != 1
        or input_shape[2] is not None
    ):
        return None
    return f"its only output {output_shape} has one channel and the size of an input that is open: a map of text"


def _score(text_map: TextMap, contour: npt.NDArray[Any]) -> float:
    x, y, width, height = cv2.boundingRect(contour)
    kernel = np.zeros((height, width), np.uint8)
    cv2.drawContours(kernel, [contour], 0, 1, cv2.FILLED, offset=(-x, -y))
    return float(cv2.mean(text_map[y : y + height, x : x + width], kernel)[0]) / 255


def _unclip(contour: npt.NDArray[Any]) -> Floats | None:
    """Return the corners of the line with this kernel; None when the kernel is noise."""
    (x, y), (across, down), degrees = cv2.minAreaRect(contour)
    # A contour runs through the centres of its outermost pixels: half a pixel is missing on each side.
    across, down = across + 1, down + 1
    if min(across, down) < SMALLEST_KERNEL:
        return None
    if across < down:
        across, down, degrees = down, across, degrees - 90
    more = across * down * UNCLIP / (across + down)  # twice the area * UNCLIP / perimeter
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * ((across + more) / 2, (down + more) / 2)
    # Level text must not be read upside down: of the two directions along the longer side, take the one to the right.
    angle = np.deg2rad((degrees + 90) % 180 - 90)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = half @ np.array([[cos, sin], [-sin, cos]]) + np.array([x + 0.5, y + 0.5])
    corners: Floats = turned.astype(np.float32)
    return corners


# PaddleOCR swaps ImageNet's mean and deviation of red and blue, and the networks were trained with that.
_MEAN = (255 * 0.406, 255 * 0.456, 255 * 0.485)
_SCALE = (1 / (255 * 0.225), 1 / (255 * 0.224), 1 / (255 * 0.229))

FAMILY = MapFamily(read, Input(order="bgr", mean=_MEAN, scale=_SCALE), recognise, localizer="text")
