"""`/v1/uploads`: resumable uploads of any size as raw streams, also for clients of tus (`tus.py`)."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import Body, Depends, Header, Request
from fastapi import Path as InPath
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from velum.errors import BadInput
from velum.jobs import ResumableUpload
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.job_backend import JobBackend
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1 import tus
from velum.service.v1.values import UploadRequest, UploadState
from velum.storage.resumable_uploads import Occupied

Turns = dict[str, tuple[asyncio.Event, asyncio.Event]]
"""The uploads being sent to this process, each with two events: the sender must stop, the sender has stopped. For use
in one event loop only."""


@asynccontextmanager
async def _take_turn(turns: Turns, upload: str) -> AsyncIterator[asyncio.Event]:
    """Stop the previous sender of an upload and wait for it; yields an event that tells this one to stop."""
    while (before := turns.get(upload)) is not None:
        before[0].set()
        await before[1].wait()
    stop, stopped = turns[upload] = asyncio.Event(), asyncio.Event()
    try:
        yield stop
    finally:
        del turns[upload]
        stopped.set()


async def _chunks_until_stopped(request: Request, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the body in chunks. Raises `Problem` (409) once `stop` is set, and as reading does."""
    stream = request.stream()
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(stream, None))
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                coming.cancel()
                raise Problem(409, "another request continues this upload, so this one was stopped")
            if (chunk := await coming) is None:
                return
            yield chunk
    finally:
        stopping.cancel()


CHUNK = 1 << 20
"""Bytes written at a time."""

Id = Annotated[str, InPath(description="Id of the upload.", examples=["5f2b" * 8])]

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.ASCII)


@dataclass(slots=True, eq=False)
class UploadService:
    """Begins, continues and deletes uploads of callers. `streams` is how many may be sent at a time.

    Its coroutines are for one event loop; they let one request at a time write an upload.
    """

    backend: JobBackend
    streams: int
    most_bytes: int
    """Size of the largest upload."""
    _turns: Turns = field(default_factory=dict, init=False)
    _threads: anyio.CapacityLimiter | None = field(default=None, init=False)

    def begin(self, request: UploadRequest, caller: Principal) -> ResumableUpload:
        """Return a new, empty upload."""
        return self.backend.open().uploads.begin(size=request.size, sha256=request.sha256, owner=caller.name)

    def get(self, upload: str, caller: Principal) -> ResumableUpload:
        """Return an upload that the caller has access to. Raises `Problem` (404)."""
        return owned_upload(self.backend, upload, caller)

    def discard(self, upload: str, caller: Principal) -> None:
        """Delete an upload. Raises `Problem` (404), and `Problem` (409) while it is being written."""
        owned_upload(self.backend, upload, caller)
        opened = self.backend.open()
        try:
            key = opened.uploads.discard(upload)
        except BadInput as error:
            raise Problem(409, str(error)) from error
        if key is not None:
            opened.queue.release(key)

    def append(self, upload: str, offset: int, caller: Principal, chunks: Iterator[bytes]) -> ResumableUpload:
        """Append bytes at `offset`. Raises `Problem` (409) for another offset, or while another request writes."""
        uploads = self.backend.open().uploads
        record = owned_upload(self.backend, upload, caller)
        if offset != record.offset:
            raise _wrong_offset(record, f"upload {upload} is at byte {record.offset}, not {offset}; continue there")
        try:
            return uploads.append(upload, offset, chunks)
        except BadInput as error:
            raise _wrong_offset(owned_upload(self.backend, upload, caller), str(error)) from error

    async def append_body(self, request: Request, upload: str, offset: int, caller: Principal) -> ResumableUpload:
        """Append the body of a request at `offset`; an earlier request that sends the upload is stopped.

        Raises what `append` raises.
        """
        self._threads = self._threads or anyio.CapacityLimiter(self.streams)
        await anyio.to_thread.run_sync(self.get, upload, caller)  # others cannot stop the owner's request
        async with _take_turn(self._turns, upload) as stop:

            def work() -> ResumableUpload:
                return self.append(upload, offset, caller, _pull_chunks(_gather_chunks(request, stop)))

            record = await anyio.to_thread.run_sync(work, limiter=self._threads)
        note(request, upload=upload, offset=record.offset)
        return record

    async def stop_and_discard(self, upload: str, caller: Principal) -> None:
        """Delete an upload; a request that is sending it is stopped. Raises what `discard` raises."""
        await anyio.to_thread.run_sync(self.get, upload, caller)
        async with _take_turn(self._turns, upload):
            await anyio.to_thread.run_sync(self.discard, upload, caller)


def check_complete(record: ResumableUpload) -> None:
    """Raise a `Problem` (409) for an upload of which bytes are missing."""
    if record.size is not None and record.offset < record.size:
        raise Problem(409, f"upload {record.id} is at byte {record.offset} of {record.size}; send the rest first")


@contextmanager
def conflict_when_occupied() -> Iterator[None]:
    """Turn the error of an upload that another request uses into a `Problem` (409)."""
    try:
        yield
    except Occupied as error:
        raise Problem(409, str(error)) from error


def owned_upload(backend: JobBackend, upload: str, caller: Principal) -> ResumableUpload:
    """Return an upload that is the caller's, or any with the scope operate. Raises `Problem` (404)."""
    record = backend.open().uploads.get(upload)
    if record is None or (record.owner != caller.name and "operate" not in caller.scopes):
        raise Problem(
            404, f"upload {upload[:40]!r} does not exist: a job has used it, it was deleted, or it was never begun"
        )
    return record


def routes(upload_service: UploadService, access: Authenticator) -> LateRouter:
    """Return the endpoints below `/uploads`."""
    router = LateRouter(prefix="/uploads", tags=["Uploads"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    state: dict[str, Any] = {"response_model": UploadState, "response_class": JSONResponse}
    known_version = [Depends(tus.check_version)]

    @router.post("", status_code=201, responses=problems(400), dependencies=known_version, **state)
    def begin(
        request: Request,
        caller: Asking,
        wanted: Annotated[UploadRequest | None, Body()] = None,
        upload_length: Annotated[str | None, Header(examples=["1048576"])] = None,
        upload_metadata: Annotated[str | None, Header(examples=["sha256 OWYuLi4="])] = None,
    ) -> Response:
        """Begin an upload; send its bytes with PUT, or with PATCH.

        Clients of tus 1.0.0 send `Tus-Resumable`, and announce the size in `Upload-Length` and perhaps the SHA-256 in
        `Upload-Metadata`, instead of a body.
        """
        if "tus-resumable" in request.headers:
            wanted = tus.announced_upload(upload_length, upload_metadata)
        upload_state = upload_service.begin(wanted or UploadRequest(), caller)
        return _answer(upload_state, 201, {"location": f"/v1/uploads/{upload_state.id}"})

    @router.options("", include_in_schema=False)
    @router.options("/{upload}", include_in_schema=False)
    def describe_tus() -> Response:
        """Return in headers the tus features that the service supports."""
        return Response(status_code=204, headers=tus.abilities(upload_service.most_bytes))

    @router.get("/{upload}", responses=problems(404), **state)
    def look(upload: Id, caller: Asking) -> Response:
        """Return the state of an upload."""
        return _answer(upload_service.get(upload, caller))

    @router.head(
        "/{upload}", responses={**problems(404), 200: _OFFSET}, response_class=Response, dependencies=known_version
    )
    def offset_of(upload: Id, caller: Asking) -> Response:
        """Return in `Upload-Offset` how many bytes of an upload have arrived."""
        return Response(headers=_headers(upload_service.get(upload, caller)))

    @router.put("/{upload}", responses=problems(400, 404, 409), openapi_extra=_raw("application/octet-stream"), **state)
    async def append(
        upload: Id,
        request: Request,
        caller: Asking,
        upload_offset: Annotated[int | None, Header(ge=0, le=1 << 62)] = None,
        content_range: Annotated[str | None, Header(examples=["bytes 0-1048575/1048576"])] = None,
    ) -> Response:
        """Send bytes: all of them, or those from `Upload-Offset` (or of `Content-Range`) on.

        Bytes that arrived before a connection broke are kept; `HEAD` returns how many. An earlier request for the same
        upload that is still open is stopped: its connection may be dead.
        """
        offset = _start_offset(upload_offset, content_range)
        return _answer(await upload_service.append_body(request, upload, offset, caller))

    @router.patch(
        "/{upload}", status_code=204, responses=problems(400, 404, 409, 415), response_class=Response,
        openapi_extra=_raw(tus.PATCH_TYPE), dependencies=known_version,
    )  # fmt: skip
    async def append_at_offset(
        upload: Id,
        request: Request,
        caller: Asking,
        upload_offset: Annotated[int | None, Header(ge=0, le=1 << 62)] = None,
    ) -> Response:
        """Send bytes from `Upload-Offset` on, as clients of tus 1.0.0 do."""
        tus.check_patch_type(request.headers.get("content-type"))
        if upload_offset is None:
            raise Problem(400, "Upload-Offset is missing; send the offset at which the bytes start")
        return Response(
            status_code=204, headers=_headers(await upload_service.append_body(request, upload, upload_offset, caller))
        )

    @router.delete(
        "/{upload}", status_code=204, responses=problems(404, 409), response_class=Response, dependencies=known_version
    )
    async def discard(upload: Id, caller: Asking) -> Response:
        """Delete an upload; a request that is sending it is stopped."""
        await upload_service.stop_and_discard(upload, caller)
        return Response(status_code=204)

    return router


_OFFSET = {
    "description": "State of the upload.",
    "headers": {
        "Upload-Offset": {"description": "Bytes that have arrived.", "schema": {"type": "integer"}},
        "Upload-Length": {"description": "Size that was announced.", "schema": {"type": "integer"}},
    },
}


def _raw(media_type: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body of bytes."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "content": content}}


def _start_offset(offset: int | None, content_range: str | None) -> int:
    """Return the offset at which the bytes start. Raises `Problem` (400)."""
    if content_range is None:
        return offset or 0
    match = _RANGE.fullmatch(content_range.strip())
    if not match or int(match[1]) > int(match[2]):
        raise Problem(400, f"Content-Range is {content_range[:80]!r}; write it as bytes 0-1048575/1048576")
    if offset not in {None, int(match[1])}:
        raise Problem(400, f"Upload-Offset {offset} and Content-Range {content_range[:80]!r} differ; send one of them")
    return int(match[1])


async def _gather_chunks(request: Request, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the body in chunks large enough to pass to a thread. A broken connection still yields what has arrived."""
    buffer = bytearray()
    try:
        async for chunk in _chunks_until_stopped(request, stop):
            buffer += chunk
            if len(buffer) >= CHUNK:
                yield bytes(buffer)
                buffer.clear()
    except (ClientDisconnect, HTTPException):
        if buffer:
            yield bytes(buffer)
        raise
    if buffer:
        yield bytes(buffer)


def _pull_chunks(chunks: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Yield, in a thread, the chunks that the event loop receives."""
    while chunk := anyio.from_thread.run(anext, chunks, b""):
        yield chunk


def _wrong_offset(record: ResumableUpload, message: str) -> Problem:
    return Problem(409, message, headers=_headers(record), offset=record.offset)


def _headers(record: ResumableUpload) -> dict[str, str]:
    announced = {} if record.size is None else {"upload-length": str(record.size)}
    return {"upload-offset": str(record.offset), "cache-control": "no-store", **announced}


def _answer(record: ResumableUpload, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    values = {"id": record.id, "offset": record.offset, "size": record.size, "sha256": record.sha256}
    return JSONResponse(values, status, {**_headers(record), **(headers or {})})
