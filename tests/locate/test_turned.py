"""Objects of an image that was turned before it was saved are found, and none twice."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.frame import Frame, Orientation, Plane, Role
from velum.locate.second_look import TURNS, add_turned
from velum.region import Box, Region

ORIENTATIONS = st.builds(Orientation, st.booleans(), st.booleans(), st.booleans())


@given(ORIENTATIONS, ORIENTATIONS)
def test_two_orientations_combine_to_one(first: Orientation, second: Orientation) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(first.then(second).upright(stored), second.upright(first.upright(stored)))


@pytest.mark.parametrize(("turn", "quarters"), list(zip(TURNS, (1, 2, 3), strict=True)))
def test_turns_are_quarters_counter_clockwise(turn: Orientation, quarters: int) -> None:
    np.testing.assert_array_equal(
        turn.upright(np.arange(12, dtype=np.uint8).reshape(3, 4)),
        np.rot90(np.arange(12, dtype=np.uint8).reshape(3, 4), quarters),
    )


def white_above_grey(frames: Sequence[Frame]) -> list[list[Region]]:
    """Find white pixels with grey ones right below them: a thing that is known only when it stands upright."""
    found = []
    for frame in frames:
        grey = frame.rgb(frame.width, frame.height)[..., 0]
        pairs = np.argwhere((grey[:-1] == 255) & (grey[1:] == 99))
        mask = np.array([[True], [False]])
        found.append(
            [Region(Box(x, y, x + 1, y + 2), "thing", 0.5, mask, points=((x + 0.5, y + 0.5),)) for y, x in pairs]
        )
    return found


@pytest.mark.parametrize("stored", [Orientation.from_exif(value) for value in range(1, 9)], ids=range(1, 9))
@pytest.mark.parametrize("quarters", range(4))
def test_objects_are_found_however_the_image_is_turned(stored: Orientation, quarters: int) -> None:
    upright = np.zeros((6, 9), np.uint8)
    upright[1, 2], upright[2, 2] = 255, 99
    shown = np.rot90(upright, quarters)
    others = (Orientation.from_exif(value) for value in range(1, 9))
    pixels = next(one for one in others if one.then(stored) == Orientation()).upright(shown)
    frame = Frame.of(Plane(np.repeat(pixels[..., None], 3, 2).astype(np.uint8), Role.RGB), orientation=stored)
    np.testing.assert_array_equal(frame.rgb(frame.width, frame.height)[..., 0], shown)
    (found,) = add_turned([frame], white_above_grey([frame]), white_above_grey)
    assert len(found) == 1
    (region,) = found
    assert region.mask is not None
    inside = shown[region.box.y0 : region.box.y1, region.box.x0 : region.box.x1]
    assert inside[region.mask].tolist() == [255]
    assert sorted(inside.ravel().tolist()) == [99, 255]
    assert region.points is not None
    ((x, y),) = region.points
    assert shown[int(y), int(x)] == 255


def test_objects_found_upright_are_not_added_again() -> None:
    frame = Frame.of(Plane(np.zeros((40, 60, 3), np.uint8), Role.RGB))

    def middle(frames: Sequence[Frame]) -> list[list[Region]]:
        """Find a box of ten pixels in the middle of each, however it is turned."""
        middles = [(one.width // 2, one.height // 2) for one in frames]
        return [[Region(Box(x - 5, y - 5, x + 5, y + 5), "thing", 0.9)] for x, y in middles]

    first = Region(Box(26, 15, 36, 25), "thing", 0.4)
    assert add_turned([frame], [[first]], middle) == [[first]]
    (found,) = add_turned([frame], [[Region(first.box, "other", 0.4)]], middle)
    assert [region.box for region in found] == [first.box, Box(25, 15, 35, 25)]
