"""Addresses of peers that are reached over TCP, as text: `/ip4/127.0.0.1/tcp/4001/p2p/12D3Koo…`."""

import ipaddress
from dataclasses import dataclass

from node.transport.base import TransportError

_WANTED = "/ip4|ip6|dns|dns4|dns6/<host>/tcp/<port>, then /p2p/<peer>"
_ADDRESS_CHARS_MAX = 512


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Host, port and, when it was given, the peer who is to be found there."""

    family: str
    host: str
    port: int
    peer: str | None

    def __str__(self) -> str:
        suffix = f"/p2p/{self.peer}" if self.peer else ""
        return f"/{self.family}/{self.host}/tcp/{self.port}{suffix}"


def parse_tcp_address(text: str) -> TcpAddress:
    """Read an address strictly; the peer at its end may be missing.

    Raises:
        TransportError: address_malformed.
    """
    fault = TransportError("address_malformed", repr(text[:_ADDRESS_CHARS_MAX]), _WANTED)
    parts = text.split("/")
    if len(text) > _ADDRESS_CHARS_MAX or len(parts) not in (5, 7) or parts[0]:
        raise fault
    _, family, host, tcp, port_text = parts[:5]
    if tcp != "tcp" or not (port_text.isascii() and port_text.isdigit() and len(port_text) < 6):
        raise fault
    if len(parts) == 7 and (parts[5] != "p2p" or not parts[6].isalnum()):
        raise fault
    port = int(port_text)
    if port > 65_535 or not _is_host(family, host):
        raise fault
    return TcpAddress(family, host, port, parts[6] if len(parts) == 7 else None)


def _is_host(family: str, host: str) -> bool:
    if family in ("dns", "dns4", "dns6"):
        labels = host.removesuffix(".").split(".")
        return len(host) <= 253 and all(
            0 < len(label) <= 63 and label.isascii() and label.replace("-", "x").isalnum()
            for label in labels
        )
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return False
    return family == f"ip{version}"
