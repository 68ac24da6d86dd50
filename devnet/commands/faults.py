"""What is done to nodes and links: `kill`, `pause`, `restart`, `partition`, `link`, `clock`, ..."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from devnet import faults
from devnet.commands.common import (
    HERE,
    Lasting,
    OneWay,
    Settings,
    Where,
    WhichPeer,
    read_seconds,
    read_settings,
    read_value,
)
from devnet.errors import DevnetError
from devnet.groups import parse_groups
from devnet.manifests.fields import DURATION, OFFSET, SHARE, SIZE
from devnet.manifests.lineup import LinkPlan, line_up
from devnet.provider import Provider
from node.commands.common import make_console
from node.outages import DISCONNECT
from node.transport.fault_rules import LinkRule

Deed = Callable[[Provider, str], Awaitable[None]]


def make_deed_command(name: str, do: Deed, undo: Deed | None = None) -> Callable[..., None]:
    """Return the command that does something to one node, and takes it back if it can."""

    def command(peer: WhichPeer, *, where: Where = HERE) -> None:
        trio.run(do, where.open(), peer)
        make_console().print(f"{name} {peer}: done")

    def lasting_command(peer: WhichPeer, *, lasting: Lasting = None, where: Where = HERE) -> None:
        assert undo is not None
        cluster, take_back = where.open(), undo
        _do_for(lasting, lambda: do(cluster, peer), lambda: take_back(cluster, peer))
        make_console().print(f"{name} {peer}: done")

    return command if undo is None else lasting_command


def restart_command(
    peer: WhichPeer,
    *,
    settings: Settings = None,
    exe: Annotated[
        Path | None, Parameter(help="A Python with another release, from now on.")
    ] = None,
    where: Where = HERE,
) -> None:
    """Start a peer anew on its data, after ending it gently if it runs; with other options."""
    cluster = where.open()
    values = read_settings(settings or [])
    if exe is None:
        trio.run(faults.restart, cluster, peer, values)
    elif exe.is_file():
        trio.run(faults.upgrade, cluster, peer, str(exe.absolute()), None, values)
    else:
        raise DevnetError("bad_value", f"--exe {exe}", "a Python")
    make_console().print(f"restart {peer}: done")


def partition_command(
    groups: Annotated[str, Parameter(help="'n1,n2|n3': whoever is left out is one more group.")],
    *,
    one_way: OneWay = False,
    lasting: Lasting = None,
    where: Where = HERE,
) -> None:
    """Cut the links between groups of peers."""
    cluster = where.open()
    sets = line_up(cluster.devnet.read_manifest()).sets
    parsed = parse_groups(cluster.devnet.names, groups, sets)
    if one_way and len(parsed) != 2:
        raise DevnetError("bad_groups", f"{len(parsed)} groups", "two for --one-way")
    _do_for(
        lasting,
        lambda: faults.partition(cluster, parsed, one_way=one_way),
        lambda: faults.heal(cluster),
    )
    make_console().print((" > " if one_way else " | ").join(" ".join(group) for group in parsed))


def heal_command(*, where: Where = HERE) -> None:
    """Allow every link again."""
    trio.run(faults.heal, where.open())
    make_console().print("healed")


def link_command(
    first: WhichPeer,
    second: WhichPeer,
    *,
    latency: Annotated[str, Parameter(help="Added to each message, such as 80ms.")] = "0ms",
    jitter: Annotated[str, Parameter(help="At most so much more.")] = "0ms",
    bandwidth: Annotated[str, Parameter(help="A second, such as 1MB; 0B: no bound.")] = "0B",
    reset_after: Annotated[
        str, Parameter(help="Bytes after which a stream breaks; 0B: never.")
    ] = "0B",
    loss: Annotated[str, Parameter(help="Of the packets, such as 5%; only in namespaces.")] = "0%",
    one_way: OneWay = False,
    where: Where = HERE,
) -> None:
    """Make a link slow, narrow, brittle or lossy; without flags it is clear again."""
    cluster = where.open()
    names = [cluster.devnet.peer(name).name for name in (first, second)]
    rule = LinkRule(
        latency_ms=read_value(DURATION, latency, "--latency"),
        jitter_ms=read_value(DURATION, jitter, "--jitter"),
        bandwidth=read_value(SIZE, bandwidth, "--bandwidth"),
        reset_after=read_value(SIZE, reset_after, "--reset-after"),
    )
    pairs = [(names[0], names[1])] + ([] if one_way else [(names[1], names[0])])
    plan = LinkPlan(rule, read_value(SHARE, loss, "--loss"))
    trio.run(faults.set_links, cluster, pairs, plan)
    make_console().print(f"link {first} {second}: done")


def clock_command(
    peer: WhichPeer,
    *,
    offset: Annotated[
        str, Parameter(help="Such as +30s or -1h; 0s puts it right.", allow_leading_hyphen=True)
    ],
    where: Where = HERE,
) -> None:
    """Put the wall clock of a peer wrong."""
    cluster = where.open()
    trio.run(faults.set_clock, cluster, peer, read_value(OFFSET, offset, "--offset"))
    make_console().print(f"clock {peer} {offset}: done")


def make_outage_command(outage: str) -> Callable[..., None]:
    """Return the command that lets one node lack something for a while."""

    def command(
        peer: WhichPeer,
        *,
        lasting: Annotated[str, Parameter(name="--for", help="So long, such as 10s.")],
        where: Where = HERE,
    ) -> None:
        cluster = where.open()
        _do_for(
            lasting,
            lambda: faults.begin_outage(cluster, peer, outage),
            lambda: faults.end_outage(cluster, peer, outage),
        )
        make_console().print(f"{outage} {peer}: over")

    return command


def disconnect_command(
    peer: WhichPeer,
    *,
    lasting: Annotated[
        str, Parameter(name="--for", help="Allow no connection for so long, such as 10s.")
    ] = "0s",
    where: Where = HERE,
) -> None:
    """Close all connections of a peer; whoever wants to, dials again."""
    make_outage_command(DISCONNECT)(peer, lasting=lasting, where=where)


def _do_for(
    lasting: str | None,
    do: Callable[[], Awaitable[None]],
    undo: Callable[[], Awaitable[None]],
) -> None:
    """Do something; with a time, take it back after so long, even if Ctrl-C ends the wait."""
    limit_s = None if lasting is None else read_seconds(lasting, "--for")

    async def work() -> None:
        await do()
        if limit_s is None:
            return
        try:
            await trio.sleep(limit_s)
        finally:
            with trio.CancelScope(shield=True):
                await undo()

    trio.run(work)
