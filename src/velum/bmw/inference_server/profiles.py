"""The inference APIs that velum can imitate: calls, failures and options of each variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from velum.bmw import inference_wire, wire
from velum.errors import BadPlan


class FailureKind(StrEnum):
    """Kinds of failure that the variants distinguish."""

    NO_MODEL = "an image for a model that does not exist"
    NO_FACTS = "labels, config or palette of a model that does not exist"
    NO_IMAGE = "an upload that is not an image"
    OTHER = "anything else"


class Call(StrEnum):
    """Endpoints that not every variant has."""

    LOAD_ONE = "load one"
    LABEL_HASHES = "hashes of labels"
    PREDICT = "predict"
    PREDICT_BATCH = "predict several"
    PREDICT_IMAGE = "draw"
    DETECT = "predict without envelope"
    PALETTE = "palette"
    MASK = "mask"
    OVERLAY = "overlay"
    INSTANCES = "boxes by label"
    TEXTS = "read text"


@dataclass(frozen=True, slots=True)
class FailureResponse:
    """The response to a failure. `text` may have the placeholder `{model}`."""

    status: int
    text: str
    form: Literal["envelope", "detail", "text"] = "envelope"

    @property
    def kind(self) -> str:
        """Content type of the body."""
        return "text/plain; charset=utf-8" if self.form == "text" else "application/json"

    def body(self, model: str = "") -> bytes:
        """Return the body, with the name of the model."""
        text = self.text.replace("{model}", model)
        if self.form == "text":
            return text.encode()
        return inference_wire.detail(text) if self.form == "detail" else wire.envelope(error=text)


@dataclass(frozen=True, slots=True)
class ApiVariant:
    """One variant of the API. `port` is the one that the compose file of its original published."""

    name: str
    title: str
    port: int
    kind: Literal["detection", "segmentation"]
    framework: str
    calls: frozenset[Call]
    failures: Mapping[FailureKind, FailureResponse]
    boxes: inference_wire.BoxForm | None = None
    float_edges: bool = False
    """Whether edges are floats, except at the image's edge."""
    first: int = 1
    """Number of the first label; a background has 0."""
    lists_gaps: bool = True
    """Whether unused numbers are listed as empty labels."""
    lists_hashes: bool = False
    """Whether the list of models is an object of names and hashes."""
    refusal: Literal["envelope", "detail"] = "envelope"
    """Form of the body when a limit is exceeded."""


_DETECTION = frozenset({Call.PREDICT, Call.PREDICT_BATCH, Call.PREDICT_IMAGE, Call.DETECT})
_MORE = frozenset({Call.LOAD_ONE, Call.LABEL_HASHES})

_BROKEN = FailureResponse(500, inference_wire.NO_TEXT, "text")
_MULTIPLE = FailureResponse(300, wire.UNEXPECTED, "detail")
_UNKNOWN = FailureResponse(200, inference_wire.MODEL_NOT_FOUND)
_DAMAGED = FailureResponse(200, inference_wire.NOT_AN_IMAGE)
_YOLO_FAILURES = {
    FailureKind.NO_MODEL: _UNKNOWN,
    FailureKind.NO_FACTS: _UNKNOWN,
    FailureKind.NO_IMAGE: _DAMAGED,
    FailureKind.OTHER: FailureResponse(200, wire.UNEXPECTED),
}
_NAMED = FailureResponse(404, inference_wire.NAMED_MODEL_NOT_FOUND)

PROFILES: Mapping[str, ApiVariant] = {
    profile.name: profile
    for profile in (
        ApiVariant(
            name="openvino-detection",
            title="BMW InnovationLab OpenVINO Inference Automation",
            port=8081,
            kind="detection",
            framework="openvino",
            calls=_DETECTION,
            boxes=inference_wire.BOX_FORMS["openvino"],
            failures={
                FailureKind.NO_MODEL: _NAMED,
                FailureKind.NO_FACTS: _NAMED,
                FailureKind.NO_IMAGE: FailureResponse(400, inference_wire.NOT_AN_IMAGE),
                FailureKind.OTHER: FailureResponse(500, wire.UNEXPECTED),
            },
        ),
        ApiVariant(
            name="openvino-segmentation",
            title="BMW InnovationLab OpenVINO Segmentation inference",
            port=8090,
            kind="segmentation",
            framework="openvino",
            calls=frozenset({Call.PALETTE, Call.MASK, Call.OVERLAY, Call.INSTANCES}),
            failures={
                FailureKind.NO_MODEL: _MULTIPLE,
                FailureKind.NO_FACTS: FailureResponse(404, inference_wire.NO_SUCH_FACTS, "detail"),
                FailureKind.NO_IMAGE: _MULTIPLE,
                FailureKind.OTHER: _MULTIPLE,
            },
            lists_hashes=True,
            refusal="detail",
        ),
        ApiVariant(
            name="yolo",
            title="BMW InnovationLab YOLOv4-v3 opencv inference Automation",
            port=7770,
            kind="detection",
            framework="yolo",
            calls=_DETECTION | _MORE,
            boxes=inference_wire.BOX_FORMS["yolo"],
            first=0,
            failures=_YOLO_FAILURES,
        ),
        ApiVariant(
            name="yolo-gpu",
            title="BMW InnovationLab YOLOv4-v3 darknet inference Automation",
            port=1234,
            kind="detection",
            framework="yolo",
            calls=_DETECTION | _MORE,
            boxes=inference_wire.BOX_FORMS["yolo-gpu"],
            float_edges=True,
            first=0,
            failures=_YOLO_FAILURES,
        ),
        ApiVariant(
            name="tensorflow",
            title="BMW InnovationLab tensorflow cpu inference Automation",
            port=9998,
            kind="detection",
            framework="tensorflow",
            calls=_DETECTION | _MORE | {Call.TEXTS},
            boxes=inference_wire.BOX_FORMS["tensorflow"],
            lists_gaps=False,
            failures=_YOLO_FAILURES | {FailureKind.NO_FACTS: _BROKEN},
        ),
        ApiVariant(
            name="gluoncv",
            title="BMW InnovationLab  Gluoncv Semantic Segmentation Inference Automation",
            port=9999,
            kind="segmentation",
            framework="gluoncv",
            calls=_DETECTION | _MORE | {Call.PALETTE, Call.MASK},
            failures={
                FailureKind.NO_MODEL: _UNKNOWN,
                FailureKind.NO_FACTS: _BROKEN,
                FailureKind.NO_IMAGE: _BROKEN,
                FailureKind.OTHER: _BROKEN,
            },
        ),
    )
}


def profile(name: str) -> ApiVariant:
    """Return the profile of that name. Raises `BadPlan` naming those that exist."""
    if name not in PROFILES:
        raise BadPlan(f"profile {name!r} is unknown; known are {', '.join(PROFILES)}")
    return PROFILES[name]
