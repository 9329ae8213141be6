"""A local web server that plays package index, npm registry and https host, with its content."""

import contextlib
import hashlib
import json
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from velum.locate.registry import Asset, Source, Wheel

CONTENT = bytes(range(256)) * 1200  # 300 KB: more than one read
MEMBER = "tinymodel/tiny.onnx"
JSON = "application/vnd.pypi.simple.v1+json"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def asset(*sources: Source, content: bytes = CONTENT) -> Asset:
    return Asset(
        name="tiny", file="tiny.onnx", size=len(content), sha256=sha256(content), licence="MIT", sources=sources
    )


def make_wheel(folder: Path, tag: str = "py3-none-any", content: bytes = CONTENT) -> Wheel:
    """Build a wheel by hand, and return what a catalogue would say of it."""
    path = folder / f"tinymodel-1.0-{tag}.whl"
    members = {
        MEMBER: content,
        "tinymodel-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\nRequires-Python:<3",
        "tinymodel-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        "tinymodel-1.0.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return Wheel(path.name, path.stat().st_size, sha256(path.read_bytes()), MEMBER)


def left_in(cache: Path) -> list[str]:
    """Return what lies in the cache, without the locks, which stay."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


@dataclass
class Server:
    """A web server on this machine: `pages` maps paths to headers and body; `asked` is what was asked for."""

    port: int
    scheme: str = "http"
    pages: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    seconds_per_chunk: float = 0.0

    def url(self, path: str, login: str = "") -> str:
        return f"{self.scheme}://{login}127.0.0.1:{self.port}{path}"

    def add_wheel(self, folder: Path, source: Wheel) -> str:
        """Serve a wheel and an index that lists it; return the index's address."""
        self.pages[f"/files/{source.wheel}"] = {}, (folder / source.wheel).read_bytes()
        self.add_index(JSON, json.dumps({"files": [{"url": f"../../files/{source.wheel}"}]}))
        return self.url("/simple/")

    def add_index(self, content_type: str, text: str) -> None:
        self.pages["/simple/tinymodel/"] = {"Content-Type": content_type}, text.encode()


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    shop = Server(0, "https" if context else "http")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shop.asked.append((self.path, self.headers["Authorization"]))
            headers, body = shop.pages.get(self.path, ({"Status": "404"}, b""))
            headers = {"Content-Length": str(len(body)), "Status": "200"} | headers
            self.send_response(int(headers.pop("Status")))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may leave in the middle
                for start in range(0, len(body), 1 << 15):
                    self.wfile.write(body[start : start + (1 << 15)])
                    time.sleep(shop.seconds_per_chunk)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as http:
        if context:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        shop.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shop
        finally:
            http.shutdown()
            thread.join()
