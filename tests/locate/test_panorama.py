"""In panoramas, an object across the seam is one object."""

from collections.abc import Sequence

import numpy as np
import pytest

from velum.frame import Frame, Orientation, Plane, Role
from velum.locate.tiling import locate_with_seam, seam_view
from velum.region import Box, Region


def frame(width: int, height: int, value: int = 1) -> Frame:
    """A picture, stored on its side, in which white columns lie on both sides of the seam."""
    upright = np.zeros((height, width, 3), np.uint8)
    upright[40:60, :30] = upright[40:60, -20:] = 255
    orientation = Orientation.from_exif(value)
    stored = upright if value == 1 else np.ascontiguousarray(np.rot90(upright, 1))
    return Frame.of(Plane(stored, Role.RGB), orientation=orientation)


def look(frames: Sequence[Frame]) -> list[list[Region]]:
    """Find the box of what is white, but nothing as narrow as either part of it."""
    found = []
    for one in frames:
        rows, columns = np.nonzero(one.rgb(one.width, one.height)[..., 0])
        box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        found.append([Region(box, "face", 0.9, np.ones((box.height, box.width), bool))] if box.width < 100 else [])
    return found


@pytest.mark.parametrize("value", [1, 6])
def test_an_object_across_the_seam_is_found_in_both_parts(value: int) -> None:
    (found,) = locate_with_seam([frame(1024, 512, value)], look)
    assert [region.box for region in found] == [Box(1004, 40, 1024, 60), Box(0, 40, 30, 60)]
    for region in found:
        assert region.mask is not None
        assert region.mask.all()
        assert region.score == 0.9


def test_an_object_beside_the_seam_is_found_once() -> None:
    plane = np.zeros((512, 1024, 3), np.uint8)
    plane[40:60, 5:30] = 255
    (found,) = locate_with_seam([Frame.of(Plane(plane, Role.RGB))], look)
    assert [region.box for region in found] == [Box(5, 40, 30, 60)]


@pytest.mark.parametrize("size", [(1024, 511), (1022, 511), (512, 1024)])
def test_images_that_are_no_panoramas_have_no_seam(size: tuple[int, int]) -> None:
    assert seam_view(frame(*size)) is None
