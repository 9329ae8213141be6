"""Images in the bodies of requests, in memory and never on disk; files of the store as responses, whole or by range.

Ranges: RFC 9110, section 14.
"""

import hashlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Generator, Mapping
from pathlib import PurePath
from urllib.parse import quote

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from velum.errors import LimitExceeded
from velum.jobs import JobRecord, State, Store
from velum.media.formats import SUFFIXES
from velum.service.problem_details import Problem
from velum.storage import missing_file

KINDS = {
    "AVIF": "image/avif", "BMP": "image/bmp", "GIF": "image/gif", "HEIF": "image/heif", "JPEG": "image/jpeg",
    "JPEG2000": "image/jp2", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp",
}  # fmt: skip
"""Format -> media type."""

VIDEO_KINDS = {
    ".avi": "video/x-msvideo", ".m2ts": "video/mp2t", ".m4v": "video/mp4", ".mkv": "video/x-matroska",
    ".mov": "video/quicktime", ".mp4": "video/mp4", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
    ".mts": "video/mp2t", ".ts": "video/mp2t", ".vob": "video/mpeg", ".webm": "video/webm",
}  # fmt: skip
"""Suffix of a video file -> media type."""

SOUND_KINDS = {
    ".aif": "audio/aiff", ".aifc": "audio/aiff", ".aiff": "audio/aiff", ".au": "audio/basic", ".caf": "audio/x-caf",
    ".flac": "audio/flac", ".m4a": "audio/mp4", ".m4b": "audio/mp4", ".m4r": "audio/mp4", ".mka": "audio/x-matroska",
    ".mp3": "audio/mpeg", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".spx": "audio/ogg",
    ".snd": "audio/basic", ".w64": "audio/x-w64", ".wav": "audio/wav", ".weba": "audio/webm",
}  # fmt: skip
"""Suffix of a sound file -> media type."""

_TWICE = "the request has {} more than once; send one image and one plan per request"

FORM_BYTES = 1 << 20
"""Bytes that a form may have besides the image."""


async def read_image(
    request: Request, field: str, others: Collection[str], most: int, *, bare: bool = True
) -> tuple[bytes, Mapping[str, str]]:
    """Return the bytes of the file in a form's `field`, and its `others`; with `bare`, the body may be the file itself.

    Raises `LimitExceeded` for more than `most` bytes, `Problem` (400), and `Problem` (415) for other media types.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, field, others, most)
    if bare and (kind.startswith("image/") or kind in {"", "application/octet-stream"}):
        if twice := _duplicates([name for name, _ in request.query_params.multi_items() if name in others]):
            raise Problem(400, _TWICE.format(", ".join(map(repr, twice))))
        data = b"".join([chunk async for chunk in body_chunks(request, most)])
        return data, {name: request.query_params[name] for name in others if name in request.query_params}
    also = ", or the file itself as image/... or application/octet-stream" if bare else ""
    raise Problem(415, f"media type {kind[:80]!r} is not supported here; send multipart/form-data with {field!r}{also}")


async def _read_form(
    request: Request, field: str, others: Collection[str], most: int
) -> tuple[bytes, Mapping[str, str]]:
    parts, chunks = 1 + len(others), body_chunks(request, most + FORM_BYTES)
    parser = MultiPartParser(request.headers, chunks, max_files=parts, max_fields=parts, max_part_size=FORM_BYTES)
    parser.spool_max_size = 0  # 0: never moved to a file; the size is limited before
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, f"the form cannot be parsed: {error.message}") from error
    try:
        return _image_of_form(form, field, others, most)
    finally:
        await form.close()


def _image_of_form(form: FormData, field: str, others: Collection[str], most: int) -> tuple[bytes, Mapping[str, str]]:
    if twice := _duplicates([name for name, _ in form.multi_items()]):
        raise Problem(400, _TWICE.format(", ".join(map(repr, twice))))
    if unknown := sorted(set(form) - {field, *others}):
        raise Problem(400, f"the form has unknown fields {unknown}; allowed are {field}, {', '.join(others)}")
    file = form.get(field)
    if not isinstance(file, UploadFile):
        raise Problem(400, f"the form has no file {field!r}; send one, as with curl -F {field}=@photo.jpg")
    data = file.file.read()
    if len(data) > most:
        raise LimitExceeded("bytes", len(data), most, "the image")
    return data, {name: _text(form[name]) for name in others if name in form}


def _duplicates(names: list[str]) -> list[str]:
    return sorted(name for name, number in Counter(names).items() if number > 1)


async def single_fields(request: Request) -> None:
    """Dependency for endpoints with forms that FastAPI parses: refuse a form that has a field twice (400).

    The framework would use the last one and drop the others silently.
    """
    if request.headers.get("content-type", "").lower().startswith(("multipart/form-data", "application/x-www-form")):
        twice = _duplicates([name for name, _ in (await request.form()).multi_items()])
        if twice:
            raise HTTPException(400, _TWICE.format(", ".join(map(repr, twice))))


def _text(value: str | UploadFile) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(value.file.read(FORM_BYTES), "utf-8")
    except UnicodeDecodeError as error:
        raise Problem(400, f"a field of the form is not UTF-8 text: {error}; send it as UTF-8") from error


async def body_chunks(request: Request, most: int, name: str = "the image") -> AsyncGenerator[bytes, None]:
    """Yield the body in chunks. Raises `LimitExceeded`, which names it `name`, for more than `most` bytes."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise LimitExceeded("bytes", size, most, name)
        yield chunk


_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)


class _Download(StreamingResponse):
    """Streams a file, and closes it even when the client disconnects halfway."""

    def __init__(self, chunks: Generator[bytes], status: int, headers: Mapping[str, str], kind: str) -> None:
        super().__init__(chunks, status, headers, kind)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._chunks.close)


def result_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the result of a job. Raises `Problem` (409) before it is done, `Problem` (410) once it is deleted."""
    return _file_response(store, result_key_of(job), job.result_name or "result", request)


def result_key_of(job: JobRecord) -> str:
    """Return the key of a job's result. Raises as `result_of` does."""
    if job.state is not State.DONE:
        raise Problem(409, f"job {job.id} is {job.state}; it has a result once it is done", state=job.state.value)
    if job.result is None:
        raise Problem(410, f"the result of job {job.id} was deleted after its retention time; submit the source again")
    return job.result


def source_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the source of a job. Raises `Problem` (410) after it has been deleted."""
    if not job.source_kept:
        raise Problem(410, f"the source of job {job.id} was deleted after its retention time")
    return _file_response(store, job.submission.source, job.submission.name, request)


def regions_of(job: JobRecord, store: Store, request: Request) -> Response:
    """Return the regions of a job. Raises `Problem` (409) before it has any, `Problem` (410) once deleted."""
    if job.regions is None and job.state is State.DONE:
        raise Problem(410, f"the regions of job {job.id} were deleted after their retention time")
    if job.regions is None:
        raise Problem(409, f"job {job.id} is {job.state}; it has regions once it is done", state=job.state.value)
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
    byte_range = _range(request, tag, size)
    start, stop = byte_range or (0, size)
    if byte_range is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    status, kind = (206 if byte_range else 200), kind_of(name)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return _Download(store.open(key, start, stop), status, headers, kind)


def kind_of(name: str) -> str:
    """Return the media type for a file name."""
    suffix = PurePath(name).suffix.lower()
    if suffix == ".json":
        return "application/json"
    return {**VIDEO_KINDS, **SOUND_KINDS}.get(suffix) or KINDS.get(SUFFIXES.get(suffix, ""), "application/octet-stream")


def _content_disposition(name: str) -> str:
    """Return Content-Disposition (RFC 6266) for a file name: in ASCII, and in UTF-8 where ASCII does not suffice."""
    plain = re.sub(r"[^A-Za-z0-9 ()+,.=@_-]", "_", name)
    extended = "" if plain == name else f"; filename*=utf-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


def _range(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of the requested range; None for the whole file.

    Several ranges and malformed ones are ignored, as the standard allows. Raises `Problem` (416).
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
        raise Problem(
            416,
            f"the range lies outside the {size} bytes of the file; request a range within them",
            headers=headers,
            size=size,
        )
    return start, stop


def _entity_tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
