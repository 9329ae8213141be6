"""Wire format of the BMW inference APIs, which velum calls and imitates: paths, bodies and texts, byte for byte.

No other file has them.
"""

import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from velum.bmw.wire import DETECTION, SEGMENTATION, dumps
from velum.errors import BadInput

T = TypeVar("T")

INPUT = "input_data"
"""Form field and file name of the image."""


@dataclass(frozen=True, slots=True)
class ApiDetection:
    """One detection of an inference API: `ltrb` are left, top, right, bottom in pixels, `percent` is 0 to 100."""

    label: str
    number: int
    percent: float
    ltrb: tuple[float, float, float, float]


MODELS, LOAD, LABELS, CONFIG, PALETTE = "models", "load", "labels", "config", "palette"
PREDICT, INFERENCE = "predict", "inference"
"""Last segments of paths: requests to the server, about a model, and of a model with an image."""

_EXCERPT = reprlib.Repr()
_EXCERPT.maxstring = _EXCERPT.maxother = 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A parsed response: `data` without its envelope, or `error` with the reason, else ""."""

    data: Any = None
    error: str = ""

    @property
    def is_unloaded(self) -> bool:
        """Whether the response is that of a server that has not loaded its models yet."""
        return self.data is None and (not self.error or MODEL_NOT_FOUND in self.error)


def parse_response(status: int, body: bytes) -> ApiResponse:
    """Parse a response. An object with `data` or `success` is an envelope; its `success` counts where it has one.

    The original looks at neither status nor `success`. Here the status must be 200 to 299.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ApiResponse(error=f"status {status} and no JSON but {excerpt(body)}")
    if isinstance(value, dict) and value.keys() & {"data", "success"}:
        failed = str(value.get("success", not value.get("error"))).casefold() in {"false", "0"}
        if failed or (value.get("data") is None and value.get("error")):
            return ApiResponse(error=f"status {status} and the error {excerpt(value.get('error'))}")
        value = value.get("data")
    return ApiResponse(value) if is_success(status) else ApiResponse(error=f"status {status} and {excerpt(body)}")


def is_success(status: int) -> bool:
    """Tell whether an HTTP status is one of success, 200 to 299."""
    return 200 <= status < 300


def excerpt(value: Any) -> str:
    """Return the start of a response's body or value, for an error message."""
    # Not repr(): it fails on values as deeply nested as the parser accepts.
    return _EXCERPT.repr(value[:1000].decode(errors="replace") if isinstance(value, bytes) else value)


def read_models(data: Any) -> dict[str, str]:
    """Return model name -> hash or "". Raises `BadInput` for anything but names."""
    listed = data.get("models") if isinstance(data, dict) else data
    if not isinstance(listed, list | dict) or not all(map(_is_text, listed)):
        raise BadInput(f"there is no list of model names in {excerpt(data)}")
    hashes = listed if isinstance(listed, dict) else {}
    hash_by_name = {name: hashes.get(name) for name in listed}
    return {
        name: hash_ if isinstance(hash_, str) and _UUID.fullmatch(hash_) else "" for name, hash_ in hash_by_name.items()
    }


def read_labels(data: Any) -> tuple[str, ...]:
    """Return the labels as they are, empty ones too. Raises `BadInput` for anything but a list of strings."""
    if not isinstance(data, list) or not all(isinstance(label, str) for label in data):
        raise BadInput(f"there is no list of labels in {excerpt(data)}")
    return tuple(data)


def read_type(data: Any) -> str:
    """Return the type that a model's configuration states. Raises `BadInput` without one."""
    stated = data.get("type") if isinstance(data, dict) else None
    if not isinstance(stated, str):
        raise BadInput(f"there is no type in {excerpt(data)}")
    return stated


def kind_of(stated: str) -> str:
    """Return the kind for a model's type: `DETECTION`, `SEGMENTATION`, or the type itself."""
    folded = stated.casefold()
    if SEGMENTATION in folded or folded == "semantic":  # written by one training tool
        return SEGMENTATION
    return folded


def read_palette(data: Any) -> tuple[int, ...]:
    """Return red, green, blue of each class in one row. Raises `BadInput` for anything but a list of bytes."""
    if (
        not isinstance(data, list)
        or len(data) % 3
        or not all(type(value) is int and 0 <= value <= 255 for value in data)
    ):
        raise BadInput(f"there is no palette, three numbers from 0 to 255 for each class, in {excerpt(data)}")
    return tuple(data)


def read_detections(data: Any) -> tuple[ApiDetection, ...]:
    """Return all detections. Raises `BadInput` when any is incomplete: leaving it out would show an object."""
    boxes = data.get("bounding-boxes") if isinstance(data, dict) else None
    if not isinstance(boxes, list):
        raise BadInput(f"there is no list of boxes in {excerpt(data)}")
    return tuple(map(_read_detection, boxes))


def _read_detection(box: Any) -> ApiDetection:
    """Return one detection. Its label and edges are required; the rest may be missing, as for the original."""
    try:
        edges = box[EDGES]
        left, top, right, bottom = (_number(edges[edge]) for edge in LTRB)
        return ApiDetection(
            _require_type(box[NAME], str),
            _whole(box.get(NUMBER)),
            _percent(box.get(PERCENT)),
            (left, top, right, bottom),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BadInput(f"box {excerpt(box)} cannot be read: {type(error).__name__} {excerpt(str(error))}") from error


def _percent(value: Any) -> float:
    """Return a confidence, which one variant writes as a string; an unreadable one counts as 100."""
    try:
        return _number(float(value) if isinstance(value, str) else value)
    except (OverflowError, ValueError):
        return 100.0


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{excerpt(value)} is not a finite number")
    return float(value)


def _require_type(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError(f"{excerpt(value)} is not of type {kind.__name__}")
    return value


def _is_text(value: Any) -> bool:
    """Tell whether a value is a string that UTF-8 can encode: JSON can have lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


# --- as served ---

UPLOAD, WHICH = "image", "model"
"""Form fields of the calls without an envelope: the image and the model's name."""

LABEL_HASHES, DETECT, PREDICT_BATCH, PREDICT_IMAGE = "get_labels", "detect", "predict_batch", "predict_image"
OVERLAY, OCR, ONE_SHOT_OCR = "image_segmentation", "ocr", "one_shot_ocr"
"""Last segments of further paths."""

MISNAMED_PNG = "image/jpg"
"""Content type of every PNG but an overlay."""

MODEL_NOT_FOUND = "Model not found"
NAMED_MODEL_NOT_FOUND = "Model not found: Model {model} not found"
NO_TEXT = "Internal Server Error"
"""The whole body of status 500 where a variant has none of its own."""

NOT_AN_IMAGE = "Invalid input data: corrupted image"
NO_SUCH_FACTS = "something went wrong! please check if the model exist"
OCR_NO_MODEL = "Invalid Model"
OCR_FAILED = "Unexpected Error during Inference (Determination of Texts)"
OCR_IMPOSSIBLE = "Inference (Determination of Texts) is not Possible with the Specified Model"

LRTB, LTRB = ("left", "right", "top", "bottom"), ("left", "top", "right", "bottom")
"""Orders in which variants write the edges of a box."""

NAME, NUMBER, PERCENT, EDGES = "ObjectClassName", "ObjectClassId", "confidence", "coordinates"


BoxForm = tuple[tuple[str, ...], tuple[str, ...]]
"""How a variant writes a box: the order of its keys, and of its edges."""

BOX_FORMS: Mapping[str, BoxForm] = {
    "openvino": ((NAME, NUMBER, PERCENT, EDGES), LRTB),
    "yolo": ((NAME, NUMBER, PERCENT, EDGES), LRTB),
    "yolo-gpu": ((NUMBER, NAME, PERCENT, EDGES), LTRB),
    "tensorflow": ((NAME, PERCENT, EDGES, NUMBER), LTRB),
}


def detail(text: str) -> bytes:
    """Return the body of an error without an envelope."""
    return dumps({"detail": text})


def models_body(models: Any) -> dict[str, Any]:
    """Return the object around a list of models: names, or name -> hash."""
    return {"models": models}


def boxes_body(detections: Sequence[ApiDetection], form: BoxForm, filename: str | None = None) -> dict[str, Any]:
    """Return the object with the boxes of an image, and its `filename` where a response has several images."""
    boxes = {"bounding-boxes": [_box(detection, form) for detection in detections]}
    return boxes if filename is None else boxes | {"ImageName": filename}


def _box(detection: ApiDetection, form: BoxForm) -> dict[str, Any]:
    edges = dict(zip(LTRB, detection.ltrb, strict=True))
    values = {
        NAME: detection.label,
        NUMBER: detection.number,
        PERCENT: detection.percent,
        EDGES: {edge: edges[edge] for edge in form[1]},
    }
    return {key: values[key] for key in form[0]}


def segment(detection: ApiDetection, outline: Sequence[int]) -> dict[str, Any]:
    """Return one outline as GluonCV's variant lists it: `outline` is x, y, x, y ...; the confidence is a string."""
    return {
        "class_name": detection.label, NUMBER: detection.number, "bbox": list(detection.ltrb), "segment": list(outline),
        PERCENT: f"{detection.percent / 100:.3f}",
    }  # fmt: skip


def boxes_by_label(detections: Sequence[ApiDetection]) -> dict[str, Any]:
    """Return label -> boxes as the OpenVINO segmentation variant writes them: strings, nested in pairs to the left."""
    boxes: dict[str, Any] = {}
    for detection in detections:
        box = [str(edge) for edge in detection.ltrb]
        boxes[detection.label] = [boxes[detection.label], box] if detection.label in boxes else box
    return boxes


def text_line(text: str, ltrb: Sequence[int], score: float) -> dict[str, Any]:
    """Return the object of one recognized line of text; `score` is from 0 to 1."""
    return {"text": text, "box": list(ltrb), "score": score}


def detection_config(framework: str, network: str, kind: str = DETECTION) -> dict[str, Any]:
    """Return the config of a model as the detection variants write it."""
    return {"framework": framework, "type": kind, "network": network}


def instance_config(labels: Sequence[str]) -> dict[str, Any]:
    """Return the config of a model as the OpenVINO segmentation variant writes it; labels include the background."""
    return {"classes": len(labels), "type": SEGMENTATION, "classesname": list(labels)}


def classes_in(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels in a validated config of the segmentation variants."""
    return tuple(config["classesname"])


def semantic_config(labels: Sequence[str], network: str) -> dict[str, Any]:
    """Return the config of a model as GluonCV's variant writes it; labels include the background."""
    return {
        "type": SEGMENTATION, "nclasses": len(labels), "backbone": network, "model": network,
        "classesname": list(labels),
    }  # fmt: skip
