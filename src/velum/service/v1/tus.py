"""tus 1.0.0 (tus.io/protocols/resumable-upload), which upload clients such as Uppy speak, on velum's own uploads.

The core protocol and its extensions `creation` and `termination`. Of `Upload-Metadata` only `sha256` is read; nothing
else is kept, since names of files may identify people.
"""

import base64
import binascii
import re
from typing import Annotated

from fastapi import Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velum.service.problem_details import Problem
from velum.service.v1.values import UploadRequest

VERSION = "1.0.0"
PATCH_TYPE = "application/offset+octet-stream"

_PATHS = "/v1/uploads"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


class TusHeaders:
    """Middleware that adds `Tus-Resumable` to every response to a tus client, and applies `X-HTTP-Method-Override`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; those of other clients are passed on as they are."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{_PATHS}/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "tus-resumable" not in headers and scope["method"] != "OPTIONS":
            await self._app(scope, receive, send)
            return
        method = headers.get("x-http-method-override", "").upper()
        if scope["method"] == "POST" and method in {"PATCH", "DELETE"}:  # for clients that can send neither
            scope = {**scope, "method": method}

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["tus-resumable"] = VERSION
            await send(message)

        await self._app(scope, receive, send_with_version)


def check_version(tus_resumable: Annotated[str | None, Header(include_in_schema=False)] = None) -> None:
    """Raise `Problem` (412) for a client that speaks a version other than 1.0.0."""
    if tus_resumable not in {None, VERSION}:
        raise Problem(
            412, f"Tus-Resumable is {tus_resumable[:20]!r}; this service speaks {VERSION}", code="UnsupportedVersion",
            headers={"tus-version": VERSION},
        )  # fmt: skip


def abilities(most_bytes: int) -> dict[str, str]:
    """Return the headers that tell a client what the service supports; no upload may have more than `most_bytes`."""
    return {"tus-version": VERSION, "tus-extension": "creation,termination", "tus-max-size": str(most_bytes)}


def check_patch_type(content_type: str | None) -> None:
    """Raise `Problem` (415) for a body that is not of the type of tus."""
    if (content_type or "").partition(";")[0].strip().lower() != PATCH_TYPE:
        raise Problem(415, f"Content-Type of PATCH is {(content_type or '')[:80]!r}; it must be {PATCH_TYPE}")


def announced_upload(length: str | None, metadata: str | None) -> UploadRequest:
    """Return what a client announces in `Upload-Length` and `Upload-Metadata`. Raises `Problem` (400)."""
    if length is None or not _NUMBER.fullmatch(length):
        raise Problem(400, f"Upload-Length is {(length or '')[:40]!r}; send the size of the file in bytes")
    return UploadRequest(size=int(length), sha256=_sha256_of(metadata or ""))


def _sha256_of(metadata: str) -> str | None:
    """Return the SHA-256 among pairs of a key and a value in Base64, which are separated by commas."""
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key != "sha256":
            continue
        try:
            digits = base64.b64decode(value, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            digits = ""
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
            raise Problem(400, "sha256 in Upload-Metadata must be 64 hexadecimal digits, written in Base64")
        return digits
    return None
