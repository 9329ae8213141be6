"""HTTP client for all calls to other machines: bounded in time and size, and only to allowed addresses."""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import httpcore2
import httpx2

from velum.errors import BadPlan, Unavailable
from velum.net import NetworkPolicy, guard
from velum.net.backend import GuardedBackend, PerHostLimit
from velum.net.guard import Guard, Resolve

REDIRECTS = 5
"""How many redirects in a row are followed."""

BUSY = frozenset({502, 503, 504})
"""Statuses of a gateway, or of a server that starts: the call is repeated (RFC 9110, section 15.6)."""

BACKOFF_SECONDS = 0.1
"""Pause before the second try; each further one is twice as long, and up to a half longer by chance."""

REMEMBERED = 256
"""Number of addresses whose health is remembered; the oldest result is forgotten first."""

IDLE_SECONDS = 15.0
"""How long an unused connection is kept."""

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """A response. `kind` is the media type in lower case, without parameters; "" when none is given."""

    status: int
    body: bytes
    kind: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """By name in lower case."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file in a form: the field's name, the file's name, its bytes and their media type."""

    field: str
    filename: str
    content: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """Result of the last call to an address, and since when (seconds of the epoch) calls have had that result."""

    reachable: bool
    detail: str
    since: float


@dataclass(frozen=True, slots=True)
class _Call:
    method: bytes
    url: httpx2.URL
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    seconds: float
    """Longest time of the whole call."""


class HttpClient:
    """Sends HTTP requests to other machines. Threads may share a client; it pools connections.

    Proxies that the environment names are not used. Certificates must be signed by an authority that the system trusts,
    or by one in the file that the variable SSL_CERT_FILE names. Cookies are not kept. Names are resolved by the system,
    in its own time, each time a connection is opened.
    """

    def __init__(self, policy: NetworkPolicy, resolve: Resolve | None = None) -> None:
        """Read the policy; open no connection. Raises `BadPlan` for an invalid entry in its lists."""
        self._policy = policy
        self._guard = Guard(policy, resolve)
        self._backend = GuardedBackend(self._guard)
        self._limit = PerHostLimit(policy.parallel)
        self._lock = threading.Lock()
        self._health: dict[str, EndpointHealth] = {}
        self._closed = False
        self._pools: dict[str, httpcore2.ConnectionPool] = {}

    def check(self, url: str) -> None:
        """Raise `BadPlan` when the address is invalid or not allowed, `Unavailable` when its host is unknown."""
        parsed = guard.parse_url(url)
        self._guard.addresses(guard.host(parsed), guard.port(parsed))

    def get(self, url: str) -> ServerResponse:
        """Send GET and return the response of any status. Raises `Unavailable` without a response."""
        return self._ask("GET", url)

    def post(self, url: str, upload: FormFile, fields: Mapping[str, str] = _NONE) -> ServerResponse:
        """Post a form with a file and return the response of any status. It is repeated as `get` is.

        Raises `Unavailable` without a response.
        """
        form = {upload.field: (upload.filename, upload.content, upload.kind)}
        return self._ask("POST", url, form=form, fields=fields)

    def post_body(
        self, url: str, body: bytes, headers: Mapping[str, str], *, once_within: float | None = None
    ) -> ServerResponse:  # fmt: skip
        """Post a body and return the response of any status. It is repeated as `get` is. Raises `Unavailable`.

        With `once_within` the call is made once, and takes at most that many seconds, or the policy's total if less.
        """
        return self._ask("POST", url, body=body, headers=headers, once_within=once_within)

    @property
    def health(self) -> Mapping[str, EndpointHealth]:
        """Result of the last call to each base URL (scheme://host:port)."""
        with self._lock:
            return MappingProxyType(dict(self._health))

    def forget(self, url: str, unless: Iterable[str] = ()) -> None:
        """Leave the server of an address out of `health` until its next call, unless others of its addresses are used.

        Nothing happens for an invalid address.
        """
        with suppress(BadPlan), self._lock:
            server = guard.base(guard.parse_url(url))
            if server not in _servers(unless):
                self._health.pop(server, None)

    def close(self) -> None:
        """Close all connections; calls in progress fail."""
        with self._lock:
            self._closed = True
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()

    def _ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NONE,
        form: Mapping[str, tuple[str, bytes, str]] | None = None,
        fields: Mapping[str, str] = _NONE,
        once_within: float | None = None,
    ) -> ServerResponse:
        seconds = min(self._policy.total_seconds, once_within or self._policy.total_seconds)
        attempts = self._policy.attempts if once_within is None else 1
        try:
            parsed = guard.parse_url(url)
        except BadPlan as error:
            raise Unavailable(str(error)) from error
        request = httpx2.Request(
            method,
            parsed,
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "velum", **headers},
            content=body,
            data=dict(fields) if form else None,
            files=dict(form) if form else None,
        )
        call = _Call(method.encode(), parsed, tuple(request.headers.raw), request.read(), seconds)
        with self._limit.slot(guard.base(parsed), seconds) as is_free:
            if not is_free:
                raise Unavailable(
                    f"{guard.redact(parsed)} was not called: {self._policy.parallel} other calls to it took more than "
                    f"{seconds:g} s; try again later, or allow more at a time"
                )
            return self._retry(call, time.monotonic() + seconds, attempts)

    def _retry(self, call: _Call, deadline: float, attempts: int) -> ServerResponse:
        """Send the call until it succeeds, fails for good, or no attempt or time is left."""
        for pause in _pauses(deadline, attempts):
            try:
                answer = self._follow_redirects(call, deadline)
            except _CallFailed as error:
                self._note(call.url, str(error), reachable=False)
                if pause is None or not error.again or self._closed:
                    raise Unavailable(f"{guard.redact(call.url)} {error}") from error
            else:
                self._note(call.url, f"answered {answer.status}", reachable=answer.status not in BUSY)
                if pause is None or answer.status not in BUSY:
                    return answer
            time.sleep(pause)
        raise AssertionError("the last pause is None")

    def _follow_redirects(self, call: _Call, deadline: float) -> ServerResponse:
        url = call.url
        for _ in range(REDIRECTS + 1):
            answer = self._send(call, url, deadline)
            if answer.status not in {301, 302, 303, 307, 308} or "location" not in answer.headers:
                return answer
            url = _redirect_target(call, url, answer)
        raise _CallFailed(f"redirects more than {REDIRECTS} times in a row; use the address that it leads to")

    def _send(self, call: _Call, url: httpx2.URL, deadline: float) -> ServerResponse:
        seconds = {"connect": self._policy.connect_seconds, "read": self._policy.read_seconds}
        request = httpcore2.Request(
            call.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=list(call.headers),
            content=call.body,
            extensions={"timeout": {**seconds, "write": self._policy.read_seconds}},
        )
        pool = self._pool(url.scheme)
        with self._translate_errors(call.seconds, deadline), self._backend.until(deadline):
            response = pool.handle_request(request)
            try:
                return self._read(response)
            finally:
                response.close()

    def _pool(self, scheme: str) -> httpcore2.ConnectionPool:
        """Return the connection pool of a scheme; certificates are loaded on first use."""
        with self._lock:
            if self._closed:
                raise _CallFailed("was not called: this client is closed; open a new one")
            if scheme not in self._pools:
                self._pools[scheme] = httpcore2.ConnectionPool(
                    ssl_context=httpx2.create_ssl_context() if scheme == "https" else None,
                    max_connections=None,
                    max_keepalive_connections=4 * self._policy.parallel,
                    keepalive_expiry=IDLE_SECONDS,
                    network_backend=self._backend,
                )
            return self._pools[scheme]

    def _read(self, response: httpcore2.Response) -> ServerResponse:
        headers: dict[str, str] = {}
        for raw_name, raw_value in response.headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise _CallFailed(
                f"compressed its response ({coding!r}), which the request did not ask for; turn it off on that server"
            )
        body = bytearray()
        for part in response.iter_stream():
            body += part
            if len(body) > self._policy.answer_bytes:
                raise _CallFailed(f"answered with more than the {self._policy.answer_bytes:,} bytes that are accepted")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        return ServerResponse(response.status, bytes(body), kind, MappingProxyType(headers))

    @contextmanager
    def _translate_errors(self, seconds: float, deadline: float) -> Iterator[None]:
        """Convert the library's errors to `_CallFailed`, with advice."""
        try:
            yield
        except (BadPlan, Unavailable) as error:
            raise _CallFailed(f"cannot be called: {error}", again=isinstance(error, Unavailable)) from error
        except httpcore2.TimeoutException as error:
            if time.monotonic() >= deadline:
                reason = f"took longer than {seconds:g} s in all; check its load, or wait longer"
                raise _CallFailed(reason) from error
            if isinstance(error, httpcore2.ConnectTimeout):
                reason = f"accepted no connection within {self._policy.connect_seconds:g} s; check that it runs"
                raise _CallFailed(reason, again=True) from error
            reason = f"sent nothing for {self._policy.read_seconds:g} s; check its load, or wait longer"
            raise _CallFailed(reason) from error
        except httpcore2.ConnectError as error:
            reason = f"accepted no connection ({error}); check the address and that it runs"
            raise _CallFailed(reason, again=True) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise _CallFailed(
                f"closed the connection early or does not speak HTTP ({error}); see its log", again=True
            ) from error

    def _note(self, url: httpx2.URL, detail: str, *, reachable: bool) -> None:
        base = guard.base(url)
        with self._lock:
            health = self._health.pop(base, None)
            since = health.since if health and health.reachable == reachable else time.time()
            self._health[base] = EndpointHealth(reachable, detail, since)
            if len(self._health) > REMEMBERED:
                del self._health[next(iter(self._health))]


def _pauses(deadline: float, attempts: int) -> Iterator[float | None]:
    """Yield the pause after each attempt; None after the last one, or when a pause would pass the deadline."""
    for attempt in range(attempts - 1):
        pause = BACKOFF_SECONDS * 2**attempt * random.uniform(1, 1.5)  # noqa: S311 - no secret
        if time.monotonic() + pause < deadline:
            yield pause
    yield None


def _servers(urls: Iterable[str]) -> set[str]:
    servers = set()
    for url in urls:
        with suppress(BadPlan):
            servers.add(guard.base(guard.parse_url(url)))
    return servers


class _CallFailed(Exception):
    """No usable response; `again` tells whether another attempt may succeed."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def _redirect_target(call: _Call, url: httpx2.URL, answer: ServerResponse) -> httpx2.URL:
    """Return the target of a redirect. Raises `_CallFailed` for another server."""
    try:
        target = guard.parse_url(str(url.join(answer.headers["location"])))
    except (httpx2.InvalidURL, BadPlan) as error:
        raise _CallFailed(f"redirects to an invalid address ({error}); correct it there") from error
    upgraded = (target.scheme, guard.port(target), url.scheme, guard.port(url)) == ("https", 443, "http", 80)
    if guard.base(target) != guard.base(url) and not (upgraded and guard.host(target) == guard.host(url)):
        raise _CallFailed(f"redirects to {guard.base(target)}, another server; use that address if it is right")
    if call.method != b"GET" and answer.status not in {307, 308}:
        raise _CallFailed(
            f"redirects an image to {guard.redact(target)} by {answer.status}, which drops it; use that address"
        )
    return target
