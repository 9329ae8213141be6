"""A proxy to a database that breaks off at the n-th message, before or after the message has passed."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Cutting:
    """Counts what clients send; at message `at`, counted from `arm`, every connection ends, and new ones are taken.

    With `after`, the message itself has come through and only its answer is lost. With `again`, it happens at every
    such number.
    """

    host: str
    port: int
    cuts: int = 0
    _at: int = 0
    _after: bool = False
    _again: bool = False
    _seen: int = 0
    _ends: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, at: int, *, after: bool, again: bool = False) -> None:
        with self._lock:
            self._at, self._after, self._again, self._seen, self.cuts = at, after, again, 0, 0

    def disarm(self) -> None:
        with self._lock:
            self._at = 0

    def serve(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection((self.host, self.port))
            with self._lock:
                self._ends += [near, far]
            threading.Thread(target=self._serve_one, args=(near, far), daemon=True).start()

    def _serve_one(self, near: socket.socket, far: socket.socket) -> None:
        served = threading.Event()  # set when only the answer is to be lost
        with near, far:
            down = threading.Thread(target=self._down, args=(far, near, served), daemon=True)
            down.start()
            self._up(near, far, served)
            down.join()
            with self._lock:
                self._ends = [end for end in self._ends if end not in {near, far}]

    def end(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, []
        _shut(*ends)

    def _up(self, source: socket.socket, target: socket.socket, served: threading.Event) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                if self._due():
                    if not self._after:
                        self.end()
                        return
                    served.set()
                target.sendall(chunk)
        _shut(source, target)

    def _down(self, source: socket.socket, target: socket.socket, served: threading.Event) -> None:
        with suppress(OSError):
            while (chunk := source.recv(65536)) and not served.is_set():
                target.sendall(chunk)
        if served.is_set():
            self.end()
        _shut(source, target)

    def _due(self) -> bool:
        with self._lock:
            self._seen += 1
            due = self._at > 0 and self._seen == self._at
            if due:
                self.cuts += 1
                self._seen, self._at = 0, self._at if self._again else 0
            return due


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(url: str) -> Iterator[tuple[Cutting, str]]:
    """Give the way, and the URL of the database at its end."""
    there = urlsplit(url)
    assert there.hostname is not None
    assert there.port is not None
    way = Cutting(there.hostname, there.port)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taking = threading.Thread(target=way.serve, args=(listening,), daemon=True)
        taking.start()
        near = f"127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield way, there._replace(netloc=f"{there.username}@{near}").geturl()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            taking.join()
            way.end()
