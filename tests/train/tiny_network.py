"""A network of CenterFace's form that learns within a few steps."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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
