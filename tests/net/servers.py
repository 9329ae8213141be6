"""Servers on the loopback, each as well or as badly behaved as a test wants."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    port: int
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: what waits, ends."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/"


Talk = Callable[[socket.socket, BinaryIO, Server], None]


@contextmanager
def talking(talk: Talk) -> Iterator[Server]:
    """Serve with `talk`, called for each connection with its socket, a file to read from it, and the server."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            server.connections += 1
            with contextlib.suppress(OSError), self.request.makefile("rb") as file:
                talk(self.request, file, server)

    class Quiet(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 50

    with Quiet(("127.0.0.1", 0), Handler) as inner:
        server = Server(inner.server_address[1])
        thread = threading.Thread(target=inner.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            inner.shutdown()
            thread.join()


@contextmanager
def answering(answer: Callable[[Asked], bytes]) -> Iterator[Server]:
    """Serve whole answers over connections that are kept, as long as the answer does not say close."""

    def talk(line: socket.socket, file: BinaryIO, server: Server) -> None:
        while (asked := read(file)) is not None:
            server.asked.append(asked)
            given = answer(asked)
            line.sendall(given)
            if b"connection: close" in given.partition(b"\r\n\r\n")[0].lower():
                return

    with talking(talk) as server:
        yield server


def read(file: BinaryIO) -> Asked | None:
    """Return the next request, None when there is none."""
    first = file.readline().decode("latin-1").split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := file.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Asked(first[0], first[1], headers, file.read(int(headers.get("content-length", "0"))))


def whole(body: bytes = b"yes", status: int = 200, kind: str = "text/plain", **headers: str) -> bytes:
    """Return an answer as it goes over the wire; `headers` are written with `_` for `-`."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Word\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def free_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
