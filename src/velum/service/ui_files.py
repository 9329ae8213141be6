"""The page for people, at `/`: files of the package, read once. It fetches nothing from elsewhere."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from rjsmin import jsmin
from starlette.exceptions import HTTPException
from starlette.responses import Response

POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do. Pictures that need a key are fetched, and shown as blobs."""

KINDS = {
    ".css": "text/css", ".html": "text/html", ".mjs": "text/javascript", ".svg": "image/svg+xml",
}  # fmt: skip

START = "index.html"
VERSION = b"@version@"
"""Stands in the first file for the part of addresses that changes with the content: what lies there never changes."""

_PLAIN: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    kind: str
    tag: str


class UiFiles:
    """The files of the page, by their paths. Other paths do not exist, so none can lead elsewhere."""

    def __init__(self) -> None:
        found = dict(_walk(files("velum.service").joinpath("ui"), ""))
        every = hashlib.sha256()
        for name in sorted(found):
            every.update(name.encode() + b"\0" + found[name])
        self.version = every.hexdigest()[:16]
        found[START] = found[START].replace(VERSION, self.version.encode())
        self._files = {
            name: _File(body, KINDS[name[name.rindex(".") :]], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
            for name, body in found.items()
        }

    def answer(self, request: Request, name: str, *, for_ever: bool) -> Response:
        """Return a file. Raises `HTTPException` (404) for one that is not part of the page."""
        file = self._files.get(name)
        if file is None:
            raise HTTPException(404)
        kept = "public, max-age=31536000, immutable" if for_ever else "no-cache"
        headers = {**_PLAIN, "etag": file.tag, "cache-control": kept}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers=headers, media_type=file.kind)


def routes(page: UiFiles) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def start(request: Request) -> Response:
        return page.answer(request, START, for_ever=False)

    @router.api_route("/ui/{version}/{name:path}", methods=["GET", "HEAD"])
    async def part(request: Request, version: str, name: str) -> Response:
        # A page that is open while the service is renewed asks for files of the version before.
        return page.answer(request, name, for_ever=version == page.version)

    return router


def _walk(folder: Traversable, at: str) -> Iterator[tuple[str, bytes]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _walk(one, f"{at}{one.name}/")
        elif (suffix := one.name[one.name.rfind(".") :]) in KINDS:
            body = one.read_bytes()
            # Comments hold the types of a module: whoever writes it needs them, whoever loads it does not.
            yield f"{at}{one.name}", bytes(jsmin(body)) if suffix == ".mjs" else body
