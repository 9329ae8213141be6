"""Compute the first layers of a network strip by strip, so that what they hand on stays in the processor's cache.

The first layers work at the size of the image. For an input of 704 x 1088 pixels one layer of CenterFace writes 18
million values, of which the next layer makes 2 million: they go to memory and come back. Within a strip of some rows
they stay in the cache. Each strip is computed from all the rows that its values depend on, so the network's outputs do
not change but for rounding: CenterFace's were the same bit for bit with AVX-512, and differed by 0.0000007 in score
with AVX2 alone. See docs/benchmarks.md for what it saves.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op
from openvino.passes import ConstantFolding, Manager

STRIP_VALUES = 2_000_000
"""Most values in one tensor of a strip: 4 MB in bf16. Of 8 to 64 rows of CenterFace's output, 16 to 64 were fastest."""

LEAST_STRIPS = 3
"""Number of strips from which the layers are divided: smaller tensors stay in the cache as they are."""

_ROWS = 2
"""Axis of the rows in a tensor (batch, channels, rows, columns)."""

_CONVOLUTIONS = {"Convolution": op.convolution, "GroupConvolution": op.group_convolution}


def divide_into_strips(model: ov.Model, strip_values: int = STRIP_VALUES) -> int:
    """Divide the first layers of a network of fixed input size, in place; return the number of strips.

    These are the convolutions, biases and rectifiers before the first branch, up to the one with the smallest output,
    whose strips are joined again. 0, and the network as it was, where they are few or small.
    """
    if model.is_dynamic():
        return 0
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    layers = _first_layers(model)
    largest = max((_size(layer) for layer in layers), default=0)
    count = math.ceil(largest / strip_values)
    if count < LEAST_STRIPS or sum(_is_convolution(layer) for layer in layers) < 2:
        return 0
    end, image = layers[-1].output(0), layers[0].input_value(0)
    consumers = list(end.get_target_inputs())
    rows = end.get_shape()[_ROWS]
    each = math.ceil(rows / count)
    strips = [_strip(image, layers, first, min(first + each, rows)) for first in range(0, rows, each)]
    joined = op.concat(strips, _ROWS).output(0)
    for consumer in consumers:
        consumer.replace_source_output(joined)
    model.validate_nodes_and_infer_types()
    return len(strips)


def _first_layers(model: ov.Model) -> list[Any]:
    """Return the layers from the first convolution to the last smallest output before the first branch."""
    layers: list[Any] = []
    pictures = [tensor for tensor in model.inputs if len(tensor.get_shape()) == 4]
    for node in _only_consumers(pictures[0]) if len(pictures) == 1 else ():
        if _is_divisible(node) and (layers or _is_convolution(node)):
            layers.append(node)
        elif layers:
            break
    smallest = min((_size(layer) for layer in layers), default=0)
    while layers and _size(layers[-1]) > smallest:
        layers.pop()
    return layers


def _only_consumers(output: Any) -> Iterator[Any]:
    """Yield the node that takes an output, the node that takes the output of that one, and so on to the first branch.

    The result of the network does not count.
    """
    while len(consumers := list(output.get_target_inputs())) == 1:
        node = consumers[0].get_node()
        if node.get_output_size() != 1 or node.get_type_name() == "Result":
            return
        yield node
        output = node.output(0)


def _is_convolution(node: Any) -> bool:
    return node.get_type_name() in _CONVOLUTIONS


def _is_divisible(node: Any) -> bool:
    """Tell whether rows of the node's output depend on the rows around them only, as `_apply` and `_strip` assume."""
    if _is_convolution(node):
        facts = node.get_attributes()
        return len(facts["strides"]) == 2 and facts["auto_pad"] in {"explicit", "notset"}
    if node.get_type_name() == "Add":
        bias = node.input_value(1)
        shape = list(bias.get_shape())
        is_constant = bias.get_node().get_type_name() == "Constant"
        return is_constant and len(shape) == 4 and math.prod(shape) == shape[1]
    return bool(node.get_type_name() == "Relu")


def _size(node: Any) -> int:
    return math.prod(node.output(0).get_shape())


def _strip(image: Any, layers: Sequence[Any], first: int, last: int) -> Any:
    """Return the rows from `first` to before `last` of the last layer's output, computed from the rows they need."""
    paddings = []
    for layer in reversed(layers):
        top = bottom = 0
        if _is_convolution(layer):
            first, last, top, bottom = _rows_needed(layer, first, last)
        paddings.append((top, bottom))
    values = op.slice(image, *(np.array([number]) for number in (first, last, 1, _ROWS))).output(0)
    for layer, padding in zip(layers, reversed(paddings), strict=True):
        values = _apply(layer, values, *padding)
    return values


def _rows_needed(layer: Any, first: int, last: int) -> tuple[int, int, int, int]:
    """Return the input rows (first, last) of some output rows of a convolution, and the rows of padding around them."""
    facts = layer.get_attributes()
    kernel = (layer.input_value(1).get_shape()[-2] - 1) * facts["dilations"][0] + 1
    rows = layer.input_value(0).get_shape()[_ROWS]
    start = first * facts["strides"][0] - facts["pads_begin"][0]
    end = (last - 1) * facts["strides"][0] - facts["pads_begin"][0] + kernel
    return max(start, 0), min(end, rows), max(-start, 0), max(end - rows, 0)


def _apply(layer: Any, values: Any, top: int, bottom: int) -> Any:
    """Return the output of a copy of the layer for other values, with other padding above and below."""
    kind = layer.get_type_name()
    if kind == "Relu":
        return op.relu(values).output(0)
    if kind == "Add":
        # A constant of its own: OpenVINO leaves a bias that several layers share as a step beside the convolution.
        return op.add(values, op.constant(np.array(layer.input_value(1).get_node().data))).output(0)
    facts = layer.get_attributes()
    before, after = [top, facts["pads_begin"][1]], [bottom, facts["pads_end"][1]]
    convolve = _CONVOLUTIONS[kind]
    return convolve(values, layer.input_value(1), facts["strides"], before, after, facts["dilations"]).output(0)
