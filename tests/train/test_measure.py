"""Average precision as PASCAL VOC defines it, and the places that a network wrongly took for objects."""

from pathlib import Path

import pytest
from tests.train.factories import checked, coco, discs

from velum.region import Box, Region
from velum.train.measure import average_precision, hard_negatives, measure


@pytest.mark.parametrize(
    ("scores", "hits", "total", "expected"),
    [
        ([0.9, 0.8], [True, True], 2, 1.0),
        ([0.9, 0.8], [True, True], 4, 0.5),
        ([0.9, 0.8], [False, True], 1, 0.5),
        ([0.9, 0.8, 0.7], [True, False, True], 2, 0.5 + 0.5 * 2 / 3),
        ([0.7, 0.9, 0.8], [True, True, False], 2, 0.5 + 0.5 * 2 / 3),
        ([], [], 3, 0.0),
    ],
)
def test_average_precision_is_that_of_pascal_voc(
    scores: list[float], hits: list[bool], total: int, expected: float
) -> None:
    assert average_precision(scores, hits, total) == pytest.approx(expected)


def test_wrong_detections_lower_the_measure_and_become_hard_negatives(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, discs(3)))
    truths = [picture.objects[0].xyxy for picture in found.pictures]
    right = [[Region(Box.around(*xyxy), "disc", 0.9)] for xyxy in truths]
    assert measure(right, found.pictures, found.labels).mean == 1.0
    wrong = Region(Box(0, 0, 4, 4), "disc", 0.95)
    worse = [[wrong, *right[0]], right[1], []]
    assert measure(worse, found.pictures, found.labels).mean == pytest.approx(2 / 3 * 2 / 3)
    (place,) = hard_negatives(worse, found.pictures, [0, 1, 2], 10)
    assert (place.picture, place.xyxy) == (0, (0, 0, 4, 4))
