"""Models made ready to be served: what each is called, which numbers its labels have, and what is said of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from velum.bmw import folders, wire
from velum.bmw.config import ConfigObject
from velum.bmw.inference_server.model_ids import hashes
from velum.bmw.inference_server.overlay import voc_palette
from velum.bmw.inference_server.profiles import ApiVariant
from velum.engine.prepare import PartCache
from velum.errors import BadInput, BadPlan, PluginFault
from velum.frame import Frame, Plane, Role
from velum.locate import registry, user_models
from velum.locate.detector import Detector
from velum.locate.import_model import ImportOptions, read_text
from velum.locate.output_formats import family
from velum.locate.segmenter import BACKGROUND
from velum.plugins import Localizer, RuntimeConfig
from velum.spec import PartSpec

MOST_CLASSES = 256
"""Classes that one byte of a class map tells apart, the background among them."""

_BACKGROUND = "background"


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labels of a model: as they are listed, and the number of each."""

    listed: tuple[str, ...]
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """One model under the name that clients use. `palette` is red, green and blue of each number, in one row."""

    name: str
    hash: str
    labels: Labels
    localizer: Localizer
    config: Mapping[str, Any]
    palette: tuple[int, ...]


def labels_of(classes: Sequence[str], profile: ApiVariant) -> Labels:
    """Return the labels of a model with these classes, of which the empty ones are not things.

    Raises `BadPlan` for more classes than a class map can hold.
    """
    if profile.kind == "segmentation":
        if not classes or classes[0].casefold() not in BACKGROUND:
            classes = (_BACKGROUND, *classes)
        if len(classes) > MOST_CLASSES:
            raise BadPlan(f"{len(classes)} classes do not fit into a class map; it holds at most {MOST_CLASSES}")
        return Labels((classes[0] or _BACKGROUND, *classes[1:]), _numbered(classes[1:], 1))
    things = classes[1:] if not classes[0] else classes
    listed = things if profile.lists_gaps else filter(None, things)
    return Labels(tuple(listed), _numbered(things, profile.first))


def _numbered(things: Sequence[str], first: int) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for number, label in enumerate(things, first):
        if label:
            numbers.setdefault(label, number)
    return numbers


def from_names(
    texts: Iterable[str], profile: ApiVariant, parts: PartCache, host: RuntimeConfig, hash_folder: Path | None = None
) -> list[LoadedModel]:
    """Return the models that `texts` name, such as `centerface` or `centerface(min_side=8)`; `parts` owns them.

    Raises `BadPlan` for a name that is unknown or given twice, and for a model that does not fit the profile,
    `Unavailable` when weights cannot be had.
    """
    uses = [PartSpec.parse(text) for text in texts]
    twice = sorted({use.name for use in uses if [one.name for one in uses].count(use.name) > 1})
    if twice:
        raise BadPlan(f"{', '.join(twice)} cannot be served twice under one name; name each model once")
    known = hashes([use.name for use in uses], hash_folder)
    return [_served(use, use.name, known[use.name], profile, parts, host) for use in uses]


def from_folder(
    folder: Path, profile: ApiVariant, parts: PartCache, host: RuntimeConfig, hash_folder: Path | None = None
) -> list[LoadedModel]:
    """Return the models of a folder of BMW model folders, each under its folder's name.

    They are copied into the store of `host`, which must be one for this process alone, and which `parts` uses. Raises
    `BadPlan` when the folder has none or one does not fit the profile, `BadInput` for one that cannot be read.
    """
    found = folders.model_folders(folder) if folder.is_dir() else ()
    if not found:
        raise BadPlan(f"{folder} holds no model folders; each has a config.json or configuration.json and a network")
    known = hashes([one.name for one in found], hash_folder)
    result = []
    for number, one in enumerate(found, start=1):
        room = registry.user_models_folder(host) / "converted"
        room.mkdir(parents=True, exist_ok=True)
        model = user_models.put(
            folders.read(one, folders.ModelFolderOptions(ImportOptions(name=f"folder-{number}"), room)), host
        )
        served = _served(PartSpec(model.name), one.name, known[one.name], profile, parts, host)
        result.append(_as_the_folder_says(served, one, profile))
    return result


def _served(
    use: PartSpec, name: str, hash_: str, profile: ApiVariant, parts: PartCache, host: RuntimeConfig
) -> LoadedModel:
    model = None if use.name in host.localizers else registry.catalog(host).get(use.name)
    if model is not None:
        _check_family(name, model, profile)
    localizer = parts.localizer(use)
    if profile.kind == "segmentation" and isinstance(localizer, Detector) and not _outlines(localizer):
        raise BadPlan(_unfit(name, profile, "finds boxes, not outlines"))
    classes = model.labels if model is not None else tuple(sorted(localizer.labels))
    labels = labels_of(classes, profile)
    network = use.name if model is None else model.family
    colours = voc_palette(len(labels.listed) if profile.kind == "segmentation" else MOST_CLASSES)
    return LoadedModel(name, hash_, labels, localizer, _config(profile, labels, network), colours)


def _check_family(name: str, model: registry.Model, profile: ApiVariant) -> None:
    """Raise `BadPlan` for a model whose kind shows without making it: one of maps has no boxes of objects."""
    kind = family(model.family).localizer
    if profile.kind == "detection" and kind == "segment":
        raise BadPlan(_unfit(name, profile, "says of each pixel what it is, and finds no objects"))


def _unfit(name: str, profile: ApiVariant, why: str) -> str:
    other = "openvino-segmentation or gluoncv" if profile.kind == "detection" else "openvino-detection, yolo or others"
    return f"model {name} {why}, and cannot be served as {profile.name}; serve it with the profile {other}"


def _outlines(detector: Detector) -> bool:
    """Tell whether a detector finds outlines: only a look at a picture shows it."""
    blank = Frame.of(Plane(np.zeros((64, 64, 3), np.uint8), Role.RGB))
    try:
        return detector.finder.find(blank).masks is not None
    except ValueError as error:
        raise PluginFault(f"a model cannot be used, its network gives what its family does not: {error}") from error


def _config(profile: ApiVariant, labels: Labels, network: str) -> Mapping[str, Any]:
    if profile.kind == "detection":
        return wire.detection_config(profile.framework, network)
    if profile.name == "gluoncv":
        return wire.semantic_config(labels.listed, network)
    return wire.instance_config(labels.listed)


def _as_the_folder_says(served: LoadedModel, folder: Path, profile: ApiVariant) -> LoadedModel:
    """Return the model with the config and, for class maps, the palette and background of its folder."""
    if profile.kind == "detection":
        said = ConfigObject.read(folder / "config.json").values if (folder / "config.json").is_file() else {}
        return replace(served, config={key: said.get(key, value) for key, value in served.config.items()})
    file = folder / "configuration.json"
    if profile.name != "openvino-segmentation" or not file.is_file():
        return served
    config = ConfigObject.read(file)
    labels = wire.classes_in(config.values)
    if len(labels) == len(served.labels.listed):
        served = replace(served, labels=replace(served.labels, listed=labels))
    palette = _palette(folder / "palette.txt", len(labels))
    return replace(served, config=config.values, palette=palette or served.palette)


def _palette(file: Path, colours: int) -> tuple[int, ...]:
    """Return the palette in a file, a number a line; none when it is missing or has no colour for some class."""
    if not file.is_file():
        return ()
    words = read_text(file).split()
    if not all(word.isdecimal() and int(word) < 256 for word in words):
        raise BadInput(f"{file} is not a palette; it must have a number from 0 to 255 in each line")
    values = tuple(map(int, words))[: 3 * MOST_CLASSES]
    return values if len(values) >= 3 * colours and len(values) % 3 == 0 else ()
