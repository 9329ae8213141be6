"""Download files over https, with time-outs and size limits; redirects lead only to https."""

import http.client
import math
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from velum.errors import Unavailable

TIMEOUT_SECONDS = 30
"""How long a server may be silent."""

SILENT_SECONDS = 60
"""Time after a time-out during which the same server is not asked again, since several files may lie there."""

_CHUNK = 1 << 18
_silent: dict[str, float] = {}
"""Server -> time of its last time-out, by the monotonic clock."""

Progress = Callable[[int, int | None], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """The allowed addresses, as a function and in words, and the file of certificates to trust."""

    allowed: Callable[[str], bool]
    allowed_text: str
    cafile: str | None = None


def is_https(url: str) -> bool:
    """Tell whether the address is an https one."""
    return urlsplit(url).scheme == "https"


def is_https_or_local(url: str) -> bool:
    """Tell whether the address may be that of a package index: https, http on this machine, or a file."""
    parts = urlsplit(url)
    return is_https(url) or parts.scheme == "file" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


HTTPS_ONLY = DownloadPolicy(is_https, "https")

HTTPS_OR_LOCAL = "https, http on this machine, or file"
"""What `is_https_or_local` allows, in words."""


def download(url: str, target: Path, size: int, progress: Progress, access: DownloadPolicy = HTTPS_ONLY) -> None:
    """Download at most `size` bytes from `url` to `target`. Raises `Unavailable` when that fails."""
    done = 0
    progress(0, size)
    with _open_url(url, access) as response, target.open("wb") as writer:
        while chunk := _read(response, url, _CHUNK):
            done += len(chunk)
            if done > size:
                raise Unavailable(f"{redact_login(url)} has more than the {size} bytes expected")
            writer.write(chunk)
            progress(done, size)


def read_document(url: str, accept: str, limit: int, access: DownloadPolicy) -> tuple[bytes, str, str]:
    """Return the document at `url`, of at most `limit` bytes, its content type, and its address after all redirects.

    Raises `Unavailable` when that fails.
    """
    with _open_url(url, access, accept) as response:
        body = b""
        while chunk := _read(response, url, _CHUNK):
            body += chunk
            if len(body) > limit:
                raise Unavailable(f"{redact_login(url)} has more than the {limit} bytes allowed")
        return body, response.headers.get_content_type(), response.geturl()


def is_reachable(url: str, seconds: float, access: DownloadPolicy = HTTPS_ONLY) -> bool:
    """Tell whether `url` exists, by a HEAD request. A server may be silent for `seconds`."""
    try:
        with _open_url(url, access, method="HEAD", seconds=seconds):
            return True
    except Unavailable:
        return False


def redact_login(url: str) -> str:
    """Return the address without user name and password, for messages."""
    return without_login(url)[0]


def without_login(url: str) -> tuple[str, str | None]:
    """Return the address without user name and password, and the header that carries them instead."""
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = login.partition(":")
    token = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return urlunsplit(parts._replace(netloc=place)), f"Basic {token}"


def with_login_of(base: str, url: str) -> str:
    """Return the address with the user name and password of `base`, when it is on the same server."""
    login, at, place = urlsplit(base).netloc.rpartition("@")
    parts = urlsplit(url)
    same = (parts.scheme, parts.netloc) == (urlsplit(base).scheme, place)
    return urlunsplit(parts._replace(netloc=f"{login}@{place}")) if at and same else url


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and those that stay on the same server."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request to make next. Raises `Unavailable` for a redirect to anything but https."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if not is_https(newurl) and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            raise Unavailable(f"{req.full_url} redirects to {redact_login(newurl)}; only https is followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _open_url(
    url: str, access: DownloadPolicy, accept: str = "*/*", method: str = "GET", seconds: float = TIMEOUT_SECONDS
) -> Iterator[Any]:
    """Open the address. Raises `Unavailable`, with the address, for every failure."""
    if not access.allowed(url):
        raise Unavailable(f"{redact_login(url)} is not allowed; the address must be {access.allowed_text}")
    plain, login = without_login(url)
    server = urlsplit(plain).netloc
    if time.monotonic() - _silent.get(server, -math.inf) < SILENT_SECONDS:
        raise Unavailable(f"{plain} cannot be reached: {server} gave no answer a moment ago")
    headers = {"Accept": accept, "User-Agent": "velum"}
    request = urllib.request.Request(plain, headers=headers, method=method)  # noqa: S310  checked above
    if login is not None:
        request.add_unredirected_header("Authorization", login)
    try:
        context = ssl.create_default_context(cafile=access.cafile)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects())
        response = opener.open(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable(f"{plain} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            _silent[server] = time.monotonic()
        raise Unavailable(f"{plain} cannot be reached: {reason}") from error
    with response:
        yield response


def _read(response: Any, url: str, size: int) -> bytes:
    try:
        return bytes(response.read(size))
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{redact_login(url)} broke off: {error}") from error
