"""HTTP/1.1 that waits for nobody for ever: slow heads, and answers that nobody reads, end their connection."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """Closes a connection on which a head takes longer than `head_seconds`, or an answer stands for `idle_seconds`.

    Bodies are timed where they are read, and idle connections by the server itself.
    """

    head_seconds = 15.0
    idle_seconds = 60.0
    _head: asyncio.TimerHandle | None = None
    _answer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes: the first after an answer are of the next head."""
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)

    def handle_events(self) -> None:
        """Look what came; with a head, one is not expected any more."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._forget_head()

    def pause_writing(self) -> None:
        """Wait for the client to read on."""
        super().pause_writing()
        self._answer = self.loop.call_later(self.idle_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._forget_answer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
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
    """Return a protocol with these times, as a server wants it."""
    return type("Timed", (TimedProtocol,), {"head_seconds": head_seconds, "idle_seconds": idle_seconds})
