"""Planted bugs of the door, the open set, reconciliation and the conversations."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import trio

from devnet.sim.plan import CORE, NODE
from devnet.sim.zoo import Bug, Patch
from node import sealing
from node.door import Accepted, Door
from node.monitor import Monitor
from node.open_chains import OpenChains
from node.open_set import OpenSet
from node.state_manager import StateManager
from node.sync.manager import SyncManager
from node.sync.peers import PeerBook
from node.sync.server import Server
from node.transport.base import Transport, TransportError
from node.transport.seen import SeenIds
from protocol.messages import Items
from protocol.reconcile import ReconcileSession
from protocol.transactions import SignedTransaction
from storage.journal import Journal

_judge: Callable[..., str | None] = Door._judge
_accept = StateManager.accept
_compare: Callable[..., None] = ReconcileSession._compare
_count: Callable[..., None] = OpenSet._count
_converse: Callable[..., Any] = SyncManager._converse_guarded
_fail: Callable[..., None] = PeerBook.fail


def _first_seen_wins() -> list[Patch]:
    def judge(door: Door, tx: SignedTransaction, rival: Any, *, is_link: bool) -> str | None:
        return "rival" if rival is not None else _judge(door, tx, rival, is_link=is_link)

    return [Patch(Door, "_judge", judge)]


def _arrival_decides() -> list[Patch]:
    def judge(door: Door, tx: SignedTransaction, rival: Any, *, is_link: bool) -> str | None:
        if tx.header.epoch + 1 < door._store.head.epoch:
            return "too_late_here"
        return _judge(door, tx, rival, is_link=is_link)

    return [Patch(Door, "_judge", judge)]


def _dropped_when_heard_again() -> list[Patch]:
    def accept(state: StateManager, transactions: Any, source: str | None) -> Accepted:
        heard = list(transactions)
        accepted = _accept(state, heard, source)
        for tx in heard:
            if tx.tx_id not in accepted.stored and tx.tx_id in state.open.transactions:
                state.open._remove(tx)
        return accepted

    return [Patch(StateManager, "accept", accept)]


def _evidence_ignored() -> list[Patch]:
    return [Patch(Door, "is_storable", lambda door, proof: False)]


def _evidence_stays_home() -> list[Patch]:
    return [Patch(Journal, "evidence_proof", lambda journal, evidence_id: None)]


def _gaps_unseen() -> list[Patch]:
    def find_none(*arguments: Any) -> list[Any]:
        return []

    return [Patch(sealing, "find_gaps", find_none)]


def _last_one_lost() -> list[Patch]:
    def compare(
        session: ReconcileSession, lower: int, upper: int, payload: bytes, have: Any, need: Any
    ) -> None:
        _compare(session, lower, upper, payload, have, need)
        for found in (have, need):
            if found:
                found.pop()

    return [Patch(ReconcileSession, "_compare", compare)]


def _fingerprint_only_grows() -> list[Patch]:
    return [Patch(OpenSet, "_count", lambda opened, item, sign: _count(opened, item, 1))]


def _fold_left_dirty() -> list[Patch]:
    real: Callable[..., None] = OpenSet._make_effective

    def make_effective(opened: OpenSet, tx: SignedTransaction) -> None:
        dirty = set(opened._dirty)
        real(opened, tx)
        if len(opened._by_subject[tx.header.subject]) > 1:
            opened._dirty = dirty

    return [Patch(OpenSet, "_make_effective", make_effective)]


def _links_not_asked_for() -> list[Patch]:
    def take_linked(chains: OpenChains, author: bytes) -> Iterator[SignedTransaction]:
        waiting = chains._waiting.pop(author, [])
        mine = chains.of(author)
        yield from (mine[seq] for seq in sorted(waiting) if seq in mine)

    return [Patch(OpenChains, "take_linked", take_linked)]


def _one_conversation() -> list[Patch]:
    async def converse(manager: SyncManager, *arguments: Any) -> None:
        await _converse(manager, *arguments)
        await trio.sleep_forever()

    return [Patch(SyncManager, "_converse_guarded", converse)]


def _one_dial() -> list[Patch]:
    async def redial(manager: SyncManager, transport: Transport) -> None:
        for address in list(manager._bootstrap):
            try:
                await transport.dial(address)
            except TransportError:
                continue

    return [Patch(SyncManager, "_redial", redial)]


def _failures_ban() -> list[Patch]:
    def fail(book: PeerBook, name: str, now_s: float) -> None:
        _fail(book, name, now_s)
        book.get(name).banned_until_s = now_s + 3_600

    return [Patch(PeerBook, "fail", fail)]


def _tasks_without_end() -> list[Patch]:
    async def run(monitor: Monitor) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep(0.02)

    return [Patch(Monitor, "run", run)]


def _heard_for_the_first_time() -> list[Patch]:
    return [
        Patch(SeenIds, "has", lambda seen, message_id: False),
        Patch(SeenIds, "add", lambda seen, message_id: True),
    ]


def _nothing_given() -> list[Patch]:
    def collect(server: Server, ids: Sequence[bytes]) -> Items:
        return Items((), ())

    return [Patch(Server, "_collect", collect)]


BUGS: tuple[Bug, ...] = (
    Bug("first_seen_wins", "the first of two faces stays", CORE, _first_seen_wins),
    Bug("arrival_decides", "what comes late is refused by when it came", CORE, _arrival_decides),
    Bug(
        "dropped_when_heard_again",
        "a transaction heard twice is dropped",
        CORE,
        _dropped_when_heard_again,
    ),
    Bug("evidence_ignored", "two faces make no evidence", CORE, _evidence_ignored),
    Bug("evidence_stays_home", "proofs are given to nobody", CORE, _evidence_stays_home),
    Bug("gaps_unseen", "a seal is not asked which dead links it rests on", CORE, _gaps_unseen),
    Bug("last_one_lost", "reconciliation loses the last id", CORE, _last_one_lost),
    Bug("fingerprint_only_grows", "what leaves stays counted", CORE, _fingerprint_only_grows),
    Bug("fold_left_dirty", "a second transaction is not folded", CORE, _fold_left_dirty),
    Bug("links_not_asked_for", "unlinked transactions are sealed", CORE, _links_not_asked_for),
    Bug("one_conversation", "a broken conversation is the last", NODE, _one_conversation),
    Bug("one_dial", "nobody is dialled again", NODE, _one_dial),
    Bug("failures_ban", "whoever cannot be reached is banned", NODE, _failures_ban),
    Bug("tasks_without_end", "a task is begun for each look", NODE, _tasks_without_end),
    Bug(
        "heard_for_the_first_time",
        "an announcement is passed on for ever",
        NODE,
        _heard_for_the_first_time,
    ),
    Bug("nothing_given", "what is asked for is not given", NODE, _nothing_given),
)
