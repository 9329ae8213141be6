"""Makes a base network trainable for other classes, in its ONNX file, and puts trained weights back into it.

A `Head` is what is particular to the networks of one family: how a base is made ready for other classes, and the loss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError

from velum.errors import BadInput
from velum.train.crops import Crop

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
    needed, kept = set(outputs.values()), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    weights = [item for item in model.graph.initializer if item.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    names = {item.name for item in weights}
    inputs = [item for item in model.graph.input if item.name in needed and item.name not in names]
    del model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
    model.graph.input.extend(inputs)
    float32 = onnx.TensorProto.FLOAT
    model.graph.output.extend(onnx.helper.make_tensor_value_info(new, float32, None) for new in outputs.values())


def open_input(model: onnx.ModelProto) -> None:
    """Let the network take any number of pictures of any size."""
    shape = model.graph.input[0].type.tensor_type.shape
    for place, name in ((0, "batch"), (2, "height"), (3, "width")):
        shape.dim[place].Clear()
        shape.dim[place].dim_param = name


def widen(model: onnx.ModelProto, output: str, classes: int, seed: int) -> None:
    """Give the convolution before an output one channel for each class, each a copy of what it has for its first.

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


def producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    """Return the operation that an intermediate value comes from; None for an input."""
    return next((node for node in model.graph.node if name in node.output), None)


def weight(model: onnx.ModelProto, name: str) -> npt.NDArray[np.float32]:
    """Return the weights of that name. Raises `BadInput` when the file does not have them."""
    item = next((item for item in model.graph.initializer if item.name == name), None)
    if item is None:
        raise BadInput(f"the base cannot be trained: its weights {name} are computed; fold constants, then try again")
    found: npt.NDArray[np.float32] = onnx.numpy_helper.to_array(item).astype(np.float32)
    return found


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


Loss = Callable[[Sequence[Any], Sequence[Crop]], Any]
"""`loss(outputs, crops)` returns a tensor: how far the outputs for a batch are from what its crops show."""


@dataclass(frozen=True, slots=True)
class Head:
    """How networks of a family are trained.

    `sizes`: shorter side of the smallest and longer side of the largest object, in pixels of the input, that a trained
    network finds; both follow from the crops that it is shown.
    """

    prepare: Callable[[onnx.ModelProto, int, int], None]
    """`prepare(model, classes, seed)` gives the network that many classes, in place. Raises `BadInput`."""
    loss: Callable[[], Loss]
    """Returns the loss; it is what needs torch."""
    sizes: tuple[float, float]


def _prepare_centerface(model: onnx.ModelProto, classes: int, seed: int) -> None:
    outputs = [item.name for item in model.graph.output]
    if len(outputs) < 3:
        raise BadInput(f"the base has {len(outputs)} outputs; a CenterFace has heat, sizes and offsets at least")
    keep_outputs(model, dict(zip(outputs[:3], ("heat", "size", "offset"), strict=True)))
    open_input(model)
    widen(model, "heat", classes, seed)


def _centerface_loss() -> Loss:
    from velum.train.centerface_loss import centerface_loss  # noqa: PLC0415 - it needs torch

    return centerface_loss


HEADS = {"centerface": Head(_prepare_centerface, _centerface_loss, (12.0, 256.0))}
"""Heads by family; the families that can be trained."""
