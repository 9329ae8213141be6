"""A stand-in for S3 on the loopback interface, for one bucket; it does not check signatures."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "faces"


class S3(ThreadingHTTPServer):
    """What is in the bucket, what was begun, and what was asked; `wrong` has the next requests fail, `down` all.

    `denied` are the requests that are refused, with `code`: `list`, or methods of HTTP.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.objects = dict[str, bytes]()
        self.begun = dict[str, dict[int, bytes]]()
        self.asked = list[str]()
        self.wrong, self.down, self.numbers = 0, False, count(1)
        self.denied, self.code = frozenset[str](), "AccessDenied"

    @property
    def variables(self) -> dict[str, str]:
        """Environment in which the bucket is found."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.server_port}", "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "velum", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "nowhere-1",
        }  # fmt: skip


class Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def handle_one(self) -> None:
        """Answer one request of any kind."""
        address = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        _, bucket, self.key = [*unquote(address.path).split("/", 2), ""][:3]
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(f"{self.command} {'?'.join(sorted(self.query))}".strip())
        if self.server.down or self.server.wrong > 0:
            self.server.wrong -= 1
            return self.answer(503)
        if ("list" if "list-type" in self.query else self.command) in self.server.denied:
            return self.answer(403, f"<Error><Code>{self.server.code}</Code></Error>".encode())
        if bucket != BUCKET:
            return self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        how = {"GET": self.get, "HEAD": self.get, "PUT": self.put, "POST": self.post, "DELETE": self.delete}
        return how[self.command](body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - so the standard library calls them

    def get(self, body: bytes) -> None:
        if "list-type" in self.query:
            return self.listed()
        if (data := self.server.objects.get(self.key)) is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        headers = {"ETag": tag(data), "Last-Modified": formatdate(usegmt=True)}
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", "")):
            start, stop = int(match[1]), min(int(match[2]) + 1, len(data))
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            return self.answer(206, data[start:stop], headers)
        return self.answer(200, data, headers)

    def put(self, body: bytes) -> None:
        if "uploadId" in self.query:
            self.server.begun[self.query["uploadId"]][int(self.query["partNumber"])] = body
        else:
            self.server.objects[self.key] = body
        self.answer(200, b"", {"ETag": tag(body)})

    def post(self, body: bytes) -> None:
        if "uploads" in self.query:
            upload = str(next(self.server.numbers))
            self.server.begun[upload] = {}
            words = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        else:
            parts = self.server.begun.pop(self.query["uploadId"])
            numbers = [int(one) for one in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
            assert numbers == sorted(parts)
            sizes = {len(parts[one]) for one in numbers[:-1]}
            assert len(sizes) < 2, "some services want parts of one size"
            assert min(sizes, default=5 << 20) >= 5 << 20, "and all of at least 5 MiB"
            self.server.objects[self.key] = b"".join(parts[one] for one in numbers)
            words = f"<CompleteMultipartUploadResult><ETag>{len(parts)}</ETag></CompleteMultipartUploadResult>"
        self.answer(200, words.encode())

    def delete(self, body: bytes) -> None:
        if "uploadId" in self.query:
            self.server.begun.pop(self.query["uploadId"])
        else:
            self.server.objects.pop(self.key, None)
        self.answer(204)

    def listed(self) -> None:
        """Give pages of two objects each."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        keys = sorted(key for key in self.server.objects if key.startswith(self.query.get("prefix", "")))
        rest = [key for key in keys if key > self.query.get("continuation-token", "")]
        page, more = rest[:2], len(rest) > 2
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.server.objects[key])}</Size><ETag>x</ETag>"
            f"<LastModified>{now}</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        words = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{contents}{token}</ListBucketResult>"
        self.answer(200, words.encode())

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


@contextmanager
def s3() -> Iterator[S3]:
    """Serve it."""
    with S3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
