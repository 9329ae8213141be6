"""HTTP connections, blocking and asynchronous: the only module of the client that uses the HTTP library."""

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
"""Time limit for opening a connection."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Address of the service, with the headers of every request. The token is never shown."""

    base: str
    timeout_seconds: float
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def at(cls, base_url: str, token: str | None, timeout_seconds: float) -> "ServiceAddress":
        """Check and return an address. Raises `BadPlan` when the address or the token is malformed."""
        base = _base(base_url)
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "velum"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token.strip() or token != token.strip():
                raise BadPlan(
                    "the token has blanks or control characters; check the file or the variable that holds it"
                )
            headers["authorization"] = f"Bearer {token}"
        return cls(base, timeout_seconds, MappingProxyType(headers))

    def client(self) -> httpx2.Client:
        """Return a blocking connection pool."""
        return httpx2.Client(verify=self._ssl_context(), trust_env=False)

    def async_client(self) -> httpx2.AsyncClient:
        """Return a connection pool for an event loop."""
        return httpx2.AsyncClient(verify=self._ssl_context(), trust_env=False)

    def where(self, request: HttpRequest) -> str:
        """Return the URL of a request, for messages."""
        return f"{self.base}{request.path}"

    def build_request(self, request: HttpRequest, content: Any) -> httpx2.Request:
        """Return the request of the HTTP library; `content` yields the chunks of the body."""
        headers = {**self.headers, **request.headers}
        if request.body is not None:
            headers |= {"content-type": request.body.kind, "content-length": str(request.body.size)}
        timeout = httpx2.Timeout(self.timeout_seconds, connect=min(CONNECT_SECONDS, self.timeout_seconds))
        return httpx2.Request(
            request.method, self.where(request), params=dict(request.query) or None, headers=headers, content=content,
            extensions={"timeout": timeout.as_dict()},
        )  # fmt: skip

    def _ssl_context(self) -> ssl.SSLContext | bool:
        # Nothing but this is taken from the environment: the proxies and passwords that it names are for other things.
        return httpx2.create_ssl_context() if self.base.startswith("https:") else False

    @contextmanager
    def translate_errors(self, request: HttpRequest) -> Iterator[None]:
        """Turn errors of the HTTP library into `Unavailable`."""
        try:
            yield
        except httpx2.ConnectTimeout as error:
            raise Unavailable(
                f"{self.base} accepted no connection in time; check the address and that it runs"
            ) from error
        except httpx2.ConnectError as error:
            raise Unavailable(
                f"{self.base} accepted no connection ({error}); check the address and that it runs"
            ) from error
        except httpx2.TimeoutException as error:
            raise Unavailable(
                f"{self.where(request)} was silent for {self.timeout_seconds:g} s; check its load, or wait longer"
            ) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unavailable(f"{self.where(request)} broke off or does not speak HTTP ({error}); try again") from error


def _base(text: str) -> str:
    # What is wrong with an address that has credentials could be told only by quoting them.
    shown = "with credentials in it" if "@" in text else repr(text[:200])
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise BadPlan(f"the service's address {shown} cannot be read; write http://host:port") from error
    web = url.scheme in {"http", "https"} and url.host and 0 < (url.port or 80) < 1 << 16
    if not web or url.userinfo or url.query or url.fragment:
        raise BadPlan(
            f"the service's address {shown} is no HTTP address; write http://host:port, and give the token apart"
        )
    return str(url).rstrip("/")


def _answer(response: httpx2.Response, where: str) -> HttpResponse:
    return HttpResponse(response.status_code, {name.lower(): value for name, value in response.headers.items()}, where)


class Connection:
    """One response at a time, read chunk by chunk."""

    def __init__(self, service: ServiceAddress, http: httpx2.Client) -> None:
        self._service, self._http = service, http
        self._request = HttpRequest("GET", "")
        self._response: httpx2.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def open(self, request: HttpRequest) -> HttpResponse:
        """Send a request. Raises `Unavailable`."""
        self.close()
        self._request = request
        with self._service.translate_errors(request):
            content = None if request.body is None else request.body.chunks()
            self._response = self._http.send(self._service.build_request(request, content), stream=True)
            self._chunks = self._response.iter_raw()
        return _answer(self._response, self._service.where(request))

    def next(self) -> bytes:
        """Return the next bytes of the response, b"" at its end. Raises `Unavailable`."""
        with self._service.translate_errors(self._request):
            return next(self._chunks, b"")

    def close(self) -> None:
        """Close the response."""
        if self._response is not None:
            self._response.close()


class AsyncConnection:
    """`Connection` for an event loop."""

    def __init__(self, service: ServiceAddress, http: httpx2.AsyncClient) -> None:
        self._service, self._http = service, http
        self._request = HttpRequest("GET", "")
        self._response: httpx2.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def open(self, request: HttpRequest) -> HttpResponse:
        """Send a request. Raises `Unavailable`."""
        await self.aclose()
        self._request = request
        with self._service.translate_errors(request):
            content = None if request.body is None else _stream_body(request.body)
            self._response = await self._http.send(self._service.build_request(request, content), stream=True)
            self._chunks = self._response.aiter_raw()
        return _answer(self._response, self._service.where(request))

    async def next(self) -> bytes:
        """Return the next bytes of the response, b"" at its end. Raises `Unavailable`."""
        with self._service.translate_errors(self._request):
            return b"" if self._chunks is None else await anext(self._chunks, b"")

    async def aclose(self) -> None:
        """Close the response."""
        if self._response is not None:
            await self._response.aclose()


async def run_in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call in another thread and return its result."""
    return await anyio.to_thread.run_sync(call)


async def pause(seconds: float) -> None:
    """Wait."""
    await anyio.sleep(seconds)


async def _stream_body(body: Body) -> AsyncIterator[bytes]:
    """Yield a body; its file is read in another thread."""
    chunks = body.chunks()
    while chunk := await anyio.to_thread.run_sync(next, chunks, b""):
        yield chunk
