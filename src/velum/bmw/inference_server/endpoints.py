"""The endpoints, one method each, and the threads that do their work.

`app` decides which of them a profile has, and how it answers failures.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from queue import Full
from typing import Annotated, Any, TypeVar

from fastapi import File, Form, UploadFile
from starlette.responses import Response

from velum.bmw import inference_wire, wire
from velum.bmw.inference_server import images
from velum.bmw.inference_server.images import Numbers, UploadedImage
from velum.bmw.inference_server.loaded_models import LoadedModel, derive_id
from velum.bmw.inference_server.ocr import Ocr
from velum.bmw.inference_server.profiles import ApiVariant, FailureKind
from velum.errors import BadInput, BadPlan, PluginFault, Unavailable
from velum.limits import Limits
from velum.media import DecoderPool
from velum.region import Region

T = TypeVar("T")

Input = Annotated[UploadFile, File(alias=inference_wire.INPUT)]
Inputs = Annotated[list[UploadFile], File(alias=inference_wire.INPUT)]
Image = Annotated[UploadFile, File(alias=inference_wire.UPLOAD)]
Which = Annotated[str, Form(alias=inference_wire.WHICH)]


@dataclass(frozen=True, slots=True)
class Capacity:
    """Limits of the server."""

    parallel: int = 2
    """Images processed at a time. Inference uses all cores already; more at a time only shares them."""
    waiting: int = 64
    """Most requests that wait; further ones are refused."""
    upload: int = 256 << 20
    """Most bytes of a request."""

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("waiting", 0), ("upload", 1)):
            if getattr(self, name) < least:
                raise BadPlan(f"{name} is {getattr(self, name)}; it must be at least {least}")


class BoundedExecutor:
    """Runs jobs in threads, with a bounded queue."""

    def __init__(self, capacity: Capacity) -> None:
        self._pool = ThreadPoolExecutor(capacity.parallel, "velum-serve")
        self._places = threading.BoundedSemaphore(capacity.parallel + capacity.waiting)

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job in a thread and return its result. Raises `queue.Full`, and what the job raises.

        A waiting job whose caller is cancelled does not run.
        """
        if not self._places.acquire(blocking=False):
            raise Full
        future = self._pool.submit(job)
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for running jobs, and cancel waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Failed(Exception):
    """A failed call, which the profile answers by its kind of failure."""

    def __init__(self, failure: FailureKind, model: str = "") -> None:
        super().__init__(failure)
        self.failure, self.model = failure, model


@dataclass(frozen=True, slots=True, eq=False)
class DetectedImage:
    """An image with the regions that a model found in it."""

    image: UploadedImage
    served: LoadedModel
    regions: list[Region]

    @property
    def numbers(self) -> list[int]:
        """Label number of each region."""
        return [self.served.numbers[region.label] for region in self.regions]

    @property
    def plane(self) -> Numbers:
        """Label number of each pixel."""
        return self.image.label_plane(self.regions, self.numbers)

    def detections(self, *, float_edges: bool = False) -> list[inference_wire.ApiDetection]:
        """Return the detections for a response; with `float_edges`, edges are floats, except at the image's edge."""
        width, height = self.image.size_wh
        answers: list[inference_wire.ApiDetection] = []
        for region, number in zip(self.regions, self.numbers, strict=True):
            x0, y0, x1, y1 = region.box.xyxy
            ltrb: tuple[float, float, float, float] = x0, y0, x1, y1
            if float_edges:
                ltrb = _float_edge(x0, width), _float_edge(y0, height), _float_edge(x1, width), _float_edge(y1, height)
            answers.append(inference_wire.ApiDetection(region.label, number, round(region.score * 100.0, 4), ltrb))
        return answers


class Calls:
    """The endpoints of one server."""

    def __init__(
        self, profile: ApiVariant, models: list[LoadedModel], executor: BoundedExecutor, limits: Limits,
        texts: Ocr | None, decoders: DecoderPool, *, wait: bool,
    ) -> None:  # fmt: skip
        self._profile, self._executor, self._limits, self._texts = profile, executor, limits, texts
        self._decoders = decoders
        self._models: Mapping[str, LoadedModel] = {served.name: served for served in models}
        self._by_hash = {served.hash: served for served in models}
        self._waiting_for_load = wait

    # --- models ---

    async def models(self) -> Response:
        """List the models."""
        hashes = {name: served.hash for name, served in self._models.items()}
        return _envelope_response(inference_wire.models_body(hashes if self._profile.lists_hashes else list(hashes)))

    async def load(self) -> Response:
        """List the models with their hashes; all are loaded already."""
        self._waiting_for_load = False
        return _json(wire.dumps({name: served.hash for name, served in self._models.items()}))

    async def load_one(self, name: str, *, force: bool = False) -> Response:  # noqa: ARG002 - part of the API, without effect
        """Load a model; all are loaded already."""
        self._require_model(name)
        return _envelope_response(None)

    async def labels(self, name: str) -> Response:
        """List the labels of a model."""
        return _envelope_response(list(self._require_loaded(name).labels))

    async def config(self, name: str) -> Response:
        """Describe a model."""
        return _envelope_response(dict(self._require_loaded(name).config))

    async def palette(self, name: str) -> Response:
        """Return red, green and blue of each class in one row."""
        return _envelope_response(list(self._require_loaded(name).palette))

    async def label_hashes(self, name: Which) -> Response:
        """List the labels of a model, each with a hash."""
        served = self._require_loaded(name)
        return _json(wire.dumps({label: derive_id(served.name, label) for label in served.labels}))

    # --- detections ---

    async def predict(self, name: str, upload: Input) -> Response:
        """Return the detections of a model in an image."""
        return _envelope_response(await self._run_on_image(name, upload, self._detections_body))

    async def detect(self, name: Which, upload: Image) -> Response:
        """Return the detections of a model in an image, without an envelope."""
        return _json(wire.dumps(await self._run_on_image(name, upload, self._detections_body)))

    async def predict_batch(self, name: str, uploads: Inputs) -> Response:
        """Return the detections of a model in several images."""
        served = self._require_model(name)

        def job() -> list[Any]:
            return [
                self._detections_body(self._detect(served, upload.file.read()), upload.filename or inference_wire.INPUT)
                for upload in uploads
            ]

        return _envelope_response(await self._executor.run(job))

    async def instances(self, name: str, upload: Input) -> Response:
        """Return the boxes of each label."""
        return _json(
            await self._run_on_image(
                name, upload, lambda detected: wire.dumps(inference_wire.boxes_by_label(detected.detections()))
            )
        )

    # --- images ---

    async def predict_image(self, name: str, upload: Input) -> Response:
        """Return the image with the detections of a model drawn on it."""
        return _file(await self._run_on_image(name, upload, self._draw_detections))

    async def mask(self, name: str, upload: Input) -> Response:
        """Return the label number of each pixel as a palette image."""
        return _file(
            await self._run_on_image(
                name, upload, lambda detected: images.class_map(detected.plane, detected.served.palette)
            )
        )

    async def overlay(self, name: str, upload: Input) -> Response:
        """Return the image with the detections of a model tinted."""
        png = await self._run_on_image(
            name,
            upload,
            lambda detected: images.tint_regions(detected.image.rgb, detected.plane, detected.served.palette),
        )
        return Response(png, media_type="image/png")

    # --- texts ---

    async def texts(self, name: str, upload: Image) -> Response:
        """Return the text lines in an image."""
        return await self._read_text(name, upload, everywhere=True)

    async def texts_in_finds(self, name: str, upload: Image) -> Response:
        """Return the text lines within the detections of a model."""
        return await self._read_text(name, upload, everywhere=False)

    async def _read_text(self, name: str, upload: UploadFile, *, everywhere: bool) -> Response:
        served = self._models.get(name) or self._by_hash.get(name)
        if served is None:
            return _json(inference_wire.detail(inference_wire.OCR_NO_MODEL), 404)
        if self._texts is None:
            return _json(inference_wire.detail(inference_wire.OCR_IMPOSSIBLE), 400)
        texts = self._texts

        def job() -> list[Any]:
            image = images.read(upload.file.read(), self._limits, self._decoders)
            areas = None if everywhere else served.localizer.locate([image.frame])[0]
            frame = image.frame
            boxes = [
                (line, frame.orientation.stored_box(line.box, frame.width, frame.height))
                for line in texts.read(frame, areas)
            ]
            return [inference_wire.text_line(line.text, box.xyxy, line.score) for line, box in boxes]

        try:
            return _json(wire.dumps(await self._executor.run(job)))
        except Unavailable:
            return _json(inference_wire.detail(inference_wire.OCR_IMPOSSIBLE), 400)
        except (BadInput, PluginFault):
            return _json(inference_wire.detail(inference_wire.OCR_FAILED), 500)

    # --- shared steps ---

    def _require_model(self, name: str, failure: FailureKind = FailureKind.NO_MODEL) -> LoadedModel:
        served = self._models.get(name) or self._by_hash.get(name)
        if served is None:
            raise Failed(failure, name)
        return served

    def _require_loaded(self, name: str) -> LoadedModel:
        if self._waiting_for_load:
            raise Failed(FailureKind.NO_FACTS, name)
        return self._require_model(name, FailureKind.NO_FACTS)

    async def _run_on_image(self, name: str, upload: UploadFile, then: Callable[[DetectedImage], T]) -> T:
        """Detect in an uploaded image and return the result of `then`; all in a thread."""
        served = self._require_model(name)
        return await self._executor.run(lambda: then(self._detect(served, upload.file.read())))

    def _detect(self, served: LoadedModel, data: bytes) -> DetectedImage:
        try:
            image = images.read(data, self._limits, self._decoders)
        except BadInput as error:
            raise Failed(FailureKind.NO_IMAGE, served.name) from error
        try:
            regions = image.locate(served.localizer, self._limits)
        except BadInput as error:
            raise PluginFault(f"model {served.name} refused an image that can be read: {error}") from error
        if odd := sorted({region.label for region in regions} - served.numbers.keys()):
            raise PluginFault(f"model {served.name} found {', '.join(odd)}, which is not among its labels")
        return DetectedImage(image, served, regions)

    def _detections_body(self, detected: DetectedImage, filename: str | None = None) -> Any:
        if self._profile.boxes is not None:
            return inference_wire.boxes_body(
                detected.detections(float_edges=self._profile.float_edges), self._profile.boxes, filename
            )
        return [
            inference_wire.segment(detection, outline)
            for detection, region in zip(detected.detections(), detected.regions, strict=True)
            for outline in images.outlines(region)
        ]

    def _draw_detections(self, detected: DetectedImage) -> bytes:
        palette = detected.served.palette
        if self._profile.kind == "segmentation":
            return images.tint_regions(detected.image.rgb, detected.plane, palette, alpha=True)
        return images.draw_boxes(
            detected.image.rgb, detected.regions, palette, [number + 1 for number in detected.numbers]
        )


def _float_edge(edge: int, end: int) -> float:
    """Return an edge as a float, but that of the image as an integer."""
    return float(edge) if 0 < edge < end else edge


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _envelope_response(data: Any) -> Response:
    return _json(wire.envelope(data))


def _file(png: bytes) -> Response:
    """Return an image with the headers of a file response, though no file is written."""
    headers = {"etag": f'"{hashlib.sha256(png).hexdigest()[:32]}"', "last-modified": formatdate(usegmt=True)}
    return Response(png, media_type=inference_wire.MISNAMED_PNG, headers=headers)
