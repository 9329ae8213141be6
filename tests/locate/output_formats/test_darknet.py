"""Rows of a converted darknet network become boxes, whatever number of heads and anchors they come from."""

import numpy as np
import pytest

from velum.locate import detect_family
from velum.locate.output_formats import Signature, darknet

ROWS = np.array(
    [
        [50, 40, 20, 10, 0.9, 0.8, 0.1],
        [10, 20, 4, 6, 0.9, 0.5, 0.6],  # two kinds at once
        [70, 70, 9, 9, 0.2, 1.0, 1.0],  # nothing there, whatever it would be
    ],
    np.float32,
)


def test_scores_are_objectness_times_class() -> None:
    found = darknet.decode({"darknet_rows": ROWS}, (96, 96), 0.3)
    np.testing.assert_allclose(found.xyxy, [[40, 35, 60, 45], [8, 17, 12, 23], [8, 17, 12, 23]])
    np.testing.assert_allclose(found.score, [0.72, 0.45, 0.54], rtol=1e-6)
    assert found.kind.tolist() == [0, 0, 1]


def test_nothing_is_found_in_no_rows() -> None:
    assert len(darknet.decode({"darknet_rows": ROWS[:0]}, (96, 96), 0.3)) == 0


@pytest.mark.parametrize("outputs", [{"output0": ROWS}, {"darknet_rows": ROWS[0]}, {"darknet_rows": ROWS[:, :5]}])
def test_other_outputs_are_refused(outputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"are not darknet_rows \(n, 5 \+ classes\)"):
        darknet.decode(outputs, (96, 96), 0.3)


def test_only_its_own_output_is_recognised() -> None:
    seen = Signature({"images": (1, 3, 416, 416)}, {"darknet_rows": (1, 2535, 85)})
    assert darknet.recognise(seen)
    assert detect_family.class_count(seen, "darknet") == 80
    assert darknet.recognise(Signature({"images": (1, 3, 416, 416)}, {"output": (1, 2535, 85)})) is None
