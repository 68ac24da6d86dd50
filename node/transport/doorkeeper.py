"""Who may come in: inbound places by address and group, the half-open, the rate of handshakes.

Pure bookkeeping: it is told the time and the address and moves no bytes.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable

from node.transport.limits import TransportLimits


class Ticket:
    """One inbound connection, from accept to close."""

    def __init__(self, keys: tuple[str, ...], evict: Callable[[], None]) -> None:
        self.keys = keys
        self.evict = evict


class Doorkeeper:
    """Counts inbound connections and refuses what would be one too many."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._by_key: Counter[str] = Counter()
        self._open = 0
        # In the order of arrival; a dict for removal in one step.
        self._half_open: dict[Ticket, None] = {}
        self._tokens = float(limits.handshakes_burst)
        self._tokens_at_s: float | None = None

    @property
    def connections_open(self) -> int:
        """Inbound connections that hold a place now, half-open ones included."""
        return self._open

    def admit(self, address: str, evict: Callable[[], None]) -> Ticket | None:
        """Give the connection from `address` a place, or None: close it at once.

        Args:
            address: the remote IP address as text.
            evict: called at most once, when the connection must go while it is still half-open.
        """
        limits = self._limits
        if self._open >= limits.inbound_connections_max:
            return None
        places = _compute_places(address, limits)
        if any(self._by_key[key] >= places_max for key, places_max in places):
            return None
        if len(self._half_open) >= limits.half_open_max:
            # The oldest: an honest handshake is over in milliseconds, so the longest wait is the
            # least likely to be one.
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            oldest.evict()
        ticket = Ticket(tuple(key for key, _ in places), evict)
        self._half_open[ticket] = None
        self._by_key.update(ticket.keys)
        self._open += 1
        return ticket

    def confirm(self, ticket: Ticket) -> None:
        """The handshake is done: the connection is no longer half-open."""
        self._half_open.pop(ticket, None)

    def leave(self, ticket: Ticket) -> None:
        """The connection is closed: its place is free. To be called once."""
        self._half_open.pop(ticket, None)
        self._open -= 1
        self._by_key.subtract(ticket.keys)
        for key in ticket.keys:
            if self._by_key[key] <= 0:
                del self._by_key[key]

    def take_handshake(self, now_s: float) -> float:
        """Take the right to one handshake: 0, or the seconds to wait before asking again.

        To be asked once a stranger has spoken: a silent socket costs nothing and takes nothing.

        Args:
            now_s: monotonic.
        """
        rate, burst = self._limits.handshakes_per_s, float(self._limits.handshakes_burst)
        if self._tokens_at_s is not None:
            self._tokens = min(burst, self._tokens + (now_s - self._tokens_at_s) * rate)
        self._tokens_at_s = now_s
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0


def _compute_places(address: str, limits: TransportLimits) -> tuple[tuple[str, int], ...]:
    """Return what the address counts against, each with its bound."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # Not an IP address (a Unix socket, say): they share one small place.
        return (("other", limits.connections_per_address_max),)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return (("loopback", limits.connections_per_loopback_max),)
    one, group = (32, 24) if ip.version == 4 else (64, 48)
    return (
        (str(ipaddress.ip_network((ip, one), strict=False)), limits.connections_per_address_max),
        (str(ipaddress.ip_network((ip, group), strict=False)), limits.connections_per_group_max),
    )
