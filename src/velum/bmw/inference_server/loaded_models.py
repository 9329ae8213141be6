"""Loads models for serving: name, label numbers, config and palette of each."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from velum.atomic import publish
from velum.bmw import folders, inference_wire
from velum.bmw.folders import ConfigObject
from velum.bmw.inference_server.images import voc_palette
from velum.bmw.inference_server.profiles import ApiVariant
from velum.engine.part_cache import PartCache
from velum.errors import BadInput, BadPlan, OutputFailed, PluginFault
from velum.frame import Frame, Plane, Role
from velum.locate import registry, user_models
from velum.locate.detector import Detector
from velum.locate.import_model import ImportOptions, read_text
from velum.locate.output_formats import family
from velum.locate.segmenter import BACKGROUND
from velum.plugins import Localizer, RuntimeConfig
from velum.spec import PartSpec

MOST_CLASSES = 256
"""Most classes in a class map of one byte, including the background."""

_BACKGROUND = "background"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """One model under its public name. `palette` has red, green and blue of each label number in one row."""

    name: str
    hash: str
    labels: tuple[str, ...]
    """Labels in the order of the list."""
    numbers: Mapping[str, int]
    """Label -> its number."""
    localizer: Localizer
    config: Mapping[str, Any]
    palette: tuple[int, ...]


def labels_of(classes: Sequence[str], profile: ApiVariant) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """Return the labels of a model with these classes as they are listed, and label -> number; empty ones are unused.

    Raises `BadPlan` for more classes than a class map can hold.
    """
    if profile.kind == "segmentation":
        if not classes or classes[0].casefold() not in BACKGROUND:
            classes = (_BACKGROUND, *classes)
        if len(classes) > MOST_CLASSES:
            raise BadPlan(f"{len(classes)} classes do not fit into a class map; it holds at most {MOST_CLASSES}")
        return (classes[0] or _BACKGROUND, *classes[1:]), _number_labels(classes[1:], 1)
    objects = classes[1:] if not classes[0] else classes
    listed = objects if profile.lists_gaps else filter(None, objects)
    return tuple(listed), _number_labels(objects, profile.first)


def _number_labels(labels: Sequence[str], first: int) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for number, label in enumerate(labels, first):
        if label:
            numbers.setdefault(label, number)
    return numbers


def from_names(
    texts: Iterable[str], profile: ApiVariant, parts: PartCache, host: RuntimeConfig, hash_folder: Path | None = None
) -> list[LoadedModel]:
    """Load the models that `texts` name, such as `centerface` or `centerface(min_side=8)`; `parts` owns them.

    Raises `BadPlan` for an unknown or repeated name and for a model that does not fit the profile, `Unavailable` when
    weights cannot be obtained.
    """
    uses = [PartSpec.parse(text) for text in texts]
    names = [use.name for use in uses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadPlan(f"{', '.join(twice)} cannot be served twice under one name; name each model once")
    ids = hashes(names, hash_folder)
    return [_load_model(use, use.name, ids[use.name], profile, parts, host) for use in uses]


def from_folder(
    folder: Path, profile: ApiVariant, parts: PartCache, host: RuntimeConfig, hash_folder: Path | None = None
) -> list[LoadedModel]:
    """Load the models of a folder of BMW model folders, each under its folder's name.

    They are copied into the model folder of `host`, which must be private to this process, and which `parts` uses.
    Raises `BadPlan` without model folders or for a model that does not fit the profile, `BadInput` for one that cannot
    be read.
    """
    subfolders = folders.model_folders(folder) if folder.is_dir() else ()
    if not subfolders:
        raise BadPlan(
            f"{folder} has no model folders; each must have a config.json or configuration.json and a network"
        )
    ids = hashes([path.name for path in subfolders], hash_folder)
    result = []
    for number, path in enumerate(subfolders, start=1):
        converted = registry.user_models_folder(host) / "converted"
        converted.mkdir(parents=True, exist_ok=True)
        model = user_models.put(
            folders.read(path, folders.ModelFolderOptions(ImportOptions(name=f"folder-{number}"), converted)), host
        )
        served = _load_model(PartSpec(model.name), path.name, ids[path.name], profile, parts, host)
        result.append(_with_folder_config(served, path, profile))
    return result


def _load_model(
    use: PartSpec, name: str, hash_: str, profile: ApiVariant, parts: PartCache, host: RuntimeConfig
) -> LoadedModel:
    model = None if use.name in host.localizers else registry.catalog(host).get(use.name)
    if model is not None:
        _check_family(name, model, profile)
    localizer = parts.localizer(use)
    if profile.kind == "segmentation" and isinstance(localizer, Detector) and not _finds_outlines(localizer):
        raise BadPlan(_misfit_message(name, profile, "returns boxes, not masks"))
    classes = model.labels if model is not None else tuple(sorted(localizer.labels))
    labels, numbers = labels_of(classes, profile)
    network = use.name if model is None else model.family
    colours = voc_palette(len(labels) if profile.kind == "segmentation" else MOST_CLASSES)
    return LoadedModel(name, hash_, labels, numbers, localizer, _config(profile, labels, network), colours)


def _check_family(name: str, model: registry.Model, profile: ApiVariant) -> None:
    """Raise `BadPlan` for a segmentation model in a detection profile, before it is loaded."""
    kind = family(model.family).localizer
    if profile.kind == "detection" and kind == "segment":
        raise BadPlan(_misfit_message(name, profile, "segments pixels and finds no objects"))


def _misfit_message(name: str, profile: ApiVariant, why: str) -> str:
    other = "openvino-segmentation or gluoncv" if profile.kind == "detection" else "openvino-detection, yolo or others"
    return f"model {name} {why}, and cannot be served as {profile.name}; serve it with the profile {other}"


def _finds_outlines(detector: Detector) -> bool:
    """Tell whether a detector returns masks, by running it on a blank image."""
    blank = Frame.of(Plane(np.zeros((64, 64, 3), np.uint8), Role.RGB))
    try:
        return detector.finder.find(blank).masks is not None
    except ValueError as error:
        raise PluginFault(
            f"the outputs of the network do not fit its family: {error}; add the model with another --family"
        ) from error


def _config(profile: ApiVariant, labels: Sequence[str], network: str) -> Mapping[str, Any]:
    if profile.kind == "detection":
        return inference_wire.detection_config(profile.framework, network)
    if profile.name == "gluoncv":
        return inference_wire.semantic_config(labels, network)
    return inference_wire.instance_config(labels)


def _with_folder_config(served: LoadedModel, folder: Path, profile: ApiVariant) -> LoadedModel:
    """Return the model with the config of its folder and, for class maps, its palette and background."""
    if profile.kind == "detection":
        stated = ConfigObject.read(folder / "config.json").values if (folder / "config.json").is_file() else {}
        return replace(served, config={key: stated.get(key, value) for key, value in served.config.items()})
    file = folder / "configuration.json"
    if profile.name != "openvino-segmentation" or not file.is_file():
        return served
    config = ConfigObject.read(file)
    labels = inference_wire.classes_in(config.values)
    if len(labels) == len(served.labels):
        served = replace(served, labels=labels)
    palette = _palette(folder / "palette.txt", len(labels))
    return replace(served, config=config.values, palette=palette or served.palette)


def _palette(file: Path, colours: int) -> tuple[int, ...]:
    """Return the palette in a file, one number a line; empty when the file is missing or lacks a class."""
    if not file.is_file():
        return ()
    words = read_text(file).split()
    if not all(word.isdecimal() and int(word) < 256 for word in words):
        raise BadInput(f"{file} is not a palette; it must have a number from 0 to 255 in each line")
    values = tuple(map(int, words))[: 3 * MOST_CLASSES]
    return values if len(values) >= 3 * colours and len(values) % 3 == 0 else ()


FILE = "model_hash.json"


def derive_id(*names: str) -> str:
    """Return a UUID in the form of a random one (RFC 9562, version 4), derived from the names."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def hashes(names: Iterable[str], folder: Path | None) -> dict[str, str]:
    """Return name -> id: from the file in `folder` where it has one, else derived from the name.

    New ids are added to the file. Raises `BadInput` for a malformed file, `OutputFailed` when it cannot be written.
    """
    ids = {} if folder is None else _read(folder / FILE)
    result = {name: ids.get(name) or derive_id(name) for name in names}
    if folder is not None and not result.items() <= ids.items():
        _write(folder / FILE, ids | result)
    return result


def _read(file: Path) -> dict[str, str]:
    try:
        values = json.loads(file.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"hashes of models cannot be read from {file}: {error}; repair or remove it") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise BadInput(f"{file} is not a JSON object of names and hashes; repair or remove it")
    return values


def _write(file: Path, values: dict[str, str]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with publish(file, overwrite=True) as part:
            part.write_text(json.dumps(values, indent=2), encoding="utf-8")
    except OSError as error:
        if isinstance(error, OutputFailed):
            raise
        raise OutputFailed(
            f"hashes of models cannot be written to {file}: {error.strerror or error}; make its folder writable"
        ) from error
