"""Average precision as PASCAL VOC defines it, and the places that a network wrongly took for objects."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.train.factories import SIZE_WH, Xywh, checked, coco, discs

from velum.region import Box, Region
from velum.train.crops import INSIDE, UNKNOWN, draw_masks
from velum.train.measure import (
    average_precision,
    count_masks,
    hard_negatives,
    iou_interval,
    mask_iou,
    mask_recall,
    measure,
)

DISC: tuple[str, Xywh] = ("disc", (10, 20, 30, 40))


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


def test_masks_are_measured_pixel_by_pixel(tmp_path: Path) -> None:
    found = checked(coco(tmp_path, {"a.png": [DISC], "b.png": []}, outlines=True))
    (mask,) = draw_masks(found.pictures[0].boxes, ("disc",), SIZE_WH, (0, 0, 1, 1), np.array([True]))
    assert mask.sum() == pytest.approx(np.pi * 15 * 20, rel=0.08)
    likely = [np.where(mask, 200, 0).astype(np.uint8), np.zeros_like(mask)]
    likely[0][:, :25] = 0  # the left half is missed
    likely[1][:10, :10] = 130  # and something else is taken for a disc, less surely
    (rows,) = count_masks([layer[None] for layer in likely], found.pictures, ("disc",)).values()
    assert mask_recall(rows, 0.5) == pytest.approx(0.5, abs=0.05)
    assert mask_iou(rows, 0.6) == pytest.approx(0.5, abs=0.05)
    assert mask_iou(rows, 0.5) == pytest.approx(0.45, abs=0.05)
    assert mask_iou(rows, 0.9) == 0
    low, high = iou_interval(rows, 0.6)
    assert low <= mask_iou(rows, 0.6) <= high


def test_places_that_the_labels_do_not_speak_of_are_unknown(tmp_path: Path) -> None:
    (box,) = checked(coco(tmp_path, {"a.png": [DISC], "b.png": [DISC]}, outlines=True)).pictures[0].boxes
    (mask,) = draw_masks([box], ("disc",), SIZE_WH, (0, 0, 1, 1), np.array([False]))
    assert (mask[40, 25], mask[40, 45], mask[100, 140]) == (INSIDE, 0, UNKNOWN)
    (mask,) = draw_masks([replace(box, ignore=True)], ("disc",), SIZE_WH, (0, 0, 1, 1), np.array([True]))
    assert (mask[40, 25], mask[100, 140]) == (UNKNOWN, 0)
