"""Conversations with the service, without doing any input or output: the same for both clients.

A conversation is a generator: it yields steps, receives the result of each (or its error is thrown into it), and
returns its own result. `Client` and `AsyncClient` perform the steps and know nothing else.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from velum.client.errors import Busy, Conflict, Denied, refusal
from velum.client.models import JsonReader
from velum.errors import BadInput, Unavailable

T = TypeVar("T")

CHUNK = 1 << 20
"""Bytes of a file that are read or written at a time."""

Progress = Callable[[int, int], None]
"""Called with the number of bytes transferred so far, and of all bytes."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request: `head`, then the bytes `start` to `stop` of `file`, then `tail`."""

    kind: str
    head: bytes = b""
    file: Path | None = None
    start: int = 0
    stop: int = 0
    tail: bytes = b""
    progress: Progress | None = None

    @property
    def size(self) -> int:
        """Number of bytes of the whole body."""
        return len(self.head) + self.stop - self.start + len(self.tail)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes. Raises `BadInput` when the file cannot be read or has become shorter."""
        if self.head:
            yield self.head
        if self.file is not None:
            yield from self._of_file(self.file)
        if self.tail:
            yield self.tail

    def _of_file(self, file: Path) -> Iterator[bytes]:
        here = self.start
        try:
            with file.open("rb") as opened:
                opened.seek(here)
                while here < self.stop:
                    chunk = opened.read(min(CHUNK, self.stop - here))
                    if not chunk:
                        raise BadInput(f"{file} became shorter while it was sent; send it again when it is complete")
                    yield chunk
                    here += len(chunk)
                    if self.progress:
                        self.progress(here, self.stop)
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request; `path` is appended to the address of the service."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status and headers of a response, header names in lower case. `where` is the URL of the request."""

    status: int
    headers: Mapping[str, str]
    where: str


@dataclass(frozen=True, slots=True)
class Open:
    """Step: send a request. The outcome is an `HttpResponse`, or `Unavailable`. Closes the response before."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Next:
    """Step: read more of the response. The outcome is bytes, b"" at the end, or `Unavailable` when it breaks off."""


@dataclass(frozen=True, slots=True)
class RunBlocking:
    """Step: call a function that blocks. The outcome is its return value, or the `VelumError` that it raises."""

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Step: yield a value to the caller of an iterating method."""

    value: Any


Step = Open | Next | RunBlocking | Pause | Emit
Steps = Generator[Step, Any, T]


class Exchange(Generic[T]):
    """A running conversation: `step` is the next step to perform; None at the end, when `result` is set."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._result: list[T] = []
        self.step: Step | None = None
        self._advance(lambda: next(steps))

    @property
    def result(self) -> T:
        """Return value of the conversation."""
        return self._result[0]

    def resume(self, outcome: Any = None) -> None:
        """Continue with the outcome of the step."""
        self._advance(lambda: self._steps.send(outcome))

    def fail(self, error: Exception) -> None:
        """Continue with the error of the step."""
        self._advance(lambda: self._steps.throw(error))

    def close(self) -> None:
        """Abandon the conversation, which releases what it holds."""
        self._steps.close()

    def _advance(self, move: Callable[[], Step]) -> None:
        try:
            self.step = move()
        except StopIteration as end:
            self.step = None
            self._result.append(end.value)


ANSWER_BYTES = 1 << 30
"""Largest response that is read into memory."""

PAUSES_SECONDS = (0.1, 5.0)
"""The first pause between two tries, which doubles each time, and the longest."""


def open_response(request: HttpRequest, kind: str | None = None) -> Steps[HttpResponse]:
    """Send a request; return status and headers. Raises the service's error, `Unavailable` for another media type."""
    answer: HttpResponse = yield Open(request)
    if answer.status >= 300:
        raise refusal(answer.status, answer.headers, (yield from _read_rest()), answer.where)
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind is not None and media_type != kind:
        raise Unavailable(
            f"{answer.where} answered with {media_type or 'nothing'!r}, not with {kind}; check the service's address"
        )
    return answer


def request_json(request: HttpRequest) -> Steps[JsonReader]:
    """Send a request and return the JSON object of the response. Raises the error that the service reports."""
    yield from open_response(request, "application/json")
    return JsonReader.of_text((yield from _read_rest()))


def send_request(request: HttpRequest) -> Steps[None]:
    """Send a request whose response has no content. Raises the error that the service reports."""
    yield from open_response(request)


def body_of(value: Mapping[str, Any]) -> Body:
    """Return a JSON body."""
    return Body("application/json", json.dumps(value).encode())


def _read_rest() -> Steps[bytes]:
    """Return the remaining bytes of the response."""
    body = bytearray()
    while chunk := (yield Next()):
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

    def wait(self, error: Unavailable | Conflict) -> Steps[None]:
        """Wait before the next try. Raises `error` when another try is useless or the time is over."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._started or isinstance(error, Denied) or now - self._since > self._seconds:
            raise error
        yield Pause(max(self._pause, error.seconds if isinstance(error, Busy) else 0.0))
        self._pause = min(self._pause * 2, PAUSES_SECONDS[1])
