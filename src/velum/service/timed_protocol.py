"""HTTP/1.1 with time-outs: a slow request head, or a response that the client does not read, ends the connection."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """Closes a connection whose request head takes over `head_seconds`, or whose response stalls for `idle_seconds`.

    Request bodies are timed where they are read; the server itself times idle connections.
    """

    head_seconds = 15.0
    idle_seconds = 60.0
    _head: asyncio.TimerHandle | None = None
    _answer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows the type, too
        """Start the timer of the first request head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes; the first ones after a response belong to the next request head."""
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)

    def handle_events(self) -> None:
        """Parse the received bytes; a complete head stops its timer."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._forget_head()

    def pause_writing(self) -> None:
        """Start the timer of a response that the client does not read."""
        super().pause_writing()
        self._answer = self.loop.call_later(self.idle_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer: the client reads again."""
        self._forget_answer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._forget_head()
        self._forget_answer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self.head_seconds, self.transport.close)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _forget_answer(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None


def timed_protocol(head_seconds: float, idle_seconds: float) -> type[TimedProtocol]:
    """Return a protocol class with these time-outs in seconds; the server instantiates it for each connection."""
    return type("Timed", (TimedProtocol,), {"head_seconds": head_seconds, "idle_seconds": idle_seconds})
