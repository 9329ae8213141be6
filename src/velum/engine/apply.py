"""Apply techniques to a frame: regions become areas, grown, outlined, clipped and merged; techniques overwrite these.

A patch is cut out of each plane, hidden, and put back where the mask covers it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from velum.engine.prepare import PreparedPlan
from velum.errors import PluginFault, VelumError
from velum.frame import Frame, Plane, Touched
from velum.plan import Rule
from velum.plugins import Drawing, Patch, Technique, part_name
from velum.region import Box, Mask, Points, Region

MASK_SHARE = 0.2
"""A mask grows by this share of the growth of a box, since it follows the outline of the object."""

_LARGEST_KERNEL = 12
"""Radius above which measuring distances is quicker than dilating."""


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Pixels to hide: all of `box`, or those that are True in `mask`, which has the box's size."""

    box: Box
    mask: Mask | None = None
    overlaps: int = 1
    """Upper bound of the number of areas that a pixel belongs to: above 1 where areas were merged."""
    objects: int = 1
    """Upper bound of the number of objects that a pixel belongs to: how often the BMW API would process it."""
    subjects: tuple[tuple[str, Points], ...] = ()
    """Name and corners of each region in it, in pixels of the upright frame, where a technique draws; see `Patch`."""

    def clip(self, width: int, height: int) -> Self | None:
        """Return the part inside a frame of `width` x `height` pixels, None when there is none."""
        box = self.box.clip(width, height)
        if box is None or box == self.box:
            return None if box is None else self
        inside = box.move(-self.box.x0, -self.box.y0)
        return replace(self, box=box, mask=None if self.mask is None else self.mask[inside.slices])

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
        return replace(self, mask=mask) if mask is not None and mask.any() else None


def outline(region: Region, rule: Rule, width: int, height: int) -> Area | None:
    """Return the area that `rule` hides for `region` in a frame of that size; None when no pixel lies inside."""
    if region.mask is not None:
        grown_mask = _grow_mask(region.box, region.mask, rule.grow)
        return None if grown_mask is None else grown_mask.clip(width, height)
    grown = region.box.pad(math.ceil(rule.grow * region.box.width), math.ceil(rule.grow * region.box.height))
    area = _ellipse(grown) if rule.shape == "ellipse" else Area(grown)
    return area.clip(width, height)


def merge(areas: Sequence[Area]) -> list[Area]:
    """Return the areas with those that overlap, directly or through others, joined into one.

    Pixels where k areas lie on top of each other are in at least k of them that all overlap any one of the k: the
    largest number of areas that overlap one of them bounds k.
    """
    if len(areas) < 2:
        return list(areas)
    x0, y0, x1, y1 = np.array([area.box.xyxy for area in areas]).T
    weights = np.array([area.objects for area in areas])
    unseen = np.ones(len(areas), dtype=bool)
    merged = []
    for first in range(len(areas)):
        if not unseen[first]:
            continue
        unseen[first] = False
        members, overlaps, objects = [first], 1, 1
        for i in members:  # grows while it is walked
            near = (x0 < x1[i]) & (x0[i] < x1) & (y0 < y1[i]) & (y0[i] < y1)
            overlaps, objects = max(overlaps, int(near.sum())), max(objects, int(weights[near].sum()))
            touching = np.flatnonzero(unseen & near)
            unseen[touching] = False
            members.extend(map(int, touching))
        subjects = tuple(subject for i in sorted(members) for subject in areas[i].subjects)
        joined = _join([areas[i] for i in members])
        merged.append(replace(joined, overlaps=overlaps, objects=objects, subjects=subjects))
    return merged


def subject_of(region: Region) -> tuple[str, Points]:
    """Return a name that is the same wherever the track of a region is, and its corners, clockwise from the top left.

    In a video the corners are those of the box: a network sees others only in the frames in which it looks.
    """
    box = region.box
    corners: Points = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    if region.track is not None:
        return f"{region.label} {region.track}", corners
    name = f"{region.label} at {box.xyxy}"
    if region.points is not None and len(region.points) == len(corners):
        return name, _clockwise(region.points)
    if region.mask is not None and region.mask.any():
        rows, columns = np.nonzero(region.mask)
        edges = np.column_stack((columns + box.x0 + 0.5, rows + box.y0 + 0.5)).astype(np.float32)
        return name, _clockwise(tuple(map(tuple, cv2.boxPoints(cv2.minAreaRect(edges)).tolist())))
    return name, corners


def _clockwise(points: Points) -> Points:
    """Return four points clockwise, that at the top left first."""
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    turned = sorted(points, key=lambda point: math.atan2(point[1] - middle_y, point[0] - middle_x))
    first = min(range(len(turned)), key=lambda place: sum(turned[place]))
    return tuple(turned[first:] + turned[:first])


def paint(
    frame: Frame, regions: Sequence[Sequence[Region]], work: PreparedPlan, exclusions: Sequence[Region] = ()
) -> Touched:
    """Hide `regions[i]` in place as rule i of the plan says; return the boxes and masks of the stored frame written to.

    Each sample is processed once. Regions that one technique hides are merged where they overlap. Where techniques
    overlap, one that destroys wins, then one that a person chose for a region, then that of the earlier rule: what one
    rule blackens never shows again, blurred, through another. Pixels inside of `exclusions` stay as they are.
    """
    techniques = (*work.region_techniques.values(), *(rule.technique for rule in work.rules))
    tasks: dict[int, tuple[Technique, list[Area]]] = {id(part): (part, []) for part in techniques}
    for rule, rule_regions in zip(work.rules, regions, strict=True):
        for region in rule_regions:
            area = outline(region, rule.rule, frame.width, frame.height)
            if area is not None:
                technique, areas = tasks[id(work.technique(rule, region))]
                subjects = (subject_of(region),) if isinstance(technique, Drawing) and technique.draws else ()
                areas.append(replace(area, objects=len(rule_regions), subjects=subjects))
    done = [Area(region.box, region.mask) for region in exclusions]
    touched: list[tuple[Box, Mask | None]] = []
    for technique, areas in sorted(tasks.values(), key=lambda task: not task[0].destroys):
        merged = merge(areas)
        remaining = (rest for area in merged if (rest := area.without(done)))
        touched.extend(_apply(technique, frame, area) for area in remaining)
        done.extend(merged)
    return tuple(touched)


def _apply(technique: Technique, frame: Frame, area: Area) -> tuple[Box, Mask | None]:
    """Hide one area; return its box and mask in the stored frame. Raises `PluginFault` when the technique fails."""
    box = frame.orientation.stored_box(area.box, frame.width, frame.height)
    mask = None if area.mask is None else frame.orientation.stored_mask(area.mask)
    covers = [plane.cover(box) for plane in frame.planes]
    masks = _mask_per_plane(frame.planes, mask, box)
    planes = tuple(map(_cut_patch, frame.planes, covers, masks))
    subjects = tuple(
        (name, tuple((x - box.x0, y - box.y0) for x, y in points))
        for name, corners in area.subjects
        for points in (frame.orientation.stored_points(corners, frame.width, frame.height),)
    )
    try:
        technique.hide(Patch(planes, masks, box.width, box.height, area.overlaps, area.objects, subjects))
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(f"technique {part_name(technique)} failed: {type(error).__name__}: {error}") from error
    for plane, cover, reduced, patch in zip(frame.planes, covers, masks, planes, strict=True):
        if reduced is not None:
            cv2.copyTo(patch.pixels, np.ascontiguousarray(reduced).view(np.uint8), plane.cut(cover))
    return box, mask


def _mask_per_plane(planes: Sequence[Plane], mask: Mask | None, box: Box) -> tuple[Mask | None, ...]:
    """Return the mask in the samples of each plane; planes of one scale share it."""
    if mask is None:
        return (None,) * len(planes)
    by_scale = {(plane.scale_x, plane.scale_y): plane for plane in planes}
    reduced = {scale: plane.reduce(mask, box) for scale, plane in by_scale.items()}
    return tuple(reduced[plane.scale_x, plane.scale_y] for plane in planes)


def _cut_patch(plane: Plane, cover: Box, mask: Mask | None) -> Plane:
    """Return the part of a plane that a technique writes to: a view without a mask, a copy with one."""
    view = plane.cut(cover)
    return replace(plane, pixels=view if mask is None else view.copy())


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
    # Masks often have the frame's size: process only the part around the True pixels.
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
