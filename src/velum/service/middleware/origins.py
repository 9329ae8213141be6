"""Which pages may call a service that asks nobody for a key.

A browser on the operator's machine, or inside the operator's network, sends requests wherever the page it shows wants:
any web page could read and change what the service holds (cross-site request forgery, DNS rebinding). Browsers say
where a request is from (`Origin`, RFC 6454; `Sec-Fetch-Site`, W3C Fetch Metadata) and by which name it came (`Host`).
Programs that are no browsers send only the last.
"""

import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from velum.bmw import wire
from velum.bmw.routes import FACTS
from velum.errors import BadPlan
from velum.service.paths import is_protected
from velum.service.problem_details import own, problem

ANY = "*"

_INNER = (".localhost", ".svc", ".svc.cluster.local", ".docker.internal")
"""Ends of names that no public name server gives out; what pages elsewhere could have resolved is none of them."""

MISDIRECTED, FORBIDDEN = 421, 403


@dataclass(frozen=True, slots=True)
class Sites:
    """The names that the service has, and the pages elsewhere that may call it.

    Names are written `name` or `name:port`, pages by their origin, as in `https://tools.example.org`; `*` stands for
    all. Raises `BadPlan` for a page that is no origin.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    _own: str = field(default_factory=lambda: socket.gethostname().lower(), init=False)

    def __post_init__(self) -> None:
        for origin in self.origins:
            if origin != ANY and not _is_origin(origin):
                raise BadPlan(
                    f"access.origins has {origin!r}; write scheme, name and port alone, as in https://tools.example.org"
                )

    def fault(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """Return status and text of the refusal of a request; None for one that is served."""
        host = headers.get("host", "").strip().lower()
        if "host" in headers and not self._is_known(host):  # browsers always send it
            return MISDIRECTED, (
                f"this service is not known as {host[:80]!r}; call it by its address, or have its operator name that "
                "host in access.hosts (VELUM_ACCESS_HOSTS)"
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_allowed(origin.strip().lower(), host):
            return FORBIDDEN, (
                f"pages of {origin[:80]!r} may not call this service; its operator can name them in access.origins "
                "(VELUM_ACCESS_ORIGINS)"
            )
        elsewhere = headers.get("sec-fetch-site", "none").strip().lower() not in {"none", "same-origin"}
        if elsewhere and origin is None and ANY not in self.origins and not _is_visit(method, path, headers):
            return FORBIDDEN, "pages of other sites may not call this service; open it in the browser itself"
        return None

    def _is_known(self, host: str) -> bool:
        """Tell whether a `Host` is ours: one that no stranger's page can have a browser call us by."""
        name = _name_of(host)
        if name is None:
            return False
        if {ANY, host, name} & set(map(str.lower, self.hosts)) or name == self._own:
            return True
        return _is_address(name) or "." not in name or name.endswith(_INNER)

    def _is_allowed(self, origin: str, host: str) -> bool:
        """Tell whether a page of that origin is our own, or one that the operator named."""
        if {ANY, origin} & {one.lower().rstrip("/") for one in self.origins}:
            return True
        if not _is_origin(origin):
            return False  # "null": a file, or a page that hides where it is from
        place = urlsplit(origin)
        if place.netloc == _without_port(host, place.scheme) or place.netloc == host:
            return True
        # Behind a proxy that sends its own Host, the page has the name that the operator gave.
        return bool({place.netloc, place.hostname} & set(map(str.lower, self.hosts)))


class SiteCheck:
    """Refuses what pages of other sites send, before anything of the request is read."""

    def __init__(self, app: ASGIApp, sites: Sites) -> None:
        self._app, self._sites = app, sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Probes of health tell nothing that pages could use."""
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self._app(scope, receive, send)
            return
        fault = self._sites.fault(scope["method"], scope["path"], Headers(scope=scope))
        if fault is None:
            await self._app(scope, receive, send)
            return
        status, text = fault
        scope.setdefault(FACTS, {})["cause"] = text
        # The rest of the body is never read, so the connection cannot be used again.
        headers = {"connection": "close"}
        answer = Response(wire.envelope(error=text), status, headers, media_type="application/json")
        if own(scope["path"]):
            answer = problem(status, text, scope["path"], code="Denied", headers=headers)
        await answer(scope, receive, send)


def _name_of(host: str) -> str | None:
    """Return the name or address in a `Host`, without its port; None where there is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _without_port(host: str, scheme: str) -> str:
    """Return the host as origins write it: without the port that the scheme has anyway."""
    return host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, ""))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_origin(text: str) -> bool:
    try:
        place = urlsplit(text)
        return place.scheme in {"http", "https"} and bool(place.hostname) and not place.path.strip("/")
    except ValueError:
        return False


def _is_visit(method: str, path: str, headers: Headers) -> bool:
    """Tell whether someone follows a link to our pages, which shows them and gives the other site nothing."""
    return method in {"GET", "HEAD"} and headers.get("sec-fetch-mode", "") == "navigate" and not is_protected(path)
