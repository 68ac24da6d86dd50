"""check_* and state_*: what the rules refused, and whether this node's state is what it says."""

from typing import Any

import trio

from node.peer import Peer
from node.rpc.method import CURSOR, LIMIT, Method, Param, read_id
from node.rpc.pages import build_page, read_cursor, show_as_of
from node.rpc.views import show_reversal, show_ruling
from node.state_check import StateReport, check_state
from protocol.fold import rule_evidence
from protocol.records import Ruling

FAULTS_SHOWN_MAX = 20
DEADLINE_MS = 120_000
"""A large state takes its time; others are served meanwhile."""


def list_conflicts(peer: Peer, *, task_id: bytes | None, limit: int, cursor: str) -> dict[str, Any]:
    """Return rulings: provisional ones first, then those sealed, the latest first."""
    state = peer.state
    queries = state.store.queries
    next_epoch = state.epoch + 1
    fresh = [rule_evidence(author, seq, next_epoch) for author, seq in state.open.evidence.values()]
    fresh += state.open.rulings()
    wanted = sorted(
        (ruling for ruling in fresh if task_id in (None, ruling.subject)),
        key=lambda ruling: ruling.tx_id,
    )
    provisional = {ruling.tx_id for ruling in wanted}

    def read_sealed(items: int, place: bytes | None) -> Any:
        if task_id is not None:
            return queries.rulings_of_subject(task_id, items, place)
        return queries.rulings(items, place)

    def show(ruling: Ruling) -> dict[str, Any]:
        return show_ruling(ruling, is_provisional=ruling.tx_id in provisional)

    return build_page(
        state,
        limit=limit,
        cursor=cursor,
        open_rows=[(ruling.tx_id, ruling) for ruling in wanted],
        read_sealed=read_sealed,
        show=show,
    )


def list_evidence(peer: Peer) -> dict[str, Any]:
    """Return every equivocation this node has proof of."""
    items = [
        {
            "evidence_id": evidence_id.hex(),
            "author": row.author.hex(),
            "seq": row.seq,
            "sealed_epoch": row.sealed,
            "provisional": row.sealed is None,
            "proof": "0x" + row.proof.hex(),
        }
        for evidence_id, row in peer.state.store.journal.all_evidence()
    ]
    return {"items": items, "next_cursor": None, "as_of": show_as_of(peer.state)}


def list_reversals(peer: Peer, *, limit: int, cursor: str) -> dict[str, Any]:
    """Return provisional results of this node that a seal changed, the latest first.

    Only the latest are kept; `total` counts all. Other nodes showed other things.
    """
    records = peer.state.store.local.reversals
    page = records.page(limit, read_cursor(cursor))
    return {
        "items": [show_reversal(one) for one in page.items],
        "next_cursor": None if page.cursor is None else page.cursor.hex(),
        "total": records.total,
        "as_of": show_as_of(peer.state),
    }


async def run_check(peer: Peer) -> dict[str, Any]:
    """Compute the state root anew from the rows, add all money up, check every row's rules."""
    state = peer.state
    steps = check_state(state.store)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            report: StateReport = end.value
            break
        await trio.lowlevel.checkpoint()
    return {"ok": report.is_sound and state.alarm is None, **show_report(report, state.alarm)}


def show_report(report: StateReport, alarm: str | None) -> dict[str, Any]:
    """Return a report for people and programs."""
    return {
        "epoch": report.epoch,
        "rows": report.rows,
        "state_root": report.wanted.hex(),
        "recomputed_root": report.found.hex(),
        "root_equal": report.found == report.wanted,
        "rules_checked": report.rules_checked,
        "broken": list(report.broken[:FAULTS_SHOWN_MAX]),
        "alarm": alarm,
    }


def read_state_root(peer: Peer) -> dict[str, Any]:
    """Return the sealed state in two hashes."""
    return {**show_as_of(peer.state), "seal_hash": peer.state.seal_hash.hex()}


METHODS = (
    Method(
        "check_conflicts",
        list_conflicts,
        "What the rules refused, and what it lost to.",
        (Param("task_id", read_id, "only of this task", None), LIMIT, CURSOR),
    ),
    Method(
        "check_reversals",
        list_reversals,
        "What this node showed as provisional and a seal made otherwise.",
        (LIMIT, CURSOR),
    ),
    Method("check_evidence", list_evidence, "Every equivocation there is proof of."),
    Method(
        "check_run",
        run_check,
        "Compute the state root anew and check every row.",
        deadline_ms=DEADLINE_MS,
    ),
    Method("state_root", read_state_root, "The sealed state in two hashes."),
)
