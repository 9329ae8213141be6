"""The localizer `kserve`: a model on a server of the Open Inference Protocol, such as KServe, Triton or OVMS."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from velum.errors import BadPlan, Unavailable
from velum.frame import Frame
from velum.locate.remote.decode_outputs import Boxes, Format, Maps, Units
from velum.locate.remote.open_inference import BadResponse, Form, ServedModel, find_served_model
from velum.locate.remote.preprocess import Fill, InputTensor, Layout, Order, Preparation, plan_input
from velum.net import ANYWHERE
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig, usual_track_threshold
from velum.region import Region

LARGEST_BATCH = 64
"""Most frames in one request, even if the server accepts more."""


class Kserve:
    """Locates with a served model: `kserve(url="http://host:8000/", model="yolo", labels=["face"], boxes="dets")`.

    The model sees each frame once, as a whole. The protocol does not define what tensors mean; the plan does.
    """

    def __init__(  # noqa: PLR0913 - options of a plan are flat, and each tensor has a name of its own
        self,
        url: str,
        model: str,
        labels: tuple[str, ...],
        host: RuntimeConfig,
        *,
        version: str | int | None = None,
        boxes: str = "",
        scores: str = "",
        classes: str = "",
        format: Format = "xyxy",
        units: Units = "pixels",
        mask: str = "",
        threshold: float = 0.3,
        iou: float = 0.6,
        input: str = "",
        size: tuple[int, ...] = (),
        layout: Layout | None = None,
        order: Order = "rgb",
        fit: Fill = "letterbox",
        pad: int = 114,
        mean: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
        batch: int = 8,
        binary: bool | None = None,
    ) -> None:
        """Request the model's description from the server, and check the options against it.

        `labels` are the labels of classes 0, 1, ...; detections with the label "" are dropped. The outputs are either
        `boxes` and `scores`, with `classes` unless there is a score for each class, or `mask`. The same name for boxes
        and scores means one tensor with four coordinates and a score for each class; the same name for classes as well
        means four coordinates, score and class. `format` and `units` describe the coordinates, which are relative to
        the input. `mask` has the class of each pixel, or a score for each class and pixel.

        `input` is needed where the model has several inputs, `size`, [width, height], where the model takes any size.
        The model gets `(image - mean) * scale`, scaled to fit, with `pad` right of and below the image. `batch` is the
        number of images in one request, where the model takes several. `binary` tells whether the server takes binary
        tensors; None: the server is asked.

        Raises `BadPlan` for options that contradict each other or the model, `Unavailable` when the server does not
        answer or does not have the model.
        """
        base = _base(url)
        if mask and (boxes or scores or classes):
            raise BadPlan("kserve reads either mask or boxes, scores and classes; leave out one or the other")
        reader = Boxes(boxes, scores, classes, format, units, labels, threshold, iou)
        self._reader: Boxes | Maps = Maps(mask, labels, threshold) if mask else reader
        _check(self._reader, batch)
        self.labels = frozenset(labels) - {""}
        self._where = f"model {model} at {base}"
        self._facts = {"model": model, "url": base, "protocol": "Open Inference Protocol v2"}
        self._facts |= {} if version is None else {"version": str(version)}
        with ExitStack() as stack:
            client = host.peers or HttpClient(ANYWHERE)
            if host.peers is None:
                stack.callback(client.close)
            client.check(base)
            self._served = self._find_model(client, binary=binary)
            self._feed = self._plan_input(input, Preparation(size, layout, order, fit, pad, mean, scale))
            most = min(batch, self._served.most or LARGEST_BATCH)
            self._batch = most if self._feed.batch is None else max(1, self._feed.batch)
            self._stack = stack.pop_all()

    def _find_model(self, client: HttpClient, *, binary: bool | None) -> ServedModel:
        """Return the model as the server describes it. Raises `Unavailable`."""
        model, base, version = self._facts["model"], self._facts["url"], self._facts.get("version")
        try:
            return find_served_model(client, base, model, version, binary=binary)
        except BadResponse as error:
            raise Unavailable(f"{self._where} {error}") from error

    def _plan_input(self, name: str, preparation: Preparation) -> InputTensor:
        """Check that the model has the tensors that the options name, and plan its input. Raises `BadPlan`."""
        name, form = _pick_tensor(name, self._served.inputs, "input", self._where)
        for output in self._reader.tensors:
            _pick_tensor(output, self._served.outputs, "output", self._where)
        feed = plan_input(name, form, preparation)
        if form.datatype == "FP16" and not self._served.binary:
            raise BadPlan(f"input {name} takes FP16, which JSON does not have; write binary=true if it takes that")
        return feed

    @property
    def description(self) -> Mapping[str, str]:
        """Server, model and version, for the report."""
        return self._facts | {"threshold": f"{self._reader.threshold:g}"}

    @property
    def track_threshold(self) -> float:
        """Score from which a box starts a track in a video; 0 for maps, whose scores are those of single pixels."""
        return usual_track_threshold(self._reader.threshold) if isinstance(self._reader, Boxes) else 0.0

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, best first. Raises `Unavailable` for an invalid response."""
        parts = [frames[i : i + self._batch] for i in range(0, len(frames), self._batch)]
        try:
            return [regions for part in parts for regions in self._locate_batch(part)]
        except BadResponse as error:
            raise Unavailable(f"{self._where} {error}") from error

    def close(self) -> None:
        """End the connections, unless others share them."""
        self._stack.close()

    def _locate_batch(self, frames: Sequence[Frame]) -> list[list[Region]]:
        tensor = self._feed.tensor(frames)
        outputs = self._served.infer({self._feed.name: tensor}, self._reader.tensors)
        together = 1 if self._feed.batch == 0 else len(tensor)
        for name, output in outputs.items():
            if together > 1 and (not output.ndim or len(output) != together):
                raise BadResponse(f"answered with {name!r} of shape {list(output.shape)} for {together} pictures")
        return [
            self._reader.regions(
                {name: output[i] if together > 1 else output for name, output in outputs.items()},
                self._feed.placement(frame),
                frame,
            )
            for i, frame in enumerate(frames)
        ]


def _base(url: str) -> str:
    if "?" in url or "#" in url:
        raise BadPlan("url of kserve has a query or fragment; write http://host:port/ or http://host:port/path/")
    return url if url.endswith("/") else f"{url}/"


def _check(reader: Boxes | Maps, batch: int) -> None:
    """Raise `BadPlan` for options that contradict each other, or are out of range."""
    if not 1 <= batch <= LARGEST_BATCH:
        raise BadPlan(f"batch of kserve is {batch}; it must be from 1 to {LARGEST_BATCH}")
    if not any(reader.labels):
        raise BadPlan("labels of kserve are empty; name the model's classes in their order, such as labels=['face']")
    if not 0.01 <= reader.threshold <= 1:
        raise BadPlan(f"threshold of kserve is {reader.threshold}; it must be from 0.01 to 1")
    if isinstance(reader, Maps):
        return
    if not reader.boxes or not reader.scores or reader.classes == reader.boxes != reader.scores:
        raise BadPlan("kserve needs the names of outputs: boxes and scores, and perhaps classes, or mask alone")
    if not 0.1 <= reader.iou <= 1:
        raise BadPlan(f"iou of kserve is {reader.iou}; it must be from 0.1 to 1")


def _pick_tensor(name: str, forms: Mapping[str, Form], role: str, where: str) -> tuple[str, Form]:
    """Return the input or output of that name; without a name, the only one."""
    if not name and len(forms) == 1:
        return next(iter(forms.items()))
    if name not in forms:
        raise BadPlan(f"{where} has no {role} {name!r}; it has {', '.join(forms)}")
    return name, forms[name]
