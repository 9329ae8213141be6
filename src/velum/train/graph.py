"""Makes a base network trainable for other classes, in its ONNX file, and puts trained weights back into it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError

from velum.errors import BadInput

NOISE = 0.01
"""Deviation that tells the copies of a widened layer apart, as a share of the deviation of its weights."""


def load(path: Path) -> onnx.ModelProto:
    """Return the network in an ONNX file. Raises `BadInput` when it cannot be read."""
    try:
        return onnx.load(path)
    except (OSError, ValueError, DecodeError) as error:
        raise BadInput(f"{path} cannot be read as ONNX: {error}; only networks in ONNX can be trained") from error


def keep_outputs(model: onnx.ModelProto, outputs: Mapping[str, str]) -> None:
    """Keep these outputs only, old name -> new name, and the operations that they need. Sides and batch become open."""
    for old, new in outputs.items():
        for node in model.graph.node:
            node.output[:] = [new if name == old else name for name in node.output]
            node.input[:] = [new if name == old else name for name in node.input]
    needed, nodes = set(outputs.values()), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    weights = [item for item in model.graph.initializer if item.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    names = {item.name for item in weights}
    inputs = [item for item in model.graph.input if item.name in needed and item.name not in names]
    del model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
    model.graph.input.extend(inputs)
    float32 = onnx.TensorProto.FLOAT
    model.graph.output.extend(onnx.helper.make_tensor_value_info(new, float32, None) for new in outputs.values())


def open_input(model: onnx.ModelProto, *, batch_only: bool = False) -> None:
    """Let the network take any number of pictures, and unless `batch_only` of any size."""
    weights = {item.name for item in model.graph.initializer}
    shape = next(item for item in model.graph.input if item.name not in weights).type.tensor_type.shape
    for place, name in ((0, "batch"),) if batch_only else ((0, "batch"), (2, "height"), (3, "width")):
        shape.dim[place].Clear()
        shape.dim[place].dim_param = name


def widen(model: onnx.ModelProto, output: str, classes: int, seed: int) -> None:
    """Give the convolution before an output one channel for each class, each a copy of its first class channel.

    Raises `BadInput` when no convolution with weights in the file leads to the output.
    """
    node = producer(model, output)
    while node is not None and node.op_type in {"Sigmoid", "Identity"}:
        node = producer(model, node.input[0])
    if node is None or node.op_type != "Conv":
        raise BadInput(f"the base cannot be widened: its output {output} does not come from a convolution")
    random = np.random.default_rng(seed)
    for name in node.input[1:]:
        old = weight(model, name)
        new = np.repeat(old[:1], classes, axis=0)
        if new.ndim > 1 and classes > 1:
            new += random.normal(0, NOISE * float(old.std()), new.shape).astype(np.float32)
        set_weight(model, name, new)


def ancestor(model: onnx.ModelProto, name: str, operation: str) -> onnx.NodeProto | None:
    """Return the nearest operation of that kind on the way back from a value, along first inputs, if any."""
    node = producer(model, name)
    while node is not None and node.op_type != operation:
        node = producer(model, node.input[0]) if node.input else None
    return node


def constant(model: onnx.ModelProto, name: str, values: Sequence[int]) -> str:
    """Add whole numbers as a constant; return its name."""
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(values, np.int64), name))
    return name


def slice_last(model: onnx.ModelProto, given: str, made: str, start: int, end: int) -> onnx.NodeProto:
    """Return the operation that cuts the last of three axes, in the form of the file's version of ONNX."""
    if next(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}) < 10:
        return onnx.helper.make_node("Slice", [given], [made], starts=[start], ends=[end], axes=[2])
    edges = (("starts", start), ("ends", end), ("axes", 2))
    names = [constant(model, f"{made} {key}", [value]) for key, value in edges]
    return onnx.helper.make_node("Slice", [given, *names], [made])


_BEHIND_MAP = {"Reshape", "Transpose", "Identity", "Sigmoid", "Softmax", "Resize", "Upsample", "Add", "Squeeze"}
"""Operations behind the last convolution of a network that gives maps."""


def replace_map(model: onnx.ModelProto, output: str, classes: int, seed: int) -> None:
    """Let the last convolution of a network that gives maps end in the probability of each class, independently.

    Each class begins as what the base has for an object: the scores of its other classes, on average, less those of its
    first, the background; or those of its only class. What comes behind, a larger picture of the same map, is left out.
    Raises `BadInput` when no convolution with weights in the file leads to the map.
    """
    node, shift = producer(model, model.graph.output[0].name), np.zeros(1, np.float32)
    constants = {item.name for item in model.graph.initializer}
    while node is not None and node.op_type in _BEHIND_MAP:
        path = next((name for name in node.input if name not in constants), node.input[0])
        if node.op_type == "Add":
            shift = shift + sum(weight(model, name).reshape(-1) for name in node.input if name != path)
        node = producer(model, path)
    if node is None or node.op_type not in {"Conv", "ConvTranspose"}:
        raise BadInput("the base cannot be trained: its map does not come from a convolution")
    axis = 0 if node.op_type == "Conv" else 1
    old = np.moveaxis(weight(model, node.input[1]), axis, 0)
    bias = (weight(model, node.input[2]) if len(node.input) > 2 else np.zeros(len(old), np.float32)) + shift
    if len(old) > 1:
        old, bias = old[1:].mean(0, keepdims=True) - old[:1], bias[1:].mean(keepdims=True) - bias[:1]
    new = np.repeat(old, classes, axis=0)
    if classes > 1:
        new += np.random.default_rng(seed).normal(0, NOISE * float(old.std()), new.shape).astype(np.float32)
    names = [f"{output} weight", f"{output} bias"]
    for name, values in zip(names, (np.moveaxis(new, 0, axis), np.repeat(bias, classes)), strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    node.input[:] = [node.input[0], *names]
    model.graph.node.append(onnx.helper.make_node("Sigmoid", [node.output[0]], [f"{output} probability"]))
    keep_outputs(model, {f"{output} probability": output})


def producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    """Return the operation that an intermediate value comes from; None for an input."""
    return next((node for node in model.graph.node if name in node.output), None)


def weight(model: onnx.ModelProto, name: str) -> npt.NDArray[np.float32]:
    """Return the weights of that name. Raises `BadInput` when the file does not have them."""
    item = next((item for item in model.graph.initializer if item.name == name), None)
    if item is None:
        raise BadInput(f"the base cannot be trained: its weights {name} are computed; fold constants, then try again")
    values: npt.NDArray[np.float32] = onnx.numpy_helper.to_array(item).astype(np.float32)
    return values


def set_weight(model: onnx.ModelProto, name: str, values: npt.NDArray[np.float32]) -> None:
    """Replace the weights of that name."""
    item = next(item for item in model.graph.initializer if item.name == name)
    item.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))


def with_weights(model: onnx.ModelProto, weights: Mapping[str, npt.NDArray[np.float32]]) -> onnx.ModelProto:
    """Return a copy of the network with other weights."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for item in copy.graph.initializer:
        if item.name in weights:
            item.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(weights[item.name], np.float32), item.name))
    return copy


def state_facts(model: onnx.ModelProto, labels: Sequence[str], facts: Mapping[str, str]) -> None:
    """Write the labels, as other trainers do, and further facts into the file's metadata."""
    del model.metadata_props[:]
    names = {"names": str(dict(enumerate(labels))), **facts}
    onnx.helper.set_model_props(model, names)
