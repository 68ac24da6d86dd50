"""The two kinds of address a person types: an account's and a peer's."""

import ipaddress
import re

from node.identity import is_peer_id
from protocol.errors import BlamedError
from protocol.keys import ADDRESS_BYTES

MULTIADDR_CHARACTERS_MAX = 256
_HEX = re.compile(r"[0-9a-fA-F]*")
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_LOOPBACK_NAMES = frozenset({"localhost"})


class AddressError(BlamedError):
    """What was typed is no address."""


def parse_account(text: str) -> bytes:
    """Return the 32 bytes of an account's address: 64 hex digits, with or without 0x.

    Raises:
        AddressError: `bad_address`.
    """
    digits = text.strip().removeprefix("0x")
    if not _HEX.fullmatch(digits):
        wrong = next(char for char in digits if not _HEX.fullmatch(char))
        raise AddressError("bad_address", f"{wrong!r} in {digits[:16]!r}...", "64 hex digits")
    if len(digits) != 2 * ADDRESS_BYTES:
        raise AddressError("bad_address", f"{len(digits)} hex digits", f"{2 * ADDRESS_BYTES}")
    return bytes.fromhex(digits)


def check_listen_address(text: str) -> None:
    """Check a multiaddr to listen on: /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT.

    Raises:
        AddressError: `bad_multiaddr`.
    """
    parts = _split(text)
    if len(parts) != 4 or parts[0] not in ("ip4", "ip6"):
        raise AddressError("bad_multiaddr", repr(text[:80]), "/ip4/HOST/tcp/PORT")
    _check_host(text, parts[0], parts[1])
    _check_port(text, parts[2], parts[3], least=0)


def check_peer_address(text: str) -> None:
    """Check a multiaddr to dial: /ip4|ip6|dns/HOST/tcp/PORT/p2p/PEER.

    Raises:
        AddressError: `bad_multiaddr`.
    """
    parts = _split(text)
    if len(parts) != 6 or parts[4] != "p2p":
        raise AddressError("bad_multiaddr", repr(text[:80]), "/ip4/HOST/tcp/PORT/p2p/PEER")
    _check_host(text, parts[0], parts[1])
    _check_port(text, parts[2], parts[3], least=1)
    if not is_peer_id(parts[5]):
        wanted = "a peer id that begins with 12D3KooW, whole"
        raise AddressError("bad_multiaddr", f"peer id {parts[5][:60]!r}", wanted)


def check_bind_host(text: str) -> None:
    """Check a host to bind the RPC to: an IP address or localhost.

    Raises:
        AddressError: `bad_host`.
    """
    if text in _LOOPBACK_NAMES:
        return
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressError("bad_host", repr(text[:80]), "an IP address or localhost") from error


def is_loopback(host: str) -> bool:
    """Tell whether a host that `check_bind_host` accepts is this machine only."""
    return host in _LOOPBACK_NAMES or ipaddress.ip_address(host).is_loopback


def _split(text: str) -> list[str]:
    if len(text) > MULTIADDR_CHARACTERS_MAX or not text.startswith("/"):
        raise AddressError("bad_multiaddr", repr(text[:80]), "a path such as /ip4/HOST/tcp/PORT")
    return text[1:].split("/")


def _check_host(text: str, scheme: str, host: str) -> None:
    try:
        if scheme == "ip4":
            ipaddress.IPv4Address(host)
            return
        if scheme == "ip6":
            ipaddress.IPv6Address(host)
            return
    except ValueError as error:
        raise AddressError(
            "bad_multiaddr", f"host {host[:60]!r}", f"an {scheme} address"
        ) from error
    if scheme not in ("dns", "dns4", "dns6"):
        raise AddressError("bad_multiaddr", repr(text[:80]), "ip4, ip6 or dns first")
    if not _DNS.fullmatch(host):
        raise AddressError("bad_multiaddr", f"host {host[:60]!r}", "a domain name")


def _check_port(text: str, scheme: str, port: str, least: int) -> None:
    if scheme != "tcp":
        raise AddressError("bad_multiaddr", repr(text[:80]), "tcp after the host")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and least <= int(port) <= 65_535):
        raise AddressError("bad_multiaddr", f"port {port[:20]!r}", f"{least} to 65535")
