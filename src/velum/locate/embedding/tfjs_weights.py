"""Read weights of TensorFlow.js: one file of bytes, and a manifest that says which tensors they are.

Layout after the documentation of `tfjs-core`, `io.WeightsManifestEntry`: tensors follow each other without gaps; one
with a `quantization` has a byte for each number, which is that byte times `scale` plus `min`.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from velum.errors import BadInput

Floats = npt.NDArray[np.float32]


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
