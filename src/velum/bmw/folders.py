"""The model folders of the BMW inference APIs, each as the offer of a model.

    OpenVINO detection      config.json         one .xml with its .bin    classes.txt
    OpenVINO segmentation   configuration.json  one .xml with its .bin
    TensorFlow 1            config.json         frozen_inference_graph.pb  object-detection.pbtxt
    TensorFlow 2            config.json         saved_model.pb, variables/ object-detection.pbtxt
    YOLO, darknet           config.json         .cfg and .weights         .names
   GluonCV                 configuration.json  .params                   refused, with the way to convert

Thresholds, sizes and scaling are those of the config. Channels come in the order that the network was made for, not in
the one that some of the services fed by mistake; `reproduce` brings the mistake back, for equal results.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from velum.bmw.config import ConfigObject
from velum.bmw.pbtxt import read_label_map
from velum.errors import BadInput
from velum.locate.catalog_toml import NAME
from velum.locate.import_model import (
    LEAST_THRESHOLD,
    ImportedModel,
    ImportOptions,
    identify_model,
    labels_from,
    model_name,
)
from velum.locate.runtime import darknet

SEGMENTATION_THRESHOLD = 0.5
"""Score from which the segmentation service counted an instance; its config has none."""

PLAIN = {"mean": (0.0, 0.0, 0.0), "scale": (1.0, 1.0, 1.0)}
"""What the services feed, whatever the network: values from 0 to 255."""

_MARKS = ("config.json", "configuration.json")


@dataclass(frozen=True, slots=True)
class ModelFolderOptions:
    """How a folder is to be read: what the user says, where converted files may lie, and whose channel order."""

    wish: ImportOptions
    room: Path
    reproduce: bool = False

    def offer(self, path: Path, folder: Path, read: ImportOptions) -> ImportedModel:
        """Return the offer of a folder whose config says `read`; what the user says wins."""
        said = self.wish
        merged = replace(
            read,
            name=said.name or _called(folder),
            labels=said.labels or read.labels,
            family=said.family or read.family,
            threshold=read.threshold if said.threshold is None else said.threshold,
            licence=said.licence,
            input=dict(read.input) | dict(said.input),
        )
        return identify_model(path, merged, origin=f"model folder {folder.name}")


def is_model_folder(folder: Path) -> bool:
    """Tell whether a folder is one of these, whole or not."""
    return any((folder / mark).is_file() for mark in _MARKS)


def model_folders(folder: Path) -> tuple[Path, ...]:
    """Return the model folders at `folder`: itself, or those in it, by name; none when there are none."""
    if is_model_folder(folder):
        return (folder,)
    return tuple(sorted(one for one in folder.iterdir() if one.is_dir() and is_model_folder(one)))


def read(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    """Return what a model folder offers. Raises `BadInput` naming the file that is missing or wrong."""
    if _all(folder, ".params"):
        raise BadInput(_gluon(folder))
    if (folder / "configuration.json").is_file():
        return _instances(folder, reading)
    if (folder / "frozen_inference_graph.pb").is_file() or (folder / "saved_model.pb").is_file():
        return _tensorflow(folder, reading)
    if _all(folder, ".cfg") or _all(folder, ".weights"):
        return _darknet(folder, reading)
    if _all(folder, ".xml") or _all(folder, ".bin"):
        return _openvino(folder, reading)
    engine = ConfigObject.read(folder / "config.json").text("inference_engine_name", "")
    raise BadInput(
        f"{folder} holds no network{f' for {engine}' if engine else ''}; next to config.json there must be .xml and "
        ".bin, frozen_inference_graph.pb, saved_model.pb with variables/, or .cfg and .weights"
    )


def _openvino(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "config.json")
    # The service fed RGB to every network, whatever it was converted for.
    order = {"order": "rgb"} if reading.reproduce else {}
    wish = ImportOptions(
        labels=labels_from(_needed(folder, "classes.txt")),
        threshold=_percent(config),
        input={"fit": "stretch", **PLAIN, **order},
    )
    return reading.offer(_only(folder, ".xml"), folder, wish)


def _instances(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "configuration.json")
    labels = config.texts("classesname")
    # The service read the names alone, and the sample that comes with it names 81 and states 21. Fewer names than
    # classes would leave things without a name, and so unhidden.
    if config.has("classes") and config.whole("classes") > len(labels):
        raise BadInput(f"{config.path} states {config.whole('classes')} classes and names {len(labels)}; name them all")
    # Instances are never of class 0, the background. The service masked with RGB, and drew its overlays with BGR.
    order = {"order": "rgb"} if reading.reproduce else {}
    wish = ImportOptions(
        labels=("", *labels[1:]),
        threshold=SEGMENTATION_THRESHOLD,
        input={"fit": "letterbox", **PLAIN, **order},
    )
    return reading.offer(_only(folder, ".xml"), folder, wish)


def _tensorflow(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "config.json")
    labels = read_label_map(_needed(folder, "object-detection.pbtxt"))
    frozen = folder / "frozen_inference_graph.pb"
    path = frozen if frozen.is_file() else folder / "saved_model.pb"
    wish = ImportOptions(labels=labels, threshold=_percent(config), input={"order": "rgb", **PLAIN, **_resizer(folder)})
    return reading.offer(path, folder, wish)


def _darknet(folder: Path, reading: ModelFolderOptions) -> ImportedModel:
    config = ConfigObject.read(folder / "config.json")
    target = reading.room / f"{model_name(folder.name, stated=False)}.xml"
    image = config.table("image")
    size = (image.whole("width"), image.whole("height")) if image else None
    cfg, weights = _only(folder, ".cfg"), _only(folder, ".weights")
    labels = labels_from(_only(folder, ".names"))
    size_wh = darknet.convert(cfg, weights, target, size)
    wish = ImportOptions(
        labels=labels,
        family="darknet",
        threshold=_fraction(config) if config.has("detection_threshold") else _percent(config),
        input={"size_wh": size_wh, "fit": "stretch", **_blob(image, reproduce=reading.reproduce)},
    )
    return reading.offer(target, folder, wish)


def _blob(image: ConfigObject | None, *, reproduce: bool) -> Mapping[str, Any]:
    """Return how a picture is scaled: as the config says for OpenCV, by 255 as darknet itself does.

    `swapRB` turned pictures that were RGB already into BGR, which networks of darknet are not made for.
    """
    if image is None:
        return {"order": "rgb", "scale": (1 / 255,) * 3}
    mean = image.table("mean")
    return {
        "order": "bgr" if reproduce and image.yes("swapRB") else "rgb",
        "scale": (image.number("scale", 1 / 255, above=0),) * 3,
        "mean": tuple(mean.number(one, 0.0) for one in "RGB") if mean else (0.0, 0.0, 0.0),
    }


def _resizer(folder: Path) -> Mapping[str, Any]:
    """Return the size that the graph scales every picture to, where the training's config says that it has one."""
    file = folder / "pipeline.config"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    fixed = re.search(r"fixed_shape_resizer\s*:?\s*\{([^}]*)\}", text)
    sides = {side: re.search(rf"\b{side}\s*:\s*(\d+)", fixed[1]) for side in ("width", "height")} if fixed else {}
    if not sides or not all(sides.values()):
        return {}
    width, height = (int(match[1]) for match in sides.values() if match)
    return {"size_wh": (width, height), "fit": "stretch"}


def _called(folder: Path) -> str:
    """Return the folder's name, which is what clients call the model, with what no model can be called replaced."""
    return folder.name if NAME.fullmatch(folder.name) else model_name(folder.name, stated=False)


def _percent(config: ConfigObject) -> float:
    return max(LEAST_THRESHOLD, config.number("confidence", None, at_most=100) / 100)


def _fraction(config: ConfigObject) -> float:
    return max(LEAST_THRESHOLD, config.number("detection_threshold", None, at_most=1))


def _gluon(folder: Path) -> str:
    return (
        f"{folder} is a GluonCV network, which nothing but MXNet reads, and MXNet is no longer maintained. Convert it "
        "once where GluonCV and MXNet 1.9 are installed: make the network of the configuration with "
        "gluoncv.model_zoo.get_segmentation_model, load_parameters, hybridize, export, then mxnet.onnx.export_model; "
        "and add the result with 'velum models add model.onnx --family semantic --labels ...' and what "
        "GluonCV's networks want to see, --mean 123.675,116.28,103.53 --scale 58.395,57.12,57.375 "
        "(the same as --normalise imagenet)"
    )


def _all(folder: Path, suffix: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix and path.is_file())


def _only(folder: Path, suffix: str) -> Path:
    found = _all(folder, suffix)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise BadInput(f"{folder} must have one {suffix} file; it has {names}")
    return found[0]


def _needed(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise BadInput(f"{folder} has no {name}, which names what its network finds")
    return folder / name
