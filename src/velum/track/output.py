"""From the points of tracks to the regions that are hidden, which rather cover too much than too little."""

import math
from dataclasses import replace

import cv2
import numpy as np

from velum.region import Box, Mask, Origin, Region
from velum.track.float_boxes import FloatBox, edges_of, grow, mix, side, union
from velum.track.window import FrameWindow, TrackPoint

NEIGHBOURS = (1, 2)
"""Distances in frames of the pairs of neighbours between which a box is expected to lie."""


def regions(window: FrameWindow, frame: int) -> tuple[Region, ...]:
    """Return the regions of one frame, clipped to it, in the order of their track ids."""
    slot = window[frame]
    shown = ((track_id, point) for track_id, point in sorted(slot.points.items()) if point.shown)
    made = (_region(window, frame, track_id, point) for track_id, point in shown)
    return tuple(region for region in made if region is not None)


def smooth(edges: FloatBox, around: list[tuple[FloatBox, FloatBox]]) -> FloatBox:
    """Return the box, enlarged to contain the box halfway between each pair of neighbours; never smaller.

    A box that jitters leaves a part of the object uncovered in some frames; its neighbours tell which.
    """
    for before, after in around:
        edges = union(edges, mix(before, after, 0.5))
    return edges


def _region(window: FrameWindow, frame: int, track_id: int, point: TrackPoint) -> Region | None:
    slot, near = window[frame], point.nearest
    if near.mask is not None:
        return _region_with_mask(point, track_id, slot.width, slot.height)
    pairs = ((window.point(frame - n, track_id), window.point(frame + n, track_id)) for n in NEIGHBOURS)
    edges = smooth(point.edges, [(a.edges, b.edges) for a, b in pairs if a and b])
    box = Box.around(*grow(edges, point.margin)).clip(slot.width, slot.height)
    return None if box is None else replace(near, box=box, track=track_id, origin=_origin_of(point))


def _region_with_mask(point: TrackPoint, track_id: int, width: int, height: int) -> Region | None:
    """Return the region with the nearest detection's mask, moved and scaled to the point and widened by its margin."""
    near = point.nearest
    if near.mask is None or point.edges == edges_of(near.box):
        return replace(near, track=track_id, origin=_origin_of(point))
    by = max(1, math.ceil(point.margin * side(point.edges)))
    inner = Box.around(*point.edges)
    box = inner.pad(by, by)
    seen = box.clip(width, height)
    if seen is None:
        return None
    mask = _stretch_mask(near.mask, inner, by)[seen.move(-box.x0, -box.y0).slices]
    return Region(seen, near.label, near.score, mask, track_id, _origin_of(point)) if mask.any() else None


def _stretch_mask(mask: Mask, box: Box, by: int) -> Mask:
    """Return the mask in the size of `box`, widened by `by` pixels on every side."""
    stretched = cv2.resize(mask.astype(np.uint8), (box.width, box.height), interpolation=cv2.INTER_NEAREST_EXACT)
    room = cv2.copyMakeBorder(stretched, by, by, by, by, cv2.BORDER_CONSTANT, value=(0,))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(room, disc), np.bool_)


def _origin_of(point: TrackPoint) -> Origin:
    """Return the origin of a point's region; a detection keeps its own, such as `manual`."""
    return point.nearest.origin if point.origin == "detected" else point.origin
