"""Align a face by its five points: both eyes, the tip of the nose, both corners of the mouth; left in the image first.

A network that compares faces was trained on faces in one pose and size. The similarity that moves the points nearest to
those of its template is the least-squares one of Umeyama, "Least-squares estimation of transformation parameters
between two point patterns" (1991), without reflection.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Rgb
from velum.region import Box, Points

POINTS = 5
"""Points of a face; other numbers of points are no face's."""

OVERSAMPLED = 2.0
"""Largest scale, in pixels of the part that is cut from the frame per pixel of the result: more would alias."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Template:
    """Where a network expects the five points in its square input of `side` pixels."""

    side: int
    points: Points

    def resize(self, factor: float) -> "Template":
        """Return the template in another size."""
        return Template(max(1, round(self.side * factor)), tuple((x * factor, y * factor) for x, y in self.points))


FACE = Template(150, ((46.1, 43.2), (101.8, 43.2), (74.0, 74.7), (49.2, 102.4), (98.7, 102.4)))
"""dlib's mean face with a margin of a quarter of its side all around, as in the training of its network; 5 % larger and
2 pixels higher, which tells labelled people apart best by the points of CenterFace and of YuNet."""


def similarity(points: Points, template: Template) -> Matrix:
    """Return the matrix (2, 3) that moves points of an image nearest to those of the template.

    Points that are all in one place give a matrix of scale zero, by which every pixel is the same one.
    """
    source, target = np.array(points, np.float64), np.array(template.points, np.float64)
    source_centre, target_centre = source.mean(axis=0), target.mean(axis=0)
    x, y = (source - source_centre).T
    u, v = (target - target_centre).T
    size = max(float((x * x + y * y).sum()), 1e-9)
    cosine, sine = float((x * u + y * v).sum()) / size, float((x * v - y * u).sum()) / size
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack((turn, target_centre - turn @ source_centre))


def scale_of(matrix: Matrix) -> float:
    """Return the scale of a similarity: pixels of the template per pixel of the image."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def align(frame: Frame, points: Points, template: Template) -> Rgb:
    """Return the face as the template wants it, (side, side, 3) in 8-bit RGB; beyond the frame its border goes on.

    Only the part of the frame around the face is converted, scaled down first where the face is large.
    """
    matrix = similarity(points, template)
    box = _part(frame, matrix, template.side)
    shrink = max(1.0, 1 / max(scale_of(matrix) * OVERSAMPLED, 1e-6))
    width, height = max(1, round(box.width / shrink)), max(1, round(box.height / shrink))
    part = frame.rgb(width, height, box)
    # Middles of pixels are at a half, for cv2 they are at whole numbers.
    to_frame = np.array(
        [[box.width / width, 0, box.x0], [0, box.height / height, box.y0], [0, 0, 1]], np.float64
    ) @ _shift(0.5)
    whole = _shift(-0.5) @ np.vstack((matrix, [0, 0, 1])) @ to_frame
    size = template.side, template.side
    aligned = cv2.warpAffine(part, whole[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(aligned, np.uint8)


def _part(frame: Frame, matrix: Matrix, side: int) -> Box:
    """Return the part of the frame that the template shows, with a pixel more on each side."""
    back = np.linalg.inv(np.vstack((matrix, [0, 0, 1]))) if scale_of(matrix) > 1e-6 else np.eye(3)
    corners = back @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]], np.float64)
    (x0, y0), (x1, y1) = corners[:2].min(axis=1) - 1, corners[:2].max(axis=1) + 1
    visible = Box.around(x0, y0, x1, y1).clip(frame.width, frame.height)
    return Box(0, 0, 1, 1) if visible is None else visible


def _shift(by: float) -> Matrix:
    return np.array([[1, 0, by], [0, 1, by], [0, 0, 1]], np.float64)
