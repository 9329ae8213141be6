"""`/v1/images` and `/v1/locate`: hide or locate in one image within the request; nothing is stored."""

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import JSONResponse, Response

from velum.annotations import FORMAT, Annotations
from velum.engine.engine import Engine
from velum.errors import BadInput, OutputFailed, names_for_places
from velum.media import BytesSource
from velum.media.formats import SUFFIXES, VIDEO_HEAD_BYTES, format_of, video_format_of
from velum.plan import Plan
from velum.region import Region
from velum.report import Report
from velum.service.admission import OWN_MODELS, Admission, RequestThreads, stop_if_gone
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1 import photos
from velum.service.v1.http_bodies import KINDS, read_image
from velum.service.v1.photos import RequestPhotos
from velum.storage.scratch import ScratchDirs

NAME = "the image"
"""Name of the image in messages, in place of its file name, which may be personal."""

MOST_LETTERS = 2000
"""Most characters of all warnings in a header: servers and clients refuse long headers."""

_CODESTREAM = b"\xff\x4f\xff\x51"

FIELDS = ("plan", *photos.FIELDS)
"""Fields of a form besides the image."""

_PLAN_TEXT = "The plan as a JSON object, or the name of one of `/v1/plans`. Omitted: faces are blackened."
_PLAN_EXAMPLE = '{"rules": ["face: centerface -> blur"]}'
_PEOPLE = (
    "People who stay visible, by names of your choice: a JSON object with the ids of uploads with photos of each. "
    "Everybody else is hidden, also who cannot be recognised for sure. The uploads stay. Where the operator allows it: "
    "these are biometric data (GDPR article 9)."
)
_PHOTOS: Mapping[str, Any] = {
    "keep_person": _PEOPLE, "only_person": "People who alone are hidden, in the same way; faces in doubt are, too."
}  # fmt: skip
_PHOTOS_EXAMPLE = '{"Anna": ["5f2b5f2b5f2b5f2b5f2b5f2b5f2b5f2b"]}'
_BINARY: Mapping[str, Any] = {"type": "string", "format": "binary"}
_BODY: Mapping[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "string", "format": "binary", "description": "The image file."},
                        "plan": {"type": "string", "description": _PLAN_TEXT, "examples": [_PLAN_EXAMPLE]},
                        **{
                            name: {"type": "string", "description": text, "examples": [_PHOTOS_EXAMPLE]}
                            for name, text in _PHOTOS.items()
                        },
                    },
                    "required": ["image"],
                    "additionalProperties": False,
                }
            },
            **{kind: {"schema": _BINARY} for kind in (*sorted(KINDS.values()), "application/octet-stream")},
        },
    },
    "parameters": [
        {
            "name": "plan", "in": "query", "required": False, "schema": {"type": "string"},
            "description": f"{_PLAN_TEXT} For bodies that are the image file itself.",
        }
    ],
}  # fmt: skip
_HEADERS: Mapping[str, Any] = {
    "X-Velum-Hidden": {"description": "How many regions were hidden.", "schema": {"type": "integer"}},
    "X-Velum-Report": {"description": "Short form of the report, as JSON.", "schema": {"type": "string"}},
}
_FINDINGS_EXAMPLE: Mapping[str, Any] = {
    "format": FORMAT, "width": 640, "height": 480, "sha256": None, "models": [],
    "frames": [{"index": 0, "regions": [{"label": "face", "xyxy": [10, 20, 60, 80], "score": 0.97}]}],
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ImageService:
    """Processes images with one engine. Safe to share between threads.

    Sources stay in memory; a result lies in a scratch folder for a moment.
    """

    engine: Engine
    admission: Admission
    scratch: ScratchDirs

    def hide(self, data: bytes, plan: Plan, disconnect: threading.Event) -> tuple[bytes, Report]:
        """Return the image, in its own format, with what the plan names hidden, and the report.

        The client's end sets `disconnect`. Raises `Overloaded` and `ClientGone`, and as `Engine.hide` does.
        """
        suffix = suffix_of(data)
        with self._working(disconnect), self.scratch.folder() as folder:
            target = folder / f"hidden{suffix}"
            # An image of many frames may take minutes: nobody waits for it any more.
            report = self.engine.hide(
                BytesSource(NAME, data), target, plan, progress=lambda *_: stop_if_gone(disconnect)
            )
            try:
                hidden = target.read_bytes()
            except OSError as error:
                raise OutputFailed(f"cannot read back {target}: {error.strerror or error}") from error
        return hidden, replace(report, source=None, target=None)

    def locate(self, data: bytes, plan: Plan, disconnect: threading.Event) -> Annotations:
        """Return the regions that the plan's rules would hide. Raises as `hide` does."""
        suffix_of(data)
        with self._working(disconnect):
            return self.engine.locate(BytesSource(NAME, data), plan)

    def follow(self, fetch: Callable[[Path], Path], name: str, frame: int, region: Region) -> Annotations:
        """Track the object in `region` of one frame of a video through the frames around it.

        `fetch` returns the path of the video: its own, or that of a copy in the given folder. Raises as `Engine.follow`
        does, with `name` in place of the path, and `Overloaded`.
        """
        with self._working(threading.Event()), self.scratch.folder() as folder:
            source = fetch(folder)
            with names_for_places(source, name):
                return self.engine.follow(source, frame, region)

    @contextmanager
    def _working(self, disconnect: threading.Event) -> Iterator[None]:
        with self.admission.reserve(frozenset({OWN_MODELS})), self.admission.working():
            stop_if_gone(disconnect)
            yield


def suffix_of(data: bytes) -> str:
    """Return the file suffix of an image's format. Raises `BadInput` for anything but an image."""
    if video_format_of(data[:VIDEO_HEAD_BYTES]):
        raise BadInput(f"{NAME} is a video; upload it to /v1/uploads and submit a job for it")
    if data.startswith(_CODESTREAM):
        return ".j2k"
    image_format = format_of(data, NAME)
    return next(suffix for suffix, kind in SUFFIXES.items() if kind == image_format and suffix not in {".j2c", ".j2k"})


def digest(report: Report) -> str:
    """Return the short form of a report for a header: JSON in ASCII, with as many warnings as fit."""
    room, warnings = MOST_LETTERS, []
    for warning in report.warnings:
        room -= len(json.dumps(warning))
        if room < 0:
            warnings.append("more in the report")
            break
        warnings.append(warning)
    values: dict[str, Any] = {
        "plan": report.plan, "hidden": len(report.hidden), "labels": report.labels, "format": report.format,
        "encoding": report.encoding, "input_sha256": report.input_sha256, "output_sha256": report.output_sha256,
        "warnings": warnings, "version": report.version,
    }  # fmt: skip
    return json.dumps(values, separators=(",", ":"))


def routes(
    image_service: ImageService, people: RequestPhotos, workers: RequestThreads, access: Authenticator, *, most: int
) -> LateRouter:
    """Return the two endpoints. `most` is the largest image in bytes."""
    router = LateRouter(tags=["Images"])
    Asking = Annotated[Principal, Depends(access.require("anonymize"))]  # noqa: N806 - a type

    def plan_of(fields: Mapping[str, str], caller: Principal) -> AbstractContextManager[Plan]:
        keep, only = (photos.uploads_of_text(name, fields.get(name)) for name in photos.FIELDS)
        return people.plan_with_people(people.plans.plan_of_request(fields.get("plan")), keep, only, caller)

    binary = {"schema": _BINARY}
    done = {
        "description": "The image in its own format; with `Accept: multipart/mixed` the report (JSON), then the image.",
        "content": {**dict.fromkeys(sorted(KINDS.values()), binary), "multipart/mixed": binary},
        "headers": _HEADERS,
    }
    responses = {
        "description": "What the plan would hide, as an annotation file.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _FINDINGS_EXAMPLE}},
    }

    @router.post(
        "/images", responses={200: done, **problems(400, 404, 409, 415)}, response_class=Response,
        openapi_extra=dict(_BODY),
    )  # fmt: skip
    async def hide_image(request: Request, caller: Asking) -> Response:
        """Hide in an image what the plan names, and return the image. Nothing is stored."""
        data, fields = await _read_request(request, most)

        def work(disconnect: threading.Event) -> Response:
            with plan_of(fields, caller) as plan:
                image, report = image_service.hide(data, plan, disconnect)
            note(request, hidden=len(report.hidden))
            return _image_response(image, report, with_report=accepts(request, "multipart/mixed"))

        return await workers.run(request, work)

    @router.post(
        "/locate", responses={200: responses, **problems(400, 404, 409, 415)}, response_class=Response,
        openapi_extra=dict(_BODY),
    )  # fmt: skip
    async def locate(request: Request, caller: Asking) -> Response:
        """Locate in an image what the plan would hide, without hiding it. With people, who is shown is `off`."""
        data, fields = await _read_request(request, most)

        def work(disconnect: threading.Event) -> Annotations:
            with plan_of(fields, caller) as plan:
                return image_service.locate(data, plan, disconnect)

        annotations = await workers.run(request, work)
        return JSONResponse(annotations.to_json(), headers={"cache-control": "no-store"})

    return router


async def _read_request(request: Request, most: int) -> tuple[bytes, Mapping[str, str]]:
    """Return the image of a request and the other fields. Raises `Problem` (400), and as `read_image` does."""
    if named := sorted(set(photos.FIELDS) & set(request.query_params)):
        raise Problem(
            400, f"{named[0]} stands in the address, which logs show; send it and the image as multipart/form-data"
        )
    return await read_image(request, "image", FIELDS, most)


def _image_response(image: bytes, report: Report, *, with_report: bool) -> Response:
    """Return the image, alone or in a response of two parts (RFC 2046): the report, then the image."""
    kind, headers = KINDS[report.format], report_headers(report)
    if not with_report:
        return Response(image, media_type=kind, headers=headers)
    both = (
        (b"report", b"application/json", json.dumps(report.to_json()).encode()),
        (b"image", kind.encode(), image),
    )
    return multipart_response(both, headers, "multipart/mixed")


def report_headers(report: Report) -> dict[str, str]:
    """Return the headers of a response with a processed image."""
    return {
        "x-velum-hidden": str(len(report.hidden)), "x-velum-report": digest(report),
        "cache-control": "no-store", "vary": "accept",
    }  # fmt: skip


def accepts(request: Request, kind: str) -> bool:
    """Tell whether the `Accept` header of a request names a media type."""
    named = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return kind in named


def multipart_response(
    parts: tuple[tuple[bytes, bytes, bytes], ...], headers: Mapping[str, str], kind: str
) -> Response:
    """Return a multipart response; each part has a name, a media type and its bytes."""
    boundary = secrets.token_hex(16)
    mark = b"--" + boundary.encode()
    place = b"form-data" if kind == "multipart/form-data" else b"inline"
    body = b"".join(
        b'%s\r\nContent-Disposition: %s; name="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n'
        % (mark, place, name, media_type, data)
        for name, media_type, data in parts
    )
    content_type = {"content-type": f"{kind}; boundary={boundary}"}
    return Response(body + mark + b"--\r\n", headers={**headers, **content_type})
