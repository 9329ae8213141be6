"""Lists of boxes with masks, in the forms in which they are exported."""

import numpy as np
import pytest

from velum.locate.output_formats import Detections, Tensors, family

BOXES = np.array([[8, 8, 40, 24], [0, 0, 64, 48], [16, 4, 48, 44]], np.float32)
SCORES = np.array([0.9, 0.1, 0.7], np.float32)
KINDS = np.array([2, 1, 1], np.int64)


def decode(outputs: Tensors, threshold: float = 0.5) -> Detections:
    found = family("mask_rcnn").decode(outputs, (64, 48), threshold)
    np.testing.assert_array_equal(found.xyxy, BOXES[[0, 2]])
    np.testing.assert_array_equal(found.score, SCORES[[0, 2]])
    assert found.kind.tolist() == [2, 1]
    return found


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((3, 3, 28, 28), "a plane for each class"), ((3, 1, 28, 28), "one plane"), ((3, 28, 28), "no axis of planes")],
)
def test_masks_of_the_size_of_boxes_are_decoded(shape: tuple[int, ...], reason: str) -> None:
    masks = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    found = decode({"raw_masks": masks, "scores": SCORES, "boxes": BOXES, "classes": KINDS})
    expected = [masks[0, 2], masks[2, 1]] if shape[1] == 3 else [masks[0].reshape(28, 28), masks[2].reshape(28, 28)]
    assert found.masks is not None
    np.testing.assert_array_equal(np.stack(found.masks), expected)


def test_boxes_with_their_score_in_the_fifth_column_are_decoded() -> None:
    boxes = np.concatenate((BOXES, SCORES[:, None]), axis=1)
    assert decode({"boxes": boxes, "labels": KINDS, "masks": np.zeros((3, 28, 28), np.float32)}).masks is not None


def test_masks_of_the_size_of_the_input_are_decoded() -> None:
    """As torchvision exports them: what lies in the box is cut out. These boxes begin at whole pixels."""
    masks = np.random.default_rng(0).uniform(0, 1, (3, 1, 48, 64)).astype(np.float32)
    found = decode({"boxes": BOXES, "labels": KINDS, "scores": SCORES, "masks": masks})
    assert found.masks is not None
    np.testing.assert_allclose(found.masks[0], masks[0, 0, 8:24, 8:40], atol=1e-6)
    np.testing.assert_allclose(found.masks[1], masks[2, 0, 4:44, 16:48], atol=1e-6)


@pytest.mark.parametrize(
    ("masks", "reason"),
    [((2, 28, 28), "a box without mask"), ((3, 2, 28, 28), "class 2 has no plane"), ((3, 28), "no planes at all")],
)
def test_impossible_masks_are_refused(masks: tuple[int, ...], reason: str) -> None:
    outputs: Tensors = {"boxes": BOXES, "labels": KINDS, "scores": SCORES, "masks": np.zeros(masks, np.float32)}
    with pytest.raises(ValueError, match="masks"):
        family("mask_rcnn").decode(outputs, (64, 48), 0.5)


def test_low_scores_give_no_detections() -> None:
    outputs: Tensors = {
        "boxes": BOXES,
        "labels": KINDS,
        "scores": SCORES,
        "masks": np.zeros((3, 3, 28, 28), np.float32),
    }
    found = family("mask_rcnn").decode(outputs, (64, 48), 1.0)
    assert (len(found), found.masks) == (0, ())
