"""A minimal reverse proxy under a path: it removes the path and passes the rest on."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


@contextmanager
def proxied(service: str, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of the service under `path`, and a list of what was asked for outside of it."""
    behind, strays = urlsplit(service), list[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_any(self) -> None:
            if not self.path.startswith(path):
                strays.append(self.path)
                self.send_error(404)
                return
            asked = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            # Whoever leaves in the middle ends both connections.
            with (
                suppress(ConnectionError),
                closing(http.client.HTTPConnection(str(behind.hostname), behind.port or 80, timeout=60)) as onward,
            ):
                onward.request(self.command, "/" + self.path.removeprefix(path), body, asked)
                with closing(onward.getresponse()) as answer:
                    self._pass(answer)

        def _pass(self, answer: http.client.HTTPResponse) -> None:
            self.close_connection = True
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            while chunk := answer.read1(1 << 16):
                self.wfile.write(chunk)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815 - names of the base class

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}", strays
    finally:
        server.shutdown()
        server.server_close()
