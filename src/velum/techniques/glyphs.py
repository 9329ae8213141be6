"""Draws characters as strokes, in grey, over a patch: velum's own letters, which no font has."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Plane, Role
from velum.plugins import Patch
from velum.region import Points

Grey = npt.NDArray[np.uint8]
"""Array (rows, columns) of grey from 0 to 255."""

Floats = npt.NDArray[np.float32]

AROUND, PAPER, INK = 112, 232, 24
"""Grey levels: of what is hidden around a drawing, of its ground, and of its strokes."""

ADVANCE, GAP, HEIGHT, LEADING, WEIGHT = 6, 2, 6, 2, 0.9
"""In units of the strokes: width of a character with its gap, that gap, height, gap of lines, width of a stroke."""

MOST_PASSED = 4096
"""Most pixels by which a corner may lie outside of its patch."""

_SHIFT = 4
"""Bits of a pixel's fraction in OpenCV's coordinates."""

# Strokes of each character, parted by |: points x, y, from 0, 0 at the top left to 4, 6.
_STROKES = {
    "0": "10 30 41 45 36 16 05 01 10", "1": "01 20 26", "2": "01 10 30 41 42 06 46", "3": "00 40 22 32 43 45 36 16 05",
    "4": "30 04 44|32 36", "5": "40 00 02 32 43 45 36 06", "6": "40 20 02 05 16 36 45 43 32 02", "7": "00 40 16",
    "8": "10 30 41 32 12 01 10|12 03 05 16 36 45 43 32", "9": "43 12 01 10 30 41 44 26 06", "A": "06 20 46|14 34",
    "B": "00 30 41 32 43 45 36 06 00|02 32", "C": "41 30 10 01 05 16 36 45", "D": "00 20 42 44 26 06 00",
    "E": "40 00 06 46|03 33", "F": "40 00 06|03 33", "G": "41 30 10 01 05 16 36 45 43 23", "H": "00 06|40 46|03 43",
    "I": "20 26", "J": "40 45 36 16 05", "K": "00 06|40 03 46", "L": "00 06 46", "M": "06 00 23 40 46",
    "N": "06 00 46 40", "O": "10 30 41 45 36 16 05 01 10", "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10|24 46", "R": "06 00 30 41 42 33 03|23 46", "S": "41 30 10 01 02 44 45 36 16 05",
    "T": "00 40|20 26", "U": "00 05 16 36 45 40", "V": "00 26 40", "W": "00 16 22 36 40", "X": "00 46|40 06",
    "Y": "00 23 40|23 26", "Z": "00 40 06 46", "-": "13 33", "+": "13 33|22 24", ".": "25 26", ":": "21 22|24 25",
    "/": "40 06", "@": "33 22 13 24 34 32 30 10 01 05 16 36", " ": "",
}  # fmt: skip


def draw_lines(
    patch: Patch, quads: Sequence[Points], lines: Sequence[Sequence[str]], *, margin: float, edge: bool
) -> None:
    """Cover the whole patch with grey, and draw lines of text into each quadrilateral, in its perspective.

    Nothing of the patch is read. `margin` is the share of a quadrilateral's height that stays free around the text;
    with `edge`, its edge is drawn.
    """
    picture = np.full((patch.height, patch.width), AROUND, np.uint8)
    for quad, words in zip(quads, lines, strict=True):
        corners = np.asarray(np.clip(quad, -MOST_PASSED, max(picture.shape) + MOST_PASSED), np.float32)
        if cv2.contourArea(corners) >= 1:
            cv2.fillConvexPoly(picture, _subpixels(corners), PAPER, cv2.LINE_AA, _SHIFT)
            if edge:
                _stroke(picture, corners, _mean_height(corners) / 24, closed=True)
            _draw_text(picture, corners, words, margin)
    for plane in patch.planes:
        _write(plane, picture)


def aspect_of(quad: Points) -> float:
    """Return the width of a quadrilateral, from the top left clockwise, divided by its height."""
    sides = _sides(np.asarray(quad, np.float32))
    return float((sides[0] + sides[2]) / max(1e-6, float(sides[1] + sides[3])))


def _draw_text(picture: Grey, quad: Floats, lines: Sequence[str], margin: float) -> None:
    """Draw lines as large as they fit into a quadrilateral. Lengths are shares of its height."""
    width = max(1e-3, float(_sides(quad)[[0, 2]].mean()) / _mean_height(quad))
    bend = cv2.getPerspectiveTransform(np.array([(0, 0), (width, 0), (width, 1), (0, 1)], np.float32), quad)
    rows = len(lines) * HEIGHT + (len(lines) - 1) * LEADING
    columns = max(len(line) * ADVANCE - GAP for line in lines)
    room = min(margin, width / 8)
    unit = min((1 - 2 * room) / rows, (width - 2 * room) / columns)
    for number, line in enumerate(lines):
        top = (1 - unit * rows) / 2 + number * unit * (HEIGHT + LEADING)
        left = (width - unit * (len(line) * ADVANCE - GAP)) / 2
        for place, character in enumerate(line):
            for stroke in _STROKES[character].split("|"):
                points = [(int(point[0]), int(point[1])) for point in stroke.split()]
                if points:
                    flat = np.array(points, np.float32) * unit + (left + place * ADVANCE * unit, top)
                    bent = cv2.perspectiveTransform(flat[None].astype(np.float32), bend)[0]
                    _stroke(picture, bent.astype(np.float32), _mean_height(quad) * unit * WEIGHT)


def _stroke(picture: Grey, points: Floats, width: float, *, closed: bool = False) -> None:
    cv2.polylines(picture, [_subpixels(points)], closed, INK, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _sides(quad: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1).astype(np.float32)
    return lengths


def _mean_height(quad: Floats) -> float:
    return max(1e-3, float(_sides(quad)[[1, 3]].mean()))


def _subpixels(points: Floats) -> npt.NDArray[np.int32]:
    """Return points as OpenCV draws them: the middle of the first pixel is at 0, 0."""
    return np.round((points - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _write(plane: Plane, picture: Grey) -> None:
    """Write a grey picture as a plane stores it; chroma is neutral and alpha opaque."""
    full = (1 << plane.bits) - 1
    rows, columns = plane.pixels.shape[:2]
    if plane.role == Role.CHROMA:
        plane.pixels[...] = 1 << (plane.bits - 1)
        return
    if plane.role == Role.ALPHA:
        plane.pixels[...] = full
        return
    if picture.shape != (rows, columns):
        picture = np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    samples = _table(plane)[picture]
    if plane.role == Role.CMYK:
        plane.pixels[..., :3], plane.pixels[..., 3] = 0, full - samples
    elif plane.role in {Role.RGBA, Role.GREY_ALPHA}:
        plane.pixels[..., :-1], plane.pixels[..., -1] = samples[..., None], full
    else:
        plane.pixels[...] = samples if plane.pixels.ndim == 2 else samples[..., None]


def _table(plane: Plane) -> npt.NDArray[np.int64]:
    """Return the sample of a plane that shows each grey level."""
    levels = np.arange(256, dtype=np.float64)
    if plane.view is not None:
        nearest = [int(np.abs(plane.view.astype(np.int32) - level).argmin()) for level in levels]
        return np.asarray(nearest, np.int64)
    if plane.role == Role.LUMA and plane.limited:
        levels = (16 + 219 * levels / 255) * 2.0 ** (plane.bits - 8)
    else:
        levels = levels / 255 * ((1 << plane.bits) - 1)
    return np.asarray(np.round(levels), np.int64)
