"""Looks at images that were turned before they were saved: their objects lie on their sides or stand on their heads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from velum.frame import Frame, Orientation
from velum.region import Region, ious

TURNS = (
    Orientation(transposed=True, flip_y=True), Orientation(flip_x=True, flip_y=True),
    Orientation(transposed=True, flip_x=True),
)  # fmt: skip
"""From an image to the same turned by 90, 180 and 270 degrees, counter-clockwise."""

SAME_IOU = 0.3
"""IoU from which a box of a turned look is an object that was found already. A network draws the box of a face that
lies on its side differently, so two boxes of one object overlap less than those of two tiles."""


def add_turned(
    frames: Sequence[Frame], found: list[list[Region]], locate: Callable[[Sequence[Frame]], list[list[Region]]]
) -> list[list[Region]]:
    """Return `found`, and with it what `locate` finds in each frame only when the frame is turned."""
    turned = locate([frame.turn(turn) for frame in frames for turn in TURNS])
    return [
        regions + list(_new_regions(regions, frame, turned[len(TURNS) * number :]))
        for number, (frame, regions) in enumerate(zip(frames, found, strict=True))
    ]


def _new_regions(regions: Sequence[Region], frame: Frame, turned: Sequence[list[Region]]) -> Iterator[Region]:
    """Yield the regions of the turned views, as they lie in the frame, which are neither in `regions` nor yielded."""
    known = list(regions)
    views = [_back(one, turn, frame) for turn, found in zip(TURNS, turned, strict=False) for one in found]
    for region in sorted(views, key=lambda one: -one.score):
        same = np.array([one.box.xyxy for one in known if one.label == region.label], float).reshape(-1, 4)
        if not (ious(np.array([region.box.xyxy], float), same) >= SAME_IOU).any():
            known.append(region)
            yield region


def _back(region: Region, turn: Orientation, frame: Frame) -> Region:
    """Return a region of the turned frame as it lies in the frame."""
    width, height = turn.stored_size(frame.width, frame.height)
    mask = None if region.mask is None else np.ascontiguousarray(turn.stored_mask(region.mask))
    points = None if region.points is None else turn.stored_points(region.points, width, height)
    return replace(region, box=turn.stored_box(region.box, width, height), mask=mask, points=points)
