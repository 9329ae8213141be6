"""One client for every variant of the BMW inference APIs: what they offer, and what they find in a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from velum.bmw import mask, wire
from velum.errors import BadInput, BadPlan, Unavailable
from velum.net.client import FormFile, HttpClient

T = TypeVar("T")

_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Description:
    """What a server says of one of its models.

    `kind` is `wire.DETECTION`, `wire.SEGMENTATION` or, for other types, the type; `stated` is the type as it was sent.
    `palette` is red, green, blue of each class in one row, None where there is none.
    """

    labels: tuple[str, ...]
    kind: str
    palette: tuple[int, ...] | None = None
    stated: str = ""
    merged: bool = False
    """True where the pixels of overlapping instances have their ids combined bit by bit."""


class InferenceApi:
    """The inference API at one address. Safe to share between threads; it holds nothing."""

    def __init__(self, base_url: str, peers: HttpClient) -> None:
        """Check the address. Raises `BadPlan` for one that is malformed or not allowed, else as `HttpClient.check`."""
        peers.check(base_url)  # first: it tells of credentials without showing them
        if "?" in base_url or "#" in base_url:
            raise BadPlan(f"address {base_url!r} has a query or a fragment; write it as http://host:port/")
        self.url = base_url if base_url.endswith("/") else base_url + "/"
        self._peers = peers

    def models(self) -> tuple[str, ...]:
        """Return the names of the models, in the server's order. Raises `Unavailable`."""
        return tuple(self._offered())

    def describe(self, model: str) -> Description:
        """Return what the server says of a model. Raises `Unavailable`, also where it has no model of that name."""
        offered = self._offered()
        if model not in offered:
            names = ", ".join(list(offered)[:_SHOWN_NAMES]) or "none"
            raise Unavailable(f"{self.url} has no model {model!r}; it has {names}")
        paths = [_path(model, wire.LABELS), _path(model, wire.CONFIG)]
        answers = [self._get(path) for path in paths]
        if any(one.unloaded for one in answers):
            # YOLO servers deny their models until all of them have been loaded once.
            self._get(wire.LOAD)
            answers = [self._get(path) for path in paths]
        labels = self._read(paths[0], answers[0], wire.read_labels)
        stated = self._read(paths[1], answers[1], wire.read_type)
        kind = wire.kind_of(stated)
        palette = self._palette(model) if kind == wire.SEGMENTATION else None
        # Only OpenVINO segmentation, which combines ids, lists its models with a hash for each.
        merged = kind == wire.SEGMENTATION and all(offered.values())
        return Description(labels, kind, palette, stated, merged)

    def finds(self, model: str, picture: bytes, filename: str, kind: str) -> tuple[wire.ApiDetection, ...]:
        """Return what a detection model finds in a picture file; `kind` is its content type. Raises `Unavailable`."""
        path = _path(model, wire.PREDICT)
        answer = self._peers.post(self.url + path, FormFile(wire.INPUT, filename, picture, kind))
        return self._read(path, wire.told(answer.status, answer.body), wire.read_finds)

    def mask(
        self, model: str, picture: bytes, filename: str, kind: str, *, size: tuple[int, int], known: Description
    ) -> mask.Ids:
        """Return what a segmentation model makes of each pixel of a picture file of `size` (width, height).

        `known` is what `describe` returned for the model. Raises `Unavailable`.
        """
        path = _path(model, wire.INFERENCE)
        answer = self._peers.post(self.url + path, FormFile(wire.INPUT, filename, picture, kind))
        if not wire.succeeded(answer.status):
            raise self._failed(path, f"status {answer.status} and {wire.excerpt(answer.body)}")
        try:
            return mask.read(answer.body, size, len(known.labels), known.palette, merged=known.merged)
        except BadInput as error:
            raise self._failed(path, str(error)) from error

    def _offered(self) -> dict[str, str]:
        return self._read(wire.MODELS, self._get(wire.MODELS), wire.read_models)

    def _palette(self, model: str) -> tuple[int, ...] | None:
        """Return the palette, None where there is none: only masks without an index plane need it."""
        answer = self._get(_path(model, wire.PALETTE))
        try:
            return None if answer.error else wire.read_palette(answer.data)
        except BadInput:
            return None

    def _get(self, path: str) -> wire.ApiResponse:
        answer = self._peers.get(self.url + path)
        return wire.told(answer.status, answer.body)

    def _read(self, path: str, answer: wire.ApiResponse, reader: Callable[[object], T]) -> T:
        if answer.error:
            raise self._failed(path, answer.error)
        try:
            return reader(answer.data)
        except BadInput as error:
            raise self._failed(path, str(error)) from error

    def _failed(self, path: str, why: str) -> Unavailable:
        return Unavailable(
            f"inference API {self.url} gave no usable answer to {path}: {why}; look at the log of that service"
        )


def named(model: str) -> bool:
    """Tell whether a model's name can be a part of a path: it is not empty, and does not lead elsewhere."""
    return model not in {"", ".", ".."} and model.isprintable()


def _path(model: str, what: str) -> str:
    if not named(model):
        raise Unavailable(f"model {model!r} cannot be asked for; its name must be printable, and not '.' or '..'")
    return f"{wire.MODELS}/{quote(model, safe='')}/{what}"
