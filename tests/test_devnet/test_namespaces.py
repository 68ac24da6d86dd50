"""A devnet in network namespaces: who is told what, what is refused, what is taken away."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devnet.errors import DevnetError
from devnet.layout import Devnet
from devnet.manifests.lineup import PLAIN, LinkPlan
from devnet.manifests.tables import Manifest
from devnet.namespaces import commands
from devnet.namespaces.links import KernelLinks
from devnet.namespaces.names import HOSTS_MAX, choose_place, name_switch
from devnet.namespaces.network import NEEDS, Namespaces
from devnet.namespaces.runner import CommandError, find_lack
from devnet.node_links import NodeLinks
from devnet.provider import KeptWays
from devnet.roster import PeerSpec, Roster
from devnet.watch.snapshot import PeerLinks
from devnet.watch.watcher import add_kept
from node.transport.fault_rules import LinkRule
from tests.support.fake_runner import KERNEL, FakeRunner
from tests.support.runner_contract import CONTRACT, Promise, a_peer, add_namespaces
from tests.test_devnet.fakes import FakeCluster, FakeRemote

SWITCH = "ms-0a1b2c3d"
FORTH = ("10.77.0.1", "10.77.0.2")
ALL_CAPABILITIES = "Name:\tpython\nCapEff:\t000001ffffffffff\n"
PROGRAMS = frozenset({"ip", "tc", "nft"})


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_the_fake_keeps_the_contract_of_runners(promise: Promise) -> None:
    promise(FakeRunner(), SWITCH)


def a_devnet(root: Path, *names: str) -> Devnet:
    """Return a devnet of these nodes behind a switch; none of them can run."""
    peers: list[PeerSpec] = []
    for name in names or ("n1", "n2", "n3"):
        peers.append(a_peer(SWITCH, name, [peer.host for peer in peers]))
    roster = Roster("net", "process", 7, "00" * 8, tuple(peers), SWITCH)
    with Devnet.create(root, roster, Manifest()) as devnet:
        pass
    return devnet


class Stage:
    """A devnet of three nodes on a machine that is not there."""

    def __init__(self, root: Path, runner: FakeRunner) -> None:
        self.devnet = a_devnet(root)
        self.runner = runner
        self.namespaces = Namespaces(self.devnet, runner)
        self.namespaces.ensure(self.devnet.roster.peers)
        names = self.devnet.names
        self.remotes = [FakeRemote(name, {"dev_link": lambda _: {}}) for name in names]
        nodes = NodeLinks(FakeCluster(self.devnet, self.remotes))
        self.links = KernelLinks(self.devnet, self.namespaces, nodes)

    async def read_cuts(self) -> set[str]:
        return {f"{one}>{other}" for one, other in (await self.links.read_kept()).cut}

    def told(self) -> list[tuple[str, int, int, int]]:
        """Return what the nodes were told: way, latency, bandwidth, bytes to a break."""
        return [
            (given["ways"], given["latency_ms"], given["bandwidth"], given["reset_after"])
            for remote in self.remotes
            for _, given in remote.calls
        ]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "net", FakeRunner())


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("platform", "status", "lacks", "found", "wanted"),
    [
        ("darwin", "", "", "darwin, not Linux", "Linux"),
        ("linux", "CapEff:\t0\n", "", "without CAP_NET_ADMIN and CAP_SYS_ADMIN", "root"),
        ("linux", "", "", "without CAP_NET_ADMIN and CAP_SYS_ADMIN", "root"),
        ("linux", "CapEff:\t0000000000001000\n", "", "without CAP_SYS_ADMIN", "root"),
        ("linux", ALL_CAPABILITIES, "ip", "no program ip", "ip from the package iproute2"),
        ("linux", ALL_CAPABILITIES, "tc", "no program tc", "tc from the package iproute2"),
        ("linux", ALL_CAPABILITIES, "nft", "no program nft", "nft from the package nftables"),
    ],
)
def test_a_machine_that_cannot_is_told_what_it_lacks(
    platform: str, status: str, lacks: str, found: str, wanted: str
) -> None:
    lack = find_lack(platform, status, PROGRAMS - {lacks})
    assert lack is not None
    assert found in lack[0]
    assert wanted in lack[1]


def test_a_machine_that_can_lacks_nothing() -> None:
    assert find_lack("linux", ALL_CAPABILITIES, PROGRAMS) is None


@pytest.mark.parametrize(
    ("ability", "need"),
    [
        ("netns", "netns"),
        ("bridge", "bridge"),
        ("veth", "veth"),
        ("nft", "nft"),
        ("htb", "queue"),
        ("u32", "queue"),
        ("addr", "address"),
    ],
)
def test_a_kernel_that_cannot_is_told_what_it_lacks_and_nothing_is_left(
    tmp_path: Path, ability: str, need: str
) -> None:
    runner = FakeRunner(ability)
    devnet = a_devnet(tmp_path / "net")
    with pytest.raises(DevnetError, match="no_namespaces") as caught:
        Namespaces(devnet, runner).ensure(devnet.roster.peers)
    assert NEEDS[need] in str(caught.value)
    assert 'network = "loopback"' in str(caught.value)
    assert runner.spaces == {}


@pytest.mark.parametrize(
    ("ability", "plan", "need"),
    [
        ("numgen", LinkPlan(loss=5), "loss"),
        ("tbf", LinkPlan(LinkRule(bandwidth=1_000)), "rate"),
    ],
)
async def test_a_link_that_the_kernel_cannot_make_is_refused(
    tmp_path: Path, ability: str, plan: LinkPlan, need: str
) -> None:
    stage = Stage(tmp_path / "net", FakeRunner(ability))
    with pytest.raises(DevnetError) as caught:
        await stage.links.set_link(("n1", "n2"), plan, stage.devnet.names)
    assert NEEDS[need] in str(caught.value)


async def test_on_loopback_no_packet_can_be_lost(stage: Stage) -> None:
    nodes = NodeLinks(FakeCluster(stage.devnet, stage.remotes))
    with pytest.raises(DevnetError, match=r"cannot_lose.*namespaces"):
        await nodes.set_link(("n1", "n2"), LinkPlan(loss=1), stage.devnet.names)
    assert stage.told() == []


# ---------------------------------------------------------------------------- coming and going


def test_names_follow_from_the_directory_and_the_seed(tmp_path: Path) -> None:
    names = {name_switch(root, seed) for root in (tmp_path, tmp_path / "a") for seed in (7, 8)}
    assert len(names) == 4
    assert names == {
        name_switch(root, seed) for root in (tmp_path, tmp_path / "a") for seed in (7, 8)
    }


def test_every_node_gets_an_address_that_nobody_has() -> None:
    hosts: list[str] = []
    for number in range(HOSTS_MAX):
        host, namespace = choose_place(SWITCH, f"n{number}", hosts)
        assert namespace == f"{SWITCH}-n{number}"
        hosts.append(host)
    assert len(set(hosts)) == HOSTS_MAX
    with pytest.raises(DevnetError, match="no_free_address"):
        choose_place(SWITCH, "n999", hosts)
    assert choose_place(SWITCH, "n999", hosts[1:])[0] == hosts[0]
    assert choose_place("", "n1", ()) == ("127.0.0.1", "")


def test_what_is_there_is_made_once_and_what_comes_later_joins(stage: Stage) -> None:
    before = dict(stage.runner.spaces)
    assert set(before) == {SWITCH, *(f"{SWITCH}-{name}" for name in ("n1", "n2", "n3"))}
    assert before[f"{SWITCH}-n2"].devices["eth0"] == ["10.77.0.2/24"]
    stage.namespaces.ensure(stage.devnet.roster.peers)
    assert stage.runner.spaces == before
    stage.devnet.add_peer(a_peer(SWITCH, "n9", [peer.host for peer in stage.devnet.roster.peers]))
    stage.namespaces.ensure([stage.devnet.peer("n9")])
    assert set(stage.runner.spaces) - set(before) == {f"{SWITCH}-n9"}
    assert "port4" in stage.runner.spaces[SWITCH].devices


async def test_a_node_that_leaves_takes_its_rules_along(stage: Stage) -> None:
    names = stage.devnet.names
    await stage.links.partition([["n1", "n2"], ["n3"]], one_way=False)
    await stage.links.set_link(("n1", "n3"), LinkPlan(loss=100), names)
    await stage.links.set_link(("n1", "n2"), LinkPlan(loss=100), names)
    await stage.links.set_link(("n3", "n1"), LinkPlan(LinkRule(bandwidth=9_000)), names)
    stage.namespaces.remove_peer(stage.devnet.peer("n3"))
    space = stage.runner.spaces[SWITCH]
    assert space.cuts == set()
    assert set(space.ways) == {FORTH}
    assert "port3" not in space.devices
    assert set(space.queues) == {("port1", "qdisc", "1:"), ("port2", "qdisc", "1:")}
    assert f"{SWITCH}-n3" not in stage.runner.spaces
    # Whoever gets its address next starts with a clean sheet.
    stage.namespaces.ensure(stage.devnet.roster.peers)
    assert "port3" in stage.runner.spaces[SWITCH].devices


def test_only_what_belongs_to_the_devnet_is_taken_away(stage: Stage) -> None:
    others = {f"{SWITCH}x", "ms-ffffffff", f"{SWITCH}-n4"}
    add_namespaces(stage.runner, *sorted(others))
    stage.namespaces.remove()
    assert set(stage.runner.spaces) == others
    stage.namespaces.remove()
    assert set(stage.runner.spaces) == others


class Contested(FakeRunner):
    """A machine on which somebody else deletes each namespace a moment before."""

    def run(self, words: Sequence[str], lines: Sequence[str] = ()) -> str:
        if list(words[:3]) == ["ip", "netns", "del"]:
            super().run(words)
        return super().run(words, lines)


class Stubborn(FakeRunner):
    """A machine that deletes no namespace."""

    def run(self, words: Sequence[str], lines: Sequence[str] = ()) -> str:
        if list(words[:3]) == ["ip", "netns", "del"]:
            raise CommandError("command_failed", "Device or resource busy", "something else")
        return super().run(words, lines)


def test_what_somebody_else_deletes_meanwhile_is_gone_all_the_same(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "net", Contested())
    stage.namespaces.remove()
    assert stage.runner.spaces == {}


def test_what_cannot_be_deleted_is_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "net", Stubborn())
    with pytest.raises(CommandError, match="busy"):
        stage.namespaces.remove()


@pytest.mark.parametrize("half", [1, 2, 3])
def test_what_a_killed_command_left_half_made_can_be_taken_away(tmp_path: Path, half: int) -> None:
    runner, devnet = FakeRunner(), a_devnet(tmp_path / "net")
    names = [SWITCH, *(peer.namespace for peer in devnet.roster.peers)][:half]
    add_namespaces(runner, *names)
    namespaces = Namespaces(devnet, runner)
    namespaces.remove()
    namespaces.ensure(devnet.roster.peers)
    assert len(runner.spaces) == 4


def test_a_devnet_on_loopback_runs_no_program_of_the_system(tmp_path: Path) -> None:
    peer = replace(a_peer("", "n1"), rpc_port=1)
    roster = Roster("net", "process", 7, "00" * 8, (peer,))
    runner = FakeRunner("ip")
    with Devnet.create(tmp_path / "net", roster, Manifest()) as devnet:
        pass
    namespaces = Namespaces(devnet, runner)
    namespaces.ensure([peer])
    namespaces.remove_peer(peer)
    namespaces.remove()
    assert namespaces.enter(peer, ["python", "-m", "node"]) == ["python", "-m", "node"]
    assert runner.ran == []


def test_a_program_is_led_into_the_namespace_with_the_place_of_its_rpc(stage: Stage) -> None:
    words = stage.namespaces.enter(stage.devnet.peer("n2"), ["python", "-m", "node"])
    assert words[-6:] == [f"{SWITCH}-n2", "127.0.0.1", "7031", "python", "-m", "node"]


def test_the_directory_remembers_what_is_where(stage: Stage) -> None:
    loaded = Devnet.load(stage.devnet.root)
    assert loaded.roster == stage.devnet.roster
    assert loaded.roster.switch == SWITCH
    assert loaded.peer("n2").address.startswith("/ip4/10.77.0.2/tcp/4001/")
    assert loaded.peer("n2").url == "http://127.0.0.1:7031"


# ------------------------------------------------------------------------------ cuts and links


async def test_a_partition_cuts_between_groups_and_heals_within(stage: Stage) -> None:
    await stage.links.partition([["n1"], ["n2"], ["n3"]], one_way=False)
    assert len(await stage.read_cuts()) == 6
    await stage.links.partition([["n1", "n2"], ["n3"]], one_way=False)
    assert await stage.read_cuts() == {"n1>n3", "n3>n1", "n2>n3", "n3>n2"}
    await stage.links.heal()
    assert await stage.read_cuts() == set()


async def test_one_way_stops_what_the_second_would_hear_of_the_first(stage: Stage) -> None:
    await stage.links.partition([["n1", "n2"], ["n3"]], one_way=True)
    assert await stage.read_cuts() == {"n1>n3", "n2>n3"}


Deed = tuple[list[int], bool] | None
"""A partition by the side of each node, one way or not; None: all is healed."""

DEEDS = st.lists(
    st.none() | st.tuples(st.lists(st.integers(0, 2), min_size=3, max_size=3), st.booleans()),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DEEDS)
def test_any_history_of_cuts_leaves_what_a_list_of_pairs_would(
    stage: Stage, deeds: list[Deed]
) -> None:
    async def play() -> None:
        await stage.links.heal()
        expected: set[str] = set()
        for deed in deeds:
            if deed is None:
                await stage.links.heal()
                expected = set()
                continue
            side = dict(zip(stage.devnet.names, deed[0], strict=True))
            groups = [[name for name in side if side[name] == one] for one in sorted({*deed[0]})]
            one_way = deed[1] and len(groups) == 2
            await stage.links.partition(groups, one_way=one_way)
            for one, other in permutations(side, 2):
                if side[one] == side[other]:
                    expected.discard(f"{one}>{other}")
                elif not one_way or one in groups[0]:
                    expected.add(f"{one}>{other}")
        assert await stage.read_cuts() == expected

    trio.run(play)


async def test_the_kernel_gets_what_it_can_do_and_nodes_the_rest(stage: Stage) -> None:
    rule = LinkRule(latency_ms=30, jitter_ms=10, bandwidth=25_000, reset_after=9)
    await stage.links.set_link(("n1", "n2"), LinkPlan(rule, loss=125), stage.devnet.names)
    assert stage.told() == [("out", 30, 0, 9), ("in", 30, 0, 9)]
    space = stage.runner.spaces[SWITCH]
    assert space.chains == {"way_1_2": ["numgen random mod 1000 < 125 counter drop"]}
    bucket = space.queues[("port2", "qdisc", "1001:")]
    assert "tbf rate 25000bps burst 5000" in bucket
    assert await stage.links.read_kept() == KeptWays(poor=frozenset({("n1", "n2")}))
    await stage.links.set_link(("n1", "n2"), PLAIN, stage.devnet.names)
    assert list(space.queues) != []
    space = stage.runner.spaces[SWITCH]
    assert set(space.queues.values()) == {f"dev port{n} root handle 1: htb" for n in (1, 2, 3)}
    assert await stage.links.read_kept() == KeptWays()


async def test_a_kernel_with_netem_delays_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "net", FakeRunner(abilities=KERNEL | {"netem"}))
    rule = LinkRule(latency_ms=30, jitter_ms=10, bandwidth=25_000, reset_after=9)
    await stage.links.set_link(("n1", "n2"), LinkPlan(rule), stage.devnet.names)
    assert stage.told() == [("out", 0, 0, 9), ("in", 0, 0, 9)]
    delay = stage.runner.spaces[SWITCH].queues[("port2", "qdisc", "2001:")]
    assert delay == "dev port2 parent 1001:1 handle 2001: netem delay 35000us 5000us"


def test_a_delay_without_a_rate_stands_right_below_its_class() -> None:
    lines = commands.shape(FORTH, LinkPlan(LinkRule(latency_ms=80)))
    assert "qdisc add dev port2 parent 1:1 handle 2001: netem delay 80000us" in lines
    assert not any("tbf" in line for line in lines)


def test_what_the_switch_does_shows_beside_what_nodes_say() -> None:
    kept = KeptWays(
        cut=frozenset({("n1", "n2"), ("n2", "n1"), ("n3", "n1")}), poor=frozenset({("n3", "n1")})
    )
    said = PeerLinks(connected=("n2",), cut=("n4",), slow=("n2",))
    seen = add_kept("n1", said, kept)
    assert (seen.cut, seen.deaf, seen.slow) == (("n2", "n4"), ("n3",), ("n2", "n3"))
    assert add_kept("n3", PeerLinks(), kept) == PeerLinks()
