"""`/v1/session`: has the browser send the key along where it can send no header: for pictures, videos and downloads."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from velum.service.auth.middleware import COOKIE, Authenticator, secret_of
from velum.service.auth.principal import SCOPES, Principal
from velum.service.problem_details import documented

SECONDS = 3600
"""How long the cookie is kept. The key is looked up with each request, so one that is taken back ends with it."""


def routes(access: Authenticator) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/session", tags=["Jobs"])
    Asking = Annotated[Principal, Depends(access.require(*SCOPES))]  # noqa: N806 - a type

    @router.post("", status_code=204, responses=documented(), response_class=Response)
    def begin(_: Asking, request: Request) -> Response:
        """Set a cookie that tells who asks for sources and results, and for nothing else; for an hour.

        Scripts cannot read it, other sites cannot send it, and nothing can be changed with it.
        """
        answer = Response(status_code=204)
        if access.required:
            _set(answer, request, secret_of(request.headers), SECONDS)
        return answer

    @router.delete("", status_code=204, responses=documented(), response_class=Response)
    def end(_: Asking, request: Request) -> Response:
        """Have the browser forget it."""
        answer = Response(status_code=204)
        _set(answer, request, "", 0)
        return answer

    return router


def _set(answer: Response, request: Request, value: str, seconds: int) -> None:
    # Without a path it holds for where this endpoint lies, also under the path of a proxy.
    answer.set_cookie(
        COOKIE, value, max_age=seconds, path=None, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
