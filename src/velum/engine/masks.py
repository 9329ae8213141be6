"""Masks: from regions to the areas that are hidden, which are grown, outlined, clipped and merged."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from velum.plan import Rule
from velum.region import Box, Mask, Region

MASK_SHARE = 0.2
"""A mask follows the outline, so it grows by this share of what a box grows by."""

_LARGEST_KERNEL = 12
"""Radius above which measuring distances is quicker than dilating."""


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Pixels to hide: all of `box`, or those that are True in `mask`, which has the box's size."""

    box: Box
    mask: Mask | None = None

    def clip(self, width: int, height: int) -> Self | None:
        """Return the part inside a frame of `width` x `height` pixels, None when there is none."""
        box = self.box.clip(width, height)
        if box is None or box == self.box:
            return None if box is None else self
        inside = box.move(-self.box.x0, -self.box.y0)
        return type(self)(box, None if self.mask is None else self.mask[inside.slices])

    def without(self, others: Iterable["Area"]) -> Self | None:
        """Return the area less the pixels of `others`, None when nothing is left."""
        mask = self.mask
        for other in others:
            if not self.box.overlaps(other.box):
                continue
            mask = np.ones((self.box.height, self.box.width), dtype=bool) if mask is None else mask.copy()
            shared = Box(
                max(self.box.x0, other.box.x0), max(self.box.y0, other.box.y0),
                min(self.box.x1, other.box.x1), min(self.box.y1, other.box.y1),
            )  # fmt: skip
            theirs = True if other.mask is None else other.mask[shared.move(-other.box.x0, -other.box.y0).slices]
            mask[shared.move(-self.box.x0, -self.box.y0).slices] &= np.logical_not(theirs)
        if mask is self.mask:
            return self
        return type(self)(self.box, mask) if mask is not None and mask.any() else None


def outline(region: Region, rule: Rule, width: int, height: int) -> Area | None:
    """Return the area that `rule` hides for `region` in a frame of that size; None when no pixel lies inside."""
    if region.mask is not None:
        grown_mask = _grow_mask(region.box, region.mask, rule.grow)
        return None if grown_mask is None else grown_mask.clip(width, height)
    grown = region.box.pad(math.ceil(rule.grow * region.box.width), math.ceil(rule.grow * region.box.height))
    area = _ellipse(grown) if rule.shape == "ellipse" else Area(grown)
    return area.clip(width, height)


@dataclass(frozen=True, slots=True, eq=False)
class MergedArea:
    """Areas that overlap, joined into one, with bounds of how often the BMW API would process its pixels.

    No pixel lies in more than `overlaps` of the areas, and the weights of the areas that it lies in add up to at most
    `objects`.
    """

    area: Area
    overlaps: int = 1
    objects: int = 1


def merge(areas: Sequence[Area], weights: Sequence[int] | None = None) -> list[MergedArea]:
    """Return the areas with those that overlap, directly or through others, joined into one. A weight is 1 by default.

    Pixels where k areas lie on top of each other are in at least k of them that all overlap any one of the k: the
    largest number of areas that overlap one of them bounds k.
    """
    weights = [1] * len(areas) if weights is None else weights
    if len(areas) < 2:
        return [MergedArea(area, 1, weight) for area, weight in zip(areas, weights, strict=True)]
    x0, y0, x1, y1 = np.array([area.box.xyxy for area in areas]).T
    weight_of = np.array(weights)
    unseen = np.ones(len(areas), dtype=bool)
    merged = []
    for first in range(len(areas)):
        if not unseen[first]:
            continue
        unseen[first] = False
        members, overlaps, objects = [first], 1, 1
        for i in members:  # grows while it is walked
            near = (x0 < x1[i]) & (x0[i] < x1) & (y0 < y1[i]) & (y0[i] < y1)
            overlaps, objects = max(overlaps, int(near.sum())), max(objects, int(weight_of[near].sum()))
            touching = np.flatnonzero(unseen & near)
            unseen[touching] = False
            members.extend(map(int, touching))
        merged.append(MergedArea(_join([areas[i] for i in members]), overlaps, objects))
    return merged


def _join(areas: Sequence[Area]) -> Area:
    if len(areas) == 1:
        return areas[0]
    box = areas[0].box
    for area in areas:
        box = box.join(area.box)
    mask = np.zeros((box.height, box.width), dtype=bool)
    for area in areas:
        mask[area.box.move(-box.x0, -box.y0).slices] |= True if area.mask is None else area.mask
    return Area(box, None if mask.all() else mask)


def _grow_mask(box: Box, mask: Mask, grow: float) -> Area | None:
    radius = math.ceil(grow * MASK_SHARE * min(box.width, box.height))
    # Masks often come in the frame's size: only the part around what is True is worth any work.
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    if not width:
        return None
    inside = Box(x, y, x + width, y + height)
    tight, part = inside.move(box.x0, box.y0), mask[inside.slices]
    return Area(tight.pad(radius, radius), _dilate(part, radius)) if radius else Area(tight, part)


def _dilate(mask: Mask, radius: int) -> Mask:
    """Return the mask, larger by `radius` on each side; True for pixels within `radius` of a True one."""
    padded = np.pad(mask, radius).view(np.uint8)
    if radius <= _LARGEST_KERNEL:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        return cv2.dilate(padded, kernel).view(bool)
    # Dilation takes time by the kernel's area, distances do not. Half a pixel, as the kernel rounds.
    far = cv2.distanceTransform(padded ^ 1, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near: Mask = far <= radius + 0.5
    return near


def _ellipse(box: Box) -> Area:
    """Return the smallest ellipse of the box's proportions that contains the whole box: through its corners."""
    a, b = box.width / math.sqrt(2), box.height / math.sqrt(2)
    centre_x, centre_y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    around = Box.around(centre_x - a, centre_y - b, centre_x + a, centre_y + b)
    away = np.abs(np.arange(around.x0, around.x1) + 0.5 - centre_x)
    y = (np.arange(around.y0, around.y1) + 0.5 - centre_y) / b
    # Half the width of each row, and one comparison for each pixel: several times quicker than x**2 + y**2 <= 1.
    half = a * np.sqrt(np.maximum(0, 1 - y**2))
    return Area(around, away <= half[:, None])
