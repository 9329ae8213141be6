"""Measures how much detail of a source is left in hidden regions, from the pixels of result and source."""

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Rgb
from velum.region import Box, Mask

Plane = npt.NDArray[np.float32]

FINE, COARSE = 24.0, 8.0
"""Detail is fine (coarse) when it is smaller than the shorter side of its region divided by this."""

MOST_LEFT = 0.3
"""Largest share of the source's fine detail that may be left in a region. A technique that hides leaves nearly none;
the rest is noise that resembles it by chance, and the region's edge."""

MORE_LEFT = 0.06
"""Largest excess of the coarse detail left over what the technique leaves of the same source: the noise of coding.
On 381 regions hidden well it was at most 0.01, at too weak a degree at least 0.12."""

FAINTEST, MOST_TRACED = 0.01, 0.5
"""Share of the removed detail from which it counts as visible, and the correlation with it from which it is a leak."""

MOST_UNSETTLED = 6.0
"""Largest change, in levels (of 256, root mean square), when a region is hidden once more: coding makes as much. A
region that was not hidden changes by far more."""

DRAWN = 0.4
"""Share of the contrast of a drawing by which coding may change it, in root mean square. In a
JPEG of quality 20 it is up to 0.3; what was not drawn over differs by the whole contrast and more."""

LEAST_DETAIL = 3.0
"""Least fine detail of a source, in levels (root mean square), for its remains to be measured."""

MOST_REPLACED = 0.8
"""Least share of the pixels that hiding changes that have changed, for a region to count as hidden. Coding brings some
back to where they were."""

SMALLEST, SMALLEST_DETAILED = 12, 24
"""Shorter side, in pixels, from which a region is judged, and from which its detail is. Blocks of 8 x 8 pixels mix
smaller regions with their surroundings."""

CODING = 14.0
"""Largest change, in levels, that coding makes to a smoothed image, apart from a few pixels."""

UNTOUCHED = 0.1
"""Share of a region that coding alone may change; with no more changed, nothing was hidden."""


def detail_left(before: Rgb, after: Rgb, box: Box, size: float = FINE) -> float | None:
    """Return the share of the source's detail that the result still shows in `box`; None when there is too little.

    Detail is of that `size`, `FINE` or `COARSE`, or smaller. Both are high-passed with a Gaussian; the share is the
    slope of the regression of one on the other, as of a signal in noise. 1 where nothing was hidden, 1 - opacity where
    it was covered in part.
    """
    if min(box.width, box.height) < SMALLEST_DETAILED:
        return None
    inner, sigma = _inner(box), _sigma(box, size)
    first, second = (_fine(picture, inner, sigma) for picture in (before, after))
    power = float((first * first).mean())
    if power < LEAST_DETAIL**2:
        return None
    return float((first * second).mean()) / power


def ghost_correlation(before: Rgb, should: Rgb, after: Rgb, box: Box) -> float | None:
    """Return the correlation of a region's unexpected detail with the detail that hiding removed from the source.

    Noise of coding does not correlate. None when less than `FAINTEST` of the removed detail is there, or the source
    has too little detail. `should` is the source as the plan hides it.
    """
    if min(box.width, box.height) < SMALLEST_DETAILED:
        return None
    inner, sigma = _inner(box), _sigma(box)
    whole, clean, hidden = (_fine(picture, inner, sigma) for picture in (before, should, after))
    removed, beside = whole - clean, hidden - clean
    power = float((removed * removed).mean())
    if power < LEAST_DETAIL**2:
        return None
    both = float((removed * beside).mean())
    if both / power < FAINTEST:
        return None
    return both / float(np.sqrt(power * (beside * beside).mean()))


def rehiding_change(after: Rgb, again: Rgb, box: Box, *, fine: bool) -> float:
    """Return the change of a region, in levels (root mean square), when it is hidden once more, as in `again`.

    `fine`: only fine detail counts. Blurring or pixelating again changes coarse detail; only a single colour stays
    as it is.
    """
    inner = _inner(box)
    if fine:
        difference = _fine(after, inner, _sigma(box)) - _fine(again, inner, _sigma(box))
    else:
        difference = _grey(_cut(after, inner)) - _grey(_cut(again, inner))
    return float(difference.std())


def coding_of_drawing(again: Rgb, box: Box) -> float:
    """Return the change, in levels, that coding makes to a drawing, whose strokes it blurs; `again` has it uncoded."""
    return DRAWN * float(_grey(_cut(again, _inner(box))).std())


def without_drawing(after: Rgb, should: Rgb) -> tuple[Rgb, Rgb]:
    """Return what a frame has besides its drawings, on grey, and the grey: strokes can look like what they hide."""
    remains = np.clip(after.astype(np.int16) - should + 128, 0, 255).astype(np.uint8)
    return remains, np.full_like(remains, 128)


def changed_share(before: Rgb, after: Rgb, box: Box) -> float:
    """Return the share of a box in which two images differ by more than coding does."""
    first, second = (cv2.blur(_grey(_cut(picture, box)), (3, 3)) for picture in (before, after))
    return float((np.abs(first - second) > CODING).mean())


def changed_pixels(before: Rgb, after: Rgb) -> Mask:
    """Return the pixels in which two images of one size differ by more than coding does."""
    first, second = (cv2.blur(_grey(picture), (3, 3)) for picture in (before, after))
    changed: Mask = np.abs(first - second) > CODING
    return changed


def is_hidden(before: Rgb, should: Rgb, after: Rgb, box: Box, mask: Mask | None) -> bool:
    """Tell whether an area differs from the source where hiding makes it differ; `should` is the source as hidden.

    True where hiding makes no difference: nothing shows there.
    """
    source, expected, result = (cv2.blur(_grey(_cut(picture, box)), (3, 3)) for picture in (before, should, after))
    affected = np.abs(source - expected) > CODING * 1.5
    if mask is not None:
        affected &= mask
    if not affected.any():
        return True
    return float((np.abs(source - result)[affected] > CODING / 1.5).mean()) >= MOST_REPLACED


def _inner(box: Box) -> Box:
    """Return the box without its rim, which shares coding blocks with its surroundings."""
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
