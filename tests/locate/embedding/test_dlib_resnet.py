"""The built network gives the same as its layers written out in plain numpy."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from velum.errors import BadInput
from velum.frame import Rgb
from velum.locate.embedding.dlib_resnet import FORM, open_embedding
from velum.locate.runtime.dlib_resnet import read_weights
from velum.plugins import RuntimeConfig

Floats = npt.NDArray[np.float32]
WIDTHS = {"conv32_down": (7, 3, 32)}
for channels, blocks in {32: "1 2 3", 64: "down 1 2 3", 128: "down 1 2", 256: "down 1 2 down_out"}.items():
    for block in blocks.split():
        before = channels // 2 if block == "down" else channels
        WIDTHS[f"conv{channels}_{block}/conv1"] = (3, before, channels)
        WIDTHS[f"conv{channels}_{block}/conv2"] = (3, channels, channels)


def write_random(folder: Path, *, quantized: bool) -> tuple[Path, dict[str, Floats]]:
    """Write weights as the package has them; return their file and the tensors that it means."""
    random = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (side, inputs, outputs) in WIDTHS.items():
        shapes[f"{name}/conv/filters"] = (side, side, inputs, outputs)
        for part in ("conv/bias", "scale/weights", "scale/biases"):
            shapes[f"{name}/{part}"] = (outputs,)
    shapes["fc"] = (256, 128)
    entries, data, tensors = [], b"", {}
    for name, shape in shapes.items():
        spread = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.3
        entry: dict[str, object] = {"name": name, "shape": list(shape), "dtype": "float32"}
        if quantized:
            stored = random.integers(0, 256, shape, dtype=np.uint8)
            scale, least = float(4 * spread / 255), float(-2 * spread)
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": least}
            tensors[name] = stored.astype(np.float32) * np.float32(scale) + np.float32(least)
            data += stored.tobytes()
        else:
            tensors[name] = random.normal(0, spread, shape).astype("<f4")
            data += tensors[name].tobytes()
        entries.append(entry)
    (folder / "net.bin").write_bytes(data)
    (folder / "net.json").write_text(json.dumps([{"paths": ["net.bin"], "weights": entries}]))
    return folder / "net.bin", tensors


def convolve(x: Floats, tensors: dict[str, Floats], name: str, stride: int, pad: int) -> Floats:
    """Return the convolution of (height, width, inputs), then scaled and shifted by channel."""
    filters = tensors[f"{name}/conv/filters"]
    side, _, inputs, outputs = filters.shape
    padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))[::stride, ::stride]
    rows = windows.transpose(0, 1, 3, 4, 2).reshape(*windows.shape[:2], side * side * inputs)
    out = rows @ filters.reshape(-1, outputs) + tensors[f"{name}/conv/bias"]
    scaled: Floats = out * tensors[f"{name}/scale/weights"] + tensors[f"{name}/scale/biases"]
    return scaled


def residual(x: Floats, tensors: dict[str, Floats], name: str, *, down: bool) -> Floats:
    inner = np.maximum(convolve(x, tensors, f"{name}/conv1", 2 if down else 1, 0 if down else 1), 0)
    inner = convolve(inner, tensors, f"{name}/conv2", 1, 1)
    if down:
        rows, columns = x.shape[0] // 2, x.shape[1] // 2
        x = x[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1).mean(axis=(1, 3))
    whole = np.zeros(np.maximum(x.shape, inner.shape), np.float32)
    for part in (x, inner):
        whole[: part.shape[0], : part.shape[1], : part.shape[2]] += part
    return np.maximum(whole, 0)


def slow(rgb: Rgb, tensors: dict[str, Floats]) -> Floats:
    x = ((rgb - np.array([122.782, 117.001, 104.298])) / 256).astype(np.float32)
    x = np.maximum(convolve(x, tensors, "conv32_down", 2, 0), 0)
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2].max(axis=(3, 4))
    for channels, blocks in {32: "1 2 3", 64: "down 1 2 3", 128: "down 1 2", 256: "down 1 2 down_out"}.items():
        for block in blocks.split():
            x = residual(x, tensors, f"conv{channels}_{block}", down=block.startswith("down"))
    vector: Floats = x.mean(axis=(0, 1)) @ tensors["fc"]
    return vector


@pytest.mark.parametrize("quantized", [True, False], ids=["bytes", "floats"])
def test_the_network_gives_the_same_as_its_layers_in_numpy(tmp_path: Path, quantized: bool) -> None:
    file, tensors = write_random(tmp_path, quantized=quantized)
    rgb = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    network = open_embedding(file, "", RuntimeConfig(threads=1))
    assert network.precision == "f32"
    assert FORM.size_wh == (150, 150)
    (found,) = network.infer(rgb).values()
    expected = slow(rgb, tensors)
    assert np.linalg.norm(expected) > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-5]), "fetch them again"),
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "its manifest describes"),
        (lambda file: file.with_suffix(".json").write_text("[{}]"), "no weights of TensorFlow.js: 'weights'"),
        (lambda file: file.with_suffix(".json").write_text("{"), "no weights of TensorFlow.js"),
        (lambda file: file.with_suffix(".json").unlink(), "No such file"),
    ],
)
def test_weights_that_do_not_fit_their_manifest_are_refused(tmp_path: Path, change: object, message: str) -> None:
    file, _ = write_random(tmp_path, quantized=True)
    change(file)  # type: ignore[operator]
    with pytest.raises(BadInput, match=message):
        read_weights(file, file.with_suffix(".json"))
