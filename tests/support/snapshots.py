"""A devnet as somebody saw it, made up: peers, seals, transactions, a cut, a peer that died."""

from dataclasses import replace

from devnet.observe import NetworkView, PeerView, RewardView, TaskView
from devnet.provider import DOWN, UP
from devnet.watch.events import RunEvent
from devnet.watch.history import History, Sample, SealSeen
from devnet.watch.snapshot import Identity, PeerLinks, Snapshot
from protocol.params import NANO_PER_COIN

NAMES = ("n1", "n2", "n3", "n4", "n5")
BEGIN_MS = 1_800_000_000_000
EPOCHS = 40
NOW_MS = BEGIN_MS + EPOCHS * 1_000 + 500
HOSTILE = '<script>alert("x")</script>&\x1b[2J\u202e'
"""A name as nobody should choose it."""


def a_root(epoch: int, letter: str = "a") -> str:
    """Return the state root after an epoch; another letter is another root."""
    return f"{letter}{epoch:07d}" * 8


def a_history(*, parted_from: int = EPOCHS + 1) -> History:
    """Return a history of all peers; from an epoch on n5 has roots of its own."""
    history = History()
    for epoch in range(1, EPOCHS + 1):
        for place, name in enumerate(NAMES):
            letter = "b" if name == "n5" and epoch >= parted_from else "a"
            at_ms = BEGIN_MS + epoch * 1_000 + place * 15
            history.take_seal(name, SealSeen(epoch, a_root(epoch, letter), at_ms))
    for number in range(60):
        for place, name in enumerate(NAMES):
            at_ms = BEGIN_MS + number * 600 + place * (10 + 7 * number)
            history.take_arrival(name, f"{number:064x}", at_ms)
    history.take_arrival("n1", "ff" * 32, NOW_MS - 100)
    for second in range(0, EPOCHS, 4):
        tasks = {"in_progress": max(0, 12 - second // 3), "completed": second // 3}
        history.take_sample(Sample(BEGIN_MS + second * 1_000, tasks))
    return history


def a_snapshot(*, history: History | None = None) -> Snapshot:
    """Return a whole network without any fault."""
    peers = tuple(
        PeerView(
            name,
            "validator" if name in NAMES[:3] else "miner",
            UP,
            EPOCHS,
            "5e" * 32,
            a_root(EPOCHS),
            1_234,
            7,
            4,
            120 << 20,
        )
        for name in NAMES
    )
    entry = RewardView("e", "t1", "ab" * 32, 5 * NANO_PER_COIN, "claimed")
    tasks = (
        TaskView("t1", "completed", (entry,)),
        TaskView("t2", "under_validation", is_provisional=True),
        TaskView("t3", "published"),
    )
    links = {name: PeerLinks(tuple(one for one in NAMES if one != name)) for name in NAMES}
    return Snapshot(
        identity=Identity("devnet", 7, "0011223344556677", NAMES),
        at_ms=NOW_MS,
        view=NetworkView(peers, tasks),
        links=links,
        events=tuple(RunEvent(BEGIN_MS - 3_000, "start", name) for name in NAMES),
        history=a_history() if history is None else history,
    )


def a_troubled_snapshot() -> Snapshot:
    """Return one whose n5 is cut off, n2 is down and n4 hears nothing of n3."""
    whole = a_snapshot()
    links = {
        "n1": PeerLinks(("n3", "n4"), cut=("n5",)),
        "n3": PeerLinks(("n1", "n4"), cut=("n5",)),
        "n4": PeerLinks(("n1", "n3"), cut=("n5",), deaf=("n3",)),
        "n5": PeerLinks((), cut=("n1", "n2", "n3", "n4")),
    }
    peers = tuple(
        PeerView(peer.name, peer.role, DOWN) if peer.name == "n2" else peer
        for peer in whole.view.peers
    )
    events = (
        *whole.events,
        RunEvent(BEGIN_MS + 9_000, "pause", "n3"),
        RunEvent(BEGIN_MS + 15_000, "resume", "n3"),
        RunEvent(BEGIN_MS + 20_000, "partition", groups=(("n1", "n2", "n3", "n4"), ("n5",))),
        RunEvent(BEGIN_MS + 30_000, "kill", "n2"),
    )
    return replace(whole, view=replace(whole.view, peers=peers), links=links, events=events)


def a_hostile_snapshot() -> Snapshot:
    """Return one with a peer of a hostile name, an event that tells of it, and an alarm."""
    whole = a_snapshot()
    names = (*NAMES[:4], HOSTILE)
    peers = (*whole.view.peers[:4], replace(whole.view.peers[4], name=HOSTILE, alarm=HOSTILE))
    return replace(
        whole,
        identity=replace(whole.identity, name=HOSTILE, names=names),
        view=NetworkView(peers, (TaskView("t", HOSTILE),)),
        links={HOSTILE: PeerLinks(("n1",), cut=("n2",), deaf=("n3",))},
        events=(*whole.events, RunEvent(NOW_MS, "kill", HOSTILE, ((HOSTILE,),))),
    )
