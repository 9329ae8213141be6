"""Who may do what: callers are told apart before anything of their request is read."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

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

from velum.bmw.routes import FACTS
from velum.errors import BadPlan, Unavailable
from velum.service.auth.api_keys import PREFIX, ApiKeys
from velum.service.auth.oidc import Issuer, Tokens
from velum.service.auth.principal import (
    ANYONE,
    SCOPES,
    AccessDenied,
    Principal,
    Quota,
    RateLimited,
    Scope,
    Unauthenticated,
)
from velum.service.auth.rate_limits import RateLimits
from velum.service.middleware.limits import stated_bytes
from velum.service.paths import is_protected
from velum.service.problem_details import problem
from velum.settings import Settings

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
"""Key of a request's scope under which its caller is found."""

COOKIE = "velum-media"
_MEDIA = re.compile(r"/v1/jobs/[0-9a-f]{32}/(?:source|result|preview)")
"""What players and links fetch, which can send no headers: there alone, and to read, a cookie tells who asks."""

_SCHEME = HTTPBearer(auto_error=False, description="A key of `velum keys add`, or a token of the issuer.")


class Authenticator:
    """Decides who asks. Without `keys` and `tokens`, or with `required` false, everyone may do everything."""

    def __init__(
        self, *, keys: ApiKeys | None = None, tokens: Tokens | None = None, rates: RateLimits | None = None,
        required: bool = True,
    ) -> None:  # fmt: skip
        self.required = required and (keys is not None or tokens is not None)
        self.rates = rates or RateLimits()
        self._keys, self._tokens = keys, tokens
        self._threads: CapacityLimiter | None = None

    async def caller(self, headers: Headers, *, media: bool = False) -> Principal:
        """Return who sends a request, which for `media` the cookie of a session may tell.

        Raises `Unauthenticated`, and `Unavailable` when the issuer does not answer.
        """
        if not self.required:
            return ANYONE
        secret = secret_of(headers, media=media)
        if secret.startswith(PREFIX):
            if self._keys is None:
                raise Unauthenticated("keys are not accepted here; send a token of the issuer")
            return self._keys.caller(secret)
        if self._tokens is None or "." not in secret:
            raise Unauthenticated("what was sent is no key of this service; ask its operator for one")
        # The keys of the issuer may have to be fetched. That waits in few threads of its own.
        self._threads = self._threads or CapacityLimiter(4)
        return await anyio.to_thread.run_sync(self._tokens.caller, secret, limiter=self._threads)

    def close(self) -> None:
        """End the connections to the issuer."""
        if self._tokens is not None:
            self._tokens.close()

    def require(self, *scopes: Scope) -> Callable[..., Principal]:
        """Return a dependency that gives the caller, who has one of the scopes; it raises `AccessDenied` for others."""
        if not self.required:
            return _anyone

        def allowed(request: Request, _: Annotated[Any, Depends(_SCHEME)]) -> Principal:
            return _with(scopes, request)

        return allowed

    def of_tags(self, operating: str) -> Callable[..., Principal]:
        """Return a dependency for routes that know no callers: to change what has the tag takes the scope operate.

        To look at it, that or anonymize; for all else, anonymize.
        """
        if not self.required:
            return _anyone

        def allowed(request: Request, _: Annotated[Any, Depends(_SCHEME)]) -> Principal:
            tagged = operating in getattr(request.scope.get("route"), "tags", ())
            if not tagged:
                return _with(("anonymize",), request)
            return _with(("anonymize", "operate") if request.method == "GET" else ("operate",), request)

        return allowed


def access_of(settings: Settings) -> Authenticator:
    """Return what the settings say. Raises `BadPlan`, and `Unavailable` for a file of keys that cannot be read."""
    chosen = settings.access
    if chosen.required is False:
        return Authenticator()
    usual = Quota(chosen.requests_per_minute, chosen.bytes_per_day)
    keys = ApiKeys(keys_file(settings), usual)
    tokens = Tokens(_issuer(settings), usual) if chosen.issuer else None
    return Authenticator(keys=keys, tokens=tokens, required=bool(chosen.required or tokens or keys.all()))


def keys_file(settings: Settings) -> Path:
    """Return where keys are kept."""
    return settings.access.keys or settings.jobs.data / "keys.json"


def check_entrance(settings: Settings, host: str) -> None:
    """Raise `BadPlan` when others than this machine would be served on `host`, unknown and not on purpose."""
    chosen = settings.access
    if chosen.required is not None or chosen.issuer or _own(host) or ApiKeys(keys_file(settings)).all():
        return
    raise BadPlan(
        f"the service would serve everyone who reaches it on {host}; add a key with 'velum keys add NAME', set "
        "access.issuer, or set access.required (VELUM_ACCESS_REQUIRED) to false if something before it asks who comes"
    )


def _own(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _issuer(settings: Settings) -> Issuer:
    chosen, scopes = settings.access, dict[str, Scope]()
    for pair in chosen.claim_scopes:
        value, _, name = pair.rpartition("=")
        scope = next((one for one in SCOPES if one == name.strip()), None)
        if not value or scope is None:
            raise BadPlan(f"access.claim_scopes has {pair!r}; write value=scope, with one of {', '.join(SCOPES)}")
        scopes[value.strip()] = scope
    return Issuer(chosen.issuer, chosen.audience, chosen.issuer_keys or None, chosen.claim, scopes or None)


class AuthMiddleware:
    """Lets in who may enter, and counts what they send; others are told why not, in problem details."""

    def __init__(
        self, app: ASGIApp, access: Authenticator, free: frozenset[str] = frozenset(), places: int = 0
    ) -> None:
        """Prepare; `free` are more paths for everyone, `places` the requests that a caller may have at a time (0: all).

        Where nobody is asked who they are, an address is a caller.
        """
        self._app, self._access, self._free = app, access, free
        self._places, self._inside = places, Counter[str]()

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._lets_all(scope["path"]):
            scope[CALLER] = ANYONE
            await self._app(scope, receive, send)
            return
        begun = False

        async def marked(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            inside = await self._enter(scope, receive)
            with self._place(_place_of(scope)):
                await self._app(scope, inside, marked)
        except Unavailable as error:
            if begun:
                raise
            await _refused(error, scope)(scope, receive, send)

    @contextmanager
    def _place(self, who: str) -> Iterator[None]:
        """Hold one of a caller's places. Raises `RateLimited` when none is left."""
        if self._places and self._inside[who] >= self._places:
            raise RateLimited(
                f"{self._places} requests of yours are in work, as many as may be at a time; wait for one", 1
            )
        self._inside[who] += 1
        try:
            yield
        finally:
            self._inside[who] -= 1
            self._inside += Counter()  # forget who has none

    def _lets_all(self, path: str) -> bool:
        return path in self._free or not is_protected(path)

    async def _enter(self, scope: Asgi, receive: Receive) -> Receive:
        """Find out who comes, and return how the body is to be read."""
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

        async def counted() -> Message:
            message = await receive()
            try:
                rates.volume(caller, len(message.get("body", b"")))
            except RateLimited as error:
                # While the body is read, the framework lets nothing else through.
                raise HTTPException(error.http_status, str(error), error.headers) from error
            return message

        return counted


def _place_of(scope: Asgi) -> str:
    """Return whose places a request takes: those of its caller, or of the address that it is from."""
    caller: Principal = scope[CALLER]
    return caller.name if caller is not ANYONE else f"from {(scope.get('client') or ('nowhere',))[0]}"


def secret_of(headers: Headers, *, media: bool = False) -> str:
    """Return what a request sends to say who asks. Raises `Unauthenticated` when it sends nothing."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    if secret := headers.get("x-api-key", "").strip():
        return secret
    if media and (secret := cookie_parser(headers.get("cookie", "")).get(COOKIE, "")):
        return secret
    raise Unauthenticated(
        "the request says not who sends it; add the header 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'"
    )


def _anyone() -> Principal:
    return ANYONE


def _with(scopes: Sequence[Scope], request: Request) -> Principal:
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        raise Unauthenticated("the request came in past the door of this service; mount its Door, too")
    if caller.scopes.isdisjoint(scopes):
        raise AccessDenied(
            f"{caller.name} lacks the scope {' or '.join(scopes)}; ask the operator for a key that has it"
        )
    return caller


def _refused(error: Unavailable, scope: Asgi) -> Response:
    """Return the answer. The rest of the body is never read, so the connection cannot be used again."""
    scope.setdefault(FACTS, {})["cause"] = f"{type(error).__name__}: {error}"
    headers = {"connection": "close"} | (error.headers if isinstance(error, AccessDenied) else {"retry-after": "5"})
    # Where the issuer is, and what is wrong with a file, is for the operator alone.
    text = (
        str(error)
        if isinstance(error, AccessDenied)
        else "who sends the request cannot be found out now; try again later"
    )
    return problem(error.http_status, text, scope["path"], code=error.code, headers=headers)
