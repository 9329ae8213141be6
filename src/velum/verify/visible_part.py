"""Whether a detection in a finished file shows something of the source, or the hiding itself.

Detectors take velum's own black bars for text, and blurred discs for faces. Such a detection lies on hidden pixels, or
on what lies between them, where the source has nothing. A detection is evidence of a leak only where a thing shows
outside the hidden pixels. The source says whether it is one: it is searched as it is, and once more around the
detection, from nearby.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from velum.frame import Frame, Plane, Role
from velum.region import Box, Mask, Region

THINNEST = 1.5
"""Radius, in pixels, of the largest disc in the visible part of a detection that is still a mere rim."""

OWN = 0.45
"""Radius of the largest disc in the visible part of an object, as a share of that in the whole object, from which the
part is a thing of its own: half of a face, or a character beside a bar. Rims around hidden regions stay below 0.3."""

REACH = 2.0
"""How far the closer look reaches beyond a detection, in its longer sides: detectors need surroundings."""

CLOSER = 2.0
"""Largest magnification of the closer look."""

LEAST_PIXELS = 1 << 20
"""Pixels that the closer look may have, also where the source has fewer."""


Look = Callable[[Frame], tuple[Region, ...]]
"""Locates objects in a frame of the source."""


@dataclass(slots=True, eq=False)
class VisibleParts:
    """Judges the detections of one frame of a finished file by what shows of them outside the hidden pixels."""

    hidden: Mask
    """The pixels of the upright frame that are known as hidden."""
    source: Frame | None
    """The frame of the source, of the same size; None where it is not at hand."""
    look: Look | None
    _in_source: tuple[Region, ...] | None = field(default=None)

    def shows(self, detection: Region, box: Box) -> bool:
        """Tell whether a detection, clipped to `box`, shows something that is not hidden.

        Without the source, its visible part must be thick enough to be a thing of its own.
        """
        whole = _mask_in(detection, box)
        visible = whole & ~self.hidden[box.slices]
        size, thickness = _radius(whole), _radius(visible)
        if thickness <= min(THINNEST, size / 2):
            return False
        alone = thickness >= OWN * size
        if self.source is None or self.look is None:
            return alone
        if self._in_source is None:
            self._in_source = self.look(self.source)
        if any(self._is_seen(region, box, visible, size) for region in self._in_source):
            return True
        nearby = _look_closer(self.source, self.look, box) if alone else ()
        return any(self._is_seen(region, box, visible, thickness, whole=True) for region in nearby)

    def _is_seen(self, region: Region, box: Box, visible: Mask, size: float, *, whole: bool = False) -> bool:
        """Tell whether a part of a thing of the source is visible, is one of its own, and lies in `visible`.

        It must be as thick there as it is itself, or as a detection of the radius `size`; with `whole`, as the latter.
        """
        clipped = region.box.clip(self.hidden.shape[1], self.hidden.shape[0])
        if clipped is None or not clipped.overlaps(box):
            return False
        part = _mask_in(region, clipped)
        size_of_thing = _radius(part)
        part &= ~self.hidden[clipped.slices]
        if _radius(part) < OWN * size_of_thing:
            return False
        placed = np.zeros_like(self.hidden)
        placed[clipped.slices] = part
        return _radius(placed[box.slices] & visible) >= OWN * (size if whole else min(size, size_of_thing))


def _look_closer(source: Frame, look: Look, box: Box) -> Iterator[Region]:
    """Yield what is found around a box of the source, magnified, in pixels of the source."""
    reach = math.ceil(REACH * max(box.width, box.height))
    around = box.pad(reach, reach).clip(source.width, source.height)
    if around is None:
        return
    room = max(source.width * source.height, LEAST_PIXELS) / (around.width * around.height)
    scale = max(1.0, min(CLOSER, math.sqrt(room)))
    part = source.rgb(around.width, around.height, around)
    size_wh = round(around.width * scale), round(around.height * scale)
    near = np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)
    for region in look(Frame.of(Plane(near, Role.RGB))):
        yield _scale_back(region, size_wh, around)


def _mask_in(region: Region, box: Box) -> Mask:
    """Return the pixels of a region in the part of its box that is `box`."""
    if region.mask is None:
        return np.ones((box.height, box.width), np.bool_)
    return region.mask[box.move(-region.box.x0, -region.box.y0).slices].copy()


def _radius(mask: Mask) -> float:
    """Return the radius, in pixels, of the largest disc in a mask."""
    if not mask.any():
        return 0.0
    padded = np.pad(mask, 1).astype(np.uint8)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def _scale_back(region: Region, size_wh: tuple[int, int], around: Box) -> Region:
    """Return a region of a magnified part in pixels of the whole; `around` is the part."""
    across, down = around.width / size_wh[0], around.height / size_wh[1]
    x0, y0, x1, y1 = region.box.xyxy
    scaled = Box.around(x0 * across, y0 * down, x1 * across, y1 * down).move(around.x0, around.y0)
    box = scaled.clip(around.x1, around.y1) or scaled
    if region.mask is None:
        return Region(box, region.label, region.score)
    mask = cv2.resize(region.mask.astype(np.uint8), (box.width, box.height), interpolation=cv2.INTER_NEAREST)
    return Region(box, region.label, region.score, mask.astype(np.bool_))
