"""Which files a model consists of, and what is wrong with them before any library has to open them."""

import re
from pathlib import Path

from velum.errors import BadInput

PARTS = {".xml": ".bin", ".pdmodel": ".pdiparams"}
"""Suffix of a model file -> suffix of its weights file in the same folder."""

READABLE = (".onnx", ".xml", ".tflite", ".pb", ".pdmodel")
"""Suffixes of the model formats that velum reads."""

LEAST_IR = 10
"""Oldest version of OpenVINO's format that OpenVINO 2022 and later read."""

_OTHERS = {
    ".bin": "these are the weights of an OpenVINO IR: give the .xml next to it",
    ".pdiparams": "these are the weights of a Paddle model: give the .pdmodel next to it",
    ".index": "this is part of a TensorFlow SavedModel: give the folder that holds saved_model.pb",
    ".pt": "export it from PyTorch as ONNX: torch.onnx.export, or the export command of its trainer",
    ".pth": "export it from PyTorch as ONNX: torch.onnx.export, or the export command of its trainer",
    ".safetensors": "export it as ONNX with the library that it belongs to",
    ".ckpt": "export it as ONNX, or from TensorFlow as a SavedModel",
    ".h5": "export it from Keras as a SavedModel: model.export(folder)",
    ".keras": "export it from Keras as a SavedModel: model.export(folder)",
    ".engine": "a TensorRT engine runs on one kind of GPU only: give the ONNX file that it was made from",
    ".caffemodel": "convert it with OpenVINO 2022's Model Optimizer to IR",
    ".params": "export it from MXNet 1.9 as ONNX: mxnet.onnx.export_model",
    ".zip": "unpack it and give the file or folder in it",
    ".gz": "unpack it and give the file or folder in it",
}


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files of the model at `path`, the model file first; for a SavedModel, its folder.

    Raises `BadInput` for a file that is missing, empty, a Git LFS pointer, of a format or version that velum does not
    read, or without its weights.
    """
    if path.is_dir():
        return _saved_model(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise BadInput(f"there is no model at {path}; give a file, or a folder that is a SavedModel")
    start = _start(path)
    if suffix not in READABLE:
        way = _OTHERS.get(suffix, "give a file of a trained network")
        raise BadInput(f"{path} is not of a format that velum reads ({', '.join(READABLE)}): {way}")
    if suffix == ".xml":
        _check_ir(path, start)
    if suffix == ".pb":
        if start[:1] == b"\x08" and path.name == "saved_model.pb":
            return _saved_model(path.parent)
        if start[:1] != b"\n":
            raise BadInput(f"{path} is not a frozen TensorFlow graph; freeze it, or give the folder of a SavedModel")
    if suffix not in PARTS:
        return (path,)
    weights = path.with_suffix(PARTS[suffix])
    if not weights.is_file():
        raise BadInput(f"{path} has no weights: {weights.name} must lie next to it; copy both")
    _start(weights)
    return path, weights


def _saved_model(folder: Path) -> tuple[Path, ...]:
    graph, variables = folder / "saved_model.pb", folder / "variables"
    if not graph.is_file():
        raise BadInput(f"{folder} is not a model: as a SavedModel it needs saved_model.pb; give a file, or that folder")
    _start(graph)
    # A network without variables of its own has none of them, or an empty folder.
    found = sorted(path for path in variables.iterdir() if path.is_file()) if variables.is_dir() else []
    names = {path.name.partition(".data-")[0] if ".data-" in path.name else path.name for path in found}
    if found and not {"variables", "variables.index"} <= names:
        raise BadInput(
            f"{folder} is not a whole SavedModel: variables/ needs variables.index and variables.data-..., and has "
            f"{', '.join(path.name for path in found)}"
        )
    for path in found:
        _start(path)
    return (folder,)


def _start(path: Path) -> bytes:
    """Return the first 4096 bytes. Raises `BadInput` for a file that is missing, empty or a Git LFS pointer."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
    if not start:
        raise BadInput(f"{path} is empty; copy it again")
    if start.startswith(b"version https://git-lfs"):
        raise BadInput(
            f"{path} is a Git LFS pointer of {path.stat().st_size} bytes, not the file itself; "
            "run 'git lfs pull' in the repository that it comes from, then try again"
        )
    return start


def _check_ir(path: Path, start: bytes) -> None:
    net = re.search(rb"<net\b[^>]*\bversion=[\"'](\d+)[\"']", start)
    if net is None:
        raise BadInput(f"{path} is not an OpenVINO IR: it has no <net version=...>; give the .xml of a model")
    if int(net[1]) < LEAST_IR:
        raise BadInput(
            f"{path} is an OpenVINO IR of version {int(net[1])}; OpenVINO reads {LEAST_IR} and later: "
            "convert the original model again with OpenVINO 2021 or later"
        )
