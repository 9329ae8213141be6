"""The layouts of YOLO's training tools: how they are recognised, and how they are decoded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Detections, Tensors, family


def count(width: int, height: int, strides: tuple[int, ...] = (8, 16, 32), anchors: int = 1) -> int:
    return anchors * sum((width // s) * (height // s) for s in strides)


def decode(outputs: Tensors, size: tuple[int, int], threshold: float = 0.5) -> Detections:
    return family("yolo").decode(outputs, size, threshold)


def rows(n: int, columns: int, seed: int, side: int) -> np.ndarray:
    """Rows of centre, size and scores."""
    random = np.random.default_rng(seed)
    return np.concatenate((random.uniform(0, side, (n, 4)), random.uniform(0, 1, (n, columns - 4))), axis=1).astype(
        np.float32
    )


def slow(table: np.ndarray, first: int, threshold: float) -> set[tuple[float, ...]]:
    """Decode row by row; classes are in the columns from `first` on."""
    found = set()
    for row in table.tolist():
        cx, cy, w, h = row[:4]
        for kind, likely in enumerate(row[first:]):
            score = likely * (row[4] if first == 5 else 1)
            if score >= threshold:
                edges = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
                found.add((*(round(edge, 1) for edge in edges), round(score, 3), kind))
    return found


def plain(found: Detections) -> set[tuple[float, ...]]:
    values = zip(found.xyxy.tolist(), found.score.tolist(), found.kind.tolist(), strict=True)
    return {(*(round(edge, 1) for edge in edges), round(score, 3), kind) for edges, score, kind in values}


def close(one: set[tuple[float, ...]], two: set[tuple[float, ...]]) -> None:
    np.testing.assert_allclose(sorted(one), sorted(two), atol=0.11)


LADDERS = [
    ((8, 16, 32), 3, "versions 5 and 7"),
    ((8, 16, 32), 1, "version 6, and YOLOX decoded"),
    ((8, 16, 32, 64), 3, "version 5 for large pictures"),
    ((4, 8, 16, 32), 1, "heads for small objects"),
]


@pytest.mark.parametrize(("strides", "anchors", "reason"), LADDERS)
@pytest.mark.parametrize("classes", [1, 80])
def test_rows_with_objectness_are_decoded(strides: tuple[int, ...], anchors: int, reason: str, classes: int) -> None:
    table = rows(count(192, 128, strides, anchors), 5 + classes, 0, 128)
    close(plain(decode({"output0": table}, (192, 128), 0.9)), slow(table, 5, 0.9))


@pytest.mark.parametrize(("strides", "anchors", "reason"), LADDERS)
@pytest.mark.parametrize("classes", [1, 2, 80])
def test_rows_without_objectness_are_decoded(strides: tuple[int, ...], anchors: int, reason: str, classes: int) -> None:
    table = rows(count(192, 128, strides, anchors), 4 + classes, 0, 128)
    close(plain(decode({"output0": table.T}, (192, 128), 0.99)), slow(table, 4, 0.99))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_finished_rows_are_recognised_by_their_number(across: int, down: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    table = np.zeros((300, 6), np.float32)  # sorted by score and filled up with zeros, as the trainers export it
    n = seed % 20
    table[:n, :4] = np.sort(random.uniform(0, 640, (n, 4)))
    table[:n, 4] = np.sort(random.uniform(0, 1, n))[::-1]
    table[:n, 5] = random.integers(0, 80, n)
    found = decode({"output0": table}, (32 * across, 32 * down), 0.4)
    expected = table[table[:, 4] >= 0.4]
    np.testing.assert_array_equal(np.column_stack((found.xyxy, found.score, found.kind)), expected[:, :6])


def test_rows_of_two_classes_are_no_list_of_boxes_where_all_scores_are_whole_numbers() -> None:
    """Nothing of the second class is in the image, and the number of rows follows from none of the usual strides."""
    table = np.zeros((500, 6), np.float32)
    table[:, :4] = np.random.default_rng(0).uniform((100, 100, 5, 5), (300, 300, 90, 90), (500, 4))
    table[7] = 160, 120, 100, 80, 0.9, 0
    found = family("yolo").for_labels(2).decode({"output0": table}, (320, 320), 0.5)
    assert plain(found) == {(110, 80, 210, 160, 0.9, 0)}


def test_coordinates_as_shares_are_recognised_by_their_size() -> None:
    """Exports for TensorFlow have them."""
    table = rows(count(320, 320), 84, 0, 320)
    shares = table.copy()
    shares[:, :4] /= 320
    one, two = (decode({"output0": each.T}, (320, 320), 0.99) for each in (table, shares))
    np.testing.assert_allclose(one.xyxy, two.xyxy, atol=1e-3)


@pytest.mark.parametrize("form", ["objectness", "classes", "finished"])
@pytest.mark.parametrize("turned", [False, True], ids=["k first", "k last"])
def test_masks_are_decoded(form: str, turned: bool) -> None:
    """An object's coefficients choose the prototype that is 1 in its left half; half of its mask is set."""
    size, n = (320, 192), count(320, 192)
    planes = np.full((32, 48, 80), -20, np.float32)
    planes[7, :, :30] = 20  # left of x = 120
    start = {"objectness": 6, "classes": 5, "finished": 6}[form]
    table = np.zeros((n if form != "finished" else 300, start + 32), np.float32)
    table[5, :4] = (80, 100, 160, 140) if form == "finished" else (120, 120, 80, 40)
    table[5, 4:start] = {"objectness": (1, 0.8), "classes": (0.8,), "finished": (0.8, 0)}[form]
    table[5, start + 7] = 1
    outputs = {
        "output0": table.T if form == "classes" else table,
        "output1": planes.transpose(1, 2, 0) if turned else planes,
    }
    found = decode(outputs, size)
    np.testing.assert_allclose(found.xyxy, [[80, 100, 160, 140]], atol=1e-4)
    assert found.masks is not None
    (mask,) = found.masks
    assert mask.shape == (10, 20)
    np.testing.assert_array_equal(mask > 0.5, np.arange(20)[None, :].repeat(10, axis=0) < 10)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(8401, 85)], "no number of anchors"),
        ([(8400, 5)], "no class"),
        ([(4, 8400)], "no class"),
        ([(300, 8)], "neither anchors nor six or seven columns"),
        ([(8400, 25200)], "both sides are numbers of anchors"),
        ([(84, 8400), (84, 8400)], "two tables"),
        ([(84, 8400), (32, 160, 120)], "prototypes of other proportions"),
        ([(36, 8400), (32, 160, 160)], "coefficients and no class"),
        ([(1, 84, 8400)], "a batch axis"),
        ([], "no outputs"),
    ],
)
def test_impossible_shapes_are_refused(shapes: list[tuple[int, ...]], reason: str) -> None:
    outputs = {str(i): np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}
    with pytest.raises(ValueError, match="output|prototypes"):
        decode(outputs, (640, 640))
