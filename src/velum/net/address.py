"""Parse addresses of web servers, and write them for messages."""

import httpx2

from velum.errors import BadPlan


def parse_url(url: str) -> httpx2.URL:
    """Parse an http or https address. Raises `BadPlan` for an invalid one; no message shows credentials."""
    # A message about an address with credentials would have to quote them.
    quoted = "with credentials in it" if "@" in url else repr(url[:200])
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        why = "" if "@" in url else f" ({error})"
        raise BadPlan(f"address {quoted} cannot be read{why}; write http://host:port/") from error
    if parts.userinfo:
        raise BadPlan(f"address {redact(parts)} has credentials in it; write it without")
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise BadPlan(f"address {quoted} is not one of a web server; write http://host:port/")
    if not 0 < port(parts) < 1 << 16:
        raise BadPlan(f"address {redact(parts)} has a port that does not exist; ports are 1 to 65535")
    return parts


def host(url: httpx2.URL) -> str:
    """Return the host for the resolver: in ASCII, an IPv6 address without brackets."""
    return url.raw_host.decode("ascii")


def port(url: httpx2.URL) -> int:
    """Return the port, which the scheme implies where it is not written."""
    return url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]


def base(url: httpx2.URL) -> str:
    """Return the server's address, `scheme://host:port`."""
    name = host(url)
    return f"{url.scheme}://{f'[{name}]' if ':' in name else name}:{port(url)}"


def redact(url: httpx2.URL) -> str:
    """Return an address for messages: without credentials, query and fragment."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))
