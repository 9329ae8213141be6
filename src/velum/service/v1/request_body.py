"""Images in request bodies: a form or the bare file, in memory and never on disk."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from velum.errors import LimitExceeded
from velum.service.problem_details import Malformed, Unsupported

_TWICE = "the request has {} more than once; send one image and one plan per request"

FORM_BYTES = 1 << 20
"""Bytes that a form may have besides the image."""


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedImage:
    """The image file of a request, and its other fields."""

    data: bytes
    fields: Mapping[str, str]


async def read_image(
    request: Request, field: str, others: Collection[str], most: int, *, bare: bool = True
) -> ReceivedImage:
    """Return the file in a form's `field` with its `others`; with `bare`, the body may be the file itself.

    Raises `LimitExceeded` for more than `most` bytes, `Malformed`, and `Unsupported` for other media types.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, field, others, most)
    if bare and (kind.startswith("image/") or kind in {"", "application/octet-stream"}):
        if twice := _duplicates([name for name, _ in request.query_params.multi_items() if name in others]):
            raise Malformed(_TWICE.format(", ".join(map(repr, twice))))
        data = b"".join([chunk async for chunk in body_chunks(request, most)])
        return ReceivedImage(
            data, {name: request.query_params[name] for name in others if name in request.query_params}
        )
    also = ", or the file itself as image/... or application/octet-stream" if bare else ""
    raise Unsupported(f"media type {kind[:80]!r} is not supported here; send multipart/form-data with {field!r}{also}")


class _InMemory(MultiPartParser):
    spool_max_size = 0  # 0: never moved to a file; the size is limited before

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], fields: int) -> None:
        super().__init__(headers, stream, max_files=fields, max_fields=fields, max_part_size=FORM_BYTES)


async def _read_form(request: Request, field: str, others: Collection[str], most: int) -> ReceivedImage:
    try:
        form = await _InMemory(request.headers, body_chunks(request, most + FORM_BYTES), 1 + len(others)).parse()
    except MultiPartException as error:
        raise Malformed(f"the form cannot be parsed: {error.message}") from error
    try:
        return _image_of_form(form, field, others, most)
    finally:
        await form.close()


def _image_of_form(form: FormData, field: str, others: Collection[str], most: int) -> ReceivedImage:
    if twice := _duplicates([name for name, _ in form.multi_items()]):
        raise Malformed(_TWICE.format(", ".join(map(repr, twice))))
    if unknown := sorted(set(form) - {field, *others}):
        raise Malformed(f"the form has unknown fields {unknown}; allowed are {field}, {', '.join(others)}")
    file = form.get(field)
    if not isinstance(file, UploadFile):
        raise Malformed(f"the form has no file {field!r}; send one, as with curl -F {field}=@photo.jpg")
    data = file.file.read()
    if len(data) > most:
        raise LimitExceeded("bytes", len(data), most, "the image")
    return ReceivedImage(data, {name: _text(form[name]) for name in others if name in form})


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
        raise Malformed(f"a field of the form is not UTF-8 text: {error}; send it as UTF-8") from error


async def body_chunks(request: Request, most: int, name: str = "the image") -> AsyncGenerator[bytes, None]:
    """Yield the body in chunks. Raises `LimitExceeded`, which names it `name`, for more than `most` bytes."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise LimitExceeded("bytes", size, most, name)
        yield chunk
