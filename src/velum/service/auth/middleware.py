"""Authentication and scopes: the caller is known before the body of the request is read."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from anyio import CapacityLimiter
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Asgi

from velum.errors import BadPlan, Unavailable
from velum.service.auth.api_keys import PREFIX, ApiKeys
from velum.service.auth.principal import (
    ANYONE,
    SCOPES,
    AccessDenied,
    Principal,
    Quota,
    RateLimited,
    RateLimits,
    Scope,
    Unauthenticated,
)
from velum.service.middleware import FACTS, is_protected
from velum.service.middleware.limits import stated_bytes
from velum.service.problem_details import problem
from velum.settings import Settings

if TYPE_CHECKING:
    from velum.service.auth.oidc import Tokens

__all__ = [
    "ANYONE",
    "AccessDenied",
    "AuthMiddleware",
    "Authenticator",
    "Principal",
    "Quota",
    "RateLimited",
    "Scope",
    "Unauthenticated",
    "access_of",
]

CALLER = "velum.caller"
"""Key of the ASGI scope that has the `Principal` of the request."""

COOKIE = "velum-media"
_MEDIA = re.compile(r"/v1/jobs/[0-9a-f]{32}/(?:source|result|preview)")
"""Paths that players and links fetch, which cannot send headers: only to read these is the session cookie accepted."""

_SCHEME = HTTPBearer(auto_error=False, description="A key from `velum keys add`, or a token of the issuer.")


class Authenticator:
    """Identifies callers. Without `keys` and `tokens`, or with `required` false, everyone may do everything."""

    def __init__(
        self, *, keys: ApiKeys | None = None, tokens: "Tokens | None" = None, rates: RateLimits | None = None,
        required: bool = True,
    ) -> None:  # fmt: skip
        self.required = required and (keys is not None or tokens is not None)
        self.rates = rates or RateLimits()
        self._keys, self._tokens = keys, tokens
        self._threads: CapacityLimiter | None = None

    async def caller(self, headers: Headers, *, media: bool = False) -> Principal:
        """Return the caller of a request; with `media`, the session cookie is accepted, too.

        Raises `Unauthenticated`, and `Unavailable` when the issuer or the key file cannot be read.
        """
        if not self.required:
            return ANYONE
        secret = secret_of(headers, media=media)
        if secret.startswith(PREFIX):
            if self._keys is None:
                raise Unauthenticated("API keys are not accepted here; send a token of the issuer")
            return self._keys.caller(secret)
        if self._tokens is None or "." not in secret:
            raise Unauthenticated("the credentials are not an API key of this service; ask the operator for one")
        # Fetching the issuer's keys may block, so it gets a few threads of its own.
        self._threads = self._threads or CapacityLimiter(4)
        return await anyio.to_thread.run_sync(self._tokens.caller, secret, limiter=self._threads)

    def close(self) -> None:
        """Close the connections to the issuer."""
        if self._tokens is not None:
            self._tokens.close()

    def require(self, *scopes: Scope) -> Callable[..., Principal]:
        """Return a dependency for the caller, who must have one of the scopes; it raises `AccessDenied` for others."""
        if not self.required:
            return _anyone

        def with_scope(request: Request, _: Annotated[Any, Depends(_SCHEME)]) -> Principal:
            return _require_scope(scopes, request)

        return with_scope


def access_of(settings: Settings) -> Authenticator:
    """Return the authenticator that the settings configure.

    Raises `BadPlan` for settings that cannot be used, and `Unavailable` for a key file that cannot be read.
    """
    chosen = settings.access
    if chosen.required is False:
        return Authenticator()
    usual = Quota(chosen.requests_per_minute, chosen.bytes_per_day)
    keys = ApiKeys(keys_file(settings), usual)
    tokens = _tokens(settings, usual) if chosen.issuer else None
    return Authenticator(keys=keys, tokens=tokens, required=bool(chosen.required or tokens or keys.all()))


def keys_file(settings: Settings) -> Path:
    """Return the path of the key file."""
    return settings.access.keys or settings.jobs.data / "keys.json"


def check_entrance(settings: Settings, host: str) -> None:
    """Raise `BadPlan` when `host` can be reached from other machines without keys, unless the settings say so."""
    chosen = settings.access
    if chosen.required is not None or chosen.issuer or _is_loopback(host) or ApiKeys(keys_file(settings)).all():
        return
    raise BadPlan(
        f"the service would serve everyone who can reach {host}; add a key with 'velum keys add NAME', set "
        "access.issuer, or set access.required (VELUM_ACCESS_REQUIRED) to false if a proxy authenticates callers"
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tokens(settings: Settings, usual: Quota) -> "Tokens":
    from velum.service.auth.oidc import Issuer, Tokens  # noqa: PLC0415 - its library is large, and few have an issuer

    chosen, scopes = settings.access, dict[str, Scope]()
    for pair in chosen.claim_scopes:
        value, _, name = pair.rpartition("=")
        scope = next((candidate for candidate in SCOPES if candidate == name.strip()), None)
        if not value or scope is None:
            raise BadPlan(f"access.claim_scopes has {pair!r}; write value=scope, with one of {', '.join(SCOPES)}")
        scopes[value.strip()] = scope
    issuer = Issuer(chosen.issuer, chosen.audience, chosen.issuer_keys or None, chosen.claim, scopes or None)
    return Tokens(issuer, usual)


class AuthMiddleware:
    """Authenticates requests and applies quotas; refused requests get problem details."""

    def __init__(
        self, app: ASGIApp, access: Authenticator, free: frozenset[str] = frozenset(), places: int = 0
    ) -> None:
        """Wrap `app`; `free` are further public paths, `places` the most requests of a caller at a time (0: no limit).

        Where no credentials are required, each client address counts as a caller.
        """
        self._app, self._access, self._free = app, access, free
        self._places, self._inside = places, Counter[str]()

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._lets_all(scope["path"]):
            scope[CALLER] = ANYONE
            await self._app(scope, receive, send)
            return
        response_begun = False

        async def send_noting_start(message: Message) -> None:
            nonlocal response_begun
            response_begun = True
            await send(message)

        try:
            inside = await self._enter(scope, receive)
            with self._hold_place(_quota_name(scope)):
                await self._app(scope, inside, send_noting_start)
        except Unavailable as error:
            if response_begun:
                raise
            await _refusal_response(error, scope)(scope, receive, send)

    @contextmanager
    def _hold_place(self, name: str) -> Iterator[None]:
        """Hold one of the caller's places. Raises `RateLimited` when none is left."""
        if self._places and self._inside[name] >= self._places:
            raise RateLimited(
                f"{self._places} of your requests are in progress, the most allowed; wait until one ends", 1
            )
        self._inside[name] += 1
        try:
            yield
        finally:
            self._inside[name] -= 1
            self._inside += Counter()  # drops callers without requests

    def _lets_all(self, path: str) -> bool:
        return path in self._free or not is_protected(path)

    async def _enter(self, scope: Asgi, receive: Receive) -> Receive:
        """Identify the caller, and return the function to receive the body with."""
        if not self._access.required:
            scope[CALLER] = ANYONE
            return receive
        headers = Headers(scope=scope)
        media = scope["method"] in {"GET", "HEAD"} and _MEDIA.fullmatch(scope["path"]) is not None
        caller = scope[CALLER] = await self._access.caller(headers, media=media)
        scope.setdefault(FACTS, {})["caller"] = caller.name
        rates = self._access.rates
        rates.request(caller)
        if "transfer-encoding" not in headers:
            rates.volume(caller, stated_bytes(headers))
            return receive

        async def receive_counting() -> Message:
            message = await receive()
            try:
                rates.volume(caller, len(message.get("body", b"")))
            except RateLimited as error:
                # While the body is read, the framework passes on no other exception.
                raise HTTPException(error.http_status, str(error), error.headers) from error
            return message

        return receive_counting


def _quota_name(scope: Asgi) -> str:
    """Return the name that a request counts for: its caller, or the client address of an anonymous one."""
    caller: Principal = scope[CALLER]
    return caller.name if caller is not ANYONE else f"from {(scope.get('client') or ('nowhere',))[0]}"


def secret_of(headers: Headers, *, media: bool = False) -> str:
    """Return a request's key or token; with `media`, also from the cookie. Raises `Unauthenticated` without one."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    if secret := headers.get("x-api-key", "").strip():
        return secret
    if media and (secret := cookie_parser(headers.get("cookie", "")).get(COOKIE, "")):
        return secret
    raise Unauthenticated("credentials are missing; send 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'")


def _anyone() -> Principal:
    return ANYONE


def _require_scope(scopes: Sequence[Scope], request: Request) -> Principal:
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        raise Unauthenticated("AuthMiddleware is not installed in front of this route; add it to the application")
    if caller.scopes.isdisjoint(scopes):
        raise AccessDenied(
            f"{caller.name} lacks the scope {' or '.join(scopes)}; ask the operator for a key that has it"
        )
    return caller


def _refusal_response(error: Unavailable, scope: Asgi) -> Response:
    """Return the response. The rest of the body is never read, so the connection cannot be used again."""
    scope.setdefault(FACTS, {})["cause"] = f"{type(error).__name__}: {error}"
    headers = {"connection": "close"} | (error.headers if isinstance(error, AccessDenied) else {"retry-after": "5"})
    # The address of the issuer and errors of files are for the operator alone.
    text = str(error) if isinstance(error, AccessDenied) else "credentials cannot be checked now; try again later"
    return problem(error.http_status, text, scope["path"], code=error.code, headers=headers)
