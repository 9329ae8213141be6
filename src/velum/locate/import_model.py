"""Describe a weights file as a model: family, labels, threshold and input form."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from velum.errors import BadInput, BadPlan
from velum.locate import detect_family, output_formats
from velum.locate.catalog_entry import NAME
from velum.locate.normalization import NORMALISATIONS, stated_input
from velum.locate.output_formats import Signature
from velum.locate.runtime.inspect_model import signature
from velum.locate.weights.asset import Looks

THRESHOLD = 0.25
"""Default of a model's threshold."""

LEAST_THRESHOLD = 0.01
"""Lowest allowed threshold; below, a detector would keep nearly every output of its network."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the user states about a model; None leaves it to the file."""

    name: str | None = None
    labels: tuple[str, ...] | None = None
    family: str | None = None
    threshold: float | None = None
    licence: str = "not stated"
    input: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Fields of `Input` that override those of the file; a value of None drops the file's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModel:
    """A model that can be added to the user's store. `files_of` lists its files, by `path`."""

    name: str
    path: Path
    family: str
    labels: tuple[str, ...]
    threshold: float
    licence: str
    input: Mapping[str, Any]
    origin: str
    """Where the model comes from, for the catalogue."""
    copyright: str = ""
    sizes: tuple[float, ...] = ()
    """See `Model.sizes`."""
    effort: Mapping[str, Looks] = field(default_factory=lambda: MappingProxyType({}))
    """See `Model.effort`."""
    good_for: str = ""
    """What is known about it, for the catalogue; empty: only where it comes from."""
    card: Path | None = None
    """Its card as JSON, which is kept beside its files."""


def identify_model(path: Path, wish: ImportOptions, origin: str | None = None) -> ImportedModel:
    """Describe the model at `path` by its signature, its metadata and the user's options.

    Raises `BadInput` when its file, family or labels cannot be determined, and `BadPlan` for an option out of range.
    """
    files_of(path)
    network = signature(path.parent if path.name == "saved_model.pb" else path)
    family = wish.family or detect_family.family_of(network, path.name)
    output_formats.family(family)  # raises for one that does not exist
    labels = detect_family.number_labels(
        wish.labels or detect_family.labels_of(network, family, path.name), network, family
    )
    detect_family.check_labels(labels, network, family, path.name)
    stated = detect_family.input_of(network) | stated_input(network, path.name) | dict(wish.input)
    _check_input(stated, network, family, path.name)
    return ImportedModel(
        name=model_name(wish.name or path.stem, stated=wish.name is not None),
        path=path,
        family=family,
        labels=labels,
        threshold=_threshold(wish.threshold),
        licence=wish.licence,
        input=MappingProxyType({key: value for key, value in stated.items() if value is not None}),
        origin=origin or path.name,
    )


def _check_input(stated: Mapping[str, Any], network: Signature, family: str, file: str) -> None:
    """Raise `BadInput` when the family's networks need different normalisation and none is stated for this one."""
    if (
        output_formats.family(family).input_varies(network)
        and stated.get("scale") is None
        and stated.get("mean") is None
    ):
        raise BadInput(
            f"{file} does not state how to normalise pixels for its network, and with wrong values it finds nothing; "
            f"look it up where the network was trained and give --normalise, one of {', '.join(NORMALISATIONS)} "
            "(values from 0 to 255, from 0 to 1, from -1 to 1, or with mean and deviation of ImageNet), or --mean and "
            "--scale"
        )


def model_name(text: str, *, stated: bool) -> str:
    """Return a model name: `text` itself where the user stated it, else with forbidden characters replaced.

    Raises `BadPlan` when the result is no allowed name.
    """
    name = text if stated else re.sub(r"[^a-z0-9.+]+", "-", text.lower()).strip("-.+")
    if not stated and name[:1].isdigit():
        name = f"model-{name}"
    if not NAME.fullmatch(name):
        raise BadPlan(
            f"a model cannot be named {text!r}; give a name of letters, digits, '.', '_', '+' and '-' with --name"
        )
    return name


def labels_from(path: Path) -> tuple[str, ...]:
    """Return the labels of a text file, one per line; an empty line stands for a class that is not an object.

    Empty lines at the end do not count. From a .yaml file it reads `names`, a list or a mapping from numbers, as
    Ultralytics describes a data set. Raises `BadInput` when the file cannot be read or has no labels.
    """
    if path.suffix.lower() in {".yaml", ".yml"}:
        return _labels_of_data_set(path)
    labels = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
    if not any(labels):
        raise BadInput(f"{path} names no labels; it must have one a line")
    return labels


def _labels_of_data_set(path: Path) -> tuple[str, ...]:
    text = read_text(path)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {str(error).splitlines()[0]}") from error
    names = detect_family.ordered_names(value.get("names")) if isinstance(value, dict) else None
    if names is None:
        raise BadInput(f"{path} has no names of classes; it needs 'names', a list or a mapping from numbers to names")
    return names


def read_text(path: Path) -> str:
    """Return the text of a small file. Raises `BadInput` when it is missing, a Git LFS pointer, or not text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text: {getattr(error, 'strerror', None) or error}") from error
    if text.startswith("version https://git-lfs"):
        raise BadInput(f"{path} is a Git LFS pointer, not the file itself; run 'git lfs pull' where it comes from")
    return text


def _threshold(wished: float | None) -> float:
    if wished is None:
        return THRESHOLD
    if not LEAST_THRESHOLD <= wished <= 1:
        raise BadPlan(f"threshold is {wished}; it must be from {LEAST_THRESHOLD} to 1")
    return wished


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
    # A SavedModel without variables has no such folder, or an empty one.
    files = sorted(path for path in variables.iterdir() if path.is_file()) if variables.is_dir() else []
    names = {path.name.partition(".data-")[0] if ".data-" in path.name else path.name for path in files}
    if files and not {"variables", "variables.index"} <= names:
        raise BadInput(
            f"{folder} is not a whole SavedModel: variables/ needs variables.index and variables.data-..., and has "
            f"{', '.join(path.name for path in files)}"
        )
    for path in files:
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
