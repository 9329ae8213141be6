"""Files to and from the service: uploads and results that continue where a connection broke, and images at once."""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from velum.atomic import keep_original, publish
from velum.client.errors import Conflict, printable
from velum.client.models import HiddenFile, Job, Upload, parse_object, path_of, read
from velum.client.transport import Connection, Response, Retry, open_response, request_json
from velum.errors import BadInput, OutputFailed, Unavailable
from velum.file_hash import sha256_of_stream
from velum.plan import Plan

CHUNK = 1 << 20
"""Bytes of a file that are read at a time."""

Progress = Callable[[int, int], None]
"""Called with the number of bytes transferred so far, and of all bytes."""


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


def form(file: Path, plan: Plan | str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request with an image and a plan (RFC 7578), as options of `open_response`.

    `values` are further fields, which are sent as JSON. Raises `BadInput` when the file cannot be read.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from error
    mark = secrets.token_hex(16)
    texts = {name: json.dumps(value) for name, value in values.items()}
    if plan is not None:
        texts["plan"] = json.dumps(plan.to_json()) if isinstance(plan, Plan) else plan
    text = "".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in texts.items()
    )
    # The service need not know the file's name.
    text += f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
    text += "Content-Type: application/octet-stream\r\n\r\n"
    head, tail = text.encode(), f"\r\n--{mark}--\r\n".encode()
    headers = {
        "content-type": f"multipart/form-data; boundary={mark}",
        "content-length": str(len(head) + size + len(tail)),
    }
    return {"headers": headers, "content": chain([head], _read_chunks(file, 0, size, None), [tail])}


def _read_chunks(file: Path, start: int, stop: int, progress: Progress | None) -> Iterator[bytes]:
    """Yield bytes of a file. Raises `BadInput` when the file cannot be read or has become shorter."""
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            while start < stop:
                chunk = opened.read(min(CHUNK, stop - start))
                if not chunk:
                    raise BadInput(f"{file} became shorter while it was sent; send it again when it is complete")
                yield chunk
                start += len(chunk)
                if progress:
                    progress(start, stop)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from error


async def begin_upload(connection: Connection, source: Path | bytes) -> Upload:
    """Begin an upload with its size and SHA-256. Raises `BadInput` when the file cannot be read."""
    size, sha256 = await connection.run(lambda: _measure(source))
    return read(Upload, await request_json(connection, "POST", "/v1/uploads", json={"size": size, "sha256": sha256}))


async def send_rest(
    connection: Connection, upload: Upload, source: Path | bytes, patience_seconds: float, progress: Progress | None
) -> Upload:
    """Send the missing bytes, and return the complete upload.

    After a broken connection the upload continues at the offset that the service reports, until there is no progress
    for `patience_seconds`.
    """
    patience, broken = Retry(patience_seconds, started=True), False
    while upload.offset < (upload.size or 0):
        try:
            if broken:
                now = read(Upload, await request_json(connection, "GET", f"/v1/uploads/{upload.id}"))
            else:
                now = await _put(connection, upload, source, progress)
            broken = False
        except (Unavailable, Conflict) as error:
            broken = True
            await patience.wait(connection, error)
            continue
        if now.offset > upload.offset:
            patience.progress()
        upload = now
    return upload


async def upload_file(
    connection: Connection, source: Path, patience_seconds: float, progress: Progress | None
) -> Upload:
    """Send a file, and return the upload."""
    upload = await begin_upload(connection, source)
    return await send_rest(connection, upload, source, patience_seconds, progress)


async def discard(connection: Connection, upload: Upload) -> None:
    """Delete an upload."""
    await open_response(connection, "DELETE", f"/v1/uploads/{upload.id}")


async def _put(connection: Connection, upload: Upload, source: Path | bytes, progress: Progress | None) -> Upload:
    start, stop = upload.offset, upload.size or 0
    content = (
        iter([source[start:]]) if isinstance(source, bytes) else _read_chunks(source, start, stop, progress)
    )  # fmt: skip
    headers = {
        "upload-offset": str(start), "content-type": "application/octet-stream", "content-length": str(stop - start),
    }  # fmt: skip
    path = f"/v1/uploads/{upload.id}"
    now = read(Upload, await request_json(connection, "PUT", path, headers=headers, content=content))
    if now.offset <= start:
        raise Unavailable(f"the service accepted no byte of upload {upload.id} after byte {start}")
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


async def hide_image(
    connection: Connection, source: Path, target: Path, plan: Plan | str | None, values: Mapping[str, Any],
    *, overwrite: bool,
) -> HiddenFile:  # fmt: skip
    """Hide regions in an image, and write the result to `target`. `values` are further fields of the request."""
    with open_partial(target, overwrite=overwrite, source=source) as part:
        response = await open_response(connection, "POST", "/v1/images", **form(source, plan, values))
        if "x-velum-report" not in response.headers:
            raise Unavailable(f"{connection.where} answered, but not as velum's service does; check the address")
        summary = read(HiddenFile, parse_object(response.headers["x-velum-report"]), target=target)
        while chunk := await connection.next():
            await connection.run(partial(part.add, chunk))
        _check(part, summary.output_sha256, target)
    return summary


async def result(
    connection: Connection, job: Job | str, target: Path, patience_seconds: float, progress: Progress | None,
    *, overwrite: bool,
) -> Path:  # fmt: skip
    """Write the result of a job to `target`. Raises `Conflict` before it is done, `Expired` after it was deleted."""
    report = await request_json(connection, "GET", f"{path_of(job)}/report")
    with open_partial(target, overwrite=overwrite) as part:
        await _download(connection, part, f"{path_of(job)}/result", Retry(patience_seconds, started=True), progress)
        sha256 = report.get("output_sha256")
        _check(part, None if sha256 is None else printable(str(sha256)), target)
    return target


async def _download(
    connection: Connection, part: PartialFile, path: str, patience: Retry, progress: Progress | None
) -> None:
    """Download `path` into a file; continue after a broken connection, as long as `patience` lasts."""
    tag, size = "", -1
    while part.size_written != size:
        try:
            rest = {"range": f"bytes={part.size_written}-", "if-range": tag} if part.size_written and tag else {}
            response = await open_response(connection, "GET", path, headers=rest)
            size = await _find_start(connection, part, response)
            tag = response.headers.get("etag", "")
            await _receive(connection, part, size, patience, progress)
        except (Unavailable, Conflict) as error:
            await patience.wait(connection, error)


async def _receive(
    connection: Connection, part: PartialFile, size: int, patience: Retry, progress: Progress | None
) -> None:
    while chunk := await connection.next():
        await connection.run(partial(part.add, chunk))
        patience.progress()
        if progress:
            progress(part.size_written, size)
    if part.size_written != size:
        raise Unavailable(f"{connection.where} ended after {part.size_written:,} of {size:,} bytes")


async def _find_start(connection: Connection, part: PartialFile, response: Response) -> int:
    """Return the size of the whole file; restart `part` when the response starts at byte 0."""
    match = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if response.status_code == 206 and match and int(match[1]) == part.size_written:
        return int(match[2])
    size = response.headers.get("content-length", "")
    if response.status_code != 200 or not re.fullmatch("[0-9]{1,18}", size, re.ASCII):
        raise Unavailable(f"{connection.where} answered {response.status_code} without the size of the file")
    if part.size_written:
        await connection.run(part.restart)
    return int(size)


def _check(part: PartialFile, sha256: str | None, target: Path) -> None:
    if sha256 is not None and part.sha256 != sha256:
        raise OutputFailed(
            f"cannot write {target}: the download has SHA-256 {part.sha256[:12]}, the report says {sha256[:12]}; "
            "something between here and the service changes files. Nothing was published"
        )
