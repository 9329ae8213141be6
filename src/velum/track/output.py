"""From where things are to what is hidden: regions that rather cover too much."""

import math
from dataclasses import replace

import cv2
import numpy as np

from velum.region import Box, Mask, Origin, Region
from velum.track.float_boxes import FloatBox, edges_of, grow, mix, side, union
from velum.track.window import FrameWindow, TrackPoint

NEIGHBOURS = (1, 2)
"""Distances in frames of the pairs of neighbours between which a box is expected to lie."""


def regions(strip: FrameWindow, place: int) -> tuple[Region, ...]:
    """Return the regions of one frame, inside the picture, in the order of their tracks."""
    slot = strip[place]
    shown = ((number, spot) for number, spot in sorted(slot.spots.items()) if spot.shown)
    made = (_region(strip, place, number, spot) for number, spot in shown)
    return tuple(region for region in made if region is not None)


def smooth(edges: FloatBox, around: list[tuple[FloatBox, FloatBox]]) -> FloatBox:
    """Return the box enlarged to contain what lies halfway between each pair of neighbours; never smaller.

    A box that jitters leaves a part of the thing uncovered in some frames; its neighbours tell which.
    """
    for before, after in around:
        edges = union(edges, mix(before, after, 0.5))
    return edges


def _region(strip: FrameWindow, place: int, number: int, spot: TrackPoint) -> Region | None:
    slot, near = strip[place], spot.nearest
    if near.mask is not None:
        return _region_with_mask(spot, number, slot.width, slot.height)
    pairs = ((strip.spot(place - n, number), strip.spot(place + n, number)) for n in NEIGHBOURS)
    edges = smooth(spot.edges, [(a.edges, b.edges) for a, b in pairs if a and b])
    box = Box.around(*grow(edges, spot.margin)).clip(slot.width, slot.height)
    return None if box is None else replace(near, box=box, track=number, found=_how(spot))


def _region_with_mask(spot: TrackPoint, number: int, width: int, height: int) -> Region | None:
    """Return the region with the nearest find's mask, moved and stretched to the spot and widened by its margin."""
    near = spot.nearest
    if near.mask is None or spot.edges == edges_of(near.box):
        return replace(near, track=number, found=_how(spot))
    by = max(1, math.ceil(spot.margin * side(spot.edges)))
    inner = Box.around(*spot.edges)
    box = inner.pad(by, by)
    seen = box.clip(width, height)
    if seen is None:
        return None
    mask = _stretch_mask(near.mask, inner, by)[seen.move(-box.x0, -box.y0).slices]
    return Region(seen, near.label, near.score, mask, number, _how(spot)) if mask.any() else None


def _stretch_mask(mask: Mask, box: Box, by: int) -> Mask:
    """Return the mask in the size of `box`, widened by `by` pixels on every side."""
    stretched = cv2.resize(mask.astype(np.uint8), (box.width, box.height), interpolation=cv2.INTER_NEAREST_EXACT)
    room = cv2.copyMakeBorder(stretched, by, by, by, by, cv2.BORDER_CONSTANT, value=(0,))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(room, disc), np.bool_)


def _how(spot: TrackPoint) -> Origin:
    """Return how the find itself was found, for a find: a person's word stays one."""
    return spot.nearest.found if spot.found == "detected" else spot.found
