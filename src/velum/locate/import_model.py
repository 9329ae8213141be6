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
from velum.locate.catalog_toml import NAME
from velum.locate.model_files import files_of
from velum.locate.normalization import NORMALISATIONS, stated_input
from velum.locate.output_formats import Signature
from velum.locate.runtime.inspect_model import signature

THRESHOLD = 0.25
"""Default of a model's threshold."""

LEAST_THRESHOLD = 0.01
"""Below it a detector would keep every guess of its network."""


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
    """A model that can be added to the user's store. Its files lie at `path`, see `velum.locate.model_files`."""

    name: str
    path: Path
    family: str
    labels: tuple[str, ...]
    threshold: float
    licence: str
    input: Mapping[str, Any]
    origin: str
    """Where the model comes from, for the catalogue."""


def identify_model(path: Path, wish: ImportOptions, origin: str | None = None) -> ImportedModel:
    """Describe the model at `path` by its signature, its metadata and the user's options.

    Raises `BadInput` when its file, family or labels cannot be determined, and `BadPlan` for an option out of range.
    """
    files_of(path)
    seen = signature(path.parent if path.name == "saved_model.pb" else path)
    family = wish.family or detect_family.family_of(seen, path.name)
    output_formats.family(family)  # raises for one that does not exist
    labels = detect_family.number_labels(wish.labels or detect_family.labels_of(seen, family, path.name), seen, family)
    detect_family.check_labels(labels, seen, family, path.name)
    stated = detect_family.input_of(seen) | stated_input(seen, path.name) | dict(wish.input)
    _check_input(stated, seen, family, path.name)
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


def _check_input(stated: Mapping[str, Any], seen: Signature, family: str, what: str) -> None:
    """Raise `BadInput` when the family's networks need different normalisation and none is stated for this one."""
    if output_formats.family(family).input_varies(seen) and stated.get("scale") is None and stated.get("mean") is None:
        raise BadInput(
            f"{what} does not state how its network wants pixels normalised, and with other values it finds nothing; "
            f"look it up where it was trained and give --normalise, one of {', '.join(NORMALISATIONS)} "
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
    """Return the labels of a text file, one a line, an empty line for a class that is not a thing.

    Empty lines at the end do not count. Of a .yaml file the labels are its `names`, a list or a mapping from numbers,
    as Ultralytics describes a data set. Raises `BadInput` when the file cannot be read or names nothing.
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
