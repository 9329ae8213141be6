"""The endpoints, one method each. Which of them a profile has, and what its failures are, `app` decides."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Annotated, Any, TypeVar

from fastapi import File, Form, UploadFile
from starlette.responses import Response

from velum.bmw import wire
from velum.bmw.inference_server import image_input, overlay
from velum.bmw.inference_server.executor import BoundedExecutor
from velum.bmw.inference_server.image_input import Numbers, UploadedImage
from velum.bmw.inference_server.loaded_models import LoadedModel
from velum.bmw.inference_server.model_ids import derived
from velum.bmw.inference_server.ocr import Ocr
from velum.bmw.inference_server.profiles import ApiVariant, FailureKind
from velum.errors import BadInput, PluginFault, Unavailable
from velum.limits import Limits
from velum.media import DecoderPool
from velum.region import Region

T = TypeVar("T")

Input = Annotated[UploadFile, File(alias=wire.INPUT)]
Inputs = Annotated[list[UploadFile], File(alias=wire.INPUT)]
Image = Annotated[UploadFile, File(alias=wire.UPLOAD)]
Which = Annotated[str, Form(alias=wire.WHICH)]


class Failed(Exception):
    """A call that ends as the profile says for this kind of failure."""

    def __init__(self, failure: FailureKind, model: str = "") -> None:
        super().__init__(failure)
        self.failure, self.model = failure, model


@dataclass(frozen=True, slots=True, eq=False)
class DetectedImage:
    """A picture, what one model found in it, and the number of each find."""

    picture: UploadedImage
    served: LoadedModel
    regions: list[Region]

    @property
    def numbers(self) -> list[int]:
        """The number of each region's label."""
        return [self.served.labels.numbers[region.label] for region in self.regions]

    @property
    def plane(self) -> Numbers:
        """The number of each pixel's label."""
        return self.picture.numbered(self.regions, self.numbers)

    def finds(self, *, float_edges: bool = False) -> list[wire.ApiDetection]:
        """Return the finds as they go over the wire."""
        width, height = self.picture.size_wh
        finds = []
        for region, number in zip(self.regions, self.numbers, strict=True):
            x0, y0, x1, y1 = region.box.xyxy
            ltrb: tuple[float, float, float, float] = x0, y0, x1, y1
            if float_edges:
                ltrb = _float(x0, width), _float(y0, height), _float(x1, width), _float(y1, height)
            finds.append(wire.ApiDetection(region.label, number, round(region.score * 100.0, 4), ltrb))
        return finds


class Calls:
    """What the endpoints do."""

    def __init__(
        self, profile: ApiVariant, models: list[LoadedModel], desk: BoundedExecutor, limits: Limits, texts: Ocr | None,
        decoders: DecoderPool, *, wait: bool,
    ) -> None:  # fmt: skip
        self._profile, self._desk, self._limits, self._texts = profile, desk, limits, texts
        self._decoders = decoders
        self._models: Mapping[str, LoadedModel] = {served.name: served for served in models}
        self._by_hash = {served.hash: served for served in models}
        self._waiting_for_load = wait

    # --- what there is ---

    async def models(self) -> Response:
        """List the models."""
        hashes = {name: served.hash for name, served in self._models.items()}
        return _enveloped(wire.models_body(hashes if self._profile.lists_hashes else list(hashes)))

    async def load(self) -> Response:
        """List the models with their hashes; all are loaded already."""
        self._waiting_for_load = False
        return _json(wire.dumps({name: served.hash for name, served in self._models.items()}))

    async def load_one(self, name: str, *, force: bool = False) -> Response:  # noqa: ARG002 - nothing is to be forced
        """Load a model; all are loaded already."""
        self._served(name)
        return _enveloped(None)

    async def labels(self, name: str) -> Response:
        """List the labels of a model."""
        return _enveloped(list(self._facts(name).labels.listed))

    async def config(self, name: str) -> Response:
        """Describe a model."""
        return _enveloped(dict(self._facts(name).config))

    async def palette(self, name: str) -> Response:
        """Return the colour of each class, red, green and blue in one row."""
        return _enveloped(list(self._facts(name).palette))

    async def label_hashes(self, name: Which) -> Response:
        """List the labels of a model, each with a hash."""
        served = self._facts(name)
        return _json(wire.dumps({label: derived(served.name, label) for label in served.labels.listed}))

    # --- what is found ---

    async def predict(self, name: str, upload: Input) -> Response:
        """Return what a model finds in a picture."""
        return _enveloped(await self._at(name, upload, self._found))

    async def detect(self, name: Which, upload: Image) -> Response:
        """Return what a model finds in a picture, without an envelope."""
        return _json(wire.dumps(await self._at(name, upload, self._found)))

    async def predict_batch(self, name: str, uploads: Inputs) -> Response:
        """Return what a model finds in several pictures."""
        served = self._served(name)

        def job() -> list[Any]:
            return [self._found(self._look(served, one.file.read()), one.filename or wire.INPUT) for one in uploads]

        return _enveloped(await self._desk.run(job))

    async def instances(self, name: str, upload: Input) -> Response:
        """Return the boxes of each label."""
        return _json(await self._at(name, upload, lambda looked: wire.dumps(wire.nested(looked.finds()))))

    # --- pictures ---

    async def predict_image(self, name: str, upload: Input) -> Response:
        """Return the picture with what a model finds drawn on it."""
        return _file(await self._at(name, upload, self._drawn))

    async def mask(self, name: str, upload: Input) -> Response:
        """Return the number of each pixel's label, as a picture with a palette."""
        return _file(
            await self._at(name, upload, lambda looked: overlay.class_map(looked.plane, looked.served.palette))
        )

    async def overlay(self, name: str, upload: Input) -> Response:
        """Return the picture with the outlines of what a model finds tinted."""
        png = await self._at(
            name, upload, lambda looked: overlay.tinted(looked.picture.rgb, looked.plane, looked.served.palette)
        )
        return Response(png, media_type="image/png")

    # --- texts ---

    async def texts(self, name: str, upload: Image) -> Response:
        """Return what is written in a picture."""
        return await self._read(name, upload, everywhere=True)

    async def texts_in_finds(self, name: str, upload: Image) -> Response:
        """Return what is written in the parts of a picture where a model finds something."""
        return await self._read(name, upload, everywhere=False)

    async def _read(self, name: str, upload: UploadFile, *, everywhere: bool) -> Response:
        served = self._models.get(name) or self._by_hash.get(name)
        if served is None:
            return _json(wire.detail(wire.OCR_NO_MODEL), 404)
        if self._texts is None:
            return _json(wire.detail(wire.OCR_IMPOSSIBLE), 400)
        texts = self._texts

        def job() -> list[Any]:
            seen = image_input.read(upload.file.read(), self._limits, self._decoders)
            areas = None if everywhere else served.localizer.locate([seen.frame])[0]
            frame = seen.frame
            boxes = [
                (one, frame.orientation.stored_box(one.box, frame.width, frame.height))
                for one in texts.read(frame, areas)
            ]
            return [wire.written(one.text, box.xyxy, one.score) for one, box in boxes]

        try:
            return _json(wire.dumps(await self._desk.run(job)))
        except Unavailable:
            return _json(wire.detail(wire.OCR_IMPOSSIBLE), 400)
        except (BadInput, PluginFault):
            return _json(wire.detail(wire.OCR_FAILED), 500)

    # --- behind them ---

    def _served(self, name: str, failure: FailureKind = FailureKind.NO_MODEL) -> LoadedModel:
        served = self._models.get(name) or self._by_hash.get(name)
        if served is None:
            raise Failed(failure, name)
        return served

    def _facts(self, name: str) -> LoadedModel:
        if self._waiting_for_load:
            raise Failed(FailureKind.NO_FACTS, name)
        return self._served(name, FailureKind.NO_FACTS)

    async def _at(self, name: str, upload: UploadFile, then: Callable[[DetectedImage], T]) -> T:
        """Return what `then` makes of a picture and what a model finds in it; all in a thread."""
        served = self._served(name)
        return await self._desk.run(lambda: then(self._look(served, upload.file.read())))

    def _look(self, served: LoadedModel, data: bytes) -> DetectedImage:
        try:
            seen = image_input.read(data, self._limits, self._decoders)
        except BadInput as error:
            raise Failed(FailureKind.NO_PICTURE, served.name) from error
        try:
            regions = seen.found(served.localizer, self._limits)
        except BadInput as error:
            raise PluginFault(f"model {served.name} refused a picture that can be read: {error}") from error
        if odd := sorted({region.label for region in regions} - served.labels.numbers.keys()):
            raise PluginFault(f"model {served.name} found {', '.join(odd)}, which is not among its labels")
        return DetectedImage(seen, served, regions)

    def _found(self, looked: DetectedImage, filename: str | None = None) -> Any:
        if self._profile.boxes is not None:
            return wire.found(looked.finds(float_edges=self._profile.float_edges), self._profile.boxes, filename)
        return [
            wire.segment(find, outline)
            for find, region in zip(looked.finds(), looked.regions, strict=True)
            for outline in overlay.outlines(region)
        ]

    def _drawn(self, looked: DetectedImage) -> bytes:
        palette = looked.served.palette
        if self._profile.kind == "segmentation":
            return overlay.tinted(looked.picture.rgb, looked.plane, palette, alpha=True)
        return overlay.boxed(looked.picture.rgb, looked.regions, palette, [number + 1 for number in looked.numbers])


def _float(edge: int, end: int) -> float:
    """Return an edge as a float, unless it is the picture's own."""
    return float(edge) if 0 < edge < end else edge


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _enveloped(data: Any) -> Response:
    return _json(wire.envelope(data))


def _file(png: bytes) -> Response:
    """Return a picture with the headers of a file; none is ever written."""
    headers = {"etag": f'"{hashlib.sha256(png).hexdigest()[:32]}"', "last-modified": formatdate(usegmt=True)}
    return Response(png, media_type=wire.MISNAMED_PNG, headers=headers)
