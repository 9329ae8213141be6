"""`/v1/keys` and `/v1/session`: operators manage API keys; a browser gets a cookie with its key."""

import time
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import JSONResponse, Response

from velum.errors import BadPlan
from velum.service.auth.api_keys import NAME, ApiKey, ApiKeys
from velum.service.auth.middleware import COOKIE, Authenticator, secret_of
from velum.service.auth.principal import SCOPES, Principal, Scope
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems

_DAY = 86_400
_STORED = {"cache-control": "no-store"}


class KeyRequest(BaseModel):
    """Body of a request for a new key."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$", examples=["newsroom"])]
    """Name of the owner, to whom jobs submitted with the key belong."""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3, examples=[["anonymize", "review"]])]
    days: Annotated[float, Field(gt=0, le=36_500, examples=[90])] | None = None
    """Days until the key expires; omitted: never."""
    requests_per_minute: Annotated[StrictInt, Field(ge=0)] | None = None
    """Omitted: the limit of the settings."""
    bytes_per_day: Annotated[StrictInt, Field(ge=0)] | None = None


class KeyState(BaseModel):
    """The record of a key. Times are epoch seconds."""

    id: str = Field(examples=["0123456789ab"])
    name: str
    scopes: list[str]
    state: str = Field(examples=["valid"], description="valid, expired or revoked")
    created: float
    expires: float | None
    revoked: float | None
    requests_per_minute: int | None
    bytes_per_day: int | None


class KeyMade(BaseModel):
    """A new key, with the secret that clients send: it is shown only once and stored nowhere."""

    key: KeyState
    secret: str = Field(examples=["velum_0123456789ab_" + "x" * 43])


class KeyList(BaseModel):
    """All keys, oldest first, and whether the service requires credentials."""

    keys: list[KeyState]
    required: bool


def routes(keys: ApiKeys, access: Authenticator) -> LateRouter:
    """Return the endpoints below `/keys`."""
    router = LateRouter(prefix="/keys", tags=["Keys"])
    Operating = Annotated[Principal, Depends(access.require("operate"))]  # noqa: N806 - a type

    @router.get(
        "", response_model=KeyList, response_class=JSONResponse, responses=problems(),
        operation_id="listed_v1_keys_get",  # generated clients name their calls after it
    )  # fmt: skip
    def list_keys(_: Operating) -> Response:
        """List the keys, also expired and revoked ones. Takes the scope operate.

        Where the service requires no credentials, the list is empty: the caller may be anyone.
        """
        shown = [_state_of_key(key) for key in keys.all()] if access.required else []
        return JSONResponse({"keys": shown, "required": access.required}, headers=_STORED)

    def refuse_where_open() -> None:
        # A key that a stranger creates while access is open would stay valid when access is restricted later.
        if not access.required:
            raise Problem(
                409,
                "keys cannot be changed over a service that needs no credentials; use 'velum keys add' or "
                "'velum keys revoke'",
            )

    @router.post("", status_code=201, response_model=KeyMade, response_class=JSONResponse, responses=problems(409))
    def add(wanted: KeyRequest, _: Operating, request: Request) -> Response:
        """Create a key. Only this response has its secret. Takes the scope operate."""
        refuse_where_open()
        expires = None if wanted.days is None else time.time() + wanted.days * _DAY
        key, secret = keys.add(
            wanted.name, wanted.scopes, expires=expires,
            requests_per_minute=wanted.requests_per_minute, bytes_per_day=wanted.bytes_per_day,
        )  # fmt: skip
        note(request, key=key.id)
        return JSONResponse({"key": _state_of_key(key), "secret": secret}, 201, _STORED)

    @router.delete("/{key}", status_code=204, responses=problems(404, 409), response_class=Response)
    def revoke(
        key: Annotated[str, InPath(description="Id of the key.", pattern="^[0-9a-f]{12}$")],
        _: Operating, request: Request,
    ) -> Response:  # fmt: skip
        """Revoke a key: it is refused from the next request on. Takes the scope operate."""
        refuse_where_open()
        try:
            note(request, key=keys.revoke(key).id)
        except BadPlan as error:
            raise Problem(404, f"there is no key {key}; GET /v1/keys lists all keys") from error
        return Response(status_code=204)

    return router


def _state_of_key(key: ApiKey) -> dict[str, Any]:
    values = key.to_json() | {"state": key.state(time.time())}
    del values["sha256"]
    return values


SESSION_SECONDS = 3600
"""Lifetime of the cookie. Its key is checked at each request, so revoking the key ends the session."""


def session_routes(access: Authenticator) -> LateRouter:
    """Return the endpoints of `/session`."""
    router = LateRouter(prefix="/session", tags=["Jobs"])
    Asking = Annotated[Principal, Depends(access.require(*SCOPES))]  # noqa: N806 - a type

    @router.post("", status_code=204, responses=problems(), response_class=Response)
    def begin(_: Asking, request: Request) -> Response:
        """Set a cookie that authenticates reading sources and results, for an hour.

        Scripts cannot read it, other sites cannot send it, and it cannot be used to change anything.
        """
        answer = Response(status_code=204)
        if access.required:
            _set_cookie(answer, request, secret_of(request.headers), SESSION_SECONDS)
        return answer

    @router.delete("", status_code=204, responses=problems(), response_class=Response)
    def end(_: Asking, request: Request) -> Response:
        """Delete the cookie."""
        answer = Response(status_code=204)
        _set_cookie(answer, request, "", 0)
        return answer

    return router


def _set_cookie(answer: Response, request: Request, value: str, seconds: int) -> None:
    # Without a path, the cookie is valid for the folder of this endpoint, also behind the path of a proxy.
    answer.set_cookie(
        COOKIE, value, max_age=seconds, path=None, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
