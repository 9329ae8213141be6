"""`/v1/uploads`: files of any size as raw streams, to be continued where they broke off."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Body, Depends, Header, Request
from fastapi import Path as InPath
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from velum.bmw.routes import note
from velum.errors import BadInput
from velum.jobs import ResumableUpload
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.job_backend import JobBackend
from velum.service.problem_details import ConflictProblem, Malformed, NotFoundProblem, documented
from velum.service.v1.upload_turns import UploadTurns, pieces
from velum.service.v1.values import UploadRequest, UploadState

CHUNK = 1 << 20
"""Bytes that are written at a time."""

Id = Annotated[str, InPath(description="Id of the upload.", examples=["5f2b" * 8])]

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class UploadService:
    """What the endpoints work with. `streams` is how many uploads may be sent at a time."""

    office: JobBackend
    streams: int

    def begin(self, wanted: UploadRequest, caller: Principal) -> ResumableUpload:
        """Return a new upload."""
        return self.office.open().uploads.begin(size=wanted.size, sha256=wanted.sha256, owner=caller.name)

    def get(self, upload: str, caller: Principal) -> ResumableUpload:
        """Return an upload of the caller. Raises `NotFoundProblem`."""
        return owned_upload(self.office, upload, caller)

    def discard(self, upload: str, caller: Principal) -> None:
        """Delete what came of an upload."""
        owned_upload(self.office, upload, caller)
        rooms = self.office.open()
        try:
            key = rooms.uploads.discard(upload)
        except BadInput as error:
            raise ConflictProblem(str(error)) from error
        if key is not None:
            rooms.desk.release(key)

    def append(self, upload: str, offset: int, caller: Principal, chunks: Iterator[bytes]) -> ResumableUpload:
        """Write on at `offset`. Raises `ConflictProblem` when the upload is elsewhere, or someone else writes."""
        uploads = self.office.open().uploads
        at = owned_upload(self.office, upload, caller)
        if offset != at.offset:
            raise _elsewhere(at, f"upload {upload} is at byte {at.offset}, not {offset}; continue there")
        try:
            return uploads.append(upload, offset, chunks)
        except BadInput as error:
            raise _elsewhere(owned_upload(self.office, upload, caller), str(error)) from error


def owned_upload(office: JobBackend, upload: str, caller: Principal) -> ResumableUpload:
    """Return the upload of that id when it is the caller's, or the caller may see all. Raises `NotFoundProblem`."""
    at = office.open().uploads.get(upload)
    if at is None or (at.owner != caller.name and "operate" not in caller.scopes):
        raise NotFoundProblem(f"upload {upload[:40]!r} is not here: it was taken by a job, discarded or never begun")
    return at


def routes(receiving: UploadService, access: Authenticator) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/uploads", tags=["Uploads"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    limiter: list[anyio.CapacityLimiter] = []
    turns = UploadTurns()
    state: dict[str, Any] = {"response_model": UploadState, "response_class": JSONResponse}

    @router.post("", status_code=201, responses=documented(400), **state)
    def begin(caller: Asking, wanted: Annotated[UploadRequest | None, Body()] = None) -> Response:
        """Begin an upload; its bytes are sent with PUT."""
        made = receiving.begin(wanted or UploadRequest(), caller)
        return _answer(made, 201, {"location": f"/v1/uploads/{made.id}"})

    @router.get("/{upload}", responses=documented(404), **state)
    def look(upload: Id, caller: Asking) -> Response:
        """Tell how far an upload is."""
        return _answer(receiving.get(upload, caller))

    @router.head("/{upload}", responses={**documented(404), 200: _OFFSET}, response_class=Response)
    def offset_of(upload: Id, caller: Asking) -> Response:
        """Tell in `Upload-Offset` how far an upload is."""
        return Response(headers=_headers(receiving.get(upload, caller)))

    @router.put("/{upload}", responses=documented(400, 404, 409), openapi_extra=_RAW, **state)
    async def append(
        upload: Id,
        request: Request,
        caller: Asking,
        upload_offset: Annotated[int | None, Header(ge=0, le=1 << 62)] = None,
        content_range: Annotated[str | None, Header(examples=["bytes 0-1048575/1048576"])] = None,
    ) -> Response:
        """Send bytes: all of them, or those from `Upload-Offset` (or of `Content-Range`) on.

        What came before a connection broke is kept; `HEAD` tells how much that is. A request for the same upload that
        is still open ends: it may be a connection that broke and nobody has noticed.
        """
        offset = _start(upload_offset, content_range)
        limiter[:] = limiter or [anyio.CapacityLimiter(receiving.streams)]

        await anyio.to_thread.run_sync(receiving.get, upload, caller)  # strangers end nobody's turn
        async with turns.turn(upload) as stop:

            def work() -> ResumableUpload:
                return receiving.append(upload, offset, caller, _pulled(_gathered(request, stop)))

            made = await anyio.to_thread.run_sync(work, limiter=limiter[0])
        note(request, upload=upload, offset=made.offset)
        return _answer(made)

    @router.delete("/{upload}", status_code=204, responses=documented(404, 409), response_class=Response)
    async def discard(upload: Id, caller: Asking) -> Response:
        """Delete what came of an upload; whoever sends it is stopped."""
        await anyio.to_thread.run_sync(receiving.get, upload, caller)
        async with turns.turn(upload):
            await anyio.to_thread.run_sync(receiving.discard, upload, caller)
        return Response(status_code=204)

    return router


_OFFSET = {
    "description": "How far it is.",
    "headers": {
        "Upload-Offset": {"description": "Bytes that are here.", "schema": {"type": "integer"}},
        "Upload-Length": {"description": "Bytes that were announced.", "schema": {"type": "integer"}},
    },
}
_RAW = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _start(offset: int | None, content_range: str | None) -> int:
    """Return where the bytes go. Raises `Malformed`."""
    if content_range is None:
        return offset or 0
    match = _RANGE.fullmatch(content_range.strip())
    if not match or int(match[1]) > int(match[2]):
        raise Malformed(f"Content-Range is {content_range[:80]!r}; write it as bytes 0-1048575/1048576")
    if offset not in {None, int(match[1])}:
        raise Malformed(f"Upload-Offset {offset} and Content-Range {content_range[:80]!r} differ; send one of them")
    return int(match[1])


async def _gathered(request: Request, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the body in pieces worth a trip to another thread. What is here when it breaks off comes still."""
    held = bytearray()
    try:
        async for chunk in pieces(request, stop):
            held += chunk
            if len(held) >= CHUNK:
                yield bytes(held)
                held.clear()
    except (ClientDisconnect, HTTPException):
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)


def _pulled(chunks: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Yield in a thread what the event loop receives."""
    while chunk := anyio.from_thread.run(anext, chunks, b""):
        yield chunk


def _elsewhere(at: ResumableUpload, message: str) -> ConflictProblem:
    return ConflictProblem(message, headers=_headers(at), offset=at.offset)


def _headers(at: ResumableUpload) -> dict[str, str]:
    announced = {} if at.size is None else {"upload-length": str(at.size)}
    return {"upload-offset": str(at.offset), "cache-control": "no-store", **announced}


def _answer(at: ResumableUpload, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    values = {"id": at.id, "offset": at.offset, "size": at.size, "sha256": at.sha256}
    return JSONResponse(values, status, {**_headers(at), **(headers or {})})
