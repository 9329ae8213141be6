"""Files of the store as responses, whole or by range (RFC 9110, section 14)."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import quote

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from velum.jobs import JobRecord, State, Store
from velum.media.formats import SUFFIXES
from velum.service.problem_details import ConflictProblem, ExpiredProblem, NotSatisfiable
from velum.service.v1.image_service import KINDS
from velum.storage.folder import ByteRange, missing_file

VIDEO_KINDS = {
    ".avi": "video/x-msvideo", ".m2ts": "video/mp2t", ".m4v": "video/mp4", ".mkv": "video/x-matroska",
    ".mov": "video/quicktime", ".mp4": "video/mp4", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
    ".mts": "video/mp2t", ".ts": "video/mp2t", ".vob": "video/mpeg", ".webm": "video/webm",
}  # fmt: skip
"""Suffix of a video file -> media type."""

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)


class _Download(StreamingResponse):
    """Streams a file, and closes it even when the client disconnects halfway."""

    def __init__(self, chunks: ByteRange, status: int, headers: Mapping[str, str], kind: str) -> None:
        super().__init__(chunks, status, headers, kind)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._chunks.close)


def result_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the result of a job. Raises `ConflictProblem` before it is done, `ExpiredProblem` once it is deleted."""
    if job.state is not State.DONE:
        raise ConflictProblem(f"job {job.id} is {job.state}; it has a result once it is done", state=job.state.value)
    if job.result is None:
        raise ExpiredProblem(
            f"the result of job {job.id} was deleted after its retention time; submit the source again"
        )
    return _file_response(store, job.result, job.result_name or "result", request)


def source_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the source of a job. Raises `ExpiredProblem` after it has been deleted."""
    if not job.source_kept:
        raise ExpiredProblem(f"the source of job {job.id} was deleted after its retention time")
    return _file_response(store, job.submission.source, job.submission.name, request)


def regions_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the regions of a job. Raises `ConflictProblem` before it has any, `ExpiredProblem` once deleted."""
    if job.regions is None and job.state is State.DONE:
        raise ExpiredProblem(f"the regions of job {job.id} were deleted after their retention time")
    if job.regions is None:
        raise ConflictProblem(f"job {job.id} is {job.state}; it has regions once it is done", state=job.state.value)
    return _file_response(store, job.regions, f"{PurePath(job.submission.name).stem}.regions.json", request)


def tag_of(key: str) -> str:
    """Return the entity tag of a file: a hash of its key, which is secret and stands for content that never changes."""
    return f'"{hashlib.sha256(key.encode()).hexdigest()[:32]}"'


def _file_response(store: Store, key: str, name: str, request: Request) -> Response:
    """Return a file of the store, whole or by range. Raises `Unavailable` when the store lacks it."""
    if (size := store.size(key)) is None:
        raise missing_file(key)
    headers = {
        "etag": tag_of(key), "accept-ranges": "bytes", "cache-control": "private, no-store",
        "content-disposition": _content_disposition(name),
    }  # fmt: skip
    tag = headers["etag"]
    if tag in _entity_tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    wanted = _range(request, tag, size)
    start, stop = wanted or (0, size)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    status, kind = (206 if wanted else 200), kind_of(name)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return _Download(store.open(key, start, stop), status, headers, kind)


def kind_of(name: str) -> str:
    """Return the media type for a file name."""
    suffix = PurePath(name).suffix.lower()
    if suffix == ".json":
        return "application/json"
    return VIDEO_KINDS.get(suffix) or KINDS.get(SUFFIXES.get(suffix, ""), "application/octet-stream")


def _content_disposition(name: str) -> str:
    """Return Content-Disposition (RFC 6266) for a file name: in ASCII, and in UTF-8 where ASCII does not suffice."""
    plain = re.sub(r"[^A-Za-z0-9 ()+,.=@_-]", "_", name)
    extended = "" if plain == name else f"; filename*=utf-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


def _range(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of the requested range; None for the whole file.

    Several ranges and malformed ones are ignored, as the standard allows. Raises `NotSatisfiable`.
    """
    match = _ONE_RANGE.fullmatch(request.headers.get("range", ""))
    if not match or not (match[1] or match[2]) or request.headers.get("if-range", tag) != tag:
        return None
    if not match[1]:
        start, stop = max(size - int(match[2]), 0), size
    else:
        start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= stop:
        headers = {"content-range": f"bytes */{size}"}
        raise NotSatisfiable(
            f"the range lies outside the {size} bytes of the file; request a range within them",
            headers=headers,
            size=size,
        )
    return start, stop


def _entity_tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
