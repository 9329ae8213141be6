"""The page that explains and tries the interface. It fetches nothing from elsewhere."""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do: nothing but what it needs."""

_KINDS = {"docs.html": "text/html", "docs.mjs": "text/javascript", "docs.css": "text/css"}


def routes() -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> Response:
        return _page("docs.html")

    @router.get("/docs/docs.mjs")
    async def module() -> Response:
        return _page("docs.mjs")

    @router.get("/docs/docs.css")
    async def style() -> Response:
        return _page("docs.css")

    @router.get("/redoc")
    @router.get("/")  # where the page for people is, it comes first
    async def elsewhere() -> Response:
        return RedirectResponse("/docs")

    return router


def _page(name: str) -> Response:
    body = files("velum.service").joinpath("pages", name).read_bytes()
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache", "referrer-policy": "no-referrer"}
    return Response(body, media_type=_KINDS[name], headers=headers)
