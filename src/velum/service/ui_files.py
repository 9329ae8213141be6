"""The web pages of the service: the one for people at `/`, and the API documentation at `/docs`."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import Request
from rjsmin import jsmin
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from velum.service.late_router import LateRouter

POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy. The page fetches images that need a key itself and shows them as blobs."""

KINDS = {
    ".css": "text/css", ".html": "text/html", ".mjs": "text/javascript", ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}  # fmt: skip

START, OFFLINE = "index.html", "offline.html"
VERSION = b"@version@"
"""Placeholder in these for the content hash in the files' addresses, which browsers may cache for ever."""

WORKER = "worker.mjs"
"""The service worker, which is for the whole page although its file lies deeper."""

_PLAIN: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


class UiFiles:
    """The files of the page, read once, by path. Only these paths exist, so none can lead out of the folder."""

    def __init__(self) -> None:
        files_by_path = dict(_walk(files("velum.service").joinpath("ui"), ""))
        digest = hashlib.sha256()
        for name in sorted(files_by_path):
            digest.update(name.encode() + b"\0" + files_by_path[name])
        self.version = digest.hexdigest()[:16]
        for name in (START, OFFLINE):
            files_by_path[name] = files_by_path[name].replace(VERSION, self.version.encode())
        self._files = {
            name: (body, gzip.compress(body, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:32]}"')
            for name, body in files_by_path.items()
        }

    def answer(self, request: Request, name: str, *, for_ever: bool) -> Response:
        """Return a file, or 304 when the client has it. Raises `HTTPException` (404) when the page has no such file."""
        if name not in self._files:
            raise HTTPException(404)
        body, packed, tag = self._files[name]
        caching = "public, max-age=31536000, immutable" if for_ever else "no-cache"
        headers = {**_PLAIN, "etag": tag, "cache-control": caching}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        headers["vary"] = "accept-encoding"
        if name == WORKER:
            headers["service-worker-allowed"] = "../../"
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = packed, "gzip"
        return Response(body, headers=headers, media_type=KINDS[name[name.rindex(".") :]])


def routes(page: UiFiles) -> LateRouter:
    """Return the endpoints `/` and `/ui/`."""
    router = LateRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def start(request: Request) -> Response:
        return page.answer(request, START, for_ever=False)

    @router.api_route("/ui/{version}/{name:path}", methods=["GET", "HEAD"])
    async def ui_file(request: Request, version: str, name: str) -> Response:
        # A page that was loaded before an update of the service asks for files of the previous version.
        return page.answer(request, name, for_ever=version == page.version)

    return router


def _walk(folder: Traversable, at: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{at}{entry.name}/")
        elif (suffix := entry.name[entry.name.rfind(".") :]) in KINDS:
            body = entry.read_bytes()
            # Comments hold the types of a module: authors need them, browsers do not.
            yield f"{at}{entry.name}", bytes(jsmin(body)) if suffix == ".mjs" else body


DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of the page."""

_DOCS_KINDS = {"docs.html": "text/html", "docs.mjs": "text/javascript", "docs.css": "text/css"}


def docs_routes() -> LateRouter:
    """Return the endpoints `/docs`, `/redoc` and, where no other page is served, `/`."""
    router = LateRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> Response:
        return _docs_page("docs.html")

    @router.get("/docs/docs.mjs")
    async def module() -> Response:
        return _docs_page("docs.mjs")

    @router.get("/docs/docs.css")
    async def style() -> Response:
        return _docs_page("docs.css")

    @router.get("/redoc")
    @router.get("/")  # the page for people, where it is served, takes precedence
    async def redirect() -> Response:
        return RedirectResponse("/docs")

    return router


def _docs_page(name: str) -> Response:
    body = files("velum.service").joinpath("pages", name).read_bytes()
    headers = {"content-security-policy": DOCS_POLICY, "cache-control": "no-cache", "referrer-policy": "no-referrer"}
    return Response(body, media_type=_DOCS_KINDS[name], headers=headers)
