"""Requests on the wire, with and without waiting: the only user of the HTTP library in the client."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from velum.client._sansio import Body, HttpRequest, HttpResponse
from velum.errors import BadPlan, Unavailable

try:
    import anyio
    import anyio.to_thread
    import httpx2
except ModuleNotFoundError as error:
    raise Unavailable(
        f"the client needs a library that is not installed ({error}); pip install 'velum-anonymizer[remote]'"
    ) from error

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""How long a connection may take to be opened."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where the service is, and how it is asked. The token is never shown."""

    base: str
    timeout_seconds: float
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def at(cls, base_url: str, token: str | None, timeout_seconds: float) -> "ServiceAddress":
        """Return it. Raises `BadPlan` for an address or a token that cannot be used."""
        base = _base(base_url)
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "velum"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token.strip() or token != token.strip():
                raise BadPlan("the token has characters that no token has; check the file or the variable it is from")
            headers["authorization"] = f"Bearer {token}"
        return cls(base, timeout_seconds, MappingProxyType(headers))

    def client(self) -> httpx2.Client:
        """Return connections to it."""
        return httpx2.Client(verify=self._trusted(), trust_env=False)

    def async_client(self) -> httpx2.AsyncClient:
        """Return connections to it, for an event loop."""
        return httpx2.AsyncClient(verify=self._trusted(), trust_env=False)

    def where(self, ask: HttpRequest) -> str:
        """Return the address that is asked, for messages."""
        return f"{self.base}{ask.path}"

    def request(self, ask: HttpRequest, content: Any) -> httpx2.Request:
        """Return the request; `content` yields the chunks of its body."""
        headers = {**self.headers, **ask.headers}
        if ask.body is not None:
            headers |= {"content-type": ask.body.kind, "content-length": str(ask.body.size)}
        timeout = httpx2.Timeout(self.timeout_seconds, connect=min(CONNECT_SECONDS, self.timeout_seconds))
        return httpx2.Request(
            ask.method, self.where(ask), params=dict(ask.query) or None, headers=headers, content=content,
            extensions={"timeout": timeout.as_dict()},
        )  # fmt: skip

    def _trusted(self) -> ssl.SSLContext | bool:
        # Nothing but this is taken from the environment: the proxies and passwords that it names are for other things.
        return httpx2.create_ssl_context() if self.base.startswith("https:") else False

    @contextmanager
    def translated(self, ask: HttpRequest) -> Iterator[None]:
        """Turn what the library raises into what is said about the service."""
        try:
            yield
        except httpx2.ConnectTimeout as error:
            raise Unavailable(f"{self.base} took no connection in time; check the address and that it runs") from error
        except httpx2.ConnectError as error:
            raise Unavailable(
                f"{self.base} took no connection ({error}); check the address and that it runs"
            ) from error
        except httpx2.TimeoutException as error:
            raise Unavailable(
                f"{self.where(ask)} was silent for {self.timeout_seconds:g} s; check its load, or wait longer"
            ) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unavailable(f"{self.where(ask)} broke off or does not speak HTTP ({error}); try again") from error


def _base(text: str) -> str:
    # What is wrong with an address that has credentials could be told only by quoting them.
    shown = "with credentials in it" if "@" in text else repr(text[:200])
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise BadPlan(f"the service's address {shown} cannot be read; write http://host:port") from error
    web = url.scheme in {"http", "https"} and url.host and 0 < (url.port or 80) < 1 << 16
    if not web or url.userinfo or url.query or url.fragment:
        raise BadPlan(f"the service's address {shown} is not one; write http://host:port, and give the token apart")
    return str(url).rstrip("/")


def _answer(response: httpx2.Response, where: str) -> HttpResponse:
    return HttpResponse(response.status_code, {name.lower(): value for name, value in response.headers.items()}, where)


class Connection:
    """One answer at a time, read when it is asked for."""

    def __init__(self, service: ServiceAddress, http: httpx2.Client) -> None:
        self._service, self._http = service, http
        self._ask = HttpRequest("GET", "")
        self._response: httpx2.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def open(self, ask: HttpRequest) -> HttpResponse:
        """Send a request. Raises `Unavailable`."""
        self.close()
        self._ask = ask
        with self._service.translated(ask):
            content = None if ask.body is None else ask.body.chunks()
            self._response = self._http.send(self._service.request(ask, content), stream=True)
            self._chunks = self._response.iter_raw()
        return _answer(self._response, self._service.where(ask))

    def next(self) -> bytes:
        """Return more of the answer, b"" at its end. Raises `Unavailable`."""
        with self._service.translated(self._ask):
            return next(self._chunks, b"")

    def close(self) -> None:
        """Leave the answer."""
        if self._response is not None:
            self._response.close()


class AsyncConnection:
    """The same, with `await`."""

    def __init__(self, service: ServiceAddress, http: httpx2.AsyncClient) -> None:
        self._service, self._http = service, http
        self._ask = HttpRequest("GET", "")
        self._response: httpx2.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def open(self, ask: HttpRequest) -> HttpResponse:
        """Send a request. Raises `Unavailable`."""
        await self.aclose()
        self._ask = ask
        with self._service.translated(ask):
            content = None if ask.body is None else _sent(ask.body)
            self._response = await self._http.send(self._service.request(ask, content), stream=True)
            self._chunks = self._response.aiter_raw()
        return _answer(self._response, self._service.where(ask))

    async def next(self) -> bytes:
        """Return more of the answer, b"" at its end. Raises `Unavailable`."""
        with self._service.translated(self._ask):
            return b"" if self._chunks is None else await anext(self._chunks, b"")

    async def aclose(self) -> None:
        """Leave the answer."""
        if self._response is not None:
            await self._response.aclose()


async def threaded(call: Callable[[], T]) -> T:
    """Return what a call returns that takes a while: it is made in another thread."""
    return await anyio.to_thread.run_sync(call)


async def pause(seconds: float) -> None:
    """Wait."""
    await anyio.sleep(seconds)


async def _sent(body: Body) -> AsyncIterator[bytes]:
    """Yield a body; its file is read in another thread."""
    chunks = body.chunks()
    while chunk := await anyio.to_thread.run_sync(next, chunks, b""):
        yield chunk
