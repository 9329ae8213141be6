"""`/v1/images` and `/v1/locate`: a picture in, the hidden picture or what would be hidden out, nothing kept."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from velum.annotations import FORMAT
from velum.bmw.routes import note
from velum.service.problem_details import documented
from velum.service.request_threads import RequestThreads
from velum.service.v1.image_service import KINDS, HiddenImage, ImageService, digest
from velum.service.v1.plans import Plans
from velum.service.v1.request_body import ReceivedImage, sent

FIELDS = ("plan",)

_PLAN_TEXT = "The plan as a JSON object, or the name of one of `/v1/plans`. Left out: faces are blackened."
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
                        "image": {"type": "string", "format": "binary", "description": "The file of the picture."},
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
            "description": f"{_PLAN_TEXT} For bodies that are the picture itself.",
        }
    ],
}  # fmt: skip
_HEADERS: Mapping[str, Any] = {
    "X-Velum-Hidden": {"description": "How many regions were hidden.", "schema": {"type": "integer"}},
    "X-Velum-Report": {"description": "The report in short, as JSON.", "schema": {"type": "string"}},
}
_FINDINGS_EXAMPLE: Mapping[str, Any] = {
    "format": FORMAT, "width": 640, "height": 480, "sha256": None, "models": [],
    "frames": [{"index": 0, "regions": [{"label": "face", "xyxy": [10, 20, 60, 80], "score": 0.97}]}],
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What the endpoints work with. `most` is the largest picture, in bytes."""

    studio: ImageService
    plans: Plans
    workers: RequestThreads
    most: int

    async def hidden(self, request: Request) -> Response:
        """Return the hidden picture, alone or with its report."""
        came = await sent(request, "image", FIELDS, self.most)
        both = accepts(request, "multipart/mixed")

        def answer(made: HiddenImage) -> Response:
            note(request, hidden=len(made.report.hidden))
            headers = {
                "x-velum-hidden": str(len(made.report.hidden)), "x-velum-report": digest(made.report),
                "cache-control": "no-store", "vary": "accept",
            }  # fmt: skip
            if both:
                return parts(made, headers, "multipart/mixed")
            return Response(made.data, media_type=made.kind, headers=headers)

        return await self.workers.run(request, lambda gone: answer(self.studio.hide(came.data, self._plan(came), gone)))

    async def located(self, request: Request) -> Response:
        """Return what would be hidden."""
        came = await sent(request, "image", FIELDS, self.most)
        found = await self.workers.run(request, lambda gone: self.studio.locate(came.data, self._plan(came), gone))
        return JSONResponse(found.to_json(), headers={"cache-control": "no-store"})

    def _plan(self, came: ReceivedImage) -> Any:
        return self.plans.of(came.fields.get("plan"))


def routes(images: Images) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["Images"])
    binary = {"schema": _BINARY}
    done = {
        "description": "The picture in its own format; with `Accept: multipart/mixed` the report (JSON), then it.",
        "content": {**dict.fromkeys(sorted(KINDS.values()), binary), "multipart/mixed": binary},
        "headers": _HEADERS,
    }
    found = {
        "description": "What the plan would hide, as a file of regions.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _FINDINGS_EXAMPLE}},
    }

    @router.post(
        "/images", responses={200: done, **documented(400, 415)}, response_class=Response, openapi_extra=dict(_BODY)
    )
    async def hide_image(request: Request) -> Response:
        """Hide in a picture what the plan names, and return it. Nothing is kept; it is never written to a disk."""
        return await images.hidden(request)

    @router.post(
        "/locate", responses={200: found, **documented(400, 415)}, response_class=Response, openapi_extra=dict(_BODY)
    )
    async def locate(request: Request) -> Response:
        """Find in a picture what the plan would hide, and change nothing."""
        return await images.located(request)

    return router


def accepts(request: Request, kind: str) -> bool:
    """Tell whether the client names a media type among those it takes."""
    named = {one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "").split(",")}
    return kind in named


def parts(made: HiddenImage, headers: Mapping[str, str], kind: str) -> Response:
    """Return an answer of two parts (RFC 2046): the report, then the picture."""
    report = json.dumps(made.report.to_json()).encode()
    both = (
        (b"report", b"application/json", report),
        (b"image", made.kind.encode(), made.data),
    )
    return joined(both, headers, kind)


def joined(all_parts: tuple[tuple[bytes, bytes, bytes], ...], headers: Mapping[str, str], kind: str) -> Response:
    """Return an answer of parts: of each its name, its media type and its bytes."""
    boundary = secrets.token_hex(16)
    mark = b"--" + boundary.encode()
    place = b"form-data" if kind == "multipart/form-data" else b"inline"
    body = b"".join(
        b'%s\r\nContent-Disposition: %s; name="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n' % (mark, place, name, what, data)
        for name, what, data in all_parts
    )
    content_type = {"content-type": f"{kind}; boundary={boundary}"}
    return Response(body + mark + b"--\r\n", headers={**headers, **content_type})
