"""Every method that shows state says what of it no seal has fixed: walked, not listed by hand.

Each scene is a sealed state and transactions over it. Whatever a method answers otherwise once
these are in the open set must bear the mark, itself or by what it is in.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from node.rpc.method import REQUIRED
from node.rpc.methods import list_methods
from protocol.dispute_records import Choice
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.publish_task import PUBLISH_TASK
from protocol.kinds.submit_answer import SUBMIT_ANSWER
from protocol.kinds.vote_change import VOTE_CHANGE
from protocol.tables import CHANGES, DISPUTES, SUBMISSIONS, TASKS
from protocol.transactions import SignedTransaction
from tests.support.builders import COIN, an_address, name_of
from tests.support.court import (
    a_court_genesis,
    arbitrate,
    object_to,
    report,
    seat_panel,
    settle_court,
)
from tests.support.governing import a_change, back, set_to
from tests.support.rpc import RpcRefused, ServedPeer, a_served_peer
from tests.support.tasks import a_judged_task
from tests.support.waiting import wait_until
from tests.support.watched import WatchedWorld

Replies = dict[tuple[str, str], dict[str, Any]]
Scene = Callable[[WatchedWorld], list[SignedTransaction]]

CHANGING = """
    task_publish task_cancel tx_submit reward_claim fraud_report
    dispute_open dispute_evidence dispute_vote dispute_appeal dispute_withdraw
    change_propose change_vote
    stake_deposit stake_exit stake_withdraw node_stop node_log_level net_peer_add db_backup db_prune
    worker_pause worker_finish worker_resume
    dev_partition dev_heal dev_link dev_outage dev_clock dev_sign dev_author dev_inject
"""
"""What orders something done; all other methods only show, and all of them are walked."""
SEALED_ONLY = """
    charter_get
    ledger_get state_root metrics_latest metrics_list behavior_get analytics_get fraud_get
    fraud_flagged check_run check_reversals
"""
"""What shows the state of a seal and nothing else; `as_of` says of which."""
NO_STATE = """
    node_info net_peers net_addresses key_list worker_status rpc_discover
    db_info db_report db_backup_status db_prune_status dev_look
"""
"""What is about this machine, not about what the network agreed on."""
PASSING = {"uptime_ms", "memory_bytes", "loop_lag_ms", "checks", "provisional"}
TERMS = {
    "task_type": {"type": "general_task", "category": "misc"},
    "title": "Sort",
    "description": "Sort these.",
    "reward": str(10 * COIN),
}


def trade(world: WatchedWorld) -> list[SignedTransaction]:
    """Publications, an answer, contests, a cancellation, a deposit, a newcomer, a liar."""
    first, second, third = (world.open_task(max_participants=1) for _ in range(3))
    liar = world.cancel("mallory", first)
    return [
        world.submit("bob", second),
        world.submit("carol", second),
        world.submit("dave", third),
        world.publish("vera"),
        world.register("eve"),
        world.sign("bob", "adjust_stake", AdjustStake(StakeAction.DEPOSIT, COIN)),
        liar,
        world.sign("mallory", "cancel_task", CancelTask("b"), seq=0, subject=first),
    ]


def pledge(world: WatchedWorld) -> list[SignedTransaction]:
    """Commitments to all votes on two answers: with the next seal votes are open."""
    task_id = world.open_task(max_participants=2)
    world.collect_answers(task_id, ["bob", "carol"])
    world.reveal_answers(task_id, ["bob", "carol"])
    miners = (("bob", 90), ("carol", 80))
    return [world.vote(who, task_id, *one) for who in world.panel(task_id) for one in miners]


def judge(world: WatchedWorld) -> list[SignedTransaction]:
    """All those votes are shown: the next seal completes the task."""
    votes = pledge(world)
    world.seal(*votes)
    return [world.show(vote) for vote in votes]


def pay(world: WatchedWorld) -> list[SignedTransaction]:
    """A claim."""
    task_id = a_judged_task(world)
    world.settle(task_id)
    return [world.claim("bob", task_id, world.entries_of(task_id, "bob")[0])]


def go_to_court(world: WatchedWorld) -> list[SignedTransaction]:
    """A report of an answer, and an objection to what was decided."""
    task_id = a_judged_task(world)
    return [report(world, "vera", task_id, "bob"), object_to(world, "alice", task_id)]


def try_in_court(world: WatchedWorld) -> list[SignedTransaction]:
    """All votes of a panel on an objection."""
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    panel = seat_panel(world, task_id)
    return [arbitrate(world, who, task_id, Choice.UPHOLD) for who in panel]


def change_the_network(world: WatchedWorld) -> list[SignedTransaction]:
    """A vote for a change that was proposed, and the proposal of another."""
    known, new = (a_change(world, set_to("claim_fee", n)) for n in (7, 8))
    world.seal(back(world, "sealer", known))
    other = a_change(world, set_to("validate_fee", 9))
    world.seal(back(world, "sealer", other))
    return [back(world, "sealer", new), back(world, "alice", known)]


SCENES: tuple[Scene, ...] = (
    change_the_network,
    trade,
    pledge,
    judge,
    pay,
    go_to_court,
    try_in_court,
)


def list_ids(served: ServedPeer, signed: list[SignedTransaction]) -> dict[str, list[str]]:
    """Return values for the parameters that name something, by name."""
    opened, rows = served.peer.state.open, served.peer.state.store.rows
    tasks = dict(rows.scan(TASKS)) | opened.rows(TASKS)
    submissions = dict(rows.scan(SUBMISSIONS)) | opened.rows(SUBMISSIONS)
    disputes = dict(rows.scan(DISPUTES)) | opened.rows(DISPUTES)
    changes = dict(rows.scan(CHANGES)) | opened.rows(CHANGES)
    names = ("alice", "bob", "vera", "eve", "mallory")
    return {
        "task_id": [key.hex() for key in tasks],
        "submission_id": [key.hex() for key in submissions],
        "dispute_id": [row.dispute_id.hex() for row in disputes.values()],
        "change_id": [key.hex() for key in changes],
        "tx_id": [tx.tx_id.hex() for tx in signed],
        "address": [an_address(name).hex() for name in names],
    }


def list_calls(ids: dict[str, list[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the calls of every method that only shows: once for each thing it can be asked of."""
    changing = set(CHANGING.split())
    methods = {method.name: method for method in list_methods(has_faults=True)}
    assert changing <= set(methods), "a list that has rotted"
    for name in sorted(set(methods) - changing):
        given = {param.name for param in methods[name].params}
        fixed: dict[str, Any] = {"limit": 500} if "limit" in given else {}
        if "terms" in given:
            fixed |= {"terms": TERMS, "data": "0x"}
        if "timeout_ms" in given:
            fixed |= {"timeout_ms": 0}
        named = sorted(given & set(ids))
        for param in named:
            for value in ids[param]:
                yield name, {**fixed, param: value}
        needed = {param.name for param in methods[name].params if param.default is REQUIRED}
        if needed <= set(fixed):
            yield name, fixed


async def ask_all(served: ServedPeer, ids: dict[str, list[str]]) -> Replies:
    """Return all replies, by method and what was asked for; nothing for what is not there."""
    replies: Replies = {}
    for name, params in list_calls(ids):
        try:
            reply = await served.call(name, **params)
        except RpcRefused as error:
            if not error.name.startswith("no_"):
                raise
            reply = {}
        replies[(name, str(sorted(params.items(), key=str)))] = reply
    return replies


def find_unmarked(before: Any, after: Any, path: str, *, is_marked: bool) -> Iterator[str]:
    """Yield where `after` differs from `before` without a mark."""
    if isinstance(after, dict):
        is_marked = after.get("provisional", is_marked)
        known = before if isinstance(before, dict) else {}
        for name, value in after.items():
            if name not in PASSING:
                where = f"{path}.{name}"
                yield from find_unmarked(known.get(name), value, where, is_marked=is_marked)
    elif isinstance(after, list):
        known_items = before if isinstance(before, list) else []
        for place, item in enumerate(after):
            same = find_same(known_items, item, place)
            yield from find_unmarked(same, item, f"{path}[{place}]", is_marked=is_marked)
    elif before != after and not is_marked:
        yield f"{path}: {before} is {after}"


def find_same(known: list[Any], item: Any, place: int) -> Any:
    """Return the item of another list that is about the same thing."""
    is_named = isinstance(item, dict)
    names = [name for name in item if name.endswith("_id") or name == "address"] if is_named else []
    if not names:
        return known[place] if place < len(known) else None
    key = [item[name] for name in names]
    return next((one for one in known if [one.get(name) for name in names] == key), None)


@asynccontextmanager
async def walk(scene: Scene, folder: Path) -> AsyncIterator[tuple[Replies, Replies]]:
    """Give all replies over a scene's sealed state, and all once its transactions are open."""
    world = WatchedWorld(a_court_genesis("sealer"))
    settle_court(world)
    signed = scene(world)
    store = world.state.store
    async with a_served_peer(folder, genesis=world.genesis, store=store) as served:

        def has_opinions() -> bool:
            latest = store.local.metrics_latest()
            return latest is not None and latest.epoch == world.epoch

        await wait_until(has_opinions)
        ids = list_ids(served, signed)
        # What will be there is asked for before it is, too.
        ids["task_id"] += [tx.header.subject.hex() for tx in signed if is_publication(tx)]
        ids["change_id"] += [
            tx.header.subject.hex() for tx in signed if tx.header.kind == VOTE_CHANGE.code
        ]
        ids["dispute_id"] += [tx.tx_id.hex() for tx in signed]
        ids["submission_id"] += [
            world.submission_id(tx.header.subject, name_of(tx.header.author)).hex()
            for tx in signed
            if tx.header.kind == SUBMIT_ANSWER.code
        ]
        before = await ask_all(served, ids)
        served.peer.state.accept(signed, None)
        yield before, await ask_all(served, ids)


def is_publication(tx: SignedTransaction) -> bool:
    return tx.header.kind == PUBLISH_TASK.code


async def test_whatever_the_open_set_changes_in_a_reply_is_marked(tmp_path: Path) -> None:
    no_state, sealed_only = set(NO_STATE.split()), set(SEALED_ONLY.split())
    marked: set[str] = set()
    for scene in SCENES:
        async with walk(scene, tmp_path) as (before, after):
            for call, reply in after.items():
                name = call[0]
                if name in no_state:
                    continue
                # Of what was not there, only the seal that the reply stands on is known.
                known = before[call] or {"as_of": reply.get("as_of")}
                unmarked = list(find_unmarked(known, reply, name, is_marked=False))
                assert unmarked == [], scene.__name__
                if before[call] != reply and name not in sealed_only:
                    marked.add(name)
                if name in sealed_only and reply:
                    assert "provisional" not in str(reply)
                    assert "as_of" in reply or "epoch" in reply
    shown = {name for name, _ in list_calls({})} | {call[0] for call in after}
    assert shown - marked == no_state | sealed_only, "a method that no scene changes"


def test_a_change_without_a_mark_is_found() -> None:
    before = {"items": [{"task_id": "a", "status": "x", "provisional": False}], "count": 1}
    after = {"items": [{"task_id": "a", "status": "y", "provisional": False}], "count": 2}
    found = list(find_unmarked(before, after, "r", is_marked=False))
    assert found == ["r.items[0].status: x is y", "r.count: 1 is 2"]
    after["provisional"] = True
    assert list(find_unmarked(before, after, "r", is_marked=False)) == found[:1]
