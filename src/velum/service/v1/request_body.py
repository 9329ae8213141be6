"""A picture as it comes in: a form or the bare file, always in memory and never on a disk."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from velum.errors import LimitExceeded
from velum.service.problem_details import Malformed, Unsupported

_TWICE = "the form has {} more than once; send one picture with one plan a request"

FORM_BYTES = 1 << 20
"""What the fields of a form and its boundaries may have, beside the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedImage:
    """What came: the picture's file, and the other fields."""

    data: bytes
    fields: Mapping[str, str]


async def sent(request: Request, field: str, others: Collection[str], most: int, *, bare: bool = True) -> ReceivedImage:
    """Return the file of a form's `field` with its `others`, or with `bare` also the body itself.

    Raises `LimitExceeded` when it has more than `most` bytes, `Malformed`, and `Unsupported` for another kind of body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _of_form(request, field, others, most)
    if bare and (kind.startswith("image/") or kind in {"", "application/octet-stream"}):
        if twice := _repeated([name for name, _ in request.query_params.multi_items() if name in others]):
            raise Malformed(_TWICE.format(", ".join(map(repr, twice))))
        data = b"".join([chunk async for chunk in bounded(request, most)])
        return ReceivedImage(
            data, {name: request.query_params[name] for name in others if name in request.query_params}
        )
    also = ", or the file itself as image/... or application/octet-stream" if bare else ""
    raise Unsupported(f"a body of {kind[:80]!r} is not taken here; send multipart/form-data with {field!r}{also}")


class _InMemory(MultiPartParser):
    spool_max_size = 0  # never moved to a file: what comes is bounded before

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], fields: int) -> None:
        super().__init__(headers, stream, max_files=fields, max_fields=fields, max_part_size=FORM_BYTES)


async def _of_form(request: Request, field: str, others: Collection[str], most: int) -> ReceivedImage:
    try:
        form = await _InMemory(request.headers, bounded(request, most + FORM_BYTES), 1 + len(others)).parse()
    except MultiPartException as error:
        raise Malformed(f"the form cannot be read: {error.message}") from error
    try:
        return _taken(form, field, others, most)
    finally:
        await form.close()


def _taken(form: FormData, field: str, others: Collection[str], most: int) -> ReceivedImage:
    if twice := _repeated([name for name, _ in form.multi_items()]):
        raise Malformed(_TWICE.format(", ".join(map(repr, twice))))
    if unknown := sorted(set(form) - {field, *others}):
        raise Malformed(f"the form has unknown fields {unknown}; known are {field}, {', '.join(others)}")
    file = form.get(field)
    if not isinstance(file, UploadFile):
        raise Malformed(f"the form has no file {field!r}; send one, as with curl -F {field}=@photo.jpg")
    data = file.file.read()
    if len(data) > most:
        raise LimitExceeded("bytes", len(data), most, "the picture")
    return ReceivedImage(data, {name: _text(form[name]) for name in others if name in form})


def _repeated(names: list[str]) -> list[str]:
    return sorted(name for name, number in Counter(names).items() if number > 1)


async def single_fields(request: Request) -> None:
    """Refuse with 400, as a dependency of endpoints that FastAPI reads forms for, what has a field twice.

    The framework would take the last and drop the others, though each may be a picture that somebody waits for.
    """
    if request.headers.get("content-type", "").lower().startswith(("multipart/form-data", "application/x-www-form")):
        twice = _repeated([name for name, _ in (await request.form()).multi_items()])
        if twice:
            raise HTTPException(400, _TWICE.format(", ".join(map(repr, twice))))


def _text(value: str | UploadFile) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(value.file.read(FORM_BYTES), "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"a field of the form is no text in UTF-8: {error}") from error


async def bounded(request: Request, most: int, what: str = "the picture") -> AsyncGenerator[bytes, None]:
    """Yield the body in pieces. Raises `LimitExceeded`, naming `what` it is, when it has more than `most` bytes."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise LimitExceeded("bytes", size, most, what)
        yield chunk
