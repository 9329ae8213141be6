"""Network backend for httpcore: connections only to addresses that the guard allows, each with its call's deadline."""

import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpcore2

from velum.net.guard import Guard

QUICK_ACKNOWLEDGEMENT: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Option of a socket that acknowledges what has been received at once; None where the system has none (Linux has)."""

PIECE = 1 << 18
"""Bytes sent in one step."""


class GuardedBackend(httpcore2.NetworkBackend):
    """Connects to the addresses that the guard checked, so that a name cannot change in between (DNS rebinding)."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._opener = httpcore2.SyncBackend()
        self._call = threading.local()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Set the deadline, in seconds of the monotonic clock, of all reads and writes of this thread."""
        self._call.deadline = deadline
        try:
            yield
        finally:
            self._call.deadline = math.inf

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of `host` that accepts.

        Raises `BadPlan` and `Unavailable` as the guard does, and the library's errors for the last address.
        """
        *others, last = self._guard.addresses(host, port)
        for address in others:
            try:
                return self._open(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._open(last, port, timeout, local_address, socket_options)

    def _open(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.NetworkStream:
        seconds = self._remaining(timeout)
        return DeadlineStream(
            self._opener.connect_tcp(address, port, seconds, local_address, socket_options), self._remaining
        )

    def _remaining(self, timeout: float | None) -> float:
        """Return the seconds left of this thread's call, at most `timeout`. Raises `ReadTimeout` after its deadline."""
        seconds = getattr(self._call, "deadline", math.inf) - time.monotonic()
        if seconds <= 0:
            raise httpcore2.ReadTimeout("the time for the whole answer is over")
        return seconds if timeout is None else min(timeout, seconds)


class DeadlineStream(httpcore2.NetworkStream):
    """A connection whose reads and writes share one deadline: a time-out for each step alone would add up."""

    def __init__(self, inner: httpcore2.NetworkStream, remaining: Callable[[float | None], float]) -> None:
        self._inner = inner
        self._remaining = remaining

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return received bytes, at most `max_bytes`; empty at the end."""
        received = self._inner.read(max_bytes, self._remaining(timeout))
        acknowledge(self._inner.get_extra_info("socket"))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        view, line = memoryview(buffer), self._inner.get_extra_info("socket")
        try:
            while view:
                line.settimeout(self._remaining(timeout))
                view = view[line.send(view[:PIECE]) :]
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Return the connection, encrypted; the certificate must be that of `server_hostname`."""
        return DeadlineStream(
            self._inner.start_tls(ssl_context, server_hostname, self._remaining(timeout)), self._remaining
        )

    def get_extra_info(self, info: str) -> Any:
        """Return a fact about the connection, such as its socket."""
        return self._inner.get_extra_info(info)


def acknowledge(line: socket.socket) -> None:
    """Acknowledge what has been received on a connection at once, where the system can.

    Many servers send the head of a response first, and its body only when the head has been acknowledged (Nagle's
    algorithm, RFC 896), which systems delay by 40 ms on kept connections (RFC 1122, section 4.2.3.2). Linux forgets the
    option after a while (tcp(7)), so it is set each time.
    """
    if QUICK_ACKNOWLEDGEMENT is not None:
        with suppress(OSError):  # the other side has closed the connection
            line.setsockopt(socket.IPPROTO_TCP, QUICK_ACKNOWLEDGEMENT, 1)


class PerHostLimit:
    """Allows at most `each` concurrent calls to one address."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def slot(self, address: str, seconds: float) -> Iterator[bool]:
        """Hold a slot of the address; yield False when none became free within `seconds`."""
        with self._changed:
            is_free = self._changed.wait_for(lambda: self._busy[address] < self._each, seconds)
            self._busy[address] += is_free
        try:
            yield is_free
        finally:
            with self._changed:
                self._busy[address] -= is_free
                if not self._busy[address]:
                    del self._busy[address]
                self._changed.notify_all()
