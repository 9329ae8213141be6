"""`/v1/keys`: who may use the service, for those who operate it."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import JSONResponse, Response

from velum.bmw.routes import note
from velum.errors import BadPlan
from velum.service.auth.api_keys import NAME, ApiKey, ApiKeys
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal, Scope
from velum.service.problem_details import ConflictProblem, NotFoundProblem, documented

_DAY = 86_400
_STORED = {"cache-control": "no-store"}


class KeyRequest(BaseModel):
    """A key that is to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$", examples=["newsroom"])]
    """Whose it is: jobs belong to this name."""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3, examples=[["anonymize", "review"]])]
    days: Annotated[float, Field(gt=0, le=36_500, examples=[90])] | None = None
    """Until it expires; left out: it does not."""
    requests_per_minute: Annotated[StrictInt, Field(ge=0)] | None = None
    """Left out: what the settings say."""
    bytes_per_day: Annotated[StrictInt, Field(ge=0)] | None = None


class KeyState(BaseModel):
    """What is known of a key. Times are seconds of the epoch."""

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
    """A new key, and the secret that is sent with requests: it is shown this once and kept nowhere."""

    key: KeyState
    secret: str = Field(examples=["velum_0123456789ab_" + "x" * 43])


class KeyList(BaseModel):
    """All keys, oldest first; and whether the service asks for one at all."""

    keys: list[KeyState]
    required: bool


def routes(keys: ApiKeys, access: Authenticator) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/keys", tags=["Keys"])
    Operating = Annotated[Principal, Depends(access.require("operate"))]  # noqa: N806 - a type

    @router.get("", response_model=KeyList, response_class=JSONResponse, responses=documented())
    def listed(_: Operating) -> Response:
        """List the keys, also those that are no longer valid. Takes the scope operate.

        Where nobody is asked for a key, none is shown: whoever asks may be anyone.
        """
        shown = [_shown(key) for key in keys.all()] if access.required else []
        return JSONResponse({"keys": shown, "required": access.required}, headers=_STORED)

    def restricted() -> None:
        # A key that a stranger made while nobody was asked would open the door later.
        if not access.required:
            raise ConflictProblem("nobody is asked for a key here, so none is made or taken back; use velum keys add")

    @router.post("", status_code=201, response_model=KeyMade, response_class=JSONResponse, responses=documented(409))
    def add(wanted: KeyRequest, _: Operating, request: Request) -> Response:
        """Make a key. Its secret is in this answer and nowhere else. Takes the scope operate."""
        restricted()
        expires = None if wanted.days is None else time.time() + wanted.days * _DAY
        key, secret = keys.add(
            wanted.name, wanted.scopes, expires=expires,
            requests_per_minute=wanted.requests_per_minute, bytes_per_day=wanted.bytes_per_day,
        )  # fmt: skip
        note(request, key=key.id)
        return JSONResponse({"key": _shown(key), "secret": secret}, 201, _STORED)

    @router.delete("/{key}", status_code=204, responses=documented(404, 409), response_class=Response)
    def revoke(
        key: Annotated[str, InPath(description="Id of the key.", pattern="^[0-9a-f]{12}$")],
        _: Operating, request: Request,
    ) -> Response:  # fmt: skip
        """Take a key back: it is refused from the next request on. Takes the scope operate."""
        restricted()
        try:
            note(request, key=keys.revoke(key).id)
        except BadPlan as error:
            raise NotFoundProblem(f"there is no key {key}; GET /v1/keys lists which there are") from error
        return Response(status_code=204)

    return router


def _shown(key: ApiKey) -> dict[str, Any]:
    values = key.to_json() | {"state": key.state(time.time())}
    del values["sha256"]
    return values
