"""The endpoints of the anonymization API. Bodies and texts are in `wire`; nearly all responses have status 200."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, File, Form, Request, Response, UploadFile, params

from velum.bmw import inference_wire, openapi, wire
from velum.bmw.anonymizer import Anonymizer
from velum.bmw.available_methods import ApiDirectory
from velum.bmw.plan import Refusal
from velum.bmw.schema import MOST_BYTES, RequestRefused
from velum.bmw.urls import Urls
from velum.errors import BadPlan, LimitExceeded, OutputFailed, PluginFault, Unavailable, VelumError
from velum.media.image.rgb8 import PlainFormat
from velum.net.client import HttpClient
from velum.net.guard import AddressRefused
from velum.report import Report
from velum.service.admission import OWN_MODELS, RequestThreads
from velum.service.auth.middleware import Authenticator
from velum.service.late_router import LateRouter
from velum.service.middleware import FACTS, note

MOST_WARNINGS = 1000
"""Most characters of the header with warnings."""

Address = Annotated[
    str, Form(description="Address of the inference API, with a slash at the end.", examples=["http://inference:80/"])
]
Image = Annotated[UploadFile, File(description="An image: JPEG, PNG, WebP, TIFF, BMP, ...")]
Video = Annotated[UploadFile, File(description="A video: MP4, MKV, WebM, MOV, AVI, ...")]
Configuration = Annotated[
    UploadFile, File(description="A JSON file that says what to hide.", examples=[openapi.CONFIGURATION])
]


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """Serves the endpoints."""

    anonymizer: Anonymizer
    directory: ApiDirectory
    urls: Urls
    peers: HttpClient
    workers: RequestThreads
    picture_bytes: int
    log_names: bool = False

    async def respond(self, request: Request, work: Callable[[threading.Event], bytes | Response]) -> Response:
        """Run `work` in a thread and return its response; errors get the bodies of the BMW API."""
        try:
            result = await self.workers.run(request, work)
        except VelumError as error:
            return _failure_response(request, error)
        return result if isinstance(result, Response) else Response(result, media_type="application/json")

    def set_url(self, url: str, request: Request) -> bytes:
        """Add the address of an inference API, which must answer."""
        self.urls.all()
        if url == OWN_MODELS:
            return wire.envelope(wire.KNOWN_ALREADY)
        if not url.endswith("/"):
            raise RequestRefused(wire.BAD_ADDRESS)
        try:
            self.peers.check(url)
            status = self.peers.get(f"{url}{inference_wire.MODELS}").status
        except (BadPlan, Unavailable) as error:
            note(request, cause=str(error))
            self._forget(url)
            closed = isinstance(error, AddressRefused) and not self.anonymizer.strict
            raise RequestRefused(wire.REFUSED_ADDRESS if closed else wire.BAD_ADDRESS) from error
        if status != 200:
            self._forget(url)
            raise RequestRefused(wire.SILENT_ADDRESS)
        if not self.urls.add(url):
            return wire.envelope(wire.KNOWN_ALREADY)
        self.directory.add_url(url)
        return wire.envelope(wire.ADDED)

    def remove_url(self, url: str) -> bytes:
        """Remove an address. The response is a list, like the original's."""
        self.urls.remove(url)
        self.directory.forget_removed()
        self._forget(url)
        return wire.envelope([wire.REMOVED])

    def remove_all_urls(self) -> bytes:
        """Remove all addresses."""
        removed: Sequence[str] = ()
        with suppress(RequestRefused):  # a list that cannot be read is replaced, too
            removed = self.urls.all()
        self.urls.clear()
        self.directory.forget_removed()
        for url in removed:
            self._forget(url)
        return wire.envelope(wire.ALL_REMOVED)

    def _forget(self, url: str) -> None:
        """Leave an address that is not in the list out of the service's health."""
        self.peers.forget(url, unless=self.urls.all())

    def available_methods(self) -> bytes:
        """List the available methods."""
        try:
            return wire.dumps(self.directory.refresh().to_json())
        except RequestRefused as error:  # from the list of addresses; this endpoint reports no causes
            raise Unavailable(str(error)) from error

    def anonymize(
        self, image: UploadFile, configuration: UploadFile, request: Request, disconnect: threading.Event
    ) -> bytes | Response:
        """Return the processed image, or the errors of its configuration."""
        self._note_names(request, image)
        source = _read(image, self.picture_bytes, "the image")
        kind: PlainFormat = "JPEG" if _wants_jpeg(request) and not self.anonymizer.strict else "PNG"
        settings = _read(configuration, MOST_BYTES, "the configuration")
        result = self.anonymizer.anonymize_image(source, settings, kind, disconnect, _cause_noter(request))
        if isinstance(result, Refusal):
            self._note_refusal(request, result)
            return wire.needs_change(result.errors)
        data, report = result
        note(request, hidden=len(report.hidden), seconds=_stage_seconds(report))
        # The original sends its PNG with this type, and clients look at the data.
        return Response(data, media_type="image/jpeg", headers=_headers(report))

    def anonymize_video(
        self, video: UploadFile, configuration: UploadFile, request: Request, disconnect: threading.Event
    ) -> bytes | Response:
        """Move the processed video to the folder of finished videos, or return the errors of its configuration."""
        self._note_names(request, video)
        settings = _read(configuration, MOST_BYTES, "the configuration")
        result = self.anonymizer.anonymize_video(
            video.file, video.filename or "", settings, disconnect, _cause_noter(request)
        )
        if isinstance(result, Refusal):
            self._note_refusal(request, result)
            return wire.dumps(list(result.errors))
        path, report = result
        note(request, tracks=len(report.tracks), frames=report.frames, seconds=_stage_seconds(report))
        headers = {"x-velum-file": quote(path.name)}
        return Response(wire.VIDEO_DONE, media_type="application/json", headers=headers)

    def _note_refusal(self, request: Request, refusal: Refusal) -> None:
        note(request, refused=list(refusal.errors) if self.log_names else len(refusal.errors))

    def _note_names(self, request: Request, upload: UploadFile) -> None:
        if self.log_names:
            note(request, file=upload.filename)


def routes(api: Api, access: Authenticator, dependencies: Sequence[params.Depends] = ()) -> LateRouter:
    """Return the seven endpoints: processing takes the scope anonymize, changing the list of APIs operate."""
    router = LateRouter(default_response_class=Response, dependencies=list(dependencies))
    reading = _route_options("Configuration", access.require("anonymize", "operate"))
    configuring = _route_options("Configuration", access.require("operate"))
    hiding = _route_options("Anonymization", access.require("anonymize"))
    wrong = openapi.form_responses()

    @router.get("/list_urls", responses=openapi.envelope_responses("The list.", some={wire.ADDRESSES: []}), **reading)
    async def list_urls(request: Request) -> Response:
        """List the inference APIs that are configured."""
        return await api.respond(request, lambda _: wire.envelope(api.urls.content()))

    @router.post(
        "/set_url", responses={**openapi.envelope_responses("Added.", added=wire.ADDED), **wrong}, **configuring
    )
    async def set_url(url: Address, request: Request) -> Response:
        """Add an inference API, which must answer."""
        return await api.respond(request, lambda _: api.set_url(url, request))

    @router.post(
        "/remove_url",
        responses={**openapi.envelope_responses("Removed.", removed=[wire.REMOVED]), **wrong},
        **configuring,
    )
    async def remove_url(url: Address, request: Request) -> Response:
        """Remove an inference API."""
        return await api.respond(request, lambda _: api.remove_url(url))

    @router.post(
        "/remove_all_urls", responses=openapi.envelope_responses("Removed.", removed=wire.ALL_REMOVED), **configuring
    )
    async def remove_all_urls(request: Request) -> Response:
        """Remove all inference APIs."""
        return await api.respond(request, lambda _: api.remove_all_urls())

    @router.get("/available_methods/", responses=openapi.methods_responses(), **reading)
    async def available_methods(request: Request) -> Response:
        """Ask all inference APIs and list what can be hidden: labels, models, techniques."""
        return await api.respond(request, lambda _: api.available_methods())

    @router.post("/anonymize/", responses=openapi.image_responses(), **hiding)
    async def anonymize(image: Image, configuration: Configuration, request: Request) -> Response:
        """Hide in an image what the configuration names, and return the image."""
        return await api.respond(request, lambda disconnect: api.anonymize(image, configuration, request, disconnect))

    @router.post("/anonymize_video/", responses=openapi.video_responses(), **hiding)
    async def anonymize_video(video: Video, configuration: Configuration, request: Request) -> Response:
        """Hide in a video what the configuration names, and put it into the folder of finished videos."""
        return await api.respond(
            request, lambda disconnect: api.anonymize_video(video, configuration, request, disconnect)
        )

    return router


def _route_options(tag: str, guard: Callable[..., object]) -> dict[str, Any]:
    return {"tags": [tag], "dependencies": [Depends(guard)]}


def _cause_noter(request: Request) -> Callable[[str], None]:
    def append_cause(cause: str) -> None:
        note(request, cause="; ".join(filter(None, [request.scope.get(FACTS, {}).get("cause"), cause])))

    return append_cause


def _failure_response(request: Request, error: VelumError) -> Response:
    """Return the response for an error; its cause goes only to the log."""
    if isinstance(error, RequestRefused):
        return Response(wire.envelope(error=str(error)), media_type="application/json")
    fault = isinstance(error, OutputFailed | PluginFault)
    note(request, cause=f"{type(error).__name__}: {error}", **({"fault": True} if fault else {}))
    if isinstance(error, LimitExceeded) or error.http_status == 429:
        again = {"retry-after": "1"} if error.http_status == 429 else {}
        body = wire.envelope(error=str(error))
        return Response(body, error.http_status, media_type="application/json", headers=again)
    return Response(wire.envelope(error=wire.UNEXPECTED), media_type="application/json")


def _read(upload: UploadFile, most: int, name: str) -> bytes:
    if (upload.size or 0) > most:
        raise LimitExceeded("bytes", upload.size or 0, most, name)
    return upload.file.read()


def _wants_jpeg(request: Request) -> bool:
    """Tell whether the `Accept` header names JPEG and not PNG; `*/*` names neither."""
    named = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return "image/jpeg" in named and "image/png" not in named


def _headers(report: Report) -> dict[str, str]:
    headers = {"x-velum-hidden": str(len(report.hidden))}
    if report.warnings:
        text = "; ".join(report.warnings).encode("ascii", "replace").decode()
        headers["x-velum-warnings"] = text[:MOST_WARNINGS].replace("\n", " ")
    return headers


def _stage_seconds(report: Report) -> dict[str, float]:
    return {stage: round(spent, 4) for stage, spent in report.seconds.items()}
