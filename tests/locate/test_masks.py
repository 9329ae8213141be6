"""Masks of detections, from cells of any size to pixels."""

import numpy as np
import pytest

from velum.locate.detector import mask_in
from velum.region import Box


@pytest.mark.parametrize("cells", [4, 40, 100])
def test_a_half_filled_mask_stays_half_filled_at_any_resolution(cells: int) -> None:
    likely = np.zeros((cells, cells), np.float32)
    likely[:, cells // 2 :] = 1
    mask = mask_in(Box(10, 20, 50, 60), likely, (10, 20, 50, 60))
    assert mask is not None
    assert mask[:, 23:].all()
    assert not mask[:, :17].any()
    assert abs(mask.mean() - 0.5) < 0.05


def test_a_box_beyond_the_image_keeps_its_mask_in_place() -> None:
    likely = np.zeros((40, 40), np.float32)
    likely[10:20, 10:20] = 1
    whole = mask_in(Box(-10, -10, 30, 30), likely, (-10, -10, 30, 30))
    part = mask_in(Box(0, 0, 30, 30), likely, (-10, -10, 30, 30))
    assert whole is not None
    assert part is not None
    assert np.array_equal(part, whole[10:, 10:])
    assert part[:9, :9].all()


def test_an_empty_mask_means_the_whole_box() -> None:
    assert mask_in(Box(0, 0, 9, 9), np.zeros((5, 5), np.float32), (0, 0, 9, 9)) is None
