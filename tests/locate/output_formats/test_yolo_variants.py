"""YOLO exports that look alike: rows of six numbers, key points, rotated boxes, and lists with an image index."""

import math

import numpy as np
import pytest

from velum.locate.output_formats import Detections, Tensors, family

SIZE = (640, 640)
ANCHORS = 8400


def decode(name: str, table: np.ndarray, labels: int, size: tuple[int, int] = SIZE) -> Detections:
    outputs: Tensors = {"output0": table.astype(np.float32)}
    return family(name).for_labels(labels).decode(outputs, size, 0.5)


def anchors(columns: int, **cells: float) -> np.ndarray:
    """Return rows of zeros with one thing in row 7, of centre (100, 200) and size (20, 40)."""
    table = np.zeros((ANCHORS, columns))
    table[7, :4] = 100, 200, 20, 40
    for column, value in cells.items():
        table[7, int(column.removeprefix("c"))] = value
    return table


FOUND = (90, 180, 110, 220)

READINGS = [
    # family, table, labels, box, class
    ("yolo", anchors(6, c4=0.1, c5=0.9), 2, FOUND, 1, "two classes, a row for each anchor"),
    ("yolo", anchors(6, c4=0.9, c5=0.9), 1, FOUND, 0, "objectness and one class"),
    ("yolo", anchors(6, c4=0.1, c5=0.9).T, 2, FOUND, 1, "two classes, a column for each anchor"),
    ("yolo", anchors(84, c40=0.9), 80, FOUND, 36, "eighty classes, a row for each anchor"),
    ("yolo", anchors(85, c4=0.9, c40=0.9), 80, FOUND, 35, "objectness and eighty classes"),
    ("yolo", np.array([[90, 180, 110, 220, 0.9, 1]]), 2, FOUND, 1, "a list, suppressed, of a model with two classes"),
    ("yolo", np.array([[0, 90, 180, 110, 220, 1, 0.9]]), 2, FOUND, 1, "a list with the picture's number"),
    ("yolo", np.array([[0, 90, 180, 110, 220, 2, 0.9]]), 3, FOUND, 2, "the same of three classes"),
    ("yolo", np.array([0, 90, 180, 110, 220, 1, 0.9]), 2, FOUND, 1, "a list of one row, which has lost an axis"),
    ("yolo", np.array([[100, 200, 20, 40, 0.1, 0.9], [9, 9, 9, 9, 0.2, 0.3]]) / ([640] * 4 + [1, 1]), 2, FOUND, 1,
     "RT-DETR with two classes"),
    ("yolo", np.tile(np.array([100, 200, 20, 40, *[0.1] * 6, 0.9]) / ([640] * 4 + [1] * 7), (300, 1))[:1], 7, FOUND, 6,
     "RT-DETR with seven classes"),
    ("yolo_pose", anchors(20, c4=0.9).T, 1, FOUND, 0, "a face with five points"),
    ("yolo_pose", anchors(16, c5=0.9).T, 2, FOUND, 1, "two classes with five points of two numbers"),
    ("yolo_pose", np.array([[90, 180, 110, 220, 0.9, 0, *[5.0] * 15]]), 1, FOUND, 0, "suppressed, with five points"),
    ("yolo_obb", anchors(6, c4=0.9).T, 1, FOUND, 0, "not turned"),
    ("yolo_obb", anchors(7, c5=0.9, c6=math.pi / 2).T, 2, (80, 190, 120, 210), 1, "turned by a right angle"),
    ("yolo_obb", np.array([[100, 200, 20, 40, 0.9, 1, math.pi / 2]]), 2, (80, 190, 120, 210), 1, "suppressed, turned"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "table", "labels", "box", "kind", "why"), READINGS, ids=[one[-1] for one in READINGS])
def test_ambiguous_rows_are_read_by_the_number_of_classes(
    name: str, table: np.ndarray, labels: int, box: tuple[float, ...], kind: int, why: str
) -> None:
    found = decode(name, table, labels)
    assert len(found) == 1
    np.testing.assert_allclose(found.xyxy[0], box, atol=0.01)
    assert (found.kind[0], round(float(found.score[0]), 2)) == (kind, 0.81 if "objectness" in why else 0.9)


@pytest.mark.parametrize("angle", [0.3, -1.1, 2.0, math.pi / 4])
def test_the_upright_box_around_a_rotated_one_is_tight(angle: float) -> None:
    (found,) = decode("yolo_obb", anchors(6, c4=0.9, c5=angle).T, 1).xyxy
    corners = np.array([[-10, -20], [10, -20], [10, 20], [-10, 20]])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    places = corners @ turn.T + (100, 200)
    np.testing.assert_allclose(found, [*places.min(axis=0), *places.max(axis=0)], atol=0.01)


def test_a_rotated_box_given_in_shares_is_rotated_in_pixels() -> None:
    table = anchors(6, c4=0.9, c5=math.pi / 2)
    table[:, :4] /= (640, 320, 640, 320)
    counts = sum((640 // s) * (320 // s) for s in (8, 16, 32))
    (found,) = decode("yolo_obb", table[:counts].T, 1, (640, 320)).xyxy
    np.testing.assert_allclose(found, (80, 190, 120, 210), atol=0.01)


IMPOSSIBLE = [
    ("yolo", np.array([[90, 180, 110, 220, 0.9, 0.4]]), 5, "a list whose classes are no whole numbers"),
    ("yolo", anchors(6), 3, "neither one class nor two"),
    ("yolo_pose", anchors(6).T, 1, "a single number is no key point"),
    ("yolo_pose", anchors(21, c4=0.9), 1, "rows of older trainers, which may have objectness"),
    ("yolo_obb", anchors(8).T, 2, "a number too many"),
]


@pytest.mark.parametrize(("name", "table", "labels", "why"), IMPOSSIBLE, ids=[one[-1] for one in IMPOSSIBLE])
def test_unreadable_outputs_are_refused_and_not_taken_for_empty(
    name: str, table: np.ndarray, labels: int, why: str
) -> None:
    with pytest.raises(ValueError, match="output"):
        decode(name, table, labels)
