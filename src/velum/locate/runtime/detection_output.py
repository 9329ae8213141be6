"""Writes a detector as OpenVINO IR that ends in the operation DetectionOutput, as the detectors of older programs do.

The graph takes RGB from 0 to 255 in one size, and has the decoding of its family and the suppression of double boxes
in it. DetectionOutput decodes boxes as offsets from priors; with priors of 0 the offsets are the boxes themselves
(OpenVINO's operation DetectionOutput-1, `caffe.PriorBoxParameter.CORNER` with encoded variance).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset1

from velum.errors import BadInput, OutputFailed
from velum.locate.output_formats import Input, centerface, lpd_yunet, yolox
from velum.locate.output_formats.ultra_light_face import VARIANCE, priors
from velum.locate.runtime.inspect_model import read_model, save

MOST_BOXES = 200
"""Boxes in a picture, at most."""

LEAST_SCORE = 0.01
"""Lowest score of a box in the output; programs filter by a threshold of their own."""

NEWEST_OPSET = 8
"""Newest set of operations that OpenVINO 2021.4 reads, with version 10 of the format."""

Nodes = tuple[Any, Any]
"""Boxes (1, n, 4), edges x0, y0, x1, y1 in pixels of the input, and scores (1, n, classes)."""


def write_detector(
    path: Path, family: str, form: Input, size_wh: tuple[int, int], nms_iou: float, target: Path
) -> None:  # fmt: skip
    """Write the network at `path`, for one size of pictures, to the .xml file `target` and its .bin.

    Raises `BadInput` for a network that does not take that size, or that has operations which OpenVINO 2021.4 lacks.
    """
    model = read_model(path)
    width, height = size_wh
    try:
        model.reshape([1, 3, height, width])
        image = opset1.parameter([1, 3, height, width], np.float32, name="image")
        _replace_input(model, _normalise(image, form))
        boxes, scores = DECODERS[family]([result.input_value(0) for result in model.get_results()], size_wh)
        output = _detection_output(boxes, scores, size_wh, nms_iou)
        result = ov.Model([opset1.result(output)], [image], target.stem)
    except RuntimeError as error:
        raise BadInput(f"{path.name} cannot be written for pictures of {width} x {height}: {error}") from error
    newer = sorted({op.get_type_name() for op in result.get_ops() if _opset(op) > NEWEST_OPSET})
    if newer:
        raise BadInput(f"{path.name} has operations that OpenVINO 2021.4 does not know: {', '.join(newer)}")
    # As OpenVINO's Model API states it: values from 0 to 255 of RGB.
    for key, value in {"mean_values": "0 0 0", "scale_values": "1 1 1", "reverse_input_channels": "True"}.items():
        result.set_rt_info(value, ["model_info", key])
    save(result, target)
    text = target.read_text(encoding="utf-8")
    if 'version="11"' not in text.partition("<layers>")[0]:
        raise OutputFailed(f"{target} has an unknown version of OpenVINO's format; velum can write version 10 from 11")
    target.write_text(text.replace('version="11"', 'version="10"', 1), encoding="utf-8")


def _opset(operation: Any) -> int:
    version = str(operation.get_type_info().version_id)
    return int(version.removeprefix("opset")) if version.startswith("opset") else 0


def _normalise(image: Any, form: Input) -> Any:
    values = image
    for operation, numbers, neutral in ((opset1.subtract, form.mean, 0.0), (opset1.multiply, form.scale, 1.0)):
        if any(number != neutral for number in numbers):
            values = operation(values, _constant(np.array(numbers, np.float32).reshape(1, 3, 1, 1)))
    if form.order == "bgr":
        values = opset1.gather(values, _constant(np.array([2, 1, 0], np.int64)), _constant(np.array(1, np.int64)))
    return values


def _replace_input(model: ov.Model, values: Any) -> None:
    for reader in model.input(0).get_target_inputs():
        reader.replace_source_output(values.output(0))


def _detection_output(boxes: Any, scores: Any, size_wh: tuple[int, int], nms_iou: float) -> Any:
    width, height = size_wh
    count, classes = (int(side) for side in list(scores.get_output_shape(0))[1:])
    shares = opset1.multiply(boxes, _constant(np.array([1 / width, 1 / height] * 2, np.float32).reshape(1, 1, 4)))
    background = _constant(np.zeros((1, count, 1), np.float32))
    attributes = {
        "num_classes": classes + 1, "background_label_id": 0, "top_k": 2 * MOST_BOXES, "keep_top_k": [MOST_BOXES],
        "variance_encoded_in_target": True, "code_type": "caffe.PriorBoxParameter.CORNER", "share_location": True,
        "nms_threshold": nms_iou, "confidence_threshold": LEAST_SCORE, "clip_after_nms": True,
        "clip_before_nms": False, "decrease_label_id": False, "normalized": True, "input_height": 1, "input_width": 1,
        "objectness_score": 0.0,
    }  # fmt: skip
    return opset1.detection_output(
        _reshape(shares, [1, count * 4]),
        _reshape(opset1.concat([background, scores], 2), [1, count * (classes + 1)]),
        _constant(np.zeros((1, 1, count * 4), np.float32)),
        attributes,
    )


def _decode_centerface(outputs: Sequence[Any], _: tuple[int, int]) -> Nodes:
    heat, size, offset = outputs[:3]
    classes, rows, columns = (int(side) for side in list(heat.get_shape())[1:])
    middles = _constant(np.indices((rows, columns), np.float32)[None] + 0.5)
    middle = opset1.multiply(opset1.add(offset, middles), _constant(np.float32(centerface.STRIDE)))
    half = opset1.multiply(opset1.exp(size), _constant(np.float32(centerface.STRIDE / 2)))
    # Down comes before across.
    edges = opset1.concat([opset1.subtract(middle, half), opset1.add(middle, half)], 1)
    order = _constant(np.array([1, 0, 3, 2], np.int64))
    boxes = opset1.gather(edges, order, _constant(np.array(1, np.int64)))
    return _rows(boxes, 4, rows * columns), _rows(heat, classes, rows * columns)


def _decode_yolox(outputs: Sequence[Any], size_wh: tuple[int, int]) -> Nodes:
    classes = int(list(outputs[0].get_shape())[2]) - 5
    cells = yolox.cells_of(size_wh)[None]
    lengths = _constant(np.array([2, 2, 1, classes], np.int64))
    place, size, objectness, scores = opset1.variadic_split(
        outputs[0], _constant(np.array(2, np.int64)), lengths
    ).outputs()
    stride = _constant(cells[..., 2:])
    middle = opset1.multiply(opset1.add(place, _constant(cells[..., :2])), stride)
    half = opset1.multiply(opset1.exp(size), opset1.multiply(stride, _constant(np.float32(0.5))))
    boxes = opset1.concat([opset1.subtract(middle, half), opset1.add(middle, half)], 2)
    return boxes, opset1.multiply(scores, objectness)


def _decode_lpd_yunet(outputs: Sequence[Any], size_wh: tuple[int, int]) -> Nodes:
    loc, conf, iou = (_reshape(output, [1, -1, int(list(output.get_shape())[-1])]) for output in outputs)
    placed = (priors(size_wh, lpd_yunet.grids_of(size_wh)) * np.array(size_wh * 2, np.float32))[None]
    axis = _constant(np.array(2, np.int64))

    def columns(values: Any, chosen: Sequence[int]) -> Any:
        return opset1.gather(values, _constant(np.array(chosen, np.int64)), axis)

    edges = []
    for at in range(2):
        offsets = columns(loc, lpd_yunet.CORNERS[at::2])
        corners = opset1.add(
            opset1.multiply(offsets, _constant(placed[..., 2 + at : 3 + at] * VARIANCE[0])),
            _constant(placed[..., at : at + 1]),
        )
        beside = opset1.add(columns(corners, (3, 0, 1, 2)), columns(corners, (1, 2, 3, 0)))
        outwards = opset1.subtract(opset1.multiply(corners, _constant(np.float32(2))), beside)
        moved = opset1.add(corners, opset1.multiply(outwards, _constant(np.float32(lpd_yunet.REACH))))
        edges.append((opset1.reduce_min(moved, axis, keep_dims=True), opset1.reduce_max(moved, axis, keep_dims=True)))
    boxes = opset1.concat([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], 2)
    objects = columns(opset1.clamp(conf, 0.0, 1.0), range(1, int(list(conf.get_output_shape(0))[2])))
    return boxes, opset1.sqrt(opset1.multiply(objects, opset1.clamp(iou, 0.0, 1.0)))


DECODERS: Mapping[str, Callable[[Sequence[Any], tuple[int, int]], Nodes]] = {
    "centerface": _decode_centerface,
    "lpd_yunet": _decode_lpd_yunet,
    "yolox": _decode_yolox,
}
"""Family -> what decodes its outputs within the graph."""


def _rows(planes: Any, channels: int, cells: int) -> Any:
    """Return planes (1, channels, rows, columns) as rows (1, cells, channels)."""
    flat = _reshape(planes, [1, channels, cells])
    return opset1.transpose(flat, _constant(np.array([0, 2, 1], np.int64)))


def _reshape(values: Any, shape: Sequence[int]) -> Any:
    return opset1.reshape(values, _constant(np.array(shape, np.int64)), special_zero=False)


def _constant(values: Any) -> Any:
    return opset1.constant(values)
