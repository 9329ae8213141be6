"""Fakes of the BMW inference servers: each variant responds in the forms, and with the oddities, that were recorded."""

import io
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
from PIL import Image

Mask = npt.NDArray[np.uint8]
Ltrb = tuple[float, float, float, float]

NAME, NUMBER, PERCENT, EDGES = "ObjectClassName", "ObjectClassId", "confidence", "coordinates"
LRTB, LTRB = ("left", "right", "top", "bottom"), ("left", "top", "right", "bottom")
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF")


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def voc_palette(classes: int) -> list[int]:
    """The colour map of PASCAL VOC: the bits of a class spread over red, green and blue, from the top."""
    palette = []
    for number in range(classes):
        rest, colour = number, [0, 0, 0]
        for place in range(7, -1, -1):
            for channel in range(3):
                colour[channel] |= ((rest >> channel) & 1) << place
            rest >>= 3
        palette += colour
    return palette


@dataclass(frozen=True)
class Shown:
    """A box that the server finds, with edges as the engine of the variant returns them."""

    label: str
    ltrb: Ltrb
    percent: float = 93.1


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    kind: str = "application/json"

    @classmethod
    def of(cls, data: Any, status: int = 200) -> "Reply":
        return cls(status, dumps({"data": data, "error": "", "success": True}))

    @classmethod
    def failed(cls, error: str, status: int = 200) -> "Reply":
        return cls(status, dumps({"data": None, "error": error, "success": False}))

    @classmethod
    def detail(cls, status: int, text: Any) -> "Reply":
        return cls(status, dumps({"detail": text}))


CRASH = Reply(500, b"Internal Server Error", "text/plain; charset=utf-8")
UNEXPECTED = "unexpected server error"


@dataclass(frozen=True)
class Profile:
    """Responses of a variant. Texts of failures contain the name of the model."""

    name: str
    type: str
    no_model: Callable[[str], Reply]
    no_facts: Callable[[str], Reply]
    no_picture: Reply
    keys: tuple[str, ...] = ()
    edges: tuple[str, ...] = LTRB
    first_id: int = 0
    whole: bool = True
    config: tuple[str, ...] = ("framework", "type", "network")
    hashes: bool = False
    hidden_until_loaded: bool = False
    load_one: bool = True

    @property
    def segments(self) -> bool:
        return self.type != "detection"


def _not_found(model: str) -> Reply:
    return Reply.failed("Model not found")


def _ovd_not_found(model: str) -> Reply:
    return Reply.failed(f"Model not found: Model {model} not found", 404)


CORRUPTED = "Invalid input data: corrupted image"
_YOLO = Profile(
    "YCPU", "detection", _not_found, _not_found, Reply.failed(CORRUPTED),
    (NAME, NUMBER, PERCENT, EDGES), LRTB, hidden_until_loaded=True,
)  # fmt: skip
_TENSORFLOW = Profile(
    "TFC", "detection", _not_found, lambda model: CRASH, Reply.failed(CORRUPTED),
    (NAME, PERCENT, EDGES, NUMBER), LTRB, first_id=1,
)  # fmt: skip
_GLUON = Profile(
    "GLU", "segmentation", _not_found, lambda model: CRASH, CRASH,
    config=("type", "nclasses", "backbone", "model", "classesname"),
)  # fmt: skip
PROFILES: Mapping[str, Profile] = {
    one.name: one
    for one in (
        Profile(
            "OVD", "detection", _ovd_not_found, _ovd_not_found, Reply.failed(CORRUPTED, 400),
            (NAME, NUMBER, PERCENT, EDGES), LRTB, first_id=1, load_one=False,
        ),
        Profile(
            "OVS", "segmentation", lambda model: Reply.detail(300, UNEXPECTED),
            lambda model: Reply.detail(404, "something went wrong! please check if the model exist"),
            Reply.detail(300, UNEXPECTED), config=("classes", "type", "classesname"), hashes=True, load_one=False,
        ),
        _YOLO,
        replace(_YOLO, name="YGPU", keys=(NUMBER, NAME, PERCENT, EDGES), edges=LTRB, whole=False),
        _TENSORFLOW,
        replace(_TENSORFLOW, name="TFG"),
        replace(_TENSORFLOW, name="TFG-T"),
        _GLUON,
        replace(_GLUON, name="GLU-T", type="semantic", no_picture=Reply.failed(UNEXPECTED)),
    )
}  # fmt: skip
DETECTING = tuple(name for name, one in PROFILES.items() if not one.segments)
SEGMENTING = tuple(name for name, one in PROFILES.items() if one.segments)


@dataclass(frozen=True)
class Part:
    """One part of a form: its headers by name in lower case, and its bytes."""

    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Asked:
    """A request that the server received."""

    method: str
    path: str
    headers: Mapping[str, str]
    parts: tuple[Part, ...] = ()


Boxes = Sequence[Shown] | Callable[[bytes], Sequence[Shown]]
Masks = Mask | Callable[[bytes], Mask] | None


@dataclass
class StubInference:
    """A variant on a free port of this machine, while the `with` block lasts.

    `boxes` and `mask` are what it finds in every picture, or functions of the uploaded file. Where `mask` is None,
    every pixel is of class 0. `palette` is what the server has in its file; None: a colour for each label.
    `replies` replaces the answer to a path such as `/models/yolo/predict`. The last `keep` requests are in `asked`.
    """

    profile: str
    boxes: Boxes = ()
    mask: Masks = None
    delay_seconds: float = 0.0
    model: str = "yolo"
    labels: Sequence[str] = ("person", "car")
    palette: Sequence[int] | None = None
    replies: dict[str, Reply] = field(default_factory=dict)
    keep: int = 100
    listing: Literal["names", "bare"] = "names"

    def __post_init__(self) -> None:
        self.form = PROFILES[self.profile]
        self.asked: deque[Asked] = deque(maxlen=self.keep)
        self.loaded = not self.form.hidden_until_loaded
        self.colours = list(voc_palette(len(self.labels)) if self.palette is None else self.palette)
        self.hash = str(uuid.uuid5(uuid.NAMESPACE_URL, self.model))
        self._painted: tuple[int, bytes] | None = None
        stub = self

        class Handler(_Handler):
            server_stub = stub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def paths(self) -> list[str]:
        """Paths of the requests, in order."""
        return [f"{one.method} {one.path}" for one in self.asked]

    def answer(self, method: str, path: str, parts: Sequence[Part]) -> Reply:
        time.sleep(self.delay_seconds)
        if path in self.replies:
            return self.replies[path]
        match [method, *(unquote(step) for step in path.partition("?")[0].split("/")[1:])]:
            case ["GET", "models"]:
                names: Any = {self.model: self.hash} if self.form.hashes else [self.model]
                return Reply.of({"models": names} if self.listing == "names" else names)
            case ["GET", "load"]:
                self.loaded = True
                return Reply(200, dumps({self.model: self.hash}))
            case ["GET", "models", model, "load"] if self.form.load_one:
                return Reply.of(None) if model == self.model else self.form.no_facts(model)
            case ["GET", "models", model, ("labels" | "config" | "palette") as what]:
                return self._facts(model, what)
            case ["POST", "models", model, "predict"] if self.profile != "OVS":
                return self._found(model, parts, lambda picture: Reply.of(self._predicted(picture)))
            case ["POST", "models", model, "inference"] if self.form.segments:
                return self._found(model, parts, lambda picture: Reply(200, self._mask(picture), "image/jpg"))
        return Reply.detail(404, "Not Found")

    def _facts(self, model: str, what: str) -> Reply:
        if what == "palette" and not self.form.segments:
            return Reply.detail(404, "Not Found")
        if model != self.model or not self.loaded:
            return self.form.no_facts(model)
        facts = {
            "framework": "any", "type": self.form.type, "network": "any", "nclasses": len(self.labels),
            "classes": len(self.labels), "backbone": "resnet50", "model": "fcn", "classesname": list(self.labels),
        }  # fmt: skip
        answers = {
            "labels": list(self.labels),
            "config": {key: facts[key] for key in self.form.config},
            "palette": self.colours,
        }
        return Reply.of(answers[what])

    def _found(self, model: str, parts: Sequence[Part], result: Callable[[bytes], Reply]) -> Reply:
        files = [one for one in parts if 'name="input_data"' in one.headers.get("content-disposition", "")]
        if not files or "filename=" not in files[0].headers["content-disposition"]:
            missing = {"loc": ["body", "input_data"], "msg": "field required", "type": "value_error.missing"}
            return Reply.detail(422, [missing])
        if model not in {self.model, self.hash}:
            return self.form.no_model(model)
        if not files[0].content.startswith(PICTURES):
            return self.form.no_picture
        return result(files[0].content)

    def _predicted(self, picture: bytes) -> Any:
        shown = self.boxes(picture) if callable(self.boxes) else self.boxes
        if self.form.segments:
            return [
                {
                    "class_name": one.label, NUMBER: self.labels.index(one.label), "bbox": list(one.ltrb),
                    "segment": [*one.ltrb], "confidence": "0.998",
                }
                for one in shown
            ]  # fmt: skip
        return {"bounding-boxes": [self._box(one) for one in shown]}

    def _box(self, one: Shown) -> dict[str, Any]:
        edges = dict(zip(LTRB, map(int, one.ltrb) if self.form.whole else one.ltrb, strict=True))
        number = list(self.labels).index(one.label) + self.form.first_id if one.label in self.labels else 99
        values = {NAME: one.label, NUMBER: number, PERCENT: one.percent}
        values[EDGES] = {edge: edges[edge] for edge in self.form.edges}
        return {key: values[key] for key in self.form.keys}

    def _mask(self, picture: bytes) -> bytes:
        mask = self.mask(picture) if callable(self.mask) else self.mask
        if mask is None:
            with Image.open(io.BytesIO(picture)) as opened:
                mask = np.zeros(opened.size[::-1], np.uint8)
        if self._painted is None or self._painted[0] != id(self.mask) or callable(self.mask) or self.mask is None:
            self._painted = id(self.mask), painted(mask, self.colours)
        return self._painted[1]


def painted(mask: Mask, palette: Sequence[int]) -> bytes:
    """Return a palette PNG as the servers send it, written by the same library."""
    image = Image.fromarray(mask)
    image.putpalette(list(palette))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server_stub: StubInference
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle(())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._handle(parts_of(self.headers.get("content-type", ""), body))

    def _handle(self, parts: tuple[Part, ...]) -> None:
        stub = self.server_stub
        headers = {name.lower(): value for name, value in self.headers.items()}
        stub.asked.append(Asked(self.command, self.path, headers, parts))
        reply = stub.answer(self.command, self.path, parts)
        head = f"HTTP/1.1 {reply.status} -\r\ncontent-type: {reply.kind}\r\ncontent-length: {len(reply.body)}\r\n\r\n"
        self.wfile.write(head.encode() + reply.body)  # in one piece: two would wait for each other


def parts_of(kind: str, body: bytes) -> tuple[Part, ...]:
    """Return the parts of a form (RFC 7578)."""
    if "boundary=" not in kind:
        return ()
    mark = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    parts = []
    for piece in body.split(mark)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode().split("\r\n"))
        parts.append(Part({name.lower(): value.strip() for name, _, value in lines}, content.removesuffix(b"\r\n")))
    return tuple(parts)
