"""Convert a darknet network to OpenVINO, with outputs of the family darknet.

Formulas of the layers after AlexeyAB/darknet: `convolutional_layer.c`, `maxpool_layer.c`, `yolo_layer.c`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from velum.errors import BadInput
from velum.locate.darknet import Section, Weights, read_cfg
from velum.locate.output_formats.darknet import OUTPUT
from velum.locate.runtime.inspect_model import save

Node = Any
"""A node of OpenVINO's graph; the library states no types for its operations."""

LARGEST_SIDE = 4096


def convert(cfg: Path, weights: Path, target: Path, size_wh: tuple[int, int] | None = None) -> tuple[int, int]:
    """Write a darknet network as OpenVINO IR to `target`, an .xml file; return the input's (width, height).

    The input is RGB from 0 to 1, `[1, 3, height, width]`, of the size that the .cfg states unless `size_wh` does. The
    output is `[1, n, 5 + classes]`: centre and size in pixels of the input, objectness and classes from 0 to 1. Raises
    `BadInput` that names the file, and the section of the .cfg, that is wrong.
    """
    sections = read_cfg(cfg)
    width, height = size_wh or (sections[0].number("width"), sections[0].number("height"))
    if not 32 <= width <= LARGEST_SIDE or not 32 <= height <= LARGEST_SIDE or width % 32 or height % 32:
        raise BadInput(f"{cfg}: input is {width} x {height}; sides must be multiples of 32 from 32 to {LARGEST_SIDE}")
    numbers = Weights(weights)
    picture = ops.parameter([1, sections[0].number("channels", 3), height, width], ov.Type.f32, name="images")
    outputs: list[Node] = []
    heads: list[Node] = []
    for section in sections[1:]:
        previous = outputs[-1] if outputs else picture
        if section.kind == "yolo":
            heads.append(_yolo(section, previous, (width, height)))
        outputs.append(_layer(section, previous, outputs, numbers))
    numbers.finish()
    result = ops.concat(heads, 1)
    result.output(0).set_names({OUTPUT})
    picture.output(0).set_names({"images"})
    save(ov.Model([result], [picture], target.stem), target)
    return width, height


def _layer(section: Section, previous: Node, outputs: list[Node], numbers: Weights) -> Node:
    match section.kind:
        case "convolutional":
            return _convolutional(section, previous, numbers)
        case "shortcut":
            return _shortcut(section, previous, outputs)
        case "route":
            return _route(section, outputs)
        case "upsample":
            return _upsample(section, previous)
        case "maxpool":
            return _maxpool(section, previous)
        case _:  # dropout has no effect after training; a head is no input of another layer
            return previous


def _convolutional(section: Section, previous: Node, numbers: Weights) -> Node:
    kernel, bias = numbers.convolution(section, _channels(previous))
    size, stride, groups = section.number("size"), section.number("stride", 1), section.number("groups", 1)
    pad = size // 2 if section.number("pad", 0) else section.number("padding", 0)
    strides, pads, dilation = [stride, stride], [pad, pad], [1, 1]
    if groups > 1:
        filters, *rest = kernel.shape
        grouped = kernel.reshape(groups, filters // groups, *rest)
        node = ops.group_convolution(previous, ops.constant(grouped), strides, pads, pads, dilation)
    else:
        node = ops.convolution(previous, ops.constant(kernel), strides, pads, pads, dilation)
    return _activate(section, ops.add(node, ops.constant(bias[None, :, None, None])))


def _activate(section: Section, node: Node) -> Node:
    match section.activation():
        case "leaky":
            return ops.prelu(node, ops.constant(np.array([0.1], np.float32)))
        case "mish":
            return ops.mish(node)
        case "relu":
            return ops.relu(node)
        case "logistic":
            return ops.sigmoid(node)
        case "swish":
            return ops.swish(node)
        case _:
            return node


def _shortcut(section: Section, previous: Node, outputs: list[Node]) -> Node:
    node = previous
    for index in section.numbers("from"):
        other = _layer_output(section, outputs, int(index))
        if _shape(other) != _shape(node):
            raise BadInput(f"{section.where} adds layers of different sizes; only equal ones are read")
        node = ops.add(node, other)
    return _activate(section, node)


def _route(section: Section, outputs: list[Node]) -> Node:
    parts = [_layer_output(section, outputs, int(index)) for index in section.numbers("layers")]
    groups, chosen = section.number("groups", 1), section.number("group_id", 0)
    if groups > 1:
        if not 0 <= chosen < groups or any(_channels(part) % groups for part in parts):
            raise BadInput(f"{section.where} takes group {chosen} of {groups}, which its layers cannot be split into")
        parts = [ops.split(part, 1, groups).output(chosen) for part in parts]
    if len({tuple(_shape(part)[2:]) for part in parts}) != 1:
        raise BadInput(f"{section.where} joins layers of different sizes")
    return ops.concat(parts, 1)


def _upsample(section: Section, previous: Node) -> Node:
    stride = section.number("stride", 2)
    _, _, height, width = _shape(previous)
    sizes = ops.constant(np.array([height * stride, width * stride], np.int64))
    return ops.interpolate(
        previous,
        sizes,
        mode="nearest",
        shape_calculation_mode="sizes",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=ops.constant(np.array([2, 3], np.int64)),
    )


def _maxpool(section: Section, previous: Node) -> Node:
    stride = section.number("stride", 1)
    size = section.number("size", stride)
    pad = section.number("padding", size - 1)
    before, after = [pad // 2] * 2, [pad - pad // 2] * 2
    return ops.max_pool(previous, [stride, stride], [1, 1], before, after, [size, size]).output(0)


def _yolo(section: Section, previous: Node, input_wh: tuple[int, int]) -> Node:
    """Return the decoded rows of a head, `[1, anchors * height * width, 5 + classes]`."""
    classes = section.number("classes")
    anchors = np.array(section.numbers("anchors"), np.float32)
    mask = [int(number) for number in section.numbers("mask")]
    _, channels, height, width = _shape(previous)
    if anchors.size % 2 or not mask or not 0 <= min(mask) <= max(mask) < anchors.size // 2:
        raise BadInput(f"{section.where}: mask {mask} does not fit {anchors.size} numbers of anchors")
    if classes < 1 or channels != len(mask) * (5 + classes):
        raise BadInput(
            f"{section.where} gets {channels} channels; {len(mask)} anchors of {classes} classes take "
            f"{len(mask) * (5 + classes)}: set filters of the layer before it"
        )
    chosen = anchors.reshape(-1, 2)[mask]
    cells = ops.reshape(previous, ops.constant(np.array([len(mask), 5 + classes, height * width])), special_zero=False)
    rows = ops.transpose(cells, ops.constant(np.array([0, 2, 1])))  # (anchors, cells, 5 + classes)
    middle, size, sure = ops.variadic_split(rows, 2, [2, 2, 1 + classes]).outputs()
    plain = section.number("new_coords", 0) != 0  # the layer before has already applied the logistic function
    factor = section.decimal("scale_x_y", 1.0)
    columns, lines = np.meshgrid(np.arange(width), np.arange(height))
    corner = np.stack((columns.ravel(), lines.ravel()), axis=1)[None] - (factor - 1) / 2
    stride = np.array([input_wh[0] / width, input_wh[1] / height], np.float32)
    middle = middle if plain else ops.sigmoid(middle)
    xy = _scale_by(ops.add(_scale_by(middle, np.float32(factor)), ops.constant(corner.astype(np.float32))), stride)
    grown = ops.multiply(_scale_by(size, np.float32(2)), _scale_by(size, np.float32(2))) if plain else ops.exp(size)
    wh = _scale_by(grown, chosen[:, None, :])
    boxes_and_scores = ops.concat([xy, wh, sure if plain else ops.sigmoid(sure)], 2)
    return ops.reshape(boxes_and_scores, ops.constant(np.array([1, -1, 5 + classes])), special_zero=False)


def _scale_by(node: Node, factor: Any) -> Node:
    return ops.multiply(node, ops.constant(np.asarray(factor, np.float32)))


def _layer_output(section: Section, outputs: list[Node], index: int) -> Node:
    place = index if index >= 0 else len(outputs) + index
    if not 0 <= place < len(outputs):
        raise BadInput(f"{section.where} refers to layer {index}, and {len(outputs)} lie before it")
    return outputs[place]


def _shape(node: Node) -> list[int]:
    output = node if isinstance(node, ov.Output) else node.output(0)
    return [int(size) for size in output.shape]


def _channels(node: Node) -> int:
    return _shape(node)[1]
