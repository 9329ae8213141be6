import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.errors import BadPlan, Unavailable
from velum.net import ANYWHERE, NetworkPolicy
from velum.net.client import HttpClient
from velum.net.guard import Guard, embedded_ipv4

PRIVATE = NetworkPolicy(private=True)


def _guard(reach: NetworkPolicy, *addresses: str) -> Guard:
    return Guard(reach, lambda host, port: addresses)


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1:248:1893:25c8:1946", True, True),
        ("10.0.0.7", False, True),  # RFC 1918
        ("172.16.0.1", False, True),
        ("172.32.0.1", True, True),  # just beyond it
        ("192.168.1.1", False, True),
        ("fd12:3456::1", False, True),  # RFC 4193
        ("127.0.0.1", False, False),
        ("127.8.9.10", False, False),  # all of 127/8 is this machine
        ("::1", False, False),
        ("0.0.0.0", False, False),  # reaches this machine on Linux
        ("::", False, False),
        ("169.254.169.254", False, False),  # where clouds hand out credentials
        ("100.100.100.200", False, False),
        ("168.63.129.16", False, False),
        ("fd00:ec2::254", False, False),  # looks like a private address
        ("fd20:ce::254", False, False),
        ("fe80::1", False, False),
        ("fe80::1%2", False, False),
        ("fec0::1", False, False),  # site-local, given up
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("240.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("100.64.0.1", False, False),  # shared by carriers: neither public nor private
        ("192.0.2.1", False, False),  # documentation
        ("198.18.0.1", False, False),  # benchmarks
        ("2001:db8::1", False, False),
        ("::ffff:127.0.0.1", False, False),  # IPv4 in IPv6 ...
        ("::ffff:10.0.0.7", False, True),
        ("::ffff:93.184.216.34", True, True),
        ("::127.0.0.1", False, False),
        ("::ffff:0:127.0.0.1", False, False),
        ("64:ff9b::7f00:1", False, False),  # ... by NAT64
        ("64:ff9b::a9fe:a9fe", False, False),
        ("64:ff9b::5db8:d822", True, True),
        ("64:ff9b:1::7f00:1", False, False),
        ("2002:7f00:1::", False, False),  # ... by 6to4
        ("2002:a00:7::1", False, True),
        ("2001:0:5db8:d822::1", False, False),  # ... by Teredo
    ],
)
def test_an_unlisted_address_is_allowed_or_refused_by_its_kind(address: str, public: bool, private: bool) -> None:
    assert (_guard(NetworkPolicy()).refusal("host", address) is None) == public
    assert (_guard(PRIVATE).refusal("host", address) is None) == private
    assert _guard(ANYWHERE).refusal("host", address) is None


@pytest.mark.parametrize(
    ("reach", "host", "address", "reached"),
    [
        (NetworkPolicy(allow=("inference",)), "inference", "10.0.0.7", True),
        (NetworkPolicy(allow=("inference",)), "INFERENCE.", "10.0.0.7", True),  # the same name
        (NetworkPolicy(allow=("inference",)), "inference.evil.org", "10.0.0.7", False),
        (NetworkPolicy(allow=("*.example.org",)), "a.b.example.org", "10.0.0.7", True),
        (NetworkPolicy(allow=("*.example.org",)), "example.org", "10.0.0.7", False),
        (NetworkPolicy(allow=("*.example.org",)), "notexample.org", "10.0.0.7", False),
        (NetworkPolicy(allow=("localhost",)), "localhost", "127.0.0.1", True),
        (NetworkPolicy(allow=("127.0.0.1",)), "anything", "127.0.0.1", True),  # addresses count, whatever the name
        (NetworkPolicy(allow=("10.0.0.0/8",)), "x", "10.9.9.9", True),
        (NetworkPolicy(allow=("10.0.0.0/8",)), "x", "::ffff:10.9.9.9", True),
        (
            NetworkPolicy(allow=("10.0.0.0/8",)),
            "10.0.0.1",
            "127.0.0.1",
            False,
        ),  # a name that looks like an allowed address
        (NetworkPolicy(allow=("::/0",)), "x", "::ffff:127.0.0.1", False),  # all of IPv6 is not this machine by IPv4
        (NetworkPolicy(allow=("*",), deny=("169.254.0.0/16",)), "x", "169.254.169.254", False),
        (NetworkPolicy(allow=("*",), deny=("169.254.0.0/16",)), "x", "64:ff9b::a9fe:a9fe", False),
        (NetworkPolicy(allow=("*",), deny=("169.254.0.0/16",)), "x", "127.0.0.1", True),
        (NetworkPolicy(deny=("bad.example",)), "BAD.example.", "93.184.216.34", False),
        (NetworkPolicy(deny=("93.184.0.0/16",)), "x", "93.184.216.34", False),
        (NetworkPolicy(deny=("::ffff:0:0/96",)), "x", "::ffff:93.184.216.34", False),  # denied as it was written
        (NetworkPolicy(deny=("*",)), "x", "93.184.216.34", False),
        (NetworkPolicy(deny=("*",), allow=("x",)), "x", "93.184.216.34", True),  # nothing but what is allowed
        (NetworkPolicy(deny=("*",), private=True), "x", "10.0.0.7", False),
    ],
)
def test_lists_take_precedence_over_the_kind_of_an_address(
    reach: NetworkPolicy, host: str, address: str, reached: bool
) -> None:
    assert (_guard(reach).refusal(host, address) is None) == reached


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/33", "http://x", "host:80", "127.*", "10.*.*.*", "", "a b", "bücher.de", "[::1]", "."]
)
def test_refuses_a_list_entry_that_is_not_a_host_or_network(entry: str) -> None:
    with pytest.raises(BadPlan, match=r"must be a host such as inference"):
        Guard(NetworkPolicy(deny=(entry,)))


@given(st.ip_addresses(v=4), st.booleans())
def test_treats_an_ipv4_address_in_ipv6_as_the_ipv4_address(address: ipaddress.IPv4Address, private: bool) -> None:
    guard = _guard(NetworkPolicy(private=private))
    plain = guard.refusal("x", str(address)) is None
    number = int(address)
    for outer in ((0xFFFF << 32) | number, (0x64_FF9B << 96) | number, (0x2002 << 112) | number << 80):
        written = ipaddress.IPv6Address(outer)
        assert embedded_ipv4(written) == address
        assert (guard.refusal("x", str(written)) is None) == plain


@given(st.ip_addresses())
def test_reaches_allowed_hosts_and_never_denied_ones(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    inner = str(embedded_ipv4(address))
    assert _guard(NetworkPolicy(allow=(inner,))).refusal("x", str(address)) is None
    assert _guard(NetworkPolicy(allow=("*", inner, "x"), deny=(inner,), private=True)).refusal("x", str(address))


def test_connects_only_to_the_allowed_addresses_of_a_host() -> None:
    guard = _guard(NetworkPolicy(), "127.0.0.1", "93.184.216.34", "169.254.169.254", "93.184.216.34")
    assert guard.addresses("x", 80) == ["93.184.216.34"]
    with pytest.raises(BadPlan, match=r"'x' \(127.0.0.1\) must not be reached: it is this machine itself"):
        _guard(NetworkPolicy(), "127.0.0.1", "::1").addresses("x", 80)
    with pytest.raises(Unavailable, match="'x' has no address"):
        _guard(NetworkPolicy()).addresses("x", 80)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:ffff:7f00:1]/",
        "http://[fe80::1%lo]/",
        "https://169.254.169.254/latest/",
        "http://10.0.0.7:8080/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "//example.org/",
        "example.org",
        "http:///path",
        "http://",
        "",
        "http://user:secret@93.184.216.34/",
        "http://user@93.184.216.34/",
        "http:user:secret@93.184.216.34/",
        "http://93.184.216.34:0/",
        "http://93.184.216.34:99999/",
        "http://93.184.216.34:x/",
        "http://999.1.1.1/",
        "http://[::1/",
        "http://\uff11\uff12\uff17.0.0.1/",  # wide digits
        "http://93.184.216.34/\r\nHost: x",
    ],
)
def test_refuses_an_address_in_every_spelling(url: str) -> None:
    with pytest.raises(BadPlan) as caught:
        HttpClient(NetworkPolicy()).check(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://93.184.216.34/", "HTTPS://93.184.216.34:8443/x?y=z", "http://[2606:2800::1]/"])
def test_allows_a_public_address(url: str) -> None:
    HttpClient(NetworkPolicy()).check(url)


def test_an_unknown_host_name_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"host 'nowhere.invalid' is not known here"):
        HttpClient(ANYWHERE).check("http://nowhere.invalid/")
