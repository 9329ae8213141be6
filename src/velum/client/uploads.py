"""Files to the service: pictures in forms, and uploads that go on where they broke off."""

import hashlib
import json
import secrets
from functools import partial
from pathlib import Path

from velum.client._sansio import CHUNK, Body, HttpRequest, Progress, RunBlocking, Steps
from velum.client.asking import Retry, asked, body_of, done
from velum.client.errors import Conflict
from velum.client.models import Upload
from velum.errors import BadInput, Unavailable
from velum.plan import Plan


def form(file: Path, plan: Plan | str | None) -> Body:
    """Return a form with a picture and a plan (RFC 7578). Raises `BadInput` when the file cannot be read."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
    mark = secrets.token_hex(16)
    plan = json.dumps(plan.to_json()) if isinstance(plan, Plan) else plan
    head = "" if plan is None else f'--{mark}\r\nContent-Disposition: form-data; name="plan"\r\n\r\n{plan}\r\n'
    # The picture's name is nobody's concern.
    head += f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    kind = f"multipart/form-data; boundary={mark}"
    return Body(kind, head.encode(), file, 0, size, f"\r\n--{mark}--\r\n".encode())


def begun(source: Path | bytes) -> Steps[Upload]:
    """Announce an upload, and return it. Raises `BadInput` when the file cannot be read."""
    size, sha256 = yield RunBlocking(partial(_measured, source))
    wanted = body_of({"size": size, "sha256": sha256})
    return Upload.read((yield from asked(HttpRequest("POST", "/v1/uploads", body=wanted))))


def sent(at: Upload, source: Path | bytes, seconds: float, progress: Progress | None) -> Steps[Upload]:
    """Send what is missing, and return the upload when all is there.

    Where the connection breaks, the service is asked how much it has, and gets the rest; when it has got no further
    for `seconds`, that is given up.
    """
    patience, broken = Retry(seconds, begun=True), False
    size = at.size or 0
    while at.offset < size:
        try:
            now = yield from (_look(at) if broken else _put(at, source, progress))
            broken = False
        except (Unavailable, Conflict) as error:
            broken = True
            yield from patience.wait(error)
            continue
        if now.offset > at.offset:
            patience.progress()
        at = now
    return at


def uploaded(source: Path, seconds: float, progress: Progress | None) -> Steps[Upload]:
    """Send a file, and return the upload."""
    at = yield from begun(source)
    return (yield from sent(at, source, seconds, progress))


def discarded(at: Upload) -> Steps[None]:
    """Delete what came of an upload."""
    yield from done(HttpRequest("DELETE", f"/v1/uploads/{at.id}"))


def _look(at: Upload) -> Steps[Upload]:
    return Upload.read((yield from asked(HttpRequest("GET", f"/v1/uploads/{at.id}"))))


def _put(at: Upload, source: Path | bytes, progress: Progress | None) -> Steps[Upload]:
    kind = "application/octet-stream"
    if isinstance(source, bytes):
        body = Body(kind, source[at.offset :])
    else:
        body = Body(kind, file=source, start=at.offset, stop=at.size or 0, progress=progress)
    headers = {"upload-offset": str(at.offset)}
    now = Upload.read((yield from asked(HttpRequest("PUT", f"/v1/uploads/{at.id}", headers=headers, body=body))))
    if now.offset <= at.offset:
        raise Unavailable(f"the service took nothing of upload {at.id} from byte {at.offset} on")
    return now


def _measured(source: Path | bytes) -> tuple[int, str]:
    """Return the number of bytes and their SHA-256."""
    if isinstance(source, bytes):
        return len(source), hashlib.sha256(source).hexdigest()
    size, digest = 0, hashlib.sha256()
    try:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                digest.update(chunk)
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror or error}") from error
    return size, digest.hexdigest()
