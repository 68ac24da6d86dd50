"""What the kernel is told, as text for `ip -batch`, `tc -batch` and `nft -f`. Pure.

All conditions of all links live in the switch, for each way from one node to another:

    from n1 ─> port1 ─[ nftables, hook forward: cut? lost? ]─> port2 ─[ tc: rate, delay ]─> to n2

    set cuts             pairs of addresses between which everything is dropped
    map ways             pairs that have a plan, each with a chain in which packets are lost
    portN, class 1:M     what node M sends to node N, with its own bucket and delay

Every text may be told again and changes nothing then: what is to go is first put there.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from devnet.manifests.lineup import PLAIN, LinkPlan
from devnet.namespaces.names import PREFIX_BITS, name_port, read_number
from devnet.roster import PeerSpec

TABLE = "bridge minesync"
NETEM = "netem"

BURST_BYTES_MIN = 5_000
"""Three full packets: a bucket that is smaller than one passes nothing, tc-tbf(8)."""
BURSTS_PER_S = 50
UNBOUND = "100gbit quantum 60000"
"""Of a class that only holds what is below it."""
QUEUE_MS = 400
"""What waits longer for its turn is dropped, as a router does."""

Ends = tuple[str, str]
"""The addresses from which and to which packets go."""


def build_switch() -> list[str]:
    """Return the lines of `ip` for the switch, without a port yet."""
    return ["link set lo up", "link add name switch type bridge", "link set switch up"]


def build_port(peer: PeerSpec) -> list[str]:
    """Return the lines of `ip`, in the namespace of the switch, that connect a node."""
    port = name_port(peer.host)
    return [
        f"link add name {port} type veth peer name eth0 netns {peer.namespace}",
        f"link set {port} master switch up",
    ]


def build_queue(peer: PeerSpec) -> list[str]:
    """Return the lines of `tc` that prepare the port of a node for `shape`; they slow nothing.

    A plan that clears a way needs what one that slows it down needs, but for the bucket.
    """
    root = f"qdisc add dev {name_port(peer.host)} root handle 1: htb"
    return [root, *shape((peer.host, peer.host), PLAIN)]


def build_node(peer: PeerSpec) -> list[str]:
    """Return the lines of `ip` in the namespace of a node.

    It hands single packets to the wire, as a network card without offload: what is lost is then
    one packet, not the forty of a large segment.
    """
    return [
        "link set lo up",
        f"addr add {peer.host}/{PREFIX_BITS} dev eth0",
        "link set eth0 gso_max_segs 1 up",
    ]


def remove_port(peer: PeerSpec) -> list[str]:
    """Return the lines of `ip`, in the namespace of the switch, that pull a node's plug."""
    return [f"link del {name_port(peer.host)}"]


def build_table() -> list[str]:
    """Return the lines of `nft` for the table of the switch: nothing is cut, nothing is lost."""
    return [
        f"table {TABLE} {{",
        "  set cuts { type ipv4_addr . ipv4_addr; }",
        "  map ways { type ipv4_addr . ipv4_addr : verdict; }",
        "  chain forward {",
        "    type filter hook forward priority 0; policy accept;",
        "    ip saddr . ip daddr @cuts counter drop",
        "    ip saddr . ip daddr vmap @ways",
        "  }",
        "}",
    ]


def cut(ways: Iterable[Ends]) -> list[str]:
    """Return the lines of `nft` after which nothing passes on these ways."""
    return [f"add element {TABLE} cuts {{ {_pair(way)} }}" for way in ways]


def allow(ways: Iterable[Ends]) -> list[str]:
    """Return the lines of `nft` that take `cut` back."""
    ways = list(ways)
    return cut(ways) + [f"delete element {TABLE} cuts {{ {_pair(way)} }}" for way in ways]


def allow_all() -> list[str]:
    """Return the line of `nft` that takes every cut back."""
    return [f"flush set {TABLE} cuts"]


def lose(way: Ends, plan: LinkPlan) -> list[str]:
    """Return the lines of `nft` that lose as much on a way as a plan says.

    A way whose plan says anything has a chain, so that `read_ways` finds it.
    """
    name = f"way_{read_number(way[0])}_{read_number(way[1])}"
    chain, element = (
        f"chain {TABLE} {name}",
        f"element {TABLE} ways {{ {_pair(way)} : jump {name} }}",
    )
    lines = [f"add {chain}", f"flush {chain}", f"add {element}"]
    if plan == PLAIN:
        return [*lines, f"delete {element}", f"delete {chain}"]
    if plan.loss:
        lost = f"numgen random mod 1000 < {plan.loss} counter drop"
        lines.append(f"add rule {TABLE} {name} {lost}")
    return lines


def shape(way: Ends, plan: LinkPlan) -> list[str]:
    """Return the lines of `tc` that slow a way down; a plan without rate and delay clears it.

    Jitter is drawn evenly from nothing to all of it, as by a node: netem wants its middle.
    """
    port, number = name_port(way[1]), read_number(way[0])
    owner, own = f"dev {port} parent 1:", f"1:{number:x}"
    place = f"class {{}} {owner} classid {own} htb rate {UNBOUND}"
    chosen = f"filter {{}} {owner} protocol ip prio {number}"
    match = f"{chosen} u32 match ip src {way[0]}/32 flowid {own}"
    lines = [
        place.format("replace"),
        match.format("replace").replace(" u32 ", " handle ::1 u32 "),
        chosen.format("del"),
        f"class del dev {port} classid {own}",
    ]
    below = _shape_below(port, own, number, plan)
    return [*lines, place.format("add"), *below, match.format("add")] if below else lines


def _shape_below(port: str, own: str, number: int, plan: LinkPlan) -> list[str]:
    """Return the lines for what stands below the class of a way: a bucket, then a delay."""
    rate, latency_ms, jitter_ms = plan.rule.bandwidth, plan.rule.latency_ms, plan.rule.jitter_ms
    above, lines = own, []
    if rate:
        bucket, burst = f"{0x1000 + number:x}:", max(BURST_BYTES_MIN, rate // BURSTS_PER_S)
        lines.append(
            f"qdisc add dev {port} parent {above} handle {bucket}"
            f" tbf rate {rate}bps burst {burst} latency {QUEUE_MS}ms"
        )
        above = f"{bucket}1"
    if latency_ms or jitter_ms:
        middle_us, spread_us = latency_ms * 1_000 + jitter_ms * 500, jitter_ms * 500
        spread = f" {spread_us}us" if spread_us else ""
        lines.append(
            f"qdisc add dev {port} parent {above} handle {0x2000 + number:x}:"
            f" {NETEM} delay {middle_us}us{spread}"
        )
    return lines


def probe_delay() -> list[str]:
    """Return the lines of `tc` that only a kernel with netem takes; nothing stays of them."""
    return [f"qdisc add dev lo root {NETEM} delay 1ms", "qdisc del dev lo root"]


def read_ways(document: str) -> tuple[set[Ends], set[Ends]]:
    """Return the ways that are cut, and those that have a plan, from the table as `nft -j` has it.

    Raises:
        ValueError: it is something else.
    """
    found: dict[str, set[Ends]] = {"cuts": set(), "ways": set()}
    for item in json.loads(document)["nftables"]:
        for kind in ("set", "map"):
            held: Any = item.get(kind)
            if held is not None and held["name"] in found:
                found[held["name"]].update(_read_elements(held.get("elem", ())))
    return found["cuts"], found["ways"]


def _read_elements(elements: Sequence[Any]) -> Iterable[Ends]:
    for element in elements:
        # That of a map has its verdict beside it.
        key = element[0] if isinstance(element, list) else element
        first, second = key["concat"]
        yield str(first), str(second)


def _pair(way: Ends) -> str:
    return f"{way[0]} . {way[1]}"
