"""Resolves host names and refuses addresses that the policy does not allow, however they are written."""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

import httpx2

from velum.errors import BadPlan, Unavailable
from velum.net import NetworkPolicy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> its addresses as text. Raises `OSError` for a name that is not known."""

PRIVATE: tuple[Network, ...] = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
"""Networks for private use (RFC 1918, RFC 4193)."""

METADATA: tuple[Network, ...] = tuple(
    map(ipaddress.ip_network, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"))
)
"""Addresses besides 169.254.169.254 at which clouds hand out credentials; they look public or private."""

GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 network that has addresses of the public internet (RFC 4291, section 2.4)."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones (RFC 6052)."""


@dataclass(frozen=True, slots=True)
class Names:
    """A parsed allow or deny list: `everything` is the entry `*`; `hosts` may have `*` for any part.

    Hosts are in the form of the DNS: ASCII, with `xn--...` for other characters.
    """

    everything: bool
    hosts: tuple[str, ...]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Sequence[str], where: str) -> Self:
        """Parse the entries. Raises `BadPlan` for an entry that is not a host, an address or a network."""
        rest = [entry for entry in entries if entry != "*"]
        networks = {entry: network for entry in rest if (network := _network(entry)) is not None}
        hosts = tuple(plain_host(entry) for entry in rest if entry not in networks)
        for host in hosts:
            if not re.fullmatch(r"[\w*-]+(\.[\w*-]+)*", host, flags=re.ASCII) or re.fullmatch(r"[\d.*]+", host):
                raise BadPlan(
                    f"{where} names {host!r}; it must be a host such as inference or *.example.org, an address such as "
                    "10.0.0.7, a network such as 10.0.0.0/8, or * for everything"
                )
        return cls("*" in entries, hosts, tuple(networks.values()))

    def host(self, host: str) -> bool:
        """Tell whether the list has a host, given as `plain_host` writes it."""
        return any(fnmatchcase(host, pattern) for pattern in self.hosts)

    def address(self, address: Address) -> bool:
        """Tell whether the list has an address."""
        return any(address in network for network in self.networks)


class AddressRefused(BadPlan):
    """The operator's lists do not allow the address. The message can name one that only the operator may know."""


class Guard:
    """Resolves hosts and refuses addresses that a `NetworkPolicy` does not allow."""

    def __init__(self, policy: NetworkPolicy, resolve: Resolve | None = None) -> None:
        """Parse the lists of the policy. Raises `BadPlan` for an invalid entry."""
        self._allow = Names.of(policy.allow, "allow")
        self._deny = Names.of(policy.deny, "deny")
        self._private = policy.private
        self._resolve = resolve or addresses_of

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the allowed addresses of a host, in the resolver's order.

        Raises `AddressRefused` when none of its addresses is allowed, `Unavailable` when it has none.
        """
        try:
            resolved = list(dict.fromkeys(self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise Unavailable(
                f"host {host!r} is not known here ({error}); check its spelling and the network"
            ) from error
        if not resolved:
            raise Unavailable(f"host {host!r} has no address; check its spelling and the network")
        refused = {address: self.refusal(host, address) for address in resolved}
        good = [address for address, why in refused.items() if why is None]
        if not good:
            address, why = next(iter(refused.items()))
            subject = f"address {address}" if address == host else f"host {host!r} ({address})"
            raise AddressRefused(
                f"{subject} must not be reached: {why}; the operator can allow it by name, address or network, with "
                "VELUM_REMOTE_ALLOW, and all private networks with VELUM_REMOTE_PRIVATE=true"
            )
        return good

    def refusal(self, host: str, address: str) -> str | None:
        """Return why an address of `host` is refused, None when it is allowed."""
        name, outer = plain_host(host), ipaddress.ip_address(address)
        inner = embedded_ipv4(outer)
        if self._deny.host(name) or self._deny.address(outer) or self._deny.address(inner):
            return "it is denied"
        if self._allow.everything or self._allow.host(name) or self._allow.address(inner):
            return None
        if self._deny.everything:
            return "only hosts and addresses on the list of allowed ones may be called"
        return _kind(inner, private=self._private)


def plain_host(host: str) -> str:
    """Return a host name in the one form that is compared: ASCII, lower case, without the dot of the root."""
    return host.lower().removesuffix(".")


def embedded_ipv4(address: Address) -> Address:
    """Return the IPv4 address in an IPv6 one (NAT64, mapped or 6to4); otherwise the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def addresses_of(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver knows for a host, in its order and its own time."""
    resolved = [info[4] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    # The fourth part of an IPv6 one is the interface that a link-local address belongs to.
    return [f"{pair[0]}%{pair[3]}" if len(pair) == 4 and pair[3] else str(pair[0]) for pair in resolved]


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _kind(address: Address, *, private: bool) -> str | None:
    """Return why an address that is on no list is refused, None when it is allowed."""
    if any(address in network for network in METADATA):
        return "clouds hand out credentials at this address"
    kinds = {
        "this machine itself": address.is_loopback or address.is_unspecified,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
    }
    for kind, is_it in kinds.items():
        if is_it:
            return f"it is {kind}"
    if any(address in network for network in PRIVATE):
        return None if private else "it is in a private network, and those are not allowed"
    public = address.is_global and (isinstance(address, ipaddress.IPv4Address) or address in GLOBAL_IPV6)
    return None if public else "it is a reserved address"


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
