"""Hide areas of a frame: cut the patch out of every plane, let the technique write it, keep what lies in the mask."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from velum.engine.masks import Area, MergedArea, merge, outline
from velum.engine.prepare import PreparedPlan
from velum.errors import PluginFault, VelumError
from velum.frame import Frame, Plane, Touched
from velum.plugins import Patch, Technique, part_name
from velum.region import Box, Mask, Region


def paint(
    frame: Frame, regions: Sequence[Sequence[Region]], work: PreparedPlan, kept: Sequence[Region] = ()
) -> Touched:
    """Hide in place `regions[i]` as rule i says, and return where. Every sample is processed once.

    Regions that one technique hides are merged where they overlap. Between techniques the one that destroys wins, then
    one that a person chose for a region, then the earlier rule: what is black for one rule never shows again, blurred,
    through another. Pixels of the regions `kept` stay as they are.
    """
    every = (*work.special.values(), *work.techniques)
    wanted: dict[int, tuple[Technique, list[Area], list[int]]] = {id(one): (one, [], []) for one in every}
    for index, (rule, found) in enumerate(zip(work.plan.rules, regions, strict=True)):
        for region in found:
            technique = work.technique(index, region)
            area = outline(region, rule, frame.width, frame.height)
            if area is not None:
                _, areas, objects = wanted[id(technique)]
                areas.append(area)
                objects.append(len(found))
    done = [Area(region.box, region.mask) for region in kept]
    touched: list[tuple[Box, Mask | None]] = []
    for technique, areas, objects in sorted(wanted.values(), key=lambda one: not one[0].destroys):
        merged = merge(areas, objects)
        lefts = (replace(one, area=left) for one in merged if (left := one.area.without(done)))
        touched.extend(_apply(technique, frame, left) for left in lefts)
        done.extend(one.area for one in merged)
    return tuple(touched)


def _apply(technique: Technique, frame: Frame, merged: MergedArea) -> tuple[Box, Mask | None]:
    """Hide an area, and return where it lies in the picture as it is stored."""
    area = merged.area
    box = frame.orientation.stored_box(area.box, frame.width, frame.height)
    mask = None if area.mask is None else frame.orientation.stored_mask(area.mask)
    covers = [plane.cover(box) for plane in frame.planes]
    masks = _reduced(frame.planes, mask, box)
    planes = tuple(map(_cut, frame.planes, covers, masks))
    try:
        technique.hide(Patch(planes, masks, box.width, box.height, merged.overlaps, merged.objects))
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(f"technique {part_name(technique)} failed: {type(error).__name__}: {error}") from error
    for plane, cover, kept, patch in zip(frame.planes, covers, masks, planes, strict=True):
        if kept is not None:
            cv2.copyTo(patch.pixels, np.ascontiguousarray(kept).view(np.uint8), plane.cut(cover))
    return box, mask


def _reduced(planes: Sequence[Plane], mask: Mask | None, box: Box) -> tuple[Mask | None, ...]:
    """Return the mask for each plane; planes of one scale share it."""
    if mask is None:
        return (None,) * len(planes)
    by_scale = {(plane.scale_x, plane.scale_y): plane for plane in planes}
    reduced = {scale: plane.reduce(mask, box) for scale, plane in by_scale.items()}
    return tuple(reduced[plane.scale_x, plane.scale_y] for plane in planes)


def _cut(plane: Plane, cover: Box, mask: Mask | None) -> Plane:
    """Return the part of the plane: a view when all of it is kept, else a copy."""
    view = plane.cut(cover)
    return replace(plane, pixels=view if mask is None else view.copy())
