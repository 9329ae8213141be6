"""The outputs of TensorFlow's Object Detection API become boxes, whatever their order and scope."""

import numpy as np
import pytest

from velum.locate.output_formats import family

OUTPUTS = {
    "num_detections": np.array(3.0, np.float32),  # one value, its batch axis taken away
    "detection_boxes": np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0.5, 0.6, 0.7, 0.8], [9, 9, 9, 9]], np.float32),
    "detection_classes": np.array([3, 1, 10, 7], np.float32),
    "detection_scores": np.array([0.9, 0.3, 0.5, 1.0], np.float32),
}


@pytest.mark.parametrize("form", ["{}", "{}:0", "import/postprocess/{}:0"])
@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_are_recognised_by_name(form: str, reverse: bool) -> None:
    outputs = {form.format(name): values for name, values in OUTPUTS.items()}
    found = family("tf_detection").decode(dict(reversed(outputs.items())) if reverse else outputs, (200, 100), 0.5)
    np.testing.assert_allclose(found.xyxy, [[40, 10, 80, 30], [120, 50, 160, 70]], rtol=1e-5)
    assert found.kind.tolist() == [3, 10]
    np.testing.assert_array_equal(found.score, np.array([0.9, 0.5], np.float32))
    assert found.masks is None


def test_other_outputs_are_ignored_and_the_count_may_be_missing() -> None:
    outputs = {name: values for name, values in OUTPUTS.items() if name != "num_detections"}
    outputs["raw_detection_boxes"] = np.zeros((50, 4), np.float32)
    assert family("tf_detection").decode(outputs, (200, 100), 0.5).kind.tolist() == [3, 10, 7]


def test_masks_are_decoded() -> None:
    masks = np.arange(4 * 6, dtype=np.float32).reshape(4, 2, 3)
    found = family("tf_detection").decode(OUTPUTS | {"detection_masks": masks}, (200, 100), 0.5)
    assert found.masks is not None
    np.testing.assert_array_equal(np.stack(found.masks), masks[[0, 2]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detection_scores": None}, "no outputs detection_scores"),
        ({"detection_scores": (3,)}, "do not match"),
        ({"detection_boxes": (4, 5)}, "do not match"),
        ({"detection_masks": (4, 9)}, "detection_masks"),
    ],
)
def test_impossible_outputs_are_refused(change: dict[str, tuple[int, ...] | None], message: str) -> None:
    outputs = dict(OUTPUTS)
    for name, shape in change.items():
        outputs.pop(name, None)
        if shape is not None:
            outputs[name] = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=message):
        family("tf_detection").decode(outputs, (200, 100), 0.5)
