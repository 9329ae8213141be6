"""`/v1/images` and `/v1/locate`: hide or locate in one image within the request; nothing is stored."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from velum.annotations import FORMAT
from velum.service.admission import RequestThreads
from velum.service.middleware import note
from velum.service.problem_details import problems
from velum.service.v1.image_service import KINDS, HiddenImage, ImageService, digest
from velum.service.v1.plans import Plans
from velum.service.v1.request_body import ReceivedImage, read_image

FIELDS = ("plan",)

_PLAN_TEXT = "The plan as a JSON object, or the name of one of `/v1/plans`. Omitted: faces are blackened."
_PLAN_EXAMPLE = '{"rules": ["face: centerface -> blur"]}'
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
class Images:
    """Serves the two endpoints. `most` is the largest image in bytes."""

    image_service: ImageService
    plans: Plans
    workers: RequestThreads
    most: int

    async def hide(self, request: Request) -> Response:
        """Return the processed image, alone or with its report."""
        received = await read_image(request, "image", FIELDS, self.most)
        both = accepts(request, "multipart/mixed")

        def answer(image: HiddenImage) -> Response:
            note(request, hidden=len(image.report.hidden))
            headers = {
                "x-velum-hidden": str(len(image.report.hidden)), "x-velum-report": digest(image.report),
                "cache-control": "no-store", "vary": "accept",
            }  # fmt: skip
            if both:
                return image_with_report(image, headers, "multipart/mixed")
            return Response(image.data, media_type=image.kind, headers=headers)

        return await self.workers.run(
            request, lambda gone: answer(self.image_service.hide(received.data, self._plan(received), gone))
        )

    async def locate(self, request: Request) -> Response:
        """Return the regions that would be hidden."""
        received = await read_image(request, "image", FIELDS, self.most)
        found = await self.workers.run(
            request, lambda gone: self.image_service.locate(received.data, self._plan(received), gone)
        )
        return JSONResponse(found.to_json(), headers={"cache-control": "no-store"})

    def _plan(self, received: ReceivedImage) -> Any:
        return self.plans.of(received.fields.get("plan"))


def routes(images: Images) -> APIRouter:
    """Return the two endpoints."""
    router = APIRouter(tags=["Images"])
    binary = {"schema": _BINARY}
    done = {
        "description": "The image in its own format; with `Accept: multipart/mixed` the report (JSON), then the image.",
        "content": {**dict.fromkeys(sorted(KINDS.values()), binary), "multipart/mixed": binary},
        "headers": _HEADERS,
    }
    found = {
        "description": "What the plan would hide, as an annotation file.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _FINDINGS_EXAMPLE}},
    }

    @router.post(
        "/images", responses={200: done, **problems(400, 415)}, response_class=Response, openapi_extra=dict(_BODY)
    )
    async def hide_image(request: Request) -> Response:
        """Hide in an image what the plan names, and return the image. Nothing is stored."""
        return await images.hide(request)

    @router.post(
        "/locate", responses={200: found, **problems(400, 415)}, response_class=Response, openapi_extra=dict(_BODY)
    )
    async def locate(request: Request) -> Response:
        """Locate in an image what the plan would hide, without hiding it."""
        return await images.locate(request)

    return router


def accepts(request: Request, kind: str) -> bool:
    """Tell whether the `Accept` header of a request names a media type."""
    named = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return kind in named


def image_with_report(image: HiddenImage, headers: Mapping[str, str], kind: str) -> Response:
    """Return a response of two parts (RFC 2046): the report, then the image."""
    report = json.dumps(image.report.to_json()).encode()
    both = (
        (b"report", b"application/json", report),
        (b"image", image.kind.encode(), image.data),
    )
    return multipart_response(both, headers, kind)


def multipart_response(
    all_parts: tuple[tuple[bytes, bytes, bytes], ...], headers: Mapping[str, str], kind: str
) -> Response:
    """Return a multipart response; each part has a name, a media type and its bytes."""
    boundary = secrets.token_hex(16)
    mark = b"--" + boundary.encode()
    place = b"form-data" if kind == "multipart/form-data" else b"inline"
    body = b"".join(
        b'%s\r\nContent-Disposition: %s; name="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n'
        % (mark, place, name, media_type, data)
        for name, media_type, data in all_parts
    )
    content_type = {"content-type": f"{kind}; boundary={boundary}"}
    return Response(body + mark + b"--\r\n", headers={**headers, **content_type})
