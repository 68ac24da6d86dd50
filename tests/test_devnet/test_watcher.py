"""The watcher: it asks for what is new, keeps it, and misses no peer that comes back."""

from pathlib import Path
from typing import Any

import pytest

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.manifests.lineup import NodePlan
from devnet.manifests.tables import NodeTable
from devnet.provider import DOWN, UP
from devnet.snapshots.swap import LOADED
from devnet.watch.snapshot import PeerLinks
from devnet.watch.watcher import Watcher
from tests.test_devnet.fakes import FakeCluster, FakeRemote, make_status


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return found_devnet(tmp_path / "net", 3, 7)


class Seer:
    """What a fake peer saw; a page of it holds two sightings."""

    def __init__(self, run: int = 1) -> None:
        self.run = run
        self.stored: list[list[Any]] = []
        self.sealed: list[list[Any]] = []
        self.peers: list[str] = []
        self.cut: list[str] = []
        self.deaf: list[str] = []

    def answer(self, params: dict[str, Any]) -> dict[str, Any]:
        seen = [*self.stored, *self.sealed]
        after = params["after"] if params["run"] == self.run else 0
        page = seen[after : after + 2]
        return {
            "run": self.run,
            "next": after + len(page),
            "count": len(seen),
            "peers": self.peers,
            "cut": self.cut,
            "deaf": self.deaf,
            "slow": [],
            "clock_offset_ms": 500,
            "stored": [one for one in page if one in self.stored],
            "sealed": [one for one in page if one in self.sealed],
        }


def make_remote(name: str, seer: Seer) -> FakeRemote:
    answers = {
        "node_status": lambda _: make_status(),
        "task_list": lambda _: {"items": []},
        "dev_look": seer.answer,
    }
    return FakeRemote(name, answers)


async def test_everything_that_was_seen_is_kept_page_by_page(devnet: Devnet) -> None:
    seer = Seer()
    seer.stored = [[f"t{place}", 100 + place] for place in range(4)]
    seer.sealed = [[1, "aa", 200]]
    remote = make_remote("n1", seer)
    snapshot = await Watcher(FakeCluster(devnet, [remote])).look()
    assert snapshot.history.arrivals == {f"t{place}": {"n1": 100 + place} for place in range(4)}
    assert snapshot.history.seals["n1"][1].state_root == "aa"
    assert [params["after"] for method, params in remote.calls if method == "dev_look"] == [0, 2, 4]


async def test_a_peer_that_started_anew_is_heard_from_its_beginning(devnet: Devnet) -> None:
    seer = Seer()
    seer.stored = [["t0", 1], ["t1", 2]]
    remote = make_remote("n1", seer)
    watcher = Watcher(FakeCluster(devnet, [remote]))
    await watcher.look()
    seer.run, seer.stored = 2, [["t2", 3]]
    snapshot = await watcher.look()
    assert set(snapshot.history.arrivals) == {"t0", "t1", "t2"}


async def test_links_have_the_names_of_the_devnet(devnet: Devnet) -> None:
    ids = {peer.name: peer.peer_id for peer in devnet.roster.peers}
    seer = Seer()
    seer.peers, seer.cut, seer.deaf = [ids["n2"], "stranger"], [ids["n3"]], [ids["n2"]]
    snapshot = await Watcher(FakeCluster(devnet, [make_remote("n1", seer)])).look()
    wanted = PeerLinks(connected=("n2",), cut=("n3",), deaf=("n2",), clock_offset_ms=500)
    assert snapshot.links == {"n1": wanted}


async def test_a_peer_that_does_not_answer_hides_none_of_the_others(devnet: Devnet) -> None:
    def fall_silent(_: dict[str, Any]) -> Any:
        raise DevnetError("peer_silent", "n2: no answer", "in 2 s")

    silent = FakeRemote("n2", dict.fromkeys(("node_status", "dev_look"), fall_silent))
    devnet.note_event("kill", peer="n3")
    snapshot = await Watcher(FakeCluster(devnet, [silent, make_remote("n1", Seer())])).look()
    assert list(snapshot.links) == ["n1"]
    assert [peer.state for peer in snapshot.view.peers] == ["up", "silent", "down"]
    assert [event.describe() for event in snapshot.events] == ["kill n3"]
    assert snapshot.identity.names == devnet.names


async def test_peers_that_other_commands_add_and_remove_come_and_go(devnet: Devnet) -> None:
    seers = {name: Seer() for name in ("n1", "n4")}
    cluster = FakeCluster(devnet, [make_remote(name, seer) for name, seer in seers.items()])
    watcher = Watcher(cluster)
    assert (await watcher.look()).identity.names == ("n1", "n2", "n3")
    other = ProcessCluster(Devnet.load(devnet.root))
    other.add(NodePlan("n4", NodeTable(), group="", seals=False, dials=("n1",)))
    other.remove("n2")
    seers["n4"].sealed = [[3, "ab", 1]]
    seers["n1"].peers = [other.devnet.peer("n4").peer_id]
    snapshot = await watcher.look()
    assert snapshot.identity.names == ("n1", "n3", "n4")
    assert [(view.name, view.state) for view in snapshot.view.peers] == [
        ("n1", UP),
        ("n3", DOWN),
        ("n4", UP),
    ]
    assert snapshot.links["n1"].connected == ("n4",)
    assert snapshot.history.seals["n4"][3].state_root == "ab"
    # One of the cluster itself, not of the fake: it can be reached.
    assert ProcessCluster.remote(cluster, "n4").name == "n4"


async def test_what_was_seen_before_a_snapshot_was_loaded_has_not_happened(devnet: Devnet) -> None:
    seer = Seer()
    seer.sealed = [[1, "aa", 1], [2, "bb", 2]]
    watcher = Watcher(FakeCluster(devnet, [make_remote("n1", seer)]))
    assert (await watcher.look()).history.epochs == [1, 2]
    devnet.note_event(LOADED, snapshot="base")
    seer.run, seer.sealed = 2, [[1, "aa", 1], [2, "cc", 3]]
    history = (await watcher.look()).history
    assert history.seals["n1"][2].state_root == "cc"
    assert len((await watcher.look()).history.epochs) == 2


async def test_a_devnet_that_was_deleted_is_not_looked_at(devnet: Devnet) -> None:
    watcher = Watcher(FakeCluster(devnet, []))
    devnet.delete()
    with pytest.raises(DevnetError, match="no_devnet"):
        await watcher.look()
