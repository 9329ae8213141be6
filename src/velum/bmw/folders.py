"""The model folders of the BMW inference APIs, read as models to import.

    OpenVINO detection      config.json         one .xml with its .bin    classes.txt
    OpenVINO segmentation   configuration.json  one .xml with its .bin
    TensorFlow 1            config.json         frozen_inference_graph.pb  object-detection.pbtxt
    TensorFlow 2            config.json         saved_model.pb, variables/ object-detection.pbtxt
    YOLO, darknet           config.json         .cfg and .weights         .names
   GluonCV                 configuration.json  .params                   refused, with how to convert it

Thresholds, sizes and scaling are those of the config. velum feeds channels in the order that the network was trained
with. Some of the services feed another order by mistake; `reproduce` repeats the mistake, for equal results.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from velum.bmw.label_map import read_label_map
from velum.errors import BadInput
from velum.locate.catalog_entry import NAME
from velum.locate.import_model import (
    LEAST_THRESHOLD,
    ImportedModel,
    ImportOptions,
    identify_model,
    labels_from,
    model_name,
    read_text,
)
from velum.locate.runtime import darknet

SEGMENTATION_THRESHOLD = 0.5
"""Score threshold of the segmentation service, whose config has none."""

PLAIN = {"mean": (0.0, 0.0, 0.0), "scale": (1.0, 1.0, 1.0)}
"""Input scaling of all the services: values from 0 to 255."""

_MARKS = ("config.json", "configuration.json")


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """One JSON object; `path` is its file, `where` its name in errors. Unknown keys are ignored."""

    path: Path
    where: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the config in a file. Raises `BadInput` when it is missing or not a JSON object."""
        if not path.is_file():
            raise BadInput(f"{path.parent} has no {path.name}, which describes its network; add that file")
        try:
            values = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path} is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadInput(f"{path} is not a JSON object such as {{...}}")
        return cls(path, str(path), values)

    def has(self, key: str) -> bool:
        """Tell whether the object has a key."""
        return key in self.values

    def number(
        self, key: str, default: float | None, *, above: float | None = None, at_most: float = math.inf
    ) -> float:
        """Return a number from 0 (or above `above`) to `at_most`. Raises `BadInput` for other values or none."""
        value = self.values.get(key, default)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not 0 <= value <= at_most or (above is not None and value <= above):
            raise self._wrong(key, "a number of at least 0" if at_most == math.inf else f"a number from 0 to {at_most}")
        return float(value)

    def integer(self, key: str) -> int:
        """Return an integer above 0. Raises `BadInput` for other values, or without any."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, "a whole number above 0")
        return value

    def boolean(self, key: str) -> bool:
        """Return a boolean, False when it is missing. Raises `BadInput` for other values."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """Return a string, or the default when it is missing. Raises `BadInput` for other values."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings. Raises `BadInput` for other values, an empty list, or without any."""
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
            raise self._wrong(key, "a list of strings")
        return tuple(text.strip() for text in value)

    def table(self, key: str) -> "ConfigObject | None":
        """Return a nested object, None when it is missing. Raises `BadInput` for other values."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return ConfigObject(self.path, f"{key} of {self.where}", value)

    def _wrong(self, key: str, must: str) -> BadInput:
        if key not in self.values:
            return BadInput(f"{self.where} has no {key}; it must be {must}")
        return BadInput(f"{key} of {self.where} is {self.values[key]!r}; it must be {must}")


@dataclass(frozen=True, slots=True)
class ModelFolderOptions:
    """How to read a folder: the user's options `wish`, the folder for `converted` files, and the channel order."""

    wish: ImportOptions
    converted: Path
    reproduce: bool = False

    def offer(self, path: Path, folder: Path, read: ImportOptions) -> ImportedModel:
        """Return the model of a folder with the options `read` from its config; the user's options take precedence."""
        wish = self.wish
        merged = replace(
            read,
            name=wish.name or _model_name(folder),
            labels=wish.labels or read.labels,
            family=wish.family or read.family,
            threshold=read.threshold if wish.threshold is None else wish.threshold,
            licence=wish.licence,
            input=dict(read.input) | dict(wish.input),
        )
        return identify_model(path, merged, origin=f"model folder {folder.name}")


def is_model_folder(folder: Path) -> bool:
    """Tell whether a folder is a model folder, complete or not."""
    return any((folder / mark).is_file() for mark in _MARKS)


def model_folders(folder: Path) -> tuple[Path, ...]:
    """Return `folder` if it is a model folder, else the model folders in it, sorted by name."""
    if is_model_folder(folder):
        return (folder,)
    return tuple(sorted(child for child in folder.iterdir() if child.is_dir() and is_model_folder(child)))


def read(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    """Return the model in a folder. Raises `BadInput` that names the missing or faulty file."""
    if _files_with(folder, ".params"):
        raise BadInput(_gluon(folder))
    if (folder / "configuration.json").is_file():
        return _instances(folder, reading)
    if (folder / "frozen_inference_graph.pb").is_file() or (folder / "saved_model.pb").is_file():
        return _tensorflow(folder, reading)
    if _files_with(folder, ".cfg") or _files_with(folder, ".weights"):
        return _darknet(folder, reading)
    if _files_with(folder, ".xml") or _files_with(folder, ".bin"):
        return _openvino(folder, reading)
    engine = ConfigObject.read(folder / "config.json").text("inference_engine_name", "")
    raise BadInput(
        f"{folder} holds no network{f' for {engine}' if engine else ''}; next to config.json there must be .xml and "
        ".bin, frozen_inference_graph.pb, saved_model.pb with variables/, or .cfg and .weights"
    )


def _openvino(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "config.json")
    # The service fed RGB to every network, also to networks that were converted for BGR.
    order = {"order": "rgb"} if reading.reproduce else {}
    wish = ImportOptions(
        labels=labels_from(_required_file(folder, "classes.txt")),
        threshold=_percent(config),
        input={"fit": "stretch", **PLAIN, **order},
    )
    return reading.offer(_only_file(folder, ".xml"), folder, wish)


def _instances(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "configuration.json")
    labels = config.texts("classesname")
    # The service ignored `classes`; its own sample has 81 names and states 21. Fewer names than classes would leave
    # objects without a label, and so unhidden.
    if config.has("classes") and config.integer("classes") > len(labels):
        raise BadInput(
            f"{config.path} states {config.integer('classes')} classes but has {len(labels)} names; name all classes"
        )
    # Class 0 is the background, never an instance. The service made masks from RGB and overlays from BGR.
    order = {"order": "rgb"} if reading.reproduce else {}
    wish = ImportOptions(
        labels=("", *labels[1:]),
        threshold=SEGMENTATION_THRESHOLD,
        input={"fit": "letterbox", **PLAIN, **order},
    )
    return reading.offer(_only_file(folder, ".xml"), folder, wish)


def _tensorflow(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "config.json")
    labels = read_label_map(_required_file(folder, "object-detection.pbtxt"))
    frozen = folder / "frozen_inference_graph.pb"
    path = frozen if frozen.is_file() else folder / "saved_model.pb"
    wish = ImportOptions(labels=labels, threshold=_percent(config), input={"order": "rgb", **PLAIN, **_resizer(folder)})
    return reading.offer(path, folder, wish)


def _darknet(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "config.json")
    target = reading.converted / f"{model_name(folder.name, stated=False)}.xml"
    image = config.table("image")
    size = (image.integer("width"), image.integer("height")) if image else None
    cfg, weights = _only_file(folder, ".cfg"), _only_file(folder, ".weights")
    labels = labels_from(_only_file(folder, ".names"))
    size_wh = darknet.convert(cfg, weights, target, size)
    wish = ImportOptions(
        labels=labels,
        family="darknet",
        threshold=_fraction(config) if config.has("detection_threshold") else _percent(config),
        input={"size_wh": size_wh, "fit": "stretch", **_blob(image, reproduce=reading.reproduce)},
    )
    return reading.offer(target, folder, wish)


def _blob(image: ConfigObject | None, *, reproduce: bool) -> Mapping[str, Any]:
    """Return the input scaling: that of the config for OpenCV, else by 255 like darknet itself.

    `swapRB` turned RGB images into BGR, which darknet networks are not trained with.
    """
    if image is None:
        return {"order": "rgb", "scale": (1 / 255,) * 3}
    mean = image.table("mean")
    return {
        "order": "bgr" if reproduce and image.boolean("swapRB") else "rgb",
        "scale": (image.number("scale", 1 / 255, above=0),) * 3,
        "mean": tuple(mean.number(channel, 0.0) for channel in "RGB") if mean else (0.0, 0.0, 0.0),
    }


def _resizer(folder: Path) -> Mapping[str, Any]:
    """Return the fixed size to which the graph resizes images, where its training config has one."""
    file = folder / "pipeline.config"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    fixed = re.search(r"fixed_shape_resizer\s*:?\s*\{([^}]*)\}", text)
    sides = {side: re.search(rf"\b{side}\s*:\s*(\d+)", fixed[1]) for side in ("width", "height")} if fixed else {}
    if not sides or not all(sides.values()):
        return {}
    width, height = (int(match[1]) for match in sides.values() if match)
    return {"size_wh": (width, height), "fit": "stretch"}


def _model_name(folder: Path) -> str:
    """Return the folder's name, by which clients know the model, with characters replaced that names cannot have."""
    return folder.name if NAME.fullmatch(folder.name) else model_name(folder.name, stated=False)


def _percent(config: ConfigObject) -> float:
    return max(LEAST_THRESHOLD, config.number("confidence", None, at_most=100) / 100)


def _fraction(config: ConfigObject) -> float:
    return max(LEAST_THRESHOLD, config.number("detection_threshold", None, at_most=1))


def _gluon(folder: Path) -> str:
    return (
        f"{folder} is a GluonCV network, which only MXNet reads, and MXNet is no longer maintained. Convert it "
        "once where GluonCV and MXNet 1.9 are installed: make the network of the configuration with "
        "gluoncv.model_zoo.get_segmentation_model, load_parameters, hybridize, export, then mxnet.onnx.export_model; "
        "and add the result with 'velum models add model.onnx --family semantic --labels ...' and the input scaling of "
        "GluonCV's networks, --mean 123.675,116.28,103.53 --scale 58.395,57.12,57.375 "
        "(the same as --normalise imagenet)"
    )


def _files_with(folder: Path, suffix: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix and path.is_file())


def _only_file(folder: Path, suffix: str) -> Path:
    files = _files_with(folder, suffix)
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise BadInput(f"{folder} must have one {suffix} file; it has {names}")
    return files[0]


def _required_file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise BadInput(f"{folder} has no {name}, which lists the labels of its network; add that file")
    return folder / name
