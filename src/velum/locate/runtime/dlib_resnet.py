"""Build dlib's network for faces, a ResNet of 29 convolutions, for OpenVINO from its weights.

Layers after dlib's `dnn_face_recognition_ex.cpp`: a convolution of 7 x 7 and a pooling, four groups of residual blocks
in which each convolution is scaled and shifted by channel, the mean of all places, and one matrix. Where a block halves
the image and doubles the channels, the shortcut is the mean of 2 x 2, with zeros where the other path has more.

Its weights are those of a package for TensorFlow.js: one file of bytes, and a manifest of the tensors in it. Layout
after the documentation of `tfjs-core`, `io.WeightsManifestEntry`: tensors follow each other without gaps; one with a
`quantization` has a byte for each number, which is that byte times `scale` plus `min`.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from velum.errors import BadInput
from velum.locate.runtime.inspect_model import save

Floats = npt.NDArray[np.float32]

Node = Any
"""A node of OpenVINO's graph; the library states no types for its operations."""

INPUT, OUTPUT = "face", "embedding"

SIDE = 150
"""Sides of the input in pixels."""

BLOCKS = {
    32: ("1", "2", "3"),
    64: ("down", "1", "2", "3"),
    128: ("down", "1", "2"),
    256: ("down", "1", "2", "down_out"),
}
"""Blocks by channels; names that begin with `down` halve the image."""


def read_weights(file: Path, manifest: Path) -> Mapping[str, Floats]:
    """Return the tensors of a file of weights, by name. Raises `BadInput` where file and manifest do not fit."""
    try:
        entries = [entry for group in json.loads(manifest.read_text(encoding="utf-8")) for entry in group["weights"]]
        data = file.read_bytes()
        tensors, start = {}, 0
        for entry in entries:
            values, start = _tensor(entry, data, start)
            tensors[str(entry["name"])] = values
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} and {manifest} are no weights of TensorFlow.js: {error}; fetch them again") from error
    if start != len(data):
        raise BadInput(f"{file} has {len(data)} bytes, its manifest describes {start}; fetch both again")
    return tensors


def _tensor(entry: Mapping[str, Any], data: bytes, start: int) -> tuple[Floats, int]:
    """Return the tensor that begins at byte `start`, and where the next one begins."""
    shape, quantized = tuple(map(int, entry["shape"])), entry.get("quantization")
    if entry["dtype"] != "float32" or (quantized is not None and quantized["dtype"] != "uint8"):
        raise ValueError(f"tensor {entry['name']} is neither float32 nor quantized to bytes")
    count = math.prod(shape)
    stored = np.frombuffer(data, np.dtype("<f4") if quantized is None else np.dtype("u1"), count, start)
    values = stored.astype(np.float32)
    if quantized is not None:
        values = values * np.float32(quantized["scale"]) + np.float32(quantized["min"])
    return values.reshape(shape), start + stored.nbytes


def convert(weights: Mapping[str, Floats], target: Path) -> None:
    """Write the network as OpenVINO IR to `target`, an .xml file.

    `weights` are named as those of the package: filters (height, width, inputs, outputs), biases, and per channel a
    factor and a shift. The input is normalised RGB (1, 3, 150, 150), the output (1, 128).
    """
    save(build(weights), target)


def build(weights: Mapping[str, Floats]) -> ov.Model:
    """Return the network. Raises `KeyError` for a missing tensor."""
    picture = ops.parameter([1, 3, SIDE, SIDE], ov.Type.f32, name=INPUT)
    node = _convolution(picture, weights, "conv32_down", stride=2, pad=0, relu=True)
    node = ops.max_pool(node, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3], "floor", "valid").output(0)
    for channels, blocks in BLOCKS.items():
        for block in blocks:
            node = _residual(node, weights, f"conv{channels}_{block}", down=block.startswith("down"))
    means = ops.reduce_mean(node, np.array([2, 3], np.int64), keep_dims=False)
    result = ops.matmul(means, ops.constant(weights["fc"]), transpose_a=False, transpose_b=False)
    result.output(0).set_names({OUTPUT})
    picture.output(0).set_names({INPUT})
    return ov.Model([result], [picture], "dlib_resnet")


def _convolution(node: Node, weights: Mapping[str, Floats], name: str, *, stride: int, pad: int, relu: bool) -> Node:
    factor, shift = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
    # The factor of each channel is multiplied into the filters: one layer less to run.
    filters = weights[f"{name}/conv/filters"].transpose(3, 2, 0, 1) * factor[:, None, None, None]
    bias = weights[f"{name}/conv/bias"] * factor + shift
    kernel = ops.constant(np.ascontiguousarray(filters, np.float32))
    node = ops.convolution(node, kernel, [stride, stride], [pad, pad], [pad, pad], [1, 1])
    node = ops.add(node, ops.constant(bias.astype(np.float32)[None, :, None, None]))
    return ops.relu(node) if relu else node


def _residual(node: Node, weights: Mapping[str, Floats], name: str, *, down: bool) -> Node:
    inner = _convolution(node, weights, f"{name}/conv1", stride=2 if down else 1, pad=0 if down else 1, relu=True)
    inner = _convolution(inner, weights, f"{name}/conv2", stride=1, pad=1, relu=False)
    if down:
        node = ops.avg_pool(node, [2, 2], [0, 0], [0, 0], [2, 2], exclude_pad=True)
        node, inner = _same_shape(node, inner)
    return ops.relu(ops.add(node, inner))


def _same_shape(node: Node, other: Node) -> tuple[Node, Node]:
    """Return both with zeros behind their channels, rows and columns where the other one has more."""
    shapes = [list(part.output(0).get_shape()) for part in (node, other)]
    largest = np.max(shapes, axis=0)
    missing = [(largest - shape).tolist() for shape in shapes]
    first, second = (
        ops.pad(part, [0] * 4, more, "constant", arg_pad_value=np.float32(0))
        for part, more in zip((node, other), missing, strict=True)
    )
    return first, second
