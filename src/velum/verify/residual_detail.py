"""Whether what was hidden is gone, from the pixels: of a finished picture, and of its original where that is there."""

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Rgb
from velum.region import Box

Plane = npt.NDArray[np.float32]

FINE, COARSE = 24.0, 8.0
"""A detail is fine, or coarse, when it is smaller than the shorter side of its region by so many times."""

MOST_LEFT = 0.3
"""Share of the original's fine detail that may be left in a region. A technique that hides leaves next to none; what
is left is noise that resembles it by chance, and the region's edge."""

MORE_LEFT = 0.06
"""By how much the share of coarse detail that is left may exceed what the technique leaves of the same original: the
noise of coding. On 381 regions hidden well it was at most 0.01, at too weak a degree at least 0.12."""

FAINTEST, MOST_TRACED = 0.01, 0.5
"""Share of what was taken from an original from which on it can be made out, and the correlation that tells it."""

MOST_UNSETTLED = 6.0
"""Levels (of 256, root mean square) by which hiding a region once more may change it: what coding does to it. What was
not hidden changes by far more."""

LEAST_DETAIL = 3.0
"""Levels of fine detail (root mean square) that an original has at least for what is left of it to be told."""

SMALLEST, SMALLEST_DETAILED = 12, 24
"""Pixels of a shorter side from which a region is judged at all, since codes of 8 x 8 pixels blur smaller ones into
their surroundings, and from which its detail is."""

CODING = 14.0
"""Levels by which coding again changes a smoothed picture at most, but for a few places."""

UNTOUCHED = 0.1
"""Share of a region that coding alone may change: where not more has changed, nobody has hidden anything."""


def left_of(before: Rgb, after: Rgb, box: Box, size: float = FINE) -> float | None:
    """Return the share of the original's detail that the finished picture shows in `box`; None: too little of it.

    Detail is of that `size`, `FINE` or `COARSE`, or smaller. Both are high-passed with a Gaussian; the share is the
    slope of the regression of one on the other, as of a signal in noise. 1 where nothing was hidden, 1 - opacity where
    it was covered in part.
    """
    if min(box.width, box.height) < SMALLEST_DETAILED:
        return None
    inner, sigma = _inner(box), _sigma(box, size)
    one, other = (_fine(picture, inner, sigma) for picture in (before, after))
    power = float((one * one).mean())
    if power < LEAST_DETAIL**2:
        return None
    return float((one * other).mean()) / power


def traced(before: Rgb, should: Rgb, after: Rgb, box: Box) -> float | None:
    """Return how far what a finished picture has beside what it should is like what was taken from the original.

    It is the correlation of the fine detail of both: that of coding has none with it. None where less than
    `FAINTEST` of what was taken is there, or the original has too little detail. `should` is the original, hidden.
    """
    if min(box.width, box.height) < SMALLEST_DETAILED:
        return None
    inner, sigma = _inner(box), _sigma(box)
    whole, clean, left = (_fine(picture, inner, sigma) for picture in (before, should, after))
    taken, beside = whole - clean, left - clean
    power = float((taken * taken).mean())
    if power < LEAST_DETAIL**2:
        return None
    both = float((taken * beside).mean())
    if both / power < FAINTEST:
        return None
    return both / float(np.sqrt(power * (beside * beside).mean()))


def unsettled(after: Rgb, again: Rgb, box: Box, *, fine: bool) -> float:
    """Return by how many levels (root mean square) hiding once more changes a region; `again` is the picture then.

    `fine`: by fine detail alone. Blurring what is blurred still moves what is coarse, and pixels may be averaged over
    other cells; only what has one colour stays as it is.
    """
    inner = _inner(box)
    if fine:
        difference = _fine(after, inner, _sigma(box)) - _fine(again, inner, _sigma(box))
    else:
        difference = _grey(_cut(after, inner)) - _grey(_cut(again, inner))
    return float(difference.std())


def changed(before: Rgb, after: Rgb, box: Box) -> float:
    """Return the share of a box in which the pictures differ by more than coding does."""
    one, other = (cv2.blur(_grey(_cut(picture, box)), (3, 3)) for picture in (before, after))
    return float((np.abs(one - other) > CODING).mean())


def _inner(box: Box) -> Box:
    """Return the box without its rim, which may share blocks with its surroundings."""
    dx, dy = (min(max(1, round(side * 0.12)), (side - 1) // 2) for side in (box.width, box.height))
    return Box(box.x0 + dx, box.y0 + dy, box.x1 - dx, box.y1 - dy)


def _sigma(box: Box, size: float = FINE) -> float:
    return max(1.0, min(box.width, box.height) / size)


def _fine(picture: Rgb, box: Box, sigma: float) -> Plane:
    grey = _grey(_cut(picture, box))
    fine: Plane = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
    return fine


def _cut(picture: Rgb, box: Box) -> Rgb:
    return picture[box.slices]


def _grey(picture: Rgb) -> Plane:
    grey: Plane = picture.astype(np.float32).mean(axis=2)
    return grey
