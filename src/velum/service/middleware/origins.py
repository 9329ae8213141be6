"""Which web pages may call a service that needs no key.

A browser on the operator's machine or network sends requests on behalf of any web page that it shows, which could so
read and change the service's data (cross-site request forgery, DNS rebinding). Browsers state the page's origin
(`Origin`, RFC 6454; `Sec-Fetch-Site`, W3C Fetch Metadata) and the name that was called (`Host`); other programs send
only `Host`.
"""

import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from velum.errors import BadPlan
from velum.service.middleware import FACTS, is_protected
from velum.service.problem_details import Refuse, refuse_with

ANY = "*"

_INNER = (".localhost", ".svc", ".svc.cluster.local", ".docker.internal")
"""Suffixes of names that public name servers never resolve, so that DNS rebinding cannot use them."""

MISDIRECTED, FORBIDDEN = 421, 403


@dataclass(frozen=True, slots=True)
class Sites:
    """The host names of the service, and the origins of other sites that may call it.

    Hosts are `name` or `name:port`, origins as in `https://tools.example.org`; `*` stands for all. Raises `BadPlan`
    for a malformed origin.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    _own: str = field(default_factory=lambda: socket.gethostname().lower(), init=False)

    def __post_init__(self) -> None:
        for origin in self.origins:
            if origin != ANY and not _is_origin(origin):
                raise BadPlan(
                    f"access.origins has {origin!r}; write only scheme, name and port, as in https://tools.example.org"
                )

    def fault(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """Return status and message with which to refuse a request; None for one that is allowed."""
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
        """Tell whether a `Host` names this service, so that no other site's page can make a browser send it."""
        name = _name_of(host)
        if name is None:
            return False
        if {ANY, host, name} & set(map(str.lower, self.hosts)) or name == self._own:
            return True
        return _is_address(name) or "." not in name or name.endswith(_INNER)

    def _is_allowed(self, origin: str, host: str) -> bool:
        """Tell whether an origin is that of this service, or one that the operator allows."""
        if {ANY, origin} & {page.lower().rstrip("/") for page in self.origins}:
            return True
        if not _is_origin(origin):
            return False  # "null": a local file, or a page that hides its origin
        place = urlsplit(origin)
        if place.netloc == _without_port(host, place.scheme) or place.netloc == host:
            return True
        # Behind a proxy that sends its own Host, the page has a name in access.hosts.
        return bool({place.netloc, place.hostname} & set(map(str.lower, self.hosts)))


class SiteCheck:
    """Refuses requests of other sites' pages before their body is read."""

    def __init__(self, app: ASGIApp, sites: Sites, refuse: Refuse | None = None) -> None:
        """Wrap `app`; `refuse` returns the response to a refused request."""
        self._app, self._sites, self._refuse = app, sites, refuse or refuse_with(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Health probes are always allowed: they return nothing that pages could use."""
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
        response = self._refuse(status, text, scope["path"], "Denied", {"connection": "close"})
        await response(scope, receive, send)


def _name_of(host: str) -> str | None:
    """Return the name or address in a `Host` header, without its port; None where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _without_port(host: str, scheme: str) -> str:
    """Return the host as an origin writes it: without the default port of the scheme."""
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
    """Tell whether a user follows a link to this service's page; the other site learns nothing from that."""
    return method in {"GET", "HEAD"} and headers.get("sec-fetch-mode", "") == "navigate" and not is_protected(path)
