"""Real weights on real photographs: two runtimes decode alike, objects are found, and families recognised."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from PIL import Image
from tests.rows import but_for, exhaustive

from velum.locate.import_model import READABLE
from velum.locate.output_formats import Detections, Family, Input, Tensors, family, names
from velum.locate.runtime.inspect_model import signature
from velum.locate.tiling import suppress

pytestmark = pytest.mark.real

COCO = {0: "person", 1: "vehicle", 2: "vehicle", 3: "vehicle", 5: "vehicle", 6: "vehicle", 7: "vehicle"}
VEHICLES = {"bicycle", "car", "motorcycle", "bus", "train", "truck"}
STREET = ("street/avenue_bus_taxi.jpg", "street/bicycle_two_riders.jpg")
FACES = ("faces/five_night.jpg", "faces/group_19_indoor.jpg")
PLATES = ("plates/openalpr/us_car22.jpg", "plates/openalpr/br_OLB4809.jpg", "plates/openalpr/eu_test_026.jpg")


@dataclass(frozen=True)
class Case:
    """Weights, how they are used, and how many of the labelled objects of some pictures they are known to find."""

    file: str
    family: str
    labels: Mapping[int, str]
    pictures: tuple[str, ...]
    found: int
    form: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = 0.3

    @property
    def kind(self) -> Family:
        return family(self.family)

    @property
    def input(self) -> Input:
        return replace(self.kind.input, **self.form)


FACE, PERSON, VEHICLE, PLATE = {1: "face"}, {0: "person"}, {0: "vehicle"}, {0: "license_plate"}
SMALL, LARGE = {"size_wh": (320, 240)}, {"size_wh": (640, 480)}
YOLO = {"size_wh": (416, 416)}
CASES = [
    Case("aizoo_face_mask/face_mask_detection.pb", "aizoo_face_mask", {0: "face", 1: "face"}, FACES, 23),
    Case("aizoo_face_mask/face_mask_detection.tflite", "aizoo_face_mask", {0: "face", 1: "face"}, FACES, 23),
    Case("face-detection-adas-0001/face-detection-adas-0001.xml", "ssd", FACE, FACES, 23, {"size_wh": (672, 384)}),
    Case("face-detection-adas-0001/face-detection-adas-0001.xml", "ssd", FACE, FACES, 23, {"size_wh": (1024, 768)}),
    Case("face-detection-retail-0004/face-detection-retail-0004.xml", "ssd", FACE, FACES, 23, {"size_wh": (300, 300)}),
    Case("fastestdet/FastestDet.onnx", "fastestdet", COCO, STREET, 15, threshold=0.5),
    Case("light_person/light_person.onnx", "yolox", PERSON, STREET, 6, {"size_wh": (192, 192)}),
    Case("lpd_yunet/license_plate_detection_lpd_yunet_2022may.onnx", "lpd_yunet", PLATE, PLATES, 2, SMALL),
    Case("nanodet_m/nanodet_m_416.onnx", "nanodet", COCO, STREET, 22),
    Case("person-detection-0201/person-detection-0201.xml", "ssd", PERSON, STREET, 8, {"size_wh": (384, 384)}),
    Case("ultra_light_face/version-RFB-320.onnx", "ultra_light_face", FACE, FACES, 23, SMALL),
    Case("ultra_light_face/version-slim-320.onnx", "ultra_light_face", FACE, FACES, 23, SMALL),
    Case("ultra_light_face/version-RFB-320_without_postprocessing.onnx", "ultra_light_face", FACE, FACES, 23, SMALL),
    Case("ultra_light_face/version-RFB-640.onnx", "ultra_light_face", FACE, FACES, 23, LARGE),
    Case("ultra_light_face/RFB-640-masked_face-v2.onnx", "ultra_light_face", FACE | {2: "face"}, FACES, 23, LARGE),
    Case("vehicle-detection-0201/vehicle-detection-0201.xml", "ssd", VEHICLE, STREET, 12, {"size_wh": (384, 384)}),
    Case("yolox_nano/yolox_nano_416x416.onnx", "yolox", COCO, STREET, 21, YOLO),
    Case("yolox_nano/yolox_nano_layout_v5_1x3549x85.onnx", "yolo", COCO, STREET, 21, YOLO),
    Case("yolox_nano/yolox_nano_layout_v8_1x84x3549.onnx", "yolo", COCO, STREET, 21, YOLO),
    Case("yolox_nano/yolox_nano_layout_e2e_1x300x6.onnx", "yolo", COCO, STREET, 21, YOLO),
    # At the threshold of the catalogue. The network is quantized, so a change of one grey value, or of the CPU's
    # instructions, moves its scores by hundredths: the second plate has 0.19, on other CPUs 0.2.
    Case(
        "vehicle-license-plate-detection-barrier-0106/vehicle-license-plate-detection-barrier-0106.xml",
        "ssd", {1: "vehicle", 2: "license_plate"}, PLATES, 2, {"layout": "nhwc", "size_wh": (300, 300)}, 0.15,
    ),
]  # fmt: skip


EACH = list({case.family: case for case in CASES}.values())
"""One network of each family."""


def title(case: Case) -> str:
    return f"{Path(case.file).stem}-{case.input.size_wh}"


@cache
def photo(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def view(rgb: np.ndarray, form: Input) -> tuple[np.ndarray, np.ndarray]:
    """Return what the network sees (height, width, 3), and its pixels per pixel of the picture, across and down."""
    assert form.size_wh is not None
    width, height = form.size_wh
    scales = np.array([width / rgb.shape[1], height / rgb.shape[0]])
    if form.fit == "letterbox":
        scales[:] = scales.min()
    across, down = np.rint(scales * rgb.shape[1::-1]).astype(int).tolist()
    seen = np.full((height, width, 3), form.pad, np.uint8)
    seen[:down, :across] = cv2.resize(rgb, (across, down), interpolation=cv2.INTER_AREA)
    return seen, np.array([across / rgb.shape[1], down / rgb.shape[0]])


def tensor(seen: np.ndarray, form: Input) -> np.ndarray:
    values = (seen.astype(np.float32) - np.array(form.mean, np.float32)) * np.array(form.scale, np.float32)
    values = values[..., ::-1] if form.order == "bgr" else values
    return np.ascontiguousarray(values.transpose(2, 0, 1) if form.layout == "nchw" else values)[None]


def without_batch(outputs: dict[str, np.ndarray]) -> Tensors:
    return {name: values[0] if values.shape[0] == 1 else values for name, values in outputs.items()}


@cache
def compiled(path: Path, shape: tuple[int, ...] | None) -> tuple[list[str], Any]:
    """Return the names of the outputs, and the network for inputs of that shape, or of any size."""
    model = ov.Core().read_model(path)
    model.reshape([1, 3, -1, -1] if shape is None else list(shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return [one.get_any_name() for one in model.outputs], ov.Core().compile_model(model, "CPU", settings)


def openvino(path: Path, values: np.ndarray, *, any_size: bool = False) -> Tensors:
    outputs, network = compiled(path, None if any_size else values.shape)
    return without_batch(dict(zip(outputs, map(np.array, network(values).values()), strict=True)))


def onnxruntime(path: Path, values: np.ndarray) -> Tensors:
    library = pytest.importorskip("onnxruntime")
    options = library.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1  # old exports give a warning for each weight
    session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [one.name for one in session.get_outputs()]
    return without_batch(dict(zip(outputs, session.run(None, {session.get_inputs()[0].name: values}), strict=True)))


def best(found: Detections, kind: Family) -> Detections:
    return found.take(suppress(found, np.zeros(len(found), bool), kind.nms_iou or 0.5))


def iou(one: list[float], many: np.ndarray) -> np.ndarray:
    sides = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(many[:, 2:] - many[:, :2], axis=1) + (one[2] - one[0]) * (one[3] - one[1])
    return np.asarray(shared / (areas - shared))


@pytest.mark.parametrize("case", but_for(CASES, EACH[::4]), ids=title)
def test_objects_of_the_photographs_are_found(case: Case, shared: Path) -> None:
    truth = json.loads((shared / "media" / "ground_truth.json").read_text())
    count = 0
    for name in case.pictures:
        seen, scale = view(photo(shared / "media" / name), case.input)
        outputs = openvino(shared / "models" / case.file, tensor(seen, case.input))
        found = best(case.kind.decode(outputs, seen.shape[1::-1], case.threshold), case.kind)
        labels = np.array([case.labels.get(int(kind), "") for kind in found.kind])
        for thing in truth[name]["objects"]:
            label = "vehicle" if thing["label"] in VEHICLES else thing["label"]
            hit = (iou(thing["bbox"], found.xyxy / np.tile(scale, 2)) >= 0.4) & (labels == label)
            count += bool(hit.any()) and not thing.get("ignore", False)
    assert count >= case.found


ONNX = [case for case in CASES if case.file.endswith(".onnx")]


@pytest.mark.parametrize("case", but_for(ONNX, [case for case in EACH if case in ONNX][::3]), ids=title)
def test_boxes_agree_with_those_of_another_runtime(case: Case, shared: Path) -> None:
    path, count = shared / "models" / case.file, 0
    for name in case.pictures:
        seen, _ = view(photo(shared / "media" / name), case.input)
        values = tensor(seen, case.input)
        one, two = (run(path, values) for run in (openvino, onnxruntime))
        for ours, theirs in ((one, two), (two, one)):
            # A score at the threshold may be on either side of it.
            found = case.kind.decode(ours, seen.shape[1::-1], case.threshold)
            others = case.kind.decode(theirs, seen.shape[1::-1], case.threshold - 0.01)
            count += len(found)
            if not len(found):
                continue
            distance = np.abs(found.xyxy[:, None] - others.xyxy[None]).max(axis=2)
            distance[found.kind[:, None] != others.kind[None]] = np.inf
            assert distance.min(axis=1).max() <= 1
            assert np.abs(found.score - others.score[distance.argmin(axis=1)]).max() <= 0.01
    assert count


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lpd_yunet/license_plate_detection_lpd_yunet_2022may.onnx", "lpd_yunet"),
        ("ultra_light_face/version-RFB-320_without_postprocessing.onnx", "ultra_light_face"),
        *exhaustive([("yolox_nano/yolox_nano_416x416.onnx", "yolox"), ("light_person/light_person.onnx", "yolox")]),
    ],
)
def test_networks_of_any_input_size_give_the_expected_number_of_cells(shared: Path, file: str, name: str) -> None:
    for width, height in ((64, 64), (96, 160), (352, 224), (640, 480)):
        blank = np.zeros((1, 3, height, width), np.float32)
        outputs = openvino(shared / "models" / file, blank, any_size=True)
        family(name).decode(outputs, (width, height), 0.5)  # an unexpected number is a ValueError


RIGHT = {case.file: case.family for case in CASES}


def test_every_model_is_recognised(shared: Path) -> None:
    """As one of at most two; what is not of a detection family is none of those here."""
    wrong = {}
    for path in sorted((shared / "models").glob("*/*.*")):
        if path.suffix not in READABLE:
            continue
        file = str(path.relative_to(shared / "models"))
        seen = signature(path)
        claimed = {name for name in names() if family(name).recognise(seen)}
        right = RIGHT.get(file)
        others = claimed & set(RIGHT.values()) if right is None else claimed - {right}
        if len(claimed) > 2 or (right is None and others) or (right is not None and right not in claimed):
            wrong[file] = sorted(claimed)
    assert not wrong
