"""What every runner of `ip`, `tc` and `nft` promises. The same checks run on Linux and on the fake.

Each check gets a name that no namespace has yet: its switch, with nodes 1 and 2 behind it.
"""

from collections.abc import Callable, Sequence

import pytest

from devnet.manifests.lineup import PLAIN, LinkPlan
from devnet.namespaces import commands
from devnet.namespaces.commands import Ends
from devnet.namespaces.names import choose_place
from devnet.namespaces.runner import CommandError, Runner
from devnet.roster import PeerSpec
from node.transport.fault_rules import LinkRule

NARROW = LinkPlan(LinkRule(bandwidth=25_000))
LOSSY = LinkPlan(loss=200)

Promise = Callable[[Runner, str], None]


def a_peer(switch: str, name: str, taken: Sequence[str] = ()) -> PeerSpec:
    """Return a peer in a namespace behind a switch."""
    host, namespace = choose_place(switch, name, taken)
    return PeerSpec(
        name,
        role="observer",
        seals=False,
        host=host,
        p2p_port=4001,
        rpc_port=7031,
        namespace=namespace,
        peer_id=name,
        account="",
    )


def two_peers(switch: str) -> tuple[PeerSpec, PeerSpec]:
    """Return the peers of the checks."""
    first = a_peer(switch, "n1")
    return first, a_peer(switch, "n2", [first.host])


def list_namespaces(runner: Runner) -> set[str]:
    """Return the namespaces that are there."""
    return {line.split()[0] for line in runner.run(["ip", "netns", "list"]).splitlines()}


def add_namespaces(runner: Runner, *names: str) -> None:
    """Make namespaces."""
    for name in names:
        runner.run(["ip", "netns", "add", name])


def tell(runner: Runner, space: str, program: str, lines: Sequence[str]) -> None:
    """Tell a program something in a namespace."""
    nft = ["ip", "netns", "exec", space, "nft", "-f", "-"]
    runner.run(nft if program == "nft" else [program, "-n", space, "-batch", "-"], lines)


def read(runner: Runner, switch: str) -> tuple[set[Ends], set[Ends]]:
    """Return the ways that are cut, and those with a plan."""
    words = ["ip", "netns", "exec", switch, "nft", "-j", "list", "table"]
    return commands.read_ways(runner.run([*words, *commands.TABLE.split()]))


def build(runner: Runner, switch: str) -> tuple[Ends, Ends]:
    """Make the switch and both nodes; return the ways forth and back."""
    peers = two_peers(switch)
    add_namespaces(runner, switch, *(peer.namespace for peer in peers))
    tell(runner, switch, "ip", commands.build_switch())
    tell(runner, switch, "nft", commands.build_table())
    for peer in peers:
        tell(runner, switch, "ip", commands.build_port(peer))
        tell(runner, switch, "tc", commands.build_queue(peer))
        tell(runner, peer.namespace, "ip", commands.build_node(peer))
    first, second = (peer.host for peer in peers)
    return (first, second), (second, first)


def a_program_that_is_not_there_is_named(runner: Runner, switch: str) -> None:
    with pytest.raises(CommandError, match="no_program: found minesync-nothing"):
        runner.run(["minesync-nothing", switch])


def namespaces_come_and_go_by_name(runner: Runner, switch: str) -> None:
    before = list_namespaces(runner)
    add_namespaces(runner, switch, f"{switch}-n1")
    assert list_namespaces(runner) - before == {switch, f"{switch}-n1"}
    with pytest.raises(CommandError, match="command_failed"):
        add_namespaces(runner, switch)
    runner.run(["ip", "netns", "del", switch])
    assert list_namespaces(runner) - before == {f"{switch}-n1"}
    with pytest.raises(CommandError, match="command_failed"):
        runner.run(["ip", "netns", "del", switch])


def a_fresh_switch_cuts_and_loses_nothing(runner: Runner, switch: str) -> None:
    build(runner, switch)
    assert read(runner, switch) == (set(), set())


def what_is_in_no_namespace_is_refused(runner: Runner, switch: str) -> None:
    for program in ("ip", "tc", "nft"):
        with pytest.raises(CommandError, match="command_failed"):
            tell(runner, switch, program, ["link set lo up"])


def cuts_are_read_back_and_taken_back(runner: Runner, switch: str) -> None:
    forth, back = build(runner, switch)
    for _ in range(2):
        tell(runner, switch, "nft", commands.cut([forth, back]))
        assert read(runner, switch)[0] == {forth, back}
    for _ in range(2):
        tell(runner, switch, "nft", commands.allow([forth]))
        assert read(runner, switch)[0] == {back}
    for _ in range(2):
        tell(runner, switch, "nft", commands.allow_all())
        assert read(runner, switch)[0] == set()


def plans_are_read_back_and_taken_back(runner: Runner, switch: str) -> None:
    forth, back = build(runner, switch)
    for plan in (LOSSY, LinkPlan(loss=1), NARROW, LOSSY):
        tell(runner, switch, "nft", commands.lose(forth, plan))
        assert read(runner, switch) == (set(), {forth})
    for way in (forth, forth, back):
        tell(runner, switch, "nft", commands.lose(way, PLAIN))
        assert read(runner, switch) == (set(), set())


def a_text_of_nft_is_taken_whole_or_not_at_all(runner: Runner, switch: str) -> None:
    forth, _ = build(runner, switch)
    with pytest.raises(CommandError, match="command_failed"):
        tell(runner, switch, "nft", [*commands.cut([forth]), "add nonsense bridge minesync cuts"])
    assert read(runner, switch) == (set(), set())


def ways_are_narrowed_changed_and_cleared(runner: Runner, switch: str) -> None:
    forth, back = build(runner, switch)
    wider = LinkPlan(LinkRule(bandwidth=40_000_000))
    for way, plan in ((forth, NARROW), (back, NARROW), (forth, wider), (forth, wider)):
        tell(runner, switch, "tc", commands.shape(way, plan))
    for way in (forth, forth, back):
        tell(runner, switch, "tc", commands.shape(way, PLAIN))


def a_port_that_was_pulled_takes_nothing_any_more(runner: Runner, switch: str) -> None:
    forth, back = build(runner, switch)
    tell(runner, switch, "ip", commands.remove_port(two_peers(switch)[1]))
    with pytest.raises(CommandError, match="command_failed"):
        tell(runner, switch, "tc", commands.shape(forth, NARROW))
    tell(runner, switch, "tc", commands.shape(back, NARROW))
    with pytest.raises(CommandError, match="command_failed"):
        tell(runner, switch, "ip", commands.remove_port(two_peers(switch)[1]))


def a_probe_leaves_nothing(runner: Runner, switch: str) -> None:
    add_namespaces(runner, switch)
    found = []
    for _ in range(2):
        try:
            tell(runner, switch, "tc", commands.probe_delay())
            found.append(True)
        except CommandError:
            found.append(False)
    assert found in ([True, True], [False, False])


CONTRACT: tuple[Promise, ...] = (
    a_program_that_is_not_there_is_named,
    namespaces_come_and_go_by_name,
    a_fresh_switch_cuts_and_loses_nothing,
    what_is_in_no_namespace_is_refused,
    cuts_are_read_back_and_taken_back,
    plans_are_read_back_and_taken_back,
    a_text_of_nft_is_taken_whole_or_not_at_all,
    ways_are_narrowed_changed_and_cleared,
    a_port_that_was_pulled_takes_nothing_any_more,
    a_probe_leaves_nothing,
)
