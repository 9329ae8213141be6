"""HTTP connections, blocking and asynchronous: the only module of the client that uses the HTTP library.

What the client says to the service is written once, as coroutines over a `Connection`. Over a `BlockingConnection` they
never wait for an event loop, so `run` and `iterate` perform them without one.
"""

import json as json_format
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from velum.client.errors import Busy, Conflict, Denied, refusal
from velum.client.models import parse_object
from velum.errors import BadPlan, Unavailable

try:
    import httpx2
except ModuleNotFoundError as error:
    raise Unavailable(
        f"the client needs a library that is not installed ({error}); pip install 'velum-anonymizer[remote]'"
    ) from error

T = TypeVar("T")
Response = httpx2.Response

CONNECT_SECONDS = 10.0
"""Time limit for opening a connection."""

ANSWER_BYTES = 1 << 30
"""Largest response that is read into memory."""

PAUSES_SECONDS = (0.1, 5.0)
"""The first pause between two tries, which doubles each time, and the longest."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Address of the service, with the headers of every request. The token is never shown."""

    base: str
    timeout_seconds: float
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, base_url: str, token: str | None, timeout_seconds: float) -> "ServiceAddress":
        """Check and return an address. Raises `BadPlan` when the address or the token is malformed."""
        base = _parse_base(base_url)
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "velum"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token.strip() or token != token.strip():
                raise BadPlan(
                    "the token has blanks or control characters; check the file or the variable that holds it"
                )
            headers["authorization"] = f"Bearer {token}"
        return cls(base, timeout_seconds, MappingProxyType(headers))

    def open_client(self) -> httpx2.Client:
        """Return a blocking connection pool."""
        return httpx2.Client(verify=self._verification(), trust_env=False)

    def open_async_client(self) -> httpx2.AsyncClient:
        """Return a connection pool for an event loop."""
        return httpx2.AsyncClient(verify=self._verification(), trust_env=False)

    def _verification(self) -> ssl.SSLContext | bool:
        # Nothing but this is taken from the environment: the proxies and passwords that it names are for other things.
        return httpx2.create_ssl_context() if self.base.startswith("https:") else False

    def build_request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], content: Any
    ) -> httpx2.Request:
        """Return the request of the HTTP library; `path` is appended to the address."""
        timeout = httpx2.Timeout(self.timeout_seconds, connect=min(CONNECT_SECONDS, self.timeout_seconds))
        return httpx2.Request(
            method, f"{self.base}{path}", params=dict(query) or None, headers={**self.headers, **headers},
            content=content, extensions={"timeout": timeout.as_dict()},
        )  # fmt: skip

    @contextmanager
    def translate_errors(self, where: str) -> Iterator[None]:
        """Turn errors of the HTTP library into `Unavailable`; `where` is the URL of the request."""
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
                f"{where} sent nothing for {self.timeout_seconds:g} s; check its load, or wait longer"
            ) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unavailable(
                f"{where} closed the connection early or does not speak HTTP ({error}); try again"
            ) from error


def _parse_base(text: str) -> str:
    # An address with credentials could be quoted only with them.
    shown = "with credentials in it" if "@" in text else repr(text[:200])
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise BadPlan(f"the service's address {shown} cannot be read; write http://host:port") from error
    web = url.scheme in {"http", "https"} and url.host and 0 < (url.port or 80) < 1 << 16
    if not web or url.userinfo or url.query or url.fragment:
        raise BadPlan(
            f"the service's address {shown} is not an HTTP address; write http://host:port, and give the token "
            "separately"
        )
    return str(url).rstrip("/")


class BlockingConnection:
    """One response at a time, read chunk by chunk. `where` is the URL of the last request, for messages."""

    def __init__(self, service: ServiceAddress, http: httpx2.Client) -> None:
        self._service, self._http = service, http
        self._response: Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self.where = service.base

    async def open(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
    ) -> Response:  # fmt: skip
        """Close the response before, and send a request. Raises `Unavailable`."""
        await self.close()
        self.where = f"{self._service.base}{path}"
        with self._service.translate_errors(self.where):
            request = self._service.build_request(method, path, query, headers, content)
            self._response = self._http.send(request, stream=True)
            self._chunks = self._response.iter_raw()
        return self._response

    async def next(self) -> bytes:
        """Return the next bytes of the response, b"" at its end. Raises `Unavailable` when it breaks off."""
        with self._service.translate_errors(self.where):
            return next(self._chunks, b"")

    async def run(self, call: Callable[[], T]) -> T:
        """Return the result of a call that blocks."""
        return call()

    async def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def close(self) -> None:
        """Close the response."""
        if self._response is not None:
            self._response.close()


class AsyncConnection:
    """`BlockingConnection` for an event loop."""

    def __init__(self, service: ServiceAddress, http: httpx2.AsyncClient) -> None:
        self._service, self._http = service, http
        self._response: Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self.where = service.base

    async def open(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
    ) -> Response:  # fmt: skip
        """Close the response before, and send a request. Raises `Unavailable`."""
        await self.close()
        self.where = f"{self._service.base}{path}"
        with self._service.translate_errors(self.where):
            body = content if content is None or isinstance(content, bytes) else self._read_in_thread(content)
            request = self._service.build_request(method, path, query, headers, body)
            self._response = await self._http.send(request, stream=True)
            self._chunks = self._response.aiter_raw()
        return self._response

    async def next(self) -> bytes:
        """Return the next bytes of the response, b"" at its end. Raises `Unavailable` when it breaks off."""
        with self._service.translate_errors(self.where):
            return b"" if self._chunks is None else await anext(self._chunks, b"")

    async def run(self, call: Callable[[], T]) -> T:
        """Return the result of a call that blocks, made in another thread."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - blocking clients do not need it

        return await run_sync(call)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        from anyio import sleep  # noqa: PLC0415 - blocking clients do not need it

        await sleep(seconds)

    async def close(self) -> None:
        """Close the response."""
        if self._response is not None:
            await self._response.aclose()

    async def _read_in_thread(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        while chunk := await self.run(lambda: next(chunks, b"")):
            yield chunk


Connection = BlockingConnection | AsyncConnection


async def open_response(
    connection: Connection,
    method: str,
    path: str,
    *,
    kind: str | None = None,
    query: Mapping[str, str] = MappingProxyType({}),
    headers: Mapping[str, str] = MappingProxyType({}),
    json: Mapping[str, Any] | None = None,
    content: Iterator[bytes] | None = None,
) -> Response:
    """Send a request, with a body of JSON or of bytes; return its response, whose content is still to be read.

    Raises the service's error, `Unavailable` where the service cannot be reached or answers with another media type
    than `kind`.
    """
    data = None if json is None else json_format.dumps(json).encode()
    headers = headers if data is None else {**headers, "content-type": "application/json"}
    response = await connection.open(method, path, query, headers, data or content)
    if response.status_code >= 300:
        raise refusal(response.status_code, response.headers, await _read_rest(connection), connection.where)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind is not None and media_type != kind:
        raise Unavailable(
            f"{connection.where} answered with {media_type or 'nothing'!r}, not with {kind}; check the address"
        )
    return response


async def request_json(connection: Connection, method: str, path: str, **options: Any) -> Mapping[str, Any]:
    """Send a request as `open_response` does; return the JSON object of the response."""
    await open_response(connection, method, path, kind="application/json", **options)
    return parse_object(await _read_rest(connection))


async def _read_rest(connection: Connection) -> bytes:
    """Return the remaining bytes of the response."""
    body = bytearray()
    while chunk := await connection.next():
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise Unavailable(f"the service sent more than {ANSWER_BYTES:,} bytes, the limit; check the address")
    return bytes(body)


class Retry:
    """Retries of a transfer: waits between tries, and gives up after `seconds` without progress.

    A transfer that has not `started` is never tried again.
    """

    def __init__(self, seconds: float, *, started: bool = False) -> None:
        self._seconds, self._started = seconds, started
        self._since: float | None = None
        self._pause = PAUSES_SECONDS[0]

    def progress(self) -> None:
        """Reset the pauses: the transfer has made progress."""
        self._started, self._since, self._pause = True, None, PAUSES_SECONDS[0]

    async def wait(self, connection: Connection, error: Unavailable | Conflict) -> None:
        """Wait before the next try. Raises `error` when another try is useless or the time is over."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._started or isinstance(error, Denied) or now - self._since > self._seconds:
            raise error
        await connection.pause(max(self._pause, error.seconds if isinstance(error, Busy) else 0.0))
        self._pause = min(self._pause * 2, PAUSES_SECONDS[1])


async def close_after(connection: Connection, call: Coroutine[Any, Any, T]) -> T:
    """Return the result of a call, and close its connection."""
    try:
        return await call
    finally:
        await connection.close()


async def close_after_each(connection: Connection, values: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield values, and close their connection at the end."""
    try:
        async with aclosing(values):
            async for value in values:
                yield value
    finally:
        await connection.close()


def run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over a `BlockingConnection` to its end, and return its result."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a coroutine ends by StopIteration with its result
    finally:
        call.close()
    raise AssertionError("a coroutine over a blocking connection waited for an event loop")


def iterate(values: AsyncGenerator[T]) -> Iterator[T]:
    """Yield the values of a generator over a `BlockingConnection`."""
    try:
        while True:
            try:
                value = run(values.__anext__())
            except StopAsyncIteration:
                return
            yield value
    finally:
        run(values.aclose())
