"""Apply techniques to a frame: cut a patch out of each plane, have it overwritten, put back what the mask covers."""

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
    frame: Frame, regions: Sequence[Sequence[Region]], work: PreparedPlan, exclusions: Sequence[Region] = ()
) -> Touched:
    """Hide `regions[i]` in place as rule i of the plan says; return the boxes and masks of the stored frame written to.

    Each sample is processed once. Regions that one technique hides are merged where they overlap. Where techniques
    overlap, one that destroys wins, then one that a person chose for a region, then that of the earlier rule: what one
    rule blackens never shows again, blurred, through another. Pixels inside of `exclusions` stay as they are.
    """
    techniques = (*work.region_techniques.values(), *(rule.technique for rule in work.rules))
    tasks: dict[int, tuple[Technique, list[Area], list[int]]] = {id(part): (part, [], []) for part in techniques}
    for rule, found in zip(work.rules, regions, strict=True):
        for region in found:
            area = outline(region, rule.rule, frame.width, frame.height)
            if area is not None:
                _, areas, objects = tasks[id(work.technique(rule, region))]
                areas.append(area)
                objects.append(len(found))
    done = [Area(region.box, region.mask) for region in exclusions]
    touched: list[tuple[Box, Mask | None]] = []
    for technique, areas, objects in sorted(tasks.values(), key=lambda task: not task[0].destroys):
        merged = merge(areas, objects)
        remaining = (replace(part, area=rest) for part in merged if (rest := part.area.without(done)))
        touched.extend(_apply(technique, frame, part) for part in remaining)
        done.extend(part.area for part in merged)
    return tuple(touched)


def _apply(technique: Technique, frame: Frame, merged: MergedArea) -> tuple[Box, Mask | None]:
    """Hide one area; return its box and mask in the stored frame. Raises `PluginFault` when the technique fails."""
    area = merged.area
    box = frame.orientation.stored_box(area.box, frame.width, frame.height)
    mask = None if area.mask is None else frame.orientation.stored_mask(area.mask)
    covers = [plane.cover(box) for plane in frame.planes]
    masks = _mask_per_plane(frame.planes, mask, box)
    planes = tuple(map(_cut_patch, frame.planes, covers, masks))
    try:
        technique.hide(Patch(planes, masks, box.width, box.height, merged.overlaps, merged.objects))
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
