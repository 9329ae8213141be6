"""A finished file of the store as an answer: whole or a range of it (RFC 9110, section 14)."""

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
from velum.storage.folder import ByteRange, missing

VIDEO_KINDS = {
    ".avi": "video/x-msvideo", ".m2ts": "video/mp2t", ".m4v": "video/mp4", ".mkv": "video/x-matroska",
    ".mov": "video/quicktime", ".mp4": "video/mp4", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
    ".mts": "video/mp2t", ".ts": "video/mp2t", ".vob": "video/mpeg", ".webm": "video/webm",
}  # fmt: skip
"""Media type of a video's suffix."""

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)


class _Download(StreamingResponse):
    """Chunks of a file, which is closed though the client leaves in the middle."""

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
        raise ConflictProblem(f"job {job.id} is {job.state}; it has a result when it is done", state=job.state.value)
    if job.result is None:
        raise ExpiredProblem(f"the result of job {job.id} has been deleted after its time; hand the source in again")
    return _sent(store, job.result, job.result_name or "result", request)


def source_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the source of a job. Raises `ExpiredProblem` after it has been deleted."""
    if not job.source_kept:
        raise ExpiredProblem(f"the source of job {job.id} has been deleted after its time")
    return _sent(store, job.submission.source, job.submission.name, request)


def regions_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the regions of a job. Raises `ConflictProblem` before it has any, `ExpiredProblem` once deleted."""
    if job.regions is None and job.state is State.DONE:
        raise ExpiredProblem(f"the regions of job {job.id} have been deleted after their time")
    if job.regions is None:
        raise ConflictProblem(f"job {job.id} is {job.state}; it has regions when it is done", state=job.state.value)
    return _sent(store, job.regions, f"{PurePath(job.submission.name).stem}.regions.json", request)


def tag_of(key: str) -> str:
    """Return the entity tag of a file in the store: its key is secret, and what is stored under it never changes."""
    return f'"{hashlib.sha256(key.encode()).hexdigest()[:32]}"'


def _sent(store: Store, key: str, name: str, request: Request) -> Response:
    """Return a file that the database says is there. Raises `Unavailable` when it is not: that is our own fault."""
    if (size := store.size(key)) is None:
        raise missing(key)
    headers = {
        "etag": tag_of(key), "accept-ranges": "bytes", "cache-control": "private, no-store",
        "content-disposition": _attached(name),
    }  # fmt: skip
    tag = headers["etag"]
    if tag in _listed(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    asked = _range(request, tag, size)
    start, stop = asked or (0, size)
    if asked is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    status, kind = (206 if asked else 200), kind_of(name)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return _Download(store.open(key, start, stop), status, headers, kind)


def kind_of(name: str) -> str:
    """Return the media type of a file's name."""
    suffix = PurePath(name).suffix.lower()
    if suffix == ".json":
        return "application/json"
    return VIDEO_KINDS.get(suffix) or KINDS.get(SUFFIXES.get(suffix, ""), "application/octet-stream")


def _attached(name: str) -> str:
    """Return the header that names a file (RFC 6266): for old clients in ASCII, where it has more also as it is."""
    plain = re.sub(r"[^A-Za-z0-9 ()+,.=@_-]", "_", name)
    more = "" if plain == name else f"; filename*=utf-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{more}'


def _range(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """Return the range that is asked for, its end not included; None for the whole file.

    Of several ranges, and of what cannot be read, nothing is heeded, as the standard allows.
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
        raise NotSatisfiable(f"the range lies outside of the {size} bytes; ask for less", headers=headers, size=size)
    return start, stop


def _listed(header: str) -> set[str]:
    return {one.strip().removeprefix("W/") for one in header.split(",")}
