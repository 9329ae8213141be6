"""A network of CenterFace's form that learns within a few steps."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_tiny_yolox(path: Path, seed: int = 0) -> Path:
    """Write a YOLOX of three strides with 80 classes for pictures of 96 x 96 pixels; return its path."""
    random = np.random.default_rng(seed)
    weights, nodes = [], []

    def add(operation: str, given: list[str], made: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operation, given, [made], **attributes))
        return made

    def conv(given: str, made: str, out: int, into: int, side: int, stride: int, bias: float = 0.0) -> str:
        values = random.normal(0, (2 / (into * side * side)) ** 0.5, (out, into, side, side)).astype(np.float32)
        if given == "images" or side == 1:
            values /= 128  # pixels are from 0 to 255; heads begin with their bias
        weights.append(numpy_helper.from_array(values, f"{made}.weight"))
        weights.append(numpy_helper.from_array(np.full(out, bias, np.float32), f"{made}.bias"))
        names = [given, f"{made}.weight", f"{made}.bias"]
        return add("Conv", names, made, kernel_shape=[side] * 2, strides=[stride] * 2, pads=[side // 2] * 4)

    given, into, levels = "images", 3, []
    for step, out in enumerate((12, 24, 32, 32, 32)):
        given, into = add("LeakyRelu", [conv(given, f"body {step}", out, into, 3, 2)], f"body {step}+"), out
        if step >= 2:
            stride = 2 ** (step + 1)
            parts = [conv(given, f"box {stride}", 4, into, 1, 1)]
            for name, channels in (("object", 1), ("class", 80)):
                logit = conv(given, f"{name} logit {stride}", channels, into, 1, 1, -2.0)
                parts.append(add("Sigmoid", [logit], f"{name} {stride}"))
            joined = add("Concat", parts, f"parts {stride}", axis=1)
            weights.append(numpy_helper.from_array(np.array([1, 85, -1], np.int64), f"shape {stride}"))
            levels.append(add("Reshape", [joined, f"shape {stride}"], f"level {stride}"))
    add("Transpose", [add("Concat", levels, "rows", axis=2)], "output", perm=[0, 2, 1])
    return _save(path, nodes, weights, {"images": [1, 3, 96, 96]}, {"output": [1, 189, 85]})


def write_tiny_lpd_yunet(path: Path, seed: int = 0) -> Path:
    """Write an LPD-YuNet of four strides for pictures of 96 x 96 pixels; return its path."""
    random = np.random.default_rng(seed)
    weights, nodes = [], []

    def add(operation: str, given: list[str], made: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operation, given, [made], **attributes))
        return made

    def conv(given: str, made: str, out: int, into: int, stride: int = 1) -> str:
        values = random.normal(0, (2 / (into * 9)) ** 0.5, (out, into, 3, 3)).astype(np.float32)
        if given == "input":
            values /= 128  # pixels are from 0 to 255
        weights.append(numpy_helper.from_array(values, f"{made}.weight"))
        weights.append(numpy_helper.from_array(np.zeros(out, np.float32), f"{made}.bias"))
        names = [given, f"{made}.weight", f"{made}.bias"]
        return add("Conv", names, made, kernel_shape=[3, 3], strides=[stride] * 2, pads=[2 - stride, 2 - stride, 1, 1])

    def reshape(given: str, made: str, shape: list[int]) -> str:
        weights.append(numpy_helper.from_array(np.array(shape, np.int64), f"{made} shape"))
        return add("Reshape", [given, f"{made} shape"], made)

    given, into, levels = "input", 3, []
    for step, (out, priors) in enumerate(((12, 0), (24, 0), (32, 3), (32, 2), (32, 2), (32, 3))):
        given, into = add("LeakyRelu", [conv(given, f"body {step}", out, into, 2)], f"body {step}+"), out
        if priors:
            head = add("Transpose", [conv(given, f"head {step}", 17 * priors, into)], f"last {step}", perm=[0, 2, 3, 1])
            levels.append(reshape(head, f"level {step}", [1, -1, 17]))
    rows = reshape(add("Concat", levels, "joined", axis=1), "rows", [-1, 17])
    add("Slice", [rows], "loc", starts=[0], ends=[14], axes=[1])
    add("Softmax", [add("Slice", [rows], "score", starts=[14], ends=[16], axes=[1])], "conf", axis=1)
    add("Slice", [rows], "iou", starts=[16], ends=[17], axes=[1])
    shapes = {"loc": [524, 14], "conf": [524, 2], "iou": [524, 1]}
    return _save(path, nodes, weights, {"input": [1, 3, 96, 96]}, shapes, opset=9)


def _save(
    path: Path, nodes: list[Any], weights: list[Any], inputs: dict[str, list[int]], outputs: dict[str, list[int]],
    opset: int = 11,
) -> Path:  # fmt: skip
    def described(shapes: dict[str, list[int]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(nodes, "tiny", described(inputs), described(outputs), weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), path)
    return path


def write_tiny_map_network(path: Path, layout: str = "nchw", seed: int = 0) -> Path:
    """Write a network that gives the probabilities of background and person, as `layout` has them; return its path.

    `nchw` ends in a softmax over two channels at half the size, made larger; `nhwc` in one channel, as TensorFlow has
    it. It takes values from 0 to 1 of pictures of 96 x 96 pixels.
    """
    random = np.random.default_rng(seed)
    weights: list[TensorProto] = []

    def initializer(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(given: str, made: str, out: int, into: int, side: int, stride: int = 1) -> onnx.NodeProto:
        values = random.normal(0, (2 / (into * side * side)) ** 0.5, (out, into, side, side)).astype(np.float32)
        names = [initializer(f"{made}.weight", values), initializer(f"{made}.bias", np.zeros(out, np.float32))]
        pads = [side // 2] * 4
        return helper.make_node(
            "Conv", [given, *names], [made], kernel_shape=[side] * 2, strides=[stride] * 2, pads=pads
        )

    first = "picture" if layout == "nchw" else "planes"
    nodes = [] if layout == "nchw" else [helper.make_node("Transpose", ["picture"], [first], perm=[0, 3, 1, 2])]
    nodes += [conv(first, "a", 12, 3, 5, 2), helper.make_node("Relu", ["a"], ["a+"])]
    nodes += [conv("a+", "b", 16, 12, 5), helper.make_node("Relu", ["b"], ["b+"])]
    if layout == "nchw":
        sizes = initializer("sizes", np.array([1, 2, 96, 96], np.int64))
        nodes += [conv("b+", "c", 2, 16, 1)]
        nodes += [helper.make_node("Resize", ["c", "", "", sizes], ["d"], mode="linear")]
        nodes += [helper.make_node("Softmax", ["d"], ["map"], axis=1)]
        sides = [1, 3, 96, 96], [1, 2, 96, 96]
    else:
        values = random.normal(0, 0.2, (16, 1, 2, 2)).astype(np.float32)
        up = initializer("up.weight", values)
        nodes += [helper.make_node("ConvTranspose", ["b+", up], ["c"], kernel_shape=[2, 2], strides=[2, 2])]
        nodes += [helper.make_node("Add", ["c", initializer("shift", np.full((1, 1, 1, 1), -1, np.float32))], ["d"])]
        nodes += [helper.make_node("Sigmoid", ["d"], ["e"])]
        nodes += [helper.make_node("Reshape", ["e", initializer("shape", np.array([1, 96, 96, 1], np.int64))], ["map"])]
        sides = [1, 96, 96, 3], [1, 96, 96, 1]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("picture", TensorProto.FLOAT, sides[0])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, sides[1])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    helper.set_model_props(model, {"mean_values": "0 0 0", "scale_values": "255 255 255"})
    onnx.save(model, path)
    return path


def write_tiny_centerface(path: Path, seed: int = 0, operation: str = "Relu") -> Path:
    """Write a CenterFace of three convolutions and four heads, with random weights; return its path."""
    random = np.random.default_rng(seed)
    weights, nodes = [], []

    def conv(given: str, made: str, shape: tuple[int, int, int], stride: int = 1, bias: float = 0.0) -> None:
        out, into, side = shape
        values = random.normal(0, (2 / (into * side * side)) ** 0.5, (out, into, side, side)).astype(np.float32)
        if given == "input":
            values /= 128  # pixels are from 0 to 255
        weights.append(numpy_helper.from_array(values, f"{made}.weight"))
        weights.append(numpy_helper.from_array(np.full(out, bias, np.float32), f"{made}.bias"))
        names = [given, f"{made}.weight", f"{made}.bias"]
        pads = [side // 2] * 4
        nodes.append(helper.make_node("Conv", names, [made], kernel_shape=[side] * 2, strides=[stride] * 2, pads=pads))

    conv("input", "a", (12, 3, 3), 2)
    nodes.append(helper.make_node(operation, ["a"], ["a+"]))
    conv("a+", "b", (24, 12, 3), 2)
    nodes.append(helper.make_node("Relu", ["b"], ["b+"]))
    conv("b+", "c", (24, 24, 5))
    nodes.append(helper.make_node("Relu", ["c"], ["c+"]))
    conv("c+", "heat logit", (1, 24, 1), bias=-3.0)
    nodes.append(helper.make_node("Sigmoid", ["heat logit"], ["537"]))
    for name, channels, bias in (("538", 2, 2.0), ("539", 2, 0.0), ("540", 10, 0.0)):
        conv("c+", name, (channels, 24, 1), bias=bias)
    shapes = {"537": [10, 1, 8, 8], "538": [10, 2, 8, 8], "539": [10, 2, 8, 8], "540": [10, 10, 8, 8]}
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [10, 3, 32, 32])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.save(model, path)
    return path


def write_disc_finder(path: Path, side: int) -> Path:
    """Write a CenterFace that finds red discs, and takes all for so many pixels large; return its path."""
    model = onnx.load(write_tiny_centerface(path))
    weights = {item.name: numpy_helper.to_array(item).copy() for item in model.graph.initializer}
    for name, values in weights.items():
        values[...] = 0
        if name in {"b.weight", "c.weight"}:
            values[0, 0] = 1 / values[0, 0].size
    weights["a.weight"][0, 0], weights["a.weight"][0, 1] = 1 / 9, -1 / 9
    weights["heat logit.weight"][0, 0], weights["heat logit.bias"][0] = 0.1, -6
    weights["538.bias"][:] = np.log(side / 4)
    for item in model.graph.initializer:
        item.CopyFrom(numpy_helper.from_array(weights[item.name], item.name))
    onnx.save(model, path)
    return path
