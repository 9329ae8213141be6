"""Compute the large layers of a network strip by strip, so that what they hand on stays in the processor's cache.

The first layers work at the size of the image. For an input of 704 x 1088 pixels one layer of CenterFace writes 18
million values, of which the next layer makes 2 million, and later layers write 7 million: they go to memory and come
back. Within a strip of some rows they stay in the cache. Each strip is computed from all the rows that its values
depend on, so the network's outputs do not change but for rounding: CenterFace's were the same bit for bit with AVX-512,
and differed by 0.0000007 in score with AVX2 alone. See docs/benchmarks.md for what it saves.
"""

import math
from collections.abc import Collection, Sequence
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
    """Divide the large layers of a network of fixed input size, in place; return the number of strips.

    These are convolutions, biases, rectifiers and sums that follow each other without a branch, up to the one with the
    smallest output, whose strips are joined again. 0, and the network as it was, where they are few or small.
    """
    if model.is_dynamic():
        return 0
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    strips = sum(_divide(chain, strip_values) for chain in _chains(model))
    model.validate_nodes_and_infer_types()
    return strips


def _divide(layers: Sequence[Any], strip_values: int) -> int:
    """Divide layers that follow each other, unless they are few or small; return the number of strips."""
    count = math.ceil(max(map(_size, layers)) / strip_values)
    if count < LEAST_STRIPS or sum(map(_is_convolution, layers)) < 2:
        return 0
    end, values = layers[-1].output(0), layers[0].input_value(0)
    consumers = list(end.get_target_inputs())
    rows = end.get_shape()[_ROWS]
    each = math.ceil(rows / count)
    strips = [_strip(values, layers, first, min(first + each, rows)) for first in range(0, rows, each)]
    joined = op.concat(strips, _ROWS).output(0)
    for consumer in consumers:
        consumer.replace_source_output(joined)
    return len(strips)


def _chains(model: ov.Model) -> list[list[Any]]:
    """Return the divisible layers that follow each other: from a convolution to the last smallest output.

    A chain ends before a branch. No layer is in two of them.
    """
    chains: list[list[Any]] = []
    seen: set[str] = set()
    for node in model.get_ordered_ops():
        if _is_divisible(node, None) and node.get_name() not in seen:
            chains.append(_chain_from(node, seen))
            seen.update(layer.get_name() for layer in chains[-1])
    return chains


def _chain_from(convolution: Any, seen: Collection[str]) -> list[Any]:
    """Return the layers from a convolution to the last smallest output before a branch or a layer in `seen`."""
    layers = [convolution]
    while len(consumers := list(layers[-1].output(0).get_target_inputs())) == 1:
        node = consumers[0].get_node()
        if node.get_name() in seen or not _is_divisible(node, layers[-1]):
            break
        layers.append(node)
    smallest = min(map(_size, layers))
    while _size(layers[-1]) > smallest:
        layers.pop()
    return layers


def _is_convolution(node: Any) -> bool:
    return node.get_type_name() in _CONVOLUTIONS


def _is_divisible(node: Any, before: Any | None) -> bool:
    """Tell whether rows of the node's output depend on the rows around them only, as `_apply` and `_strip` assume.

    `before` is the layer before it, None where the node would be the first of a chain.
    """
    if _is_convolution(node):
        facts = node.get_attributes()
        of_images = len(facts["strides"]) == 2 and facts["auto_pad"] in {"explicit", "notset"}
        return of_images and (before is None or _is_same(node.input_value(0).get_node(), before))
    if before is not None and node.get_type_name() == "Add":
        addend = _addend(node, before)
        shape = list(addend.get_shape())
        if addend.get_node().get_type_name() != "Constant":
            return len(shape) == 4 and shape == list(before.output(0).get_shape())
        return len(shape) == 4 and math.prod(shape) == shape[1]
    return before is not None and bool(node.get_type_name() == "Relu")


def _is_same(node: Any, other: Any) -> bool:
    return bool(node.get_name() == other.get_name())


def _addend(add: Any, before: Any) -> Any:
    """Return what is added to the output of the layer `before`: a constant bias, or the output of an earlier layer."""
    return add.input_value(1 if _is_same(add.input_value(0).get_node(), before) else 0)


def _size(node: Any) -> int:
    return math.prod(node.output(0).get_shape())


def _strip(values: Any, layers: Sequence[Any], first: int, last: int) -> Any:
    """Return the rows from `first` to before `last` of the last layer's output, computed from the rows they need."""
    plan = []
    for layer in reversed(layers):
        rows, top, bottom = (first, last), 0, 0
        if _is_convolution(layer):
            first, last, top, bottom = _rows_needed(layer, first, last)
        plan.append((layer, rows, (top, bottom)))
    values = _rows_of(values, first, last)
    before = None
    for layer, rows, padding in reversed(plan):
        if layer.get_type_name() == "Add":
            values = op.add(values, _rows_of_addend(_addend(layer, before), *rows)).output(0)
        else:
            values = _apply(layer, values, *padding)
        before = layer
    return values


def _rows_of(values: Any, first: int, last: int) -> Any:
    return op.slice(values, *(np.array([number]) for number in (first, last, 1, _ROWS))).output(0)


def _rows_of_addend(addend: Any, first: int, last: int) -> Any:
    """Return the rows of an earlier layer's output, or a copy of a constant bias.

    A constant of its own: OpenVINO leaves a bias that several layers share as a step beside the convolution.
    """
    if addend.get_node().get_type_name() == "Constant":
        return op.constant(np.array(addend.get_node().data)).output(0)
    return _rows_of(addend, first, last)


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
    if layer.get_type_name() == "Relu":
        return op.relu(values).output(0)
    facts = layer.get_attributes()
    begin, end = [top, facts["pads_begin"][1]], [bottom, facts["pads_end"][1]]
    convolve = _CONVOLUTIONS[layer.get_type_name()]
    return convolve(values, layer.input_value(1), facts["strides"], begin, end, facts["dilations"]).output(0)
