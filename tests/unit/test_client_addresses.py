"""The peer address of a request: a header of a trusted proxy counts, one of any other peer does not."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.client_addresses import MAX_FORWARDED_BYTES, UNKNOWN, ClientAddresses, network_of

PROXY, STRANGER = ("10.0.0.7", 4711), ("198.51.100.9", 4711)
PEERS = ClientAddresses(["10.0.0.0/8", "::1", "2001:db8:1::/48"])


def test_an_untrusted_peer_has_the_address_of_its_connection() -> None:
    assert PEERS.address(STRANGER, None) == "198.51.100.9"
    assert PEERS.address(STRANGER, b"203.0.113.5") == "198.51.100.9"
    assert ClientAddresses([]).address(PROXY, b"203.0.113.5") == "10.0.0.7"


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        (b"203.0.113.5", "203.0.113.5"),
        (b"203.0.113.5, 10.1.2.3", "203.0.113.5"),
        (b"1.2.3.4, 203.0.113.5,10.1.2.3 ,\t10.1.2.4", "203.0.113.5"),
        (b"127.0.0.1, 203.0.113.5", "203.0.113.5"),
        (b"no address, 203.0.113.5", "203.0.113.5"),
        (b"2001:DB8:2:0::5, 2001:db8:1::1", "2001:db8:2::5"),
        (b"::ffff:203.0.113.5", "203.0.113.5"),
        (b"203.0.113.5:61234", "203.0.113.5"),
        (b"[2001:db8:2::5]:61234", "2001:db8:2::5"),
        (b"10.1.1.1, 10.2.2.2", "10.1.1.1"),
    ],
)
def test_a_trusted_proxy_names_the_last_address_that_is_not_trusted(header: bytes, sender: str) -> None:
    assert PEERS.address(PROXY, header) == sender
    assert PEERS.address(("::1", 1), header) == sender


@pytest.mark.parametrize(
    "header",
    [b"", b",", b"unknown", b"203.0.113.5, unknown", b"1.2.3", b"1.2.3.4.5", b"\xff\xfe", b"fe80::1%\n", b"[", b"a" * 9999],
)
def test_what_is_no_address_leaves_the_proxy_s_own(header: bytes) -> None:
    assert PEERS.address(PROXY, header) == "10.0.0.7"


def test_a_long_forged_header_does_not_hide_the_client() -> None:
    for padding in range(20):
        header = b"1.2.3.4, " * MAX_FORWARDED_BYTES + b"1" * padding + b", 203.0.113.5, 10.1.2.3"
        assert PEERS.address(PROXY, header) == "203.0.113.5"
    assert PEERS.address(PROXY, b"1" * 9999 + b",10.1.1.1" * 40) == "10.1.1.1"


def test_ipv4_over_a_socket_of_both_families_is_ipv4() -> None:
    assert PEERS.address(("::ffff:10.0.0.7", 1), b"203.0.113.5") == "203.0.113.5"
    assert PEERS.address(("::ffff:198.51.100.9", 1), b"203.0.113.5") == "198.51.100.9"
    assert PEERS.address(("fe80::1%eth0", 1), None) == "fe80::1"


def test_without_an_address_none_is_invented() -> None:
    assert PEERS.address(None, b"203.0.113.5") == UNKNOWN
    assert PEERS.address(("", 0), b"203.0.113.5") == ""


def test_an_ipv6_sender_has_a_whole_network() -> None:
    assert network_of("2001:db8:2:3:4:5:6:7") == network_of("2001:db8:2:3::1") == "2001:db8:2:3::/64"
    assert network_of("203.0.113.5") == "203.0.113.5"
    assert network_of(UNKNOWN) == UNKNOWN


@given(st.binary(max_size=80) | st.lists(st.ip_addresses().map(str), max_size=6).map(lambda many: ",".join(many).encode()))
def test_property_every_header_gives_an_address(header: bytes) -> None:
    ipaddress.ip_address(PEERS.address(PROXY, header))
