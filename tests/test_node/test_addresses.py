"""What a person types as an address: taken as it is meant, or refused in one line."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.addresses import (
    AddressError,
    check_bind_host,
    check_listen_address,
    check_peer_address,
    is_loopback,
    parse_account,
)
from node.exits import Exit, find_exit

PEER = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["", "0x"]), st.booleans())
def test_an_account_is_read_back_in_every_spelling(
    address: bytes, prefix: str, upper: bool
) -> None:
    digits = address.hex().upper() if upper else address.hex()
    assert parse_account(f" {prefix}{digits}\n") == address


@pytest.mark.parametrize(
    "text", ["", "0x", "00" * 31, "00" * 33, "0" * 63, "zz" * 32, "é" * 64, "٣" * 64, "0x" * 33]
)
def test_what_is_no_account_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_account(text)
    assert caught.value.code == "bad_address"
    assert caught.value.found
    assert "64" in caught.value.wanted
    assert find_exit(caught.value) is Exit.USAGE


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/10.0.0.1/tcp/7030/p2p/{PEER}",
        f"/ip6/::1/tcp/1/p2p/{PEER}",
        f"/dns/a-b.example.org/tcp/65535/p2p/{PEER}",
        f"/dns4/localhost/tcp/7030/p2p/{PEER}",
    ],
)
def test_a_peer_that_can_be_dialled_is_accepted(text: str) -> None:
    check_peer_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "127.0.0.1:7030",
        "/ip4/127.0.0.1/tcp/7030",
        f"/ip4/127.0.0.256/tcp/7030/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/0/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/070300/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/٣/p2p/{PEER}",
        f"/ip4/127.0.0.1/udp/7030/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/7030/p2p/{PEER}/",
        f"/ip4/127.0.0.1/tcp/7030/p2p/{PEER[:-1]}0",
        f"/ip4/127.0.0.1/tcp/7030/p2p/{PEER[:-1]}",
        f"/ip4/127.0.0.1/tcp/7030/p2p/{'z' * 50}",
        "/ip4/127.0.0.1/tcp/7030/p2p/short",
        f"/unix/127.0.0.1/tcp/7030/p2p/{PEER}",
        f"/dns/-bad-/tcp/7030/p2p/{PEER}",
        f"/dns/{'a' * 64}.org/tcp/7030/p2p/{PEER}",
        f"/dns/{'a.' * 200}/tcp/7030/p2p/{PEER}",
    ],
)
def test_a_peer_that_cannot_be_dialled_is_refused(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        check_peer_address(text)
    assert caught.value.code == "bad_multiaddr"
    assert caught.value.wanted


@given(st.text(max_size=300))
def test_no_text_does_anything_but_pass_or_be_refused(text: str) -> None:
    for check in (check_peer_address, check_listen_address, check_bind_host, parse_account):
        with contextlib.suppress(AddressError):
            check(text)


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_every_ip_address_and_port_can_be_listened_on(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    check_listen_address(f"/ip{host.version}/{host}/tcp/{port}")
    check_bind_host(str(host))
    assert is_loopback(str(host)) == host.is_loopback


def test_localhost_is_this_machine() -> None:
    check_bind_host("localhost")
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.2")
    assert not is_loopback("0.0.0.0")
