"""A model of a BMW inference API as a localizer: frames are sent to it, boxes or masks come back.

The service has a localizer of its own for requests: it frees the processor while it waits, and its errors name it.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Literal

from velum.bmw import inference_wire, wire
from velum.bmw.client import Description, InferenceApi, is_model_name
from velum.bmw.mask import Ids, components
from velum.errors import BadPlan, Unavailable, VelumError
from velum.frame import Frame
from velum.locate.labels import exact
from velum.media.formats import format_of
from velum.media.image.fast_png import encode_png
from velum.net import ANYWHERE
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.region import Box, Region
from velum.spec import PartSpec

if TYPE_CHECKING:  # the localizer works without the extra `service`
    from velum.service.admission import Admission

FRESH_SECONDS = 60.0
"""How long the description of a model is valid: a mask cannot be read once another model has its name."""

AT_ONCE = 8
"""Most frames of one call that are sent at a time."""

_KINDS = {
    "BMP": ("image.bmp", "image/bmp"), "JPEG": ("image.jpg", "image/jpeg"), "PNG": ("image.png", "image/png"),
    "WEBP": ("image.webp", "image/webp"),
}  # fmt: skip
"""Format -> file name and content type. Some variants fail on a file name without suffix."""


REQUEST_LOCALIZER = "asked"
"""Name in plans of the localizer for requests. It exists only in the service, which has checked each address before."""


class Bmw:
    """Localizer by a model of an inference API: `bmw(url='http://inference:80/', model='yolo')`.

    Rules name the model's labels by `=` and their exact spelling: `=person: bmw(...) -> blacken`.
    """

    def __init__(
        self, url: str, model: str, host: RuntimeConfig, *, kind: Literal["detection", "segmentation"] = "detection"
    ) -> None:
        """Check the address without connecting to it; `kind` is that of the model.

        Raises `BadPlan` for a malformed or forbidden address and for a model name that is not allowed, `Unavailable`
        for an unknown host.
        """
        if not is_model_name(model):
            raise BadPlan(f"model of bmw is {model!r}; write a model's name, which is printable")
        peers = HttpClient(ANYWHERE) if host.peers is None else host.peers
        self._own = peers if host.peers is None else None
        self._api = InferenceApi(url, peers)
        self._model, self._kind = model, kind
        self._known: tuple[float, Description] | None = None
        self._confirmed: Description | None = None
        """The description that was fetched again for unknown values in a mask and did not explain them."""

    @property
    def labels(self) -> frozenset[str]:
        """All labels of the model in exact spelling. Raises `Unavailable`, and `BadPlan` for another kind."""
        return frozenset(map(exact, self._description().labels))

    @property
    def description(self) -> Mapping[str, str]:
        """Address, model and kind, for the report."""
        return {"url": self._api.url, "model": self._model, "kind": self._kind}

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions in each frame, highest score first. Raises `Unavailable`."""
        if len(frames) < 2:
            return [self._locate_one(frame) for frame in frames]
        with ThreadPoolExecutor(min(len(frames), AT_ONCE)) as pool:
            return list(pool.map(self._locate_one, frames))

    def begin(self, frame: Frame) -> "BegunLocalizer":
        """Send the frame's file at once; see `BeginsEarly`."""
        return BegunLocalizer(self, frame)

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._own is not None:
            self._own.close()

    def _locate_one(self, frame: Frame) -> list[Region]:
        if self._kind == wire.SEGMENTATION:
            return self._locate_by_mask(frame)
        detections = self._api.detect(self._model, *_image_file(frame))
        regions = (region_of(detection, frame.width, frame.height) for detection in detections)
        return sorted(filter(None, regions), key=lambda region: -region.score)

    def _locate_by_mask(self, frame: Frame) -> list[Region]:
        description, image_file = self._description(), _image_file(frame)
        ids = self._mask(frame, image_file, description)
        if ids.has_unknown_values and description is not self._confirmed:
            # Values without a label: another model may have the name by now.
            self._known, before = None, description
            description = self._confirmed = self._description()
            ids = ids if description == before else self._mask(frame, image_file, description)
        return [Region(box, exact(description.labels[label]), mask=mask) for label, box, mask in components(ids)]

    def _mask(self, frame: Frame, image_file: tuple[bytes, str, str], description: Description) -> Ids:
        try:
            return self._api.mask(self._model, *image_file, size=(frame.width, frame.height), description=description)
        except Unavailable:
            self._known = None  # the description may be outdated
            raise

    def _description(self) -> Description:
        """Return the description of the model, fetched again after `FRESH_SECONDS`.

        There is no lock: threads that fetch it at the same time get the same, and none waits for another's time-out.
        """
        cached = self._known
        if cached is None or time.monotonic() - cached[0] > FRESH_SECONDS:
            cached = time.monotonic(), self._api.describe(self._model)
            if cached[1].kind in {wire.DETECTION, wire.SEGMENTATION} - {self._kind}:
                raise BadPlan(
                    f"model {self._model!r} of {self._api.url} is of kind {cached[1].kind}, not {self._kind}; "
                    f"write bmw(..., kind={cached[1].kind!r})"
                )
            self._known = cached
        return cached[1]


class BegunLocalizer:
    """A localizer for one frame, on which another one works in a thread; `waiting` is entered to wait for that."""

    def __init__(
        self, part: "Bmw | RequestLocalizer", frame: Frame,
        waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:  # fmt: skip
        self._part, self._waiting = part, waiting
        self._answer: Future[list[list[Region]]] = Future()
        work = partial(copy_context().run, self._work, frame)
        threading.Thread(target=work, name="velum-inference", daemon=True).start()

    @property
    def labels(self) -> frozenset[str]:
        """All labels of the model. Raises as those of the other localizer do."""
        return self._part.labels

    @property
    def description(self) -> Mapping[str, str]:
        """The other localizer's description."""
        return self._part.description

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:  # noqa: ARG002 - the frame that `begin` got is this one
        """Return the regions in the frame. Raises as the other localizer does."""
        with self._waiting():
            return self._answer.result()

    def close(self) -> None:
        """Wait for the end of the work."""
        with self._waiting():
            wait([self._answer])

    def _work(self, frame: Frame) -> None:
        try:
            self._answer.set_result(self._part.locate([frame]))
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits
            self._answer.set_exception(error)


class NoAnswer(Unavailable):
    """An inference API gave no usable answer; `use` is its localizer in the plan."""

    def __init__(self, use: PartSpec, why: str) -> None:
        super().__init__(why)
        self.use = use


class RequestLocalizer:
    """Wraps `bmw`: other requests may use the processor while the inference API works."""

    def __init__(self, use: PartSpec, make: Callable[[], Bmw], admission: "Admission") -> None:
        """Connect later: resolving a host may take long, and localizers are made one after the other."""
        self._use, self._make, self._admission = use, make, admission
        self._lock = threading.Lock()
        self._made: Bmw | None = None

    @property
    def labels(self) -> frozenset[str]:
        """All labels of the model. Raises `NoAnswer`."""
        with self._inner_without_cpu() as inner:
            return inner.labels

    @property
    def description(self) -> Mapping[str, str]:
        """Address, model and kind, for the report."""
        return {"model": str(self._use)}

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions in each frame. Raises `NoAnswer`."""
        with self._inner_without_cpu() as inner:
            return inner.locate(frames)

    def begin(self, frame: Frame) -> BegunLocalizer:
        """Send the frame's file at once; see `BeginsEarly`."""
        return BegunLocalizer(self, frame, self._admission.yield_cpu)

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._made is not None:
            self._made.close()

    @contextmanager
    def _inner_without_cpu(self) -> Iterator[Bmw]:
        with self._admission.yield_cpu():
            try:
                yield self._inner()
            except VelumError as error:
                raise NoAnswer(self._use, str(error)) from error

    def _inner(self) -> Bmw:
        if self._made is None:
            localizer = self._make()
            with self._lock:
                self._made = self._made or localizer
        return self._made


def request_localizer(admission: "Admission") -> Callable[..., RequestLocalizer]:
    """Return the factory of the localizer `asked`, which releases its processor slot of `admission` while it waits."""

    def make(url: str, model: str, kind: Literal["detection", "segmentation"], host: RuntimeConfig) -> RequestLocalizer:
        use = PartSpec(REQUEST_LOCALIZER, {"url": url, "model": model, "kind": kind})
        return RequestLocalizer(use, lambda: Bmw(url, model, host, kind=kind), admission)

    return make


def region_of(detection: inference_wire.ApiDetection, width: int, height: int) -> Region | None:
    """Return the region of a detection in a frame of that size, None where it is empty or outside.

    Edges in the wrong order are swapped: the object must be hidden all the same. Right and bottom are exclusive, but
    variants that clamp stop one pixel before the frame's edge, so that pixel is added.
    """
    (left, right), (top, bottom) = sorted(detection.ltrb[::2]), sorted(detection.ltrb[1::2])
    x0, y0, x1, y1 = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    x1, y1 = x1 + (x1 == width - 1), y1 + (y1 == height - 1)
    box = Box(x0, y0, x1, y1).clip(width, height) if x0 < x1 and y0 < y1 else None
    score = min(max(detection.percent / 100, 0.0), 1.0)
    return None if box is None else Region(box, exact(detection.label), score)


def _image_file(frame: Frame) -> tuple[bytes, str, str]:
    """Return an image file of the upright frame, with name and content type: its source file where that is equal."""
    if frame.encoded is not None:
        kind = _KINDS.get(format_of(frame.encoded, "the frame"))
        if kind is not None:
            return frame.encoded, *kind
    return encode_png(frame.rgb(frame.width, frame.height)), *_KINDS["PNG"]
