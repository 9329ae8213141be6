"""Tokens of an OpenID Connect issuer: signature, audience and validity are checked."""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from velum.errors import BadPlan, Unavailable
from velum.net import NetworkPolicy
from velum.net.client import HttpClient
from velum.service.auth.principal import SCOPES, Principal, Quota, Scope, Unauthenticated

DISCOVERY = ".well-known/openid-configuration"
"""OpenID Connect Discovery 1.0, section 4."""

KEPT_SECONDS = 3600.0
"""Time after which the issuer's keys are fetched again, so that withdrawn keys are dropped."""

FLOOR_SECONDS = 30.0
"""Least time between two fetches, so that tokens with invented key ids cannot cause more."""

LEEWAY_SECONDS = 30
"""How far the clocks of issuer and service may differ."""

LONGEST = 16_384
"""Most characters of a token."""

LEAST_RSA_BITS = 2048
"""NIST SP 800-131A: shorter keys must no longer be used."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Issuer:
    """The issuer whose tokens are accepted.

    `scopes` maps values of `claim` (a dotted path such as `realm_access.roles`) to scopes; None: the values are the
    scopes' own names. `keys` is the URL of its public keys, found by discovery where it is None.
    Raises `BadPlan` for a URL without HTTPS (HTTP is allowed on this machine only).
    """

    url: str
    audience: str
    keys: str | None = None
    claim: str = "scope"
    scopes: Mapping[str, Scope] | None = None

    def __post_init__(self) -> None:
        if not self.audience:
            raise BadPlan(
                f"tokens of {self.url} need an audience; set access.audience to what the issuer writes for this service"
            )
        for url in filter(None, (self.url, self.keys)):
            parts = urlsplit(url)
            local = parts.hostname in _LOOPBACK
            if not parts.hostname or parts.scheme not in ({"https", "http"} if local else {"https"}):
                raise BadPlan(
                    f"address {url!r} of the issuer must start with https://; its keys decide who may use the service"
                )

    @property
    def hosts(self) -> tuple[str, ...]:
        """The only hosts that the service connects to for it."""
        return tuple({str(urlsplit(url).hostname): None for url in (self.url, self.keys) if url})

    def scopes_in(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        """Return the scopes that the claims of a token grant."""
        value: Any = claims
        for part in self.claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        scope_by_name: Mapping[str, Scope] = self.scopes or {scope: scope for scope in SCOPES}
        return frozenset(scope_by_name[word] for word in words if isinstance(word, str) and word in scope_by_name)


Pem = RSAKey | ECKey


class Tokens:
    """Identifies callers by their tokens. Safe to share between threads."""

    def __init__(
        self, issuer: Issuer, allowance: Quota, *, peers: HttpClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._issuer, self._allowance, self._clock = issuer, allowance, clock
        self._peers = peers or HttpClient(reach(issuer))
        self._lock = threading.Lock()
        self._keys: Mapping[str, Pem] = {}
        self._fetched, self._tried = -KEPT_SECONDS, -FLOOR_SECONDS
        self._fault = "they have not been fetched yet"
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer.url},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def caller(self, token: str) -> Principal:
        """Return the caller of a token. Raises `Unauthenticated`, and `Unavailable` without the issuer's keys."""
        try:
            if len(token) > LONGEST:
                raise Unauthenticated(
                    f"the token has more than {LONGEST:,} characters; ask the issuer for a shorter one"
                )
            header = jws.extract_compact(token.encode("ascii")).headers()
            key = self._key(header.get("kid"))
            # The key decides the algorithm, never the token: this rules out "none" and HMAC by the public key.
            claims = jwt.decode(token, key, algorithms=[_algorithm(key)]).claims
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError) as error:  # TypeError: headers of odd types, such as a crit of null
            raise Unauthenticated(f"the token is not accepted: {error}; ask the issuer for a new one") from error
        subject = claims["sub"]
        if not re.fullmatch(r"[!-~]{1,200}", subject):
            raise Unauthenticated(
                "the token's subject must have 1 to 200 printable ASCII characters; ask the operator of the issuer"
            )
        return Principal(f"oidc:{subject}", self._issuer.scopes_in(claims), self._allowance)

    def close(self) -> None:
        """Close the connections to the issuer."""
        self._peers.close()

    def _key(self, name: object) -> Pem:
        with self._lock:
            now = self._clock()
            stale = now - self._fetched >= KEPT_SECONDS or (isinstance(name, str) and name not in self._keys)
            if stale and now - self._tried >= FLOOR_SECONDS:
                self._tried = now
                self._fetch(now)
            if not self._keys:
                raise Unavailable(f"the keys of {self._issuer.url} cannot be fetched: {self._fault}")
            if isinstance(name, str) and name in self._keys:
                return self._keys[name]
            if name is None and len(self._keys) == 1:
                return next(iter(self._keys.values()))
        raise Unauthenticated("the token is not signed by a key of the issuer; ask the issuer for a new one")

    def _fetch(self, now: float) -> None:
        """Fetch the keys; on failure the known ones stay."""
        try:
            url = self._issuer.keys or self._discover_keys_url()
            listed = _get_object(self._peers, url).get("keys")
            self._keys = _signing_keys(listed if isinstance(listed, list) else [])
            self._fetched = now
            self._fault = f"{url} lists no key for RS256 or ES256"
        except Unavailable as error:
            self._fault = str(error)

    def _discover_keys_url(self) -> str:
        configuration = _get_object(self._peers, f"{self._issuer.url.rstrip('/')}/{DISCOVERY}")
        url = configuration.get("jwks_uri")
        if configuration.get("issuer") != self._issuer.url or not isinstance(url, str):
            raise Unavailable(
                f"{self._issuer.url} states another name as its issuer; set access.issuer to the name in its tokens"
            )
        return url


def reach(issuer: Issuer) -> NetworkPolicy:
    """Return the network policy for an issuer: no other hosts, and short time-outs."""
    return NetworkPolicy(
        allow=issuer.hosts, deny=("*",), connect_seconds=3, read_seconds=5, total_seconds=10, attempts=2,
        answer_bytes=1 << 20,
    )  # fmt: skip


def _get_object(peers: HttpClient, url: str) -> Mapping[str, Any]:
    answer = peers.get(url)
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if answer.status != 200 or not isinstance(value, dict):
        raise Unavailable(f"{url} answered {answer.status} without a JSON object; check access.issuer")
    return value


def _signing_keys(listed: Sequence[Any]) -> Mapping[str, Pem]:
    """Return the keys that may sign tokens by id; "" for a key without one."""
    signing: dict[str, Pem] = {}
    for values in listed:
        if not isinstance(values, dict) or values.get("use", "sig") != "sig":
            continue
        name = values.get("kid", "")
        key = _import_key(values)
        if key is not None and isinstance(name, str) and values.get("alg", _algorithm(key)) == _algorithm(key):
            signing[name] = key
    return signing


def _import_key(values: dict[str, Any]) -> Pem | None:
    try:
        if values.get("kty") == "RSA":
            key = RSAKey.import_key(values)
            return key if key.public_key.key_size >= LEAST_RSA_BITS else None
        if values.get("kty") == "EC" and values.get("crv") == "P-256":
            return ECKey.import_key(values)
    except (JoseError, ValueError, KeyError, TypeError):
        pass
    return None


def _algorithm(key: Pem) -> str:
    return "RS256" if isinstance(key, RSAKey) else "ES256"
