"""One client for all variants of the BMW inference APIs: lists models, and sends images for inference."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from velum.bmw import inference_wire, mask, wire
from velum.errors import BadInput, BadPlan, Unavailable
from velum.net.client import FormFile, HttpClient

T = TypeVar("T")

_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Description:
    """What a server states about one of its models.

    `kind` is `wire.DETECTION`, `wire.SEGMENTATION` or, for other types, the type itself; `stated` is the type as it was
    sent. `palette` has red, green and blue of each class in one row, None without a palette.
    """

    labels: tuple[str, ...]
    kind: str
    palette: tuple[int, ...] | None = None
    stated: str = ""
    merged: bool = False
    """Whether pixels of overlapping instances have the bitwise OR of their ids."""


class InferenceApi:
    """The inference API at one address. It has no state and is safe to share between threads."""

    def __init__(self, base_url: str, peers: HttpClient) -> None:
        """Check the address. Raises `BadPlan` for a malformed one, and as `HttpClient.check` does."""
        peers.check(base_url)  # first: its messages do not show credentials in the address
        if "?" in base_url or "#" in base_url:
            raise BadPlan(f"address {base_url!r} has a query or a fragment; write it as http://host:port/")
        self.url = base_url if base_url.endswith("/") else base_url + "/"
        self._peers = peers

    def models(self) -> tuple[str, ...]:
        """Return the names of the models in the server's order. Raises `Unavailable`."""
        return tuple(self._list_models())

    def describe(self, model: str) -> Description:
        """Return the description of a model. Raises `Unavailable`, also where the server has no such model."""
        offered = self._list_models()
        if model not in offered:
            names = ", ".join(list(offered)[:_SHOWN_NAMES]) or "none"
            raise Unavailable(f"{self.url} has no model {model!r}; it has {names}")
        paths = [_path(model, inference_wire.LABELS), _path(model, inference_wire.CONFIG)]
        answers = [self._get(path) for path in paths]
        if any(answer.is_unloaded for answer in answers):
            # YOLO servers do not know their models until all have been loaded once.
            self._get(inference_wire.LOAD)
            answers = [self._get(path) for path in paths]
        labels = self._read(paths[0], answers[0], inference_wire.read_labels)
        stated = self._read(paths[1], answers[1], inference_wire.read_type)
        kind = inference_wire.kind_of(stated)
        palette = self._palette(model) if kind == wire.SEGMENTATION else None
        # Only the OpenVINO segmentation variant, which combines ids, lists a hash with each model.
        merged = kind == wire.SEGMENTATION and all(offered.values())
        return Description(labels, kind, palette, stated, merged)

    def detect(self, model: str, image: bytes, filename: str, kind: str) -> tuple[inference_wire.ApiDetection, ...]:
        """Return the detections of a model in an image file of content type `kind`. Raises `Unavailable`."""
        path = _path(model, inference_wire.PREDICT)
        answer = self._peers.post(self.url + path, FormFile(inference_wire.INPUT, filename, image, kind))
        return self._read(
            path, inference_wire.parse_response(answer.status, answer.body), inference_wire.read_detections
        )

    def mask(
        self, model: str, image: bytes, filename: str, kind: str, *, size: tuple[int, int], description: Description
    ) -> mask.Ids:
        """Return the class map of a segmentation model for an image file of `size` (width, height).

        `description` is the description of the model. Raises `Unavailable`.
        """
        path = _path(model, inference_wire.INFERENCE)
        answer = self._peers.post(self.url + path, FormFile(inference_wire.INPUT, filename, image, kind))
        if not inference_wire.is_success(answer.status):
            raise self._unusable_answer(path, f"status {answer.status} and {inference_wire.excerpt(answer.body)}")
        try:
            return mask.read(answer.body, size, len(description.labels), description.palette, merged=description.merged)
        except BadInput as error:
            raise self._unusable_answer(path, str(error)) from error

    def _list_models(self) -> dict[str, str]:
        return self._read(inference_wire.MODELS, self._get(inference_wire.MODELS), inference_wire.read_models)

    def _palette(self, model: str) -> tuple[int, ...] | None:
        """Return the palette, None without one: only masks without an index plane need it."""
        answer = self._get(_path(model, inference_wire.PALETTE))
        try:
            return None if answer.error else inference_wire.read_palette(answer.data)
        except BadInput:
            return None

    def _get(self, path: str) -> inference_wire.ApiResponse:
        answer = self._peers.get(self.url + path)
        return inference_wire.parse_response(answer.status, answer.body)

    def _read(self, path: str, answer: inference_wire.ApiResponse, reader: Callable[[object], T]) -> T:
        if answer.error:
            raise self._unusable_answer(path, answer.error)
        try:
            return reader(answer.data)
        except BadInput as error:
            raise self._unusable_answer(path, str(error)) from error

    def _unusable_answer(self, path: str, why: str) -> Unavailable:
        return Unavailable(
            f"inference API {self.url} gave no usable answer to {path}: {why}; check the log of that service"
        )


def is_model_name(model: str) -> bool:
    """Tell whether a model's name can be a segment of a URL path: printable, and not empty, "." or ".."."""
    return model not in {"", ".", ".."} and model.isprintable()


def _path(model: str, action: str) -> str:
    if not is_model_name(model):
        raise Unavailable(f"model name {model!r} is not allowed; it must be printable, and not '.' or '..'")
    return f"{inference_wire.MODELS}/{quote(model, safe='')}/{action}"
