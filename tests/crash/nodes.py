"""`kill -9` of whole nodes: `minesync run` under load, killed at random and at failpoints.

One node that seals alone lives on in one data directory. Its own account publishes tasks, and
somebody without a node submits what he signed himself. Everything whose RPC call returned must be
there after the kill; then the node starts again and goes on.
"""

import random
import signal
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Timer
from typing import Any

import trio

from node.diary_file import DiaryFile
from node.high_water import HighWater
from node.rpc.client import RpcError
from protocol.genesis import Genesis
from protocol.hashing import compute_content_hash
from protocol.params import MINIMAL
from storage.errors import StorageError
from storage.replay import replay
from storage.scrub import scrub
from storage.store import Store
from tests.crash.children import ask
from tests.crash.failpoints import MOMENTS, Failpoint
from tests.crash.kills import note_finding
from tests.crash.reference import Finding
from tests.crash.report import Tally, show_progress
from tests.support.builders import COIN, a_genesis, a_task, an_address
from tests.support.processes import EPOCH_MS, LightAccount, NodeProcess

OWNER, GUEST = "alice", "bob"
BALANCE = 1_000_000 * COIN
LATE_EPOCHS = 40
"""Longer than a restart: what was acknowledged shall be sealed, not die of the kills."""
START_S_MAX, WORK_S_MAX = 2.5, 0.8
CALLS_MAX = 120
FULL_ONE_IN = 20
NODE_SITES = ("write", "floor", "fdatasync")
"""What a node passes again and again: its batches, and the marks of what it signed and sealed."""
FAILPOINT_MAX = 50
TERMS: dict[str, Any] = {
    "task_type": {"type": "general_task", "category": "misc"},
    "title": "Sort these words",
    "description": "Put the words of the input in order.",
    "reward": str(5 * COIN),
    "stake_required": str(COIN),
}


@dataclass(slots=True)
class Promises:
    """What the node has told those who called it.

    Attributes:
        ids: of transactions whose call returned.
        blobs: hashes of the inputs that were published with them.
        epoch: the highest epoch that it showed.
    """

    ids: list[bytes] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    epoch: int = 0


def kill_nodes(folder: Path, seed: int, cycles: int) -> Tally:
    """Kill a node over and over, and look at what it leaves."""
    tally = Tally("kill=node", seed)
    tally.figures |= {"cycles": 0, "starting": 0, "random": 0, "failpoint": 0, "full_checks": 0}
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    params = replace(MINIMAL, epoch_ms=EPOCH_MS, late_epochs=LATE_EPOCHS)
    genesis = a_genesis(params=params, sealers=(OWNER,), balance=BALANCE, name="crash")
    peer = NodeProcess(folder / OWNER, genesis, OWNER)
    guest = LightAccount(GUEST, peer, genesis)
    promises = Promises()
    try:
        for number in range(1, cycles + 1):
            tally.count(_live_once(peer, guest, promises, chance, tally))
            tally.count("cycles")
            is_full = number % FULL_ONE_IN == 0 or number == cycles
            tally.count("full_checks", is_full)
            note_finding(tally, _check(peer, genesis, promises, is_full), f"cycle {number}")
            tally.acknowledged = len(promises.ids) + len(promises.blobs)
            show_progress(tally, number, cycles)
        _go_on(peer, promises, tally)
    finally:
        peer.kill()
    tally.figures["epochs"] = promises.epoch
    return tally


def draw_failpoint(chance: random.Random) -> Failpoint | None:
    """Return a failpoint in one of two cases; in the others somebody kills at random."""
    if chance.randrange(2):
        return None
    site = chance.choice(NODE_SITES)
    return Failpoint(site, chance.choice(MOMENTS), chance.randrange(1, FAILPOINT_MAX))


def _live_once(
    peer: NodeProcess,
    guest: LightAccount,
    promises: Promises,
    chance: random.Random,
    tally: Tally,
) -> str:
    """Start the node, load it, have it killed; return how that came."""
    point = draw_failpoint(chance)
    entry = ("-m", "node") if point is None else ("-m", "tests.crash.launch", str(point))
    peer.start("--sealer.enabled", entry=entry)
    is_early = point is None and chance.randrange(5) == 0
    timer = Timer(chance.uniform(0, START_S_MAX if is_early else WORK_S_MAX), peer.kill_now)
    if is_early:
        timer.start()
    try:
        if not _come_up(peer):
            return "starting" if point is None else "failpoint"
        if point is None and not is_early:
            timer.start()
        _call_until_dead(peer, guest, promises, chance)
    except RpcError as error:
        # No number: nobody answered any more, which is what this is about.
        if error.number:
            tally.faults.append(f"refused: {error}")
    finally:
        timer.cancel()
        peer.kill()
        if timer.ident is not None:
            timer.join()
    return "random" if point is None else "failpoint"


def _come_up(peer: NodeProcess) -> bool:
    """Wait until the node answers; return whether it lived to."""
    try:
        trio.run(peer.wait_up)
    except AssertionError:
        if peer.kill_now() != -signal.SIGKILL:
            raise
        return False
    return True


def _call_until_dead(
    peer: NodeProcess, guest: LightAccount, promises: Promises, chance: random.Random
) -> None:
    """Publish through the node, by its own account and by somebody else's, in turns.

    Raises:
        RpcError: the node is gone; or it refused.
    """
    guest.resume()
    for _ in range(CALLS_MAX):
        data = chance.randbytes(200)
        published = peer.call("task_publish", terms=TERMS, data="0x" + data.hex())
        promises.ids.append(bytes.fromhex(published["tx_id"]))
        promises.blobs.append(compute_content_hash(data))
        promises.ids.append(bytes.fromhex(guest.submit("publish_task", a_task())))
        promises.epoch = max(promises.epoch, peer.call("node_status")["epoch"])


def _check(peer: NodeProcess, genesis: Genesis, promises: Promises, is_full: bool) -> Finding:
    """Look into the data directory of a dead node, in a process of its own."""
    found = ask(lambda: asdict(check_node(peer, genesis, promises, is_full=is_full)))
    return Finding(**found)


def check_node(
    peer: NodeProcess, genesis: Genesis, promises: Promises, *, is_full: bool
) -> Finding:
    """Compare the data directory of a node at rest with what it promised.

    Args:
        peer: dead.
        genesis: of its network.
        promises: what it told.
        is_full: also read everything, and fold every seal anew.
    """
    finding = Finding()
    try:
        store = Store.open(peer.paths.database, genesis)
    except StorageError as error:
        return Finding(half=[f"does not open: {error}"])
    journal, head = store.journal, store.head
    stored = journal.find_stored(promises.ids)
    finding.lost = [f"transaction {i.hex()[:16]}" for i in promises.ids if i not in stored]
    finding.lost += [f"blob {i.hex()[:16]}" for i in promises.blobs if not journal.has_blob(i)]
    if head.epoch < promises.epoch:
        finding.lost.append(f"epochs {head.epoch + 1} to {promises.epoch}")
    finding.faults += [f"equivocation: {key.hex()[:16]}" for key, _ in journal.all_evidence()]
    finding.faults += _find_broken_marks(peer, store)
    if is_full:
        finding.faults += [line for line in scrub(store) if line is not None]
        finding.faults += [line for name in (OWNER, GUEST) for line in _find_gaps(store, name)]
        dead = [i for i in promises.ids if not journal.is_open(i) and not journal.sealed_epoch(i)]
        finding.lost += [f"transaction {tx_id.hex()[:16]} is dead" for tx_id in dead]
        again = Store.in_memory(genesis)
        replayed = replay(journal, again)
        if replayed.stopped is not None or again.head.state_root != head.state_root:
            finding.faults.append(f"refolded to {replayed}, another root than at {head.epoch}")
    store.close()
    return finding


def _find_broken_marks(peer: NodeProcess, store: Store) -> list[str]:
    """Return the marks that cover what is neither in the database nor in the sealer's diary."""
    own = an_address(OWNER)
    last = store.journal.author_head(own)
    diary = DiaryFile(peer.paths.sealer_diary)
    saved = diary.read()
    diary.close()
    faults = []
    for path, most in (
        (peer.paths.signed_seq, -1 if last is None else last[0]),
        (peer.paths.sealed_epoch, max(store.head.epoch, 0 if saved is None else saved[0].epoch)),
    ):
        if path.exists():
            marks = HighWater(path)
            mark = marks.get(own)
            marks.close()
            if mark is not None and mark > most:
                faults.append(f"{path.name} is {mark}, in the database is {most}")
    return faults


def _find_gaps(store: Store, name: str) -> list[str]:
    """Return the places of somebody's chain that are empty or do not follow the one before."""
    author, prev = an_address(name), None
    last = store.journal.author_head(author)
    faults = []
    for seq in range(0 if last is None else last[0] + 1):
        tx = store.journal.at(author, seq)
        if tx is None or tx.header.prev != prev:
            faults.append(f"the chain of {name} breaks at {seq}")
        prev = None if tx is None else tx.tx_id
    return faults


def _go_on(peer: NodeProcess, promises: Promises, tally: Tally) -> None:
    """Start the node once more: it seals on, finds its state sound, and ends when it is asked."""
    peer.start("--sealer.enabled")
    trio.run(peer.wait_up)
    before = max(promises.epoch, peer.call("node_status")["epoch"])
    trio.run(peer.wait, lambda: peer.call("node_status")["epoch"] > before)
    promises.epoch = before + 1
    report = peer.call("check_run")
    if not report["ok"]:
        tally.faults.append(f"the state is not sound: {report}")
    code = trio.run(peer.end)
    if code:
        tally.faults.append(f"the node ended with {code}")
