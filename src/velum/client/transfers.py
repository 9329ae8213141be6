"""Files to and from the service: uploads and results that continue where a connection broke, and images at once."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from velum.atomic import keep_original, publish
from velum.client._sansio import (
    Body,
    HttpRequest,
    HttpResponse,
    Next,
    Progress,
    Retry,
    RunBlocking,
    Steps,
    body_of,
    open_response,
    request_json,
    send_request,
)
from velum.client.errors import Conflict
from velum.client.models import HiddenFile, Job, JsonReader, Upload, path_of
from velum.errors import BadInput, OutputFailed, Unavailable
from velum.file_hash import sha256_of_stream
from velum.plan import Plan


class PartialFile:
    """A file being written, of which `size_written` bytes exist."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_written = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._hash.update(data)
        self.size_written += len(data)

    def restart(self) -> None:
        """Discard all bytes and start again."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size_written = hashlib.sha256(), 0


@contextmanager
def open_partial(target: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[PartialFile]:
    """Yield a file to write to, which becomes `target` in one step when the block ends without an error.

    After an error the file is removed and the target is as before. Raises `OutputFailed` when the target is `source`,
    exists and `overwrite` is False, or cannot be written.
    """
    if source is not None:
        keep_original(target, source)
    with publish(target, overwrite=overwrite) as path, path.open("r+b") as file:
        yield PartialFile(file)


def form(file: Path, plan: Plan | str | None) -> Body:
    """Return a form with an image and a plan (RFC 7578). Raises `BadInput` when the file cannot be read."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
    mark = secrets.token_hex(16)
    plan = json.dumps(plan.to_json()) if isinstance(plan, Plan) else plan
    head = "" if plan is None else f'--{mark}\r\nContent-Disposition: form-data; name="plan"\r\n\r\n{plan}\r\n'
    # The service need not know the file's name.
    head += f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    kind = f"multipart/form-data; boundary={mark}"
    return Body(kind, head.encode(), file, 0, size, f"\r\n--{mark}--\r\n".encode())


def begin_upload(source: Path | bytes) -> Steps[Upload]:
    """Begin an upload with its size and SHA-256. Raises `BadInput` when the file cannot be read."""
    size, sha256 = yield RunBlocking(partial(_measure, source))
    wanted = body_of({"size": size, "sha256": sha256})
    return Upload.read((yield from request_json(HttpRequest("POST", "/v1/uploads", body=wanted))))


def send_rest(upload: Upload, source: Path | bytes, seconds: float, progress: Progress | None) -> Steps[Upload]:
    """Send the missing bytes, and return the complete upload.

    After a broken connection the upload continues at the offset that the service reports, until there is no progress
    for `seconds`.
    """
    patience, broken = Retry(seconds, started=True), False
    size = upload.size or 0
    while upload.offset < size:
        try:
            now = yield from (_look(upload) if broken else _put(upload, source, progress))
            broken = False
        except (Unavailable, Conflict) as error:
            broken = True
            yield from patience.wait(error)
            continue
        if now.offset > upload.offset:
            patience.progress()
        upload = now
    return upload


def upload_file(source: Path, seconds: float, progress: Progress | None) -> Steps[Upload]:
    """Send a file, and return the upload."""
    upload = yield from begin_upload(source)
    return (yield from send_rest(upload, source, seconds, progress))


def discard(upload: Upload) -> Steps[None]:
    """Delete an upload."""
    yield from send_request(HttpRequest("DELETE", f"/v1/uploads/{upload.id}"))


def _look(upload: Upload) -> Steps[Upload]:
    return Upload.read((yield from request_json(HttpRequest("GET", f"/v1/uploads/{upload.id}"))))


def _put(upload: Upload, source: Path | bytes, progress: Progress | None) -> Steps[Upload]:
    kind = "application/octet-stream"
    if isinstance(source, bytes):
        body = Body(kind, source[upload.offset :])
    else:
        body = Body(kind, file=source, start=upload.offset, stop=upload.size or 0, progress=progress)
    headers = {"upload-offset": str(upload.offset)}
    now = Upload.read(
        (yield from request_json(HttpRequest("PUT", f"/v1/uploads/{upload.id}", headers=headers, body=body)))
    )
    if now.offset <= upload.offset:
        raise Unavailable(f"the service accepted no byte of upload {upload.id} after byte {upload.offset}")
    return now


def _measure(source: Path | bytes) -> tuple[int, str]:
    """Return the number of bytes and their SHA-256."""
    if isinstance(source, bytes):
        return len(source), hashlib.sha256(source).hexdigest()
    try:
        with source.open("rb") as file:
            digest = sha256_of_stream(file)
            return file.tell(), digest
    except OSError as error:
        raise BadInput(f"cannot read {source}: {error.strerror or error}") from error


_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", re.ASCII)


def hide_image(source: Path, target: Path, plan: Plan | str | None, *, overwrite: bool) -> Steps[HiddenFile]:
    """Hide regions in an image, and write the result to `target`."""
    with open_partial(target, overwrite=overwrite, source=source) as part:
        answer = yield from open_response(HttpRequest("POST", "/v1/images", body=form(source, plan)))
        if "x-velum-report" not in answer.headers:
            raise Unavailable(f"{answer.where} answered, but not as velum's service does; check the address")
        facts = HiddenFile.read(JsonReader.of_text(answer.headers["x-velum-report"]), target)
        while chunk := (yield Next()):
            yield RunBlocking(partial(part.add, chunk))
        _check(part, facts.output_sha256, target)
    return facts


def result(job: Job | str, target: Path, seconds: float, progress: Progress | None, *, overwrite: bool) -> Steps[Path]:
    """Write the result of a job to `target`. Raises `Conflict` before it is done, `Expired` after it was deleted."""
    report = yield from request_json(HttpRequest("GET", f"{path_of(job)}/report"))
    with open_partial(target, overwrite=overwrite) as part:
        yield from _fill(part, f"{path_of(job)}/result", seconds, progress)
        _check(part, report.text_or_none("output_sha256"), target)
    return target


def _fill(part: PartialFile, path: str, seconds: float, progress: Progress | None) -> Steps[None]:
    """Download `path` into a file; continue after a broken connection, until there is no progress for `seconds`."""
    patience, tag, size = Retry(seconds, started=True), "", -1
    while part.size_written != size:
        try:
            rest = {"range": f"bytes={part.size_written}-", "if-range": tag} if part.size_written and tag else {}
            answer = yield from open_response(HttpRequest("GET", path, headers=rest))
            size = yield from _locate_start(part, answer)
            tag = answer.headers.get("etag", "")
            yield from _receive(part, size, answer, patience, progress)
        except (Unavailable, Conflict) as error:
            yield from patience.wait(error)


def _receive(
    part: PartialFile, size: int, answer: HttpResponse, patience: Retry, progress: Progress | None
) -> Steps[None]:
    while chunk := (yield Next()):
        yield RunBlocking(partial(part.add, chunk))
        patience.progress()
        if progress:
            progress(part.size_written, size)
    if part.size_written != size:
        raise Unavailable(f"{answer.where} ended after {part.size_written:,} of {size:,} bytes")


def _locate_start(part: PartialFile, answer: HttpResponse) -> Steps[int]:
    """Return the size of the whole file; restart `part` when the response starts at byte 0."""
    match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    if answer.status == 206 and match and int(match[1]) == part.size_written:
        return int(match[2])
    size = answer.headers.get("content-length", "")
    if answer.status != 200 or not re.fullmatch("[0-9]{1,18}", size, re.ASCII):
        raise Unavailable(f"{answer.where} answered {answer.status} without the size of the file")
    if part.size_written:
        yield RunBlocking(part.restart)
    return int(size)


def _check(part: PartialFile, sha256: str | None, target: Path) -> None:
    if sha256 is not None and part.sha256 != sha256:
        raise OutputFailed(
            f"cannot write {target}: the download has SHA-256 {part.sha256[:12]}, the report says {sha256[:12]}; "
            "something between here and the service changes files. Nothing was published"
        )
