"""A network in ONNX as torch runs and trains it: weights keep the names that they have in the file.

So trained weights go back into the file that they came from, operation by operation, and nothing has to be exported.
onnx2torch, which does a part of this, asks for torchvision, does not know the oldest forms of Slice and Resize, and
indexes tensors in a way that torch 2.9 has given up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F  # noqa: N812 - as all of torch's users call it

from velum.errors import BadInput

Attributes = Mapping[str, Any]
Values = Sequence[Any]
"""Inputs of an operation: tensors, and None for those that are left out."""

Weights = Mapping[str, npt.NDArray[np.float32]]

_TRAINED = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "BatchNormalization": (1, 2)}
"""Operation -> positions of its inputs that are trained. Means and deviations of a normalisation stay as they are:
those of a few crops would be worse than those of the data that the base was trained on."""


class TorchNetwork:
    """Runs the graph of an ONNX file on batches. `trained` holds the tensors with gradients, by initializer."""

    def __init__(self, model: onnx.ModelProto, device: str = "cpu") -> None:
        """Read the graph and its weights. Raises `BadInput` when the graph has an operation that velum cannot train."""
        self._nodes = [(node, _attributes(node)) for node in model.graph.node]
        self._opset = next(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"})
        if unknown := sorted({node.op_type for node, _ in self._nodes} - _OPERATIONS.keys() - {"Constant"}):
            raise BadInput(
                f"the base cannot be trained: velum does not know its operations {', '.join(unknown)}; simplify the "
                "file, or choose another base"
            )
        self.constants: dict[str, Any] = {
            item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).copy()).to(device)
            for item in model.graph.initializer
        }
        names = {
            node.input[place]
            for node, _ in self._nodes
            for place in _TRAINED.get(node.op_type, ())
            if place < len(node.input) and node.input[place] in self.constants
        }
        self.trained = {name: self.constants[name].float().requires_grad_() for name in sorted(names)}
        self.constants |= self.trained
        self._input = next(item.name for item in model.graph.input if item.name not in self.constants)
        self.outputs = [item.name for item in model.graph.output]

    def __call__(self, batch: Any) -> list[Any]:
        """Return the outputs, in the graph's order, for a batch in the form of the graph's input."""
        values: dict[str, Any] = {"": None, **self.constants, self._input: batch}
        for node, attributes in self._nodes:
            if node.op_type == "Constant":
                values[node.output[0]] = attributes["value"]
                continue
            inputs = [values[name] for name in node.input]
            result = _OPERATIONS[node.op_type](inputs, attributes, self._opset)
            values |= dict(zip(node.output, result if isinstance(result, tuple) else (result,), strict=False))
        return [values[name] for name in self.outputs]

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return a copy of the trained weights by initializer."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.trained.items()}

    def load(self, weights: Weights) -> None:
        """Take over trained weights."""
        with torch.no_grad():
            for name, tensor in self.trained.items():
                tensor.copy_(torch.from_numpy(np.asarray(weights[name])))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    attributes = {key: value.decode() if isinstance(value, bytes) else value for key, value in attributes.items()}
    if isinstance(attributes.get("value"), onnx.TensorProto):
        attributes["value"] = torch.from_numpy(onnx.numpy_helper.to_array(attributes["value"]).copy())
    return attributes


def _conv(inputs: Values, attributes: Attributes, _: int) -> Any:
    x, weight, bias = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    x, padding = _pad(x, attributes, weight.shape[2:], strides, dilations)
    return F.conv2d(x, weight, bias, strides, padding, dilations, attributes.get("group", 1))


def _pad(
    x: Any, attributes: Attributes, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
    value: float = 0.0,
) -> tuple[Any, list[int]]:  # fmt: skip
    """Return a picture with the padding that a convolution cannot do itself, and the padding that it can."""
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    way = attributes.get("auto_pad", "NOTSET")
    if way in {"SAME_UPPER", "SAME_LOWER"}:
        for axis in range(2):
            side, reach = x.shape[2 + axis], (kernel[axis] - 1) * dilations[axis] + 1
            lack = max(0, (-(-side // strides[axis]) - 1) * strides[axis] + reach - side)
            before = lack // 2 if way == "SAME_UPPER" else lack - lack // 2
            pads[axis], pads[axis + 2] = before, lack - before
    if pads[:2] == pads[2:] and value == 0.0:
        return x, pads[:2]
    return F.pad(x, [pads[1], pads[3], pads[0], pads[2]], value=value), [0, 0]


def _conv_transpose(inputs: Values, attributes: Attributes, _: int) -> Any:
    pads = attributes.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:] or attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise BadInput("the base cannot be trained: one of its ConvTranspose pads unevenly; choose another base")
    return F.conv_transpose2d(
        inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None, attributes.get("strides", [1, 1]), pads[:2],
        attributes.get("output_padding", [0, 0]), attributes.get("group", 1), attributes.get("dilations", [1, 1]),
    )  # fmt: skip


def _batch_norm(inputs: Values, attributes: Attributes, _: int) -> Any:
    x, scale, bias, mean, variance = inputs[:5]
    return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=attributes.get("epsilon", 1e-5))


def _pool(kind: str) -> Callable[[Values, Attributes, int], Any]:
    def run(inputs: Values, attributes: Attributes, _: int) -> Any:
        kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
        ceil = bool(attributes.get("ceil_mode", 0))
        if kind == "max":
            x, padding = _pad(inputs[0], attributes, kernel, strides, [1, 1], float("-inf"))
            return F.max_pool2d(x, kernel, strides, padding, ceil_mode=ceil)
        x, padding = _pad(inputs[0], attributes, kernel, strides, [1, 1])
        return F.avg_pool2d(
            x, kernel, strides, padding, ceil, count_include_pad=bool(attributes.get("count_include_pad", 0))
        )

    return run


def _reshape(inputs: Values, attributes: Attributes, _: int) -> Any:
    x = inputs[0]
    shape = [int(side) for side in (inputs[1].tolist() if len(inputs) > 1 else attributes["shape"])]
    # Files made for one picture say 1, which is then any number.
    if shape[0] == 1 and len(shape) > 1:
        shape[0] = x.shape[0]
    return x.reshape([x.shape[i] if side == 0 else side for i, side in enumerate(shape)])


def _slice(inputs: Values, attributes: Attributes, _: int) -> Any:
    def read(place: int, name: str) -> list[int] | None:
        if place < len(inputs) and inputs[place] is not None:
            return [int(number) for number in inputs[place].tolist()]
        return attributes.get(name)

    starts, ends = read(1, "starts") or [], read(2, "ends") or []
    axes = read(3, "axes") or list(range(len(starts)))
    steps = read(4, "steps") or [1] * len(starts)
    where = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[axis] = slice(start, min(end, inputs[0].shape[axis]), step)
    return inputs[0][tuple(where)]


def _resize(inputs: Values, attributes: Attributes, _: int) -> Any:
    x = inputs[0]
    scales = inputs[2] if len(inputs) > 2 else inputs[1] if len(inputs) > 1 else torch.tensor(attributes["scales"])
    if len(inputs) > 3 and inputs[3] is not None and inputs[3].numel():
        size = [int(side) for side in inputs[3].tolist()[2:]]
    else:
        size = [int(side * float(scale)) for side, scale in zip(x.shape[2:], scales.tolist()[2:], strict=True)]
    if attributes.get("mode", "nearest") == "nearest":
        return F.interpolate(x, size, mode="nearest")
    aligned = attributes.get("coordinate_transformation_mode") == "align_corners"
    return F.interpolate(x, size, mode="bilinear", align_corners=aligned)


def _softmax(inputs: Values, attributes: Attributes, opset: int) -> Any:
    axis = attributes.get("axis", -1 if opset >= 13 else 1)
    if opset < 13 and inputs[0].ndim != axis + 1:
        flat = inputs[0].flatten(axis)
        return torch.softmax(flat, -1).reshape(inputs[0].shape)
    return torch.softmax(inputs[0], axis)


def _clip(inputs: Values, attributes: Attributes, _: int) -> Any:
    low = inputs[1] if len(inputs) > 1 else attributes.get("min")
    high = inputs[2] if len(inputs) > 2 else attributes.get("max")
    return torch.clamp(inputs[0], None if low is None else float(low), None if high is None else float(high))


def _split(inputs: Values, attributes: Attributes, _: int) -> Any:
    axis, parts = attributes.get("axis", 0), attributes.get("split")
    sizes = [int(size) for size in (inputs[1].tolist() if len(inputs) > 1 else parts or [])]
    return tuple(torch.split(inputs[0], sizes, axis))


def _axes(inputs: Values, attributes: Attributes) -> list[int]:
    return [int(axis) for axis in (inputs[1].tolist() if len(inputs) > 1 else attributes.get("axes", []))]


def _unsqueeze(inputs: Values, attributes: Attributes, _: int) -> Any:
    x = inputs[0]
    for axis in sorted(_axes(inputs, attributes)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(inputs: Values, attributes: Attributes, _: int) -> Any:
    return inputs[0].squeeze(tuple(_axes(inputs, attributes)))


def _reduce_mean(inputs: Values, attributes: Attributes, _: int) -> Any:
    return inputs[0].mean(_axes(inputs, attributes), keepdim=bool(attributes.get("keepdims", 1)))


def _cast(inputs: Values, attributes: Attributes, _: int) -> Any:
    kinds = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float32}
    return inputs[0].to(kinds[attributes["to"]])


def _gemm(inputs: Values, attributes: Attributes, _: int) -> Any:
    a = inputs[0].T if attributes.get("transA") else inputs[0]
    b = inputs[1].T if attributes.get("transB") else inputs[1]
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product if len(inputs) < 3 else product + attributes.get("beta", 1.0) * inputs[2]


_OPERATIONS: Mapping[str, Callable[[Values, Attributes, int], Any]] = {
    "Add": lambda given, _, __: given[0] + given[1],
    "AveragePool": _pool("average"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda given, attributes, _: torch.cat(list(given), attributes["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": lambda given, _, __: given[0] / given[1],
    "Dropout": lambda given, _, __: given[0],
    "Exp": lambda given, _, __: torch.exp(given[0]),
    "Flatten": lambda given, attributes, _: given[0].flatten(attributes.get("axis", 1)),
    "Gather": lambda given, attributes, _: (
        given[0].index_select(attributes.get("axis", 0), given[1].reshape(-1).long())
        if given[1].ndim
        else given[0].select(attributes.get("axis", 0), int(given[1]))
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda given, _, __: given[0].mean((2, 3), keepdim=True),
    "HardSigmoid": lambda given, attributes, _: torch.clamp(
        attributes.get("alpha", 0.2) * given[0] + attributes.get("beta", 0.5), 0, 1
    ),
    "HardSwish": lambda given, _, __: F.hardswish(given[0]),
    "Identity": lambda given, _, __: given[0],
    "LeakyRelu": lambda given, attributes, _: F.leaky_relu(given[0], attributes.get("alpha", 0.01)),
    "MaxPool": _pool("max"),
    "Mul": lambda given, _, __: given[0] * given[1],
    "PRelu": lambda given, _, __: torch.where(given[0] >= 0, given[0], given[0] * given[1]),
    "ReduceMean": _reduce_mean,
    "Relu": lambda given, _, __: torch.relu(given[0]),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda given, _, __: torch.tensor(given[0].shape),
    "Sigmoid": lambda given, _, __: torch.sigmoid(given[0]),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": lambda given, _, __: given[0] - given[1],
    "Transpose": lambda given, attributes, _: given[0].permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
