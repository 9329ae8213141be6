"""What is done to talk to the service, step by step, without doing it: the same for both clients.

A conversation is a generator: it yields steps, is sent their outcome, or their error is thrown into it, and returns
its result. Those who drive it (`client`, `async_client`) do the steps and know nothing else.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from velum.errors import BadInput

T = TypeVar("T")

CHUNK = 1 << 20
"""Bytes of a file that are read or written at a time."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and all that there are."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: `head`, the bytes of `file` from `start` to `stop`, and `tail`."""

    kind: str
    head: bytes = b""
    file: Path | None = None
    start: int = 0
    stop: int = 0
    tail: bytes = b""
    progress: Progress | None = None

    @property
    def size(self) -> int:
        """Bytes of it all."""
        return len(self.head) + self.stop - self.start + len(self.tail)

    def chunks(self) -> Iterator[bytes]:
        """Yield it. Raises `BadInput` when the file cannot be read or has become shorter."""
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
    """A request; `path` follows the address of the service."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The beginning of an answer; the names of headers in lower case. `where` is the address that was asked."""

    status: int
    headers: Mapping[str, str]
    where: str


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request; the outcome is the `HttpResponse`, or `Unavailable`. What was open before is closed."""

    ask: HttpRequest


@dataclass(frozen=True, slots=True)
class Next:
    """Receive more of the answer: some bytes, b"" at its end, or `Unavailable` when it breaks off."""


@dataclass(frozen=True, slots=True)
class RunBlocking:
    """Call something that may take a while; the outcome is what it returns, or the `VelumError` that it raises."""

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value to who iterates over the conversation."""

    value: Any


Step = Open | Next | RunBlocking | Pause | Emit
Steps = Generator[Step, Any, T]


class Exchange(Generic[T]):
    """A conversation on its way: the step to be done now, None at the end, and then the result."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._result: list[T] = []
        self.step: Step | None = None
        self._moved(lambda: next(steps))

    @property
    def result(self) -> T:
        """What the conversation returned."""
        return self._result[0]

    def done(self, outcome: Any = None) -> None:
        """Go on with the outcome of the step."""
        self._moved(lambda: self._steps.send(outcome))

    def failed(self, error: Exception) -> None:
        """Go on with the error of the step."""
        self._moved(lambda: self._steps.throw(error))

    def close(self) -> None:
        """Give it up: it cleans up behind itself."""
        self._steps.close()

    def _moved(self, move: Callable[[], Step]) -> None:
        try:
            self.step = move()
        except StopIteration as end:
            self.step = None
            self._result.append(end.value)
