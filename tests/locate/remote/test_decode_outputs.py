"""Whatever numbers a server answers with: regions inside the picture, or a clear error."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from velum.frame import Frame, Plane, Role
from velum.locate.remote.decode_outputs import Boxes, Format, Maps, Units
from velum.locate.remote.open_inference import BadResponse
from velum.locate.remote.preprocess import InputPlacement

FRAME = Frame.of(Plane(np.zeros((60, 90, 3), np.uint8), Role.RGB))
LOOK = InputPlacement((30, 20), (30, 30))
LABELS = ("", "face", "person")

_dtypes = st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_])
_anything = _dtypes.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)))


def _check(reader: Boxes | Maps, outputs: dict[str, npt.NDArray[Any]]) -> None:
    try:
        regions = reader.regions(outputs, LOOK, FRAME)
    except BadResponse:
        return
    for region in regions:
        assert region.box.clip(FRAME.width, FRAME.height) == region.box
        assert region.label in LABELS[1:]
        assert 0 <= region.score <= 1
        assert region.mask is None or region.mask.any()


@given(_anything, _anything, _anything)
def test_any_tensors_give_boxes_inside_the_frame_or_a_clear_error(boxes: Any, scores: Any, classes: Any) -> None:
    for named in (("boxes", "scores", "classes"), ("boxes", "scores", ""), ("boxes", "boxes", ""), ("boxes",) * 3):
        reader = Boxes(*named, "xyxy", "pixels", LABELS, 0.3, 0.6)
        _check(reader, {"boxes": boxes, "scores": scores, "classes": classes})


@given(
    arrays(np.float32, (5, 4), elements=st.floats(-70, 70, width=32)),
    arrays(np.float32, (5,), elements=st.floats(0, 1, width=32)),
    arrays(np.int32, (5,), elements=st.integers(0, 2)),
    st.sampled_from(["xyxy", "yxyx", "xywh", "cxcywh"]),
    st.sampled_from(["pixels", "relative"]),
)
def test_likely_tensors_give_boxes_inside_the_frame_or_a_clear_error(
    boxes: Any, scores: Any, classes: Any, form: Format, units: Units
) -> None:
    reader = Boxes("boxes", "scores", "classes", form, units, LABELS, 0.3, 0.6)
    _check(reader, {"boxes": boxes, "scores": scores, "classes": classes})


@given(_anything)
def test_any_tensor_as_a_map_gives_regions_inside_the_frame_or_a_clear_error(output: Any) -> None:
    _check(Maps("map", LABELS, 0.3), {"map": output})
    _check(Maps("map", LABELS[1:2], 0.3), {"map": output})


@given(arrays(np.float32, (3, 8, 8), elements=st.floats(-1e4, 1e4, width=32)))
def test_likely_tensors_as_a_map_give_regions_inside_the_frame_or_a_clear_error(output: Any) -> None:
    _check(Maps("map", LABELS, 0.3), {"map": output})


@given(st.integers(0, 80), st.integers(0, 50), st.integers(1, 40), st.integers(1, 40))
def test_a_box_survives_the_way_to_the_input_and_back(x0: int, y0: int, width: int, height: int) -> None:
    x1, y1 = min(x0 + width, FRAME.width), min(y0 + height, FRAME.height)
    per_x, per_y = LOOK.content_wh[0] / FRAME.width, LOOK.content_wh[1] / FRAME.height
    row = np.array([[x0 * per_x, y0 * per_y, max(x1 * per_x, 1.6), y1 * per_y]], np.float32)
    reader = Boxes("boxes", "scores", "", "xyxy", "pixels", ("face",), 0.3, 0.6)
    (found,) = reader.regions({"boxes": row, "scores": np.array([0.5], np.float32)}, LOOK, FRAME)
    assert found.box.x0 <= x0 + 1e-3 <= found.box.x1
    assert np.abs(np.subtract(found.box.xyxy, (x0, y0, max(x1, 4.8), y1))).max() <= 1, "rounded outwards at most"
    assert found.score == pytest.approx(0.5)
