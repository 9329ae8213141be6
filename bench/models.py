"""What each model at hand finds by the smallest side that it looks for, and its time, on labelled pictures.

    python -m bench.models --models ../shared/models --media ../shared/media

Every model is added to a throw-away store as a user would, and looks at about ten pictures of what it finds, reduced to
0.6 megapixels, with each `min_side` of `SIDES`. An object counts as found when a box of its label overlaps it at IoU
0.3 (faces, plates) or 0.5, or, for outlines, when half of its box is covered. Time is that of one inference at the
input size named, with one thread and with two, taking turns.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.accuracy import boxes_of, match_boxes, read_rgb
from velum.engine.part_cache import PartCache
from velum.errors import BadPlan, VelumError
from velum.frame import Frame, Plane, Role
from velum.locate import registry, user_models
from velum.locate.import_model import ImportOptions, identify_model
from velum.locate.labels import covers
from velum.locate.output_formats import family
from velum.locate.runtime import open_network
from velum.locate.weights import fetch, known_files
from velum.plugins import RuntimeConfig
from velum.region import ious
from velum.spec import PartSpec

COCO = tuple(label for label in registry.find("nanodet").labels)
VOC = (
    "", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
UNIT = {"mean": (0.0,) * 3, "scale": (1 / 255,) * 3}
HALF = {"mean": (127.5,) * 3, "scale": (1 / 127.5,) * 3}
WISHES: dict[str, dict[str, Any]] = {
    "aizoo_face_mask/face_mask_detection.tflite": {"labels": ("face", "face")},
    "deeplab_v3_voc/deeplab_v3_1_default_1.onnx": {"labels": VOC, "input": {**HALF, "fit": "stretch"}},
    "face-detection-adas-0001/face-detection-adas-0001.xml": {"labels": ("", "face"), "input": {"size_wh": None}},
    "face-detection-retail-0004/face-detection-retail-0004.xml": {"labels": ("", "face"), "input": {"size_wh": None}},
    "fastestdet/FastestDet.onnx": {"labels": COCO, "threshold": 0.5},
    "light_person/light_person.onnx": {"labels": ("person",), "family": "yolox"},
    "lpd_yunet/license_plate_detection_lpd_yunet_2022may.onnx": {
        "labels": ("license_plate",), "input": {"size_wh": None},
    },
    "nanodet_m/nanodet_m_416.onnx": {"labels": COCO},
    "person-detection-0201/person-detection-0201.xml": {"labels": ("person",)},
    "selfie_segmentation/selfie_segmentation.onnx": {"labels": ("person",), "input": {**UNIT, "fit": "stretch"}},
    "ultra_light_face/version-RFB-320.onnx": {"labels": ("", "face"), "threshold": 0.5},
    "ultra_light_face/version-RFB-640.onnx": {"labels": ("", "face"), "threshold": 0.5},
    "ultra_light_face/version-slim-320.onnx": {"labels": ("", "face"), "threshold": 0.5},
    "vehicle-detection-0201/vehicle-detection-0201.xml": {"labels": ("vehicle",)},
    "vehicle-license-plate-detection-barrier-0106/vehicle-license-plate-detection-barrier-0106.xml": {
        "labels": ("", "vehicle", "license_plate"), "threshold": 0.15,
    },
    "yolox_nano/yolox_nano_416x416.onnx": {"labels": COCO, "family": "yolox"},
    "yunet/face_detection_yunet_2023mar.onnx": {"labels": ("face",), "input": {"size_wh": None}},
    "yunet/yunet_n_dynamic.onnx": {"labels": ("face",)},
}  # fmt: skip
SIDES = (64, 32, 16, 8)
"""Smallest objects looked for, in pixels. Each half of the one before: the closer look has all inputs of the other."""
MOST_PIXELS, PICTURES = 600_000, 10
ASKED = ("face", "license_plate", "person", "vehicle", "text")
LOOSE = {"face", "license_plate"}


@dataclass(frozen=True)
class LabelledPicture:
    frame: Frame
    objects: list[dict[str, Any]]
    exhaustive: frozenset[str]


@dataclass
class Score:
    found: int = 0
    objects: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--media", type=Path, required=True)
    chosen = parser.parse_args()
    pictures = list(labelled_pictures(chosen.media))
    heads = " | ".join(f"from {side} px" for side in SIDES)
    print(f"| model | label | objects | {heads} | input | ms, 1 thread | ms, 2 threads |\n" + "|---" * 10 + "|")
    with TemporaryDirectory() as name:
        host = RuntimeConfig(models=Path(name))
        for path in (None, *map(Path, WISHES)):
            try:
                model = (
                    registry.find("centerface") if path is None else add_model(chosen.models / path, str(path), host)
                )
                print_scores(model, PartCache(host), pictures, host)
            except VelumError as error:
                print(f"| {path} | {error} |")


def add_model(path: Path, name: str, host: RuntimeConfig) -> registry.Model:
    """Add a model under a name of its own, with the sizes that the catalogue states where it has the same file."""
    short = name.partition("/")[0].replace("_", "-")
    wish = ImportOptions(name=f"{short}-{len(registry.added_models(host))}", **WISHES[name])
    known = known_files.model_of_file(path)
    sizes = known.sizes if isinstance(known, registry.Model) else ()
    return user_models.put(replace(identify_model(path, wish), sizes=sizes), host)


def labelled_pictures(media: Path) -> Iterator[LabelledPicture]:
    truth = json.loads((media / "ground_truth.json").read_text(encoding="utf-8"))
    for name, entry in sorted(truth.items()):
        if name.split("/")[0] not in {"faces", "street", "plates", "text"} or not entry["width"]:
            continue
        try:
            rgb = read_rgb(media / name)
        except UnidentifiedImageError:
            continue
        yield LabelledPicture(
            Frame.of(Plane(rgb, Role.RGB)), entry.get("objects", []), frozenset(entry.get("exhaustive", []))
        )


def scaled_down(picture: LabelledPicture) -> LabelledPicture:
    pixels = picture.frame.planes[0].pixels
    scale = min(1.0, (MOST_PIXELS / (pixels.shape[0] * pixels.shape[1])) ** 0.5)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    objects = [{**found, "bbox": [edge * scale for edge in found["bbox"]]} for found in picture.objects]
    return replace(picture, frame=Frame.of(Plane(np.ascontiguousarray(small, np.uint8), Role.RGB)), objects=objects)


def pictures_of(label: str, pictures: list[LabelledPicture], count: int) -> list[LabelledPicture]:
    """Return about so many pictures that have a label, reduced."""
    having = [picture for picture in pictures if any(covers(label, thing["label"]) for thing in picture.objects)]
    return [scaled_down(picture) for picture in having[:: max(1, len(having) // count)]]


def scores_by_side(
    sides: Sequence[float], parts: PartCache, name: str, label: str, pictures: list[LabelledPicture]
) -> dict[float, Score]:
    """Return what a model finds in pictures, by the smallest side that it looks for, without sides that it cannot."""
    scores: dict[float, Score] = {}
    for side in sides:
        try:
            localizer = parts.localizer(PartSpec(name, {"min_side": side}))
        except BadPlan:  # smaller than this network can be made to see
            continue
        scores[side] = Score()
        for picture in pictures:
            add_to_score(scores[side], label, localizer.locate([picture.frame])[0], picture)
    return scores


def print_scores(model: registry.Model, parts: PartCache, pictures: list[LabelledPicture], host: RuntimeConfig) -> None:
    size, one, two = inference_times(model, host)
    for label in ASKED:
        if any(covers(label, known) for known in model.labels if known):
            scores = scores_by_side(SIDES, parts, model.name, label, pictures_of(label, pictures, PICTURES))
            cells = " | ".join(str(scores[side].found) if side in scores else "-" for side in SIDES)
            objects = next(iter(scores.values())).objects
            print(f"| {model.name} | {label} | {objects} | {cells} | {size} | {one:.1f} | {two:.1f} |", flush=True)


def add_to_score(score: Score, label: str, regions: list[Any], picture: LabelledPicture) -> None:
    mine = [one for one in picture.objects if covers(label, one["label"])]
    wanted = boxes_of([one["bbox"] for one in mine if not one.get("ignore") and not one.get("region")])
    ignored = boxes_of([one["bbox"] for one in mine if one.get("ignore") or one.get("region")])
    found = [region for region in regions if covers(label, region.label)]
    score.objects += len(wanted)
    if label == "text" or any(region.mask is not None for region in found):
        hidden = np.zeros((picture.frame.height, picture.frame.width), bool)
        for region in found:
            hidden[region.box.slices] |= True if region.mask is None else region.mask
        for x0, y0, x1, y1 in np.round(wanted).astype(int):
            score.found += int(hidden[max(0, y0) : y1, max(0, x0) : x1].mean() >= 0.5)
        return
    boxes = boxes_of([region.box.xyxy for region in found])
    overlap = ious(boxes, np.concatenate((wanted, ignored)))
    overlap[:, : len(wanted)][overlap[:, : len(wanted)] < (0.3 if label in LOOSE else 0.5)] = 0
    match = match_boxes(overlap, len(wanted))
    score.found += len(match)


def inference_times(model: registry.Model, host: RuntimeConfig) -> tuple[str, float, float]:
    """Return the input size and the medians of one inference with one thread and with two."""
    form = replace(family(model.family).input, **model.input)
    width, height = form.size_wh or (640, 384)
    picture = np.asarray(Image.new("RGB", (width, height), (90, 120, 150)))
    networks = [open_network(fetch.ensure_local(model, host), form, replace(host, threads=n)) for n in (1, 2)]
    spent: tuple[list[float], list[float]] = ([], [])
    for count in range(12):
        for network, times in zip(networks, spent, strict=True):
            start = time.perf_counter()
            network.infer(picture)
            if count > 1:
                times.append((time.perf_counter() - start) * 1000)
    return f"{width}x{height}", statistics.median(spent[0]), statistics.median(spent[1])


if __name__ == "__main__":
    main()
