"""What people do about a dispute, in any world: objecting, judging, appealing, waiting."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from protocol.dispute_records import (
    Choice,
    DisputeCase,
    DisputeType,
    EvidenceType,
)
from protocol.fees import compute_bond_min
from protocol.genesis import Genesis
from protocol.kinds.add_evidence import AddEvidence
from protocol.kinds.appeal_dispute import AppealDispute
from protocol.kinds.open_dispute import Exhibit, OpenDispute
from protocol.kinds.report_fraud import ReportFraud
from protocol.kinds.vote_dispute import VoteDispute
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.records import ROLE_VALIDATOR
from protocol.tables import DISPUTES, dispute_key
from protocol.transactions import SignedTransaction
from tests.support.builders import ARBITERS, CAST, COIN, a_genesis, a_hash, name_of
from tests.support.world import World

W = TypeVar("W", bound=World)

BOND = compute_bond_min(10 * COIN)
"""Of a task of the builders."""
EXHIBIT = Exhibit(EvidenceType.TECHNICAL_ANALYSIS, a_hash("proof"))


def a_court() -> World:
    """Return a world with enough validators for a dispute and two appeals, all registered."""
    return settle_court(World(a_court_genesis()))


def a_court_genesis(*more: str) -> Genesis:
    """Return the genesis of a network in which the arbiters, and whoever is named, have money."""
    return a_genesis(cast=(*CAST, *ARBITERS, *more))


def settle_court(world: W) -> W:
    """Register the cast and the arbiters; return the world."""
    world.settle_cast()
    world.seal(*(world.register(who, roles=ROLE_VALIDATOR) for who in ARBITERS))
    return world


def a_dispute_opening(**changes: Any) -> OpenDispute:
    """Return the payload of an objection to a whole task."""
    payload = OpenDispute(DisputeType.QUALITY_ASSESSMENT, None, (EXHIBIT,), "", BOND)
    return replace(payload, **changes)


def a_judgment(dispute_id: bytes, choice: Choice, **changes: Any) -> VoteDispute:
    """Return the payload of an arbiter's vote."""
    return replace(VoteDispute(dispute_id, 0, choice, 0, (), (), ""), **changes)


def an_appeal(dispute_id: bytes, **changes: Any) -> AppealDispute:
    """Return the payload of an appeal against the first judgment."""
    return replace(AppealDispute(dispute_id, 0, "", a_hash("news"), BOND), **changes)


def a_report(submission_id: bytes, **changes: Any) -> ReportFraud:
    """Return the payload of a report of fraud."""
    return replace(ReportFraud(submission_id, 9_000, 1, a_hash("analysis")), **changes)


def report(world: World, who: str, task_id: bytes, miner: str, **changes: Any) -> SignedTransaction:
    """Return somebody's report of the answer of `miner`."""
    payload = a_report(world.submission_id(task_id, miner), **changes)
    return world.sign(who, "report_fraud", payload, subject=task_id)


def object_to(world: World, who: str, task_id: bytes, **changes: Any) -> SignedTransaction:
    """Return somebody's objection."""
    return world.sign(who, "open_dispute", a_dispute_opening(**changes), subject=task_id)


def bring(world: World, who: str, task_id: bytes, what: str = "more proof") -> SignedTransaction:
    """Return an item of evidence."""
    case = case_of(world, task_id)
    payload = AddEvidence(case.dispute_id, EvidenceType.PRIOR_ART, a_hash(what))
    return world.sign(who, "add_evidence", payload, subject=task_id)


def withdraw(world: World, who: str, task_id: bytes) -> SignedTransaction:
    """Return somebody's withdrawal of the present dispute."""
    payload = WithdrawDispute(case_of(world, task_id).dispute_id)
    return world.sign(who, "withdraw_dispute", payload, subject=task_id)


def arbitrate(
    world: World, who: str, task_id: bytes, choice: Choice, **changes: Any
) -> SignedTransaction:
    """Return an arbiter's vote in the present hearing."""
    case = case_of(world, task_id)
    payload = a_judgment(case.dispute_id, choice, **{"hearing": case.hearing, **changes})
    return world.sign(who, "vote_dispute", payload, subject=task_id)


def appeal(world: World, who: str, task_id: bytes, **changes: Any) -> SignedTransaction:
    """Return somebody's appeal against the present judgment."""
    case = case_of(world, task_id)
    payload = an_appeal(case.dispute_id, **{"hearing": case.hearing, **changes})
    return world.sign(who, "appeal_dispute", payload, subject=task_id)


def case_of(world: World, task_id: bytes, round_: int | None = None) -> DisputeCase:
    """Return the dispute of a round, else the latest of a task."""
    if round_ is not None:
        return world.require(DISPUTES, dispute_key(task_id, round_))
    rounds = range(world.task(task_id).lifecycle.round, -1, -1)
    found = [world.view.get(DISPUTES, dispute_key(task_id, one)) for one in rounds]
    return next(case for case in found if case is not None)


def arbiters(world: World, task_id: bytes) -> list[str]:
    """Return the names of the present panel."""
    return [name_of(address) for address in case_of(world, task_id).panel]


def seat_panel(world: World, task_id: bytes) -> list[str]:
    """Let epochs pass until a panel is drawn; return it."""
    world.pass_until(case_of(world, task_id).pending_until + 1)
    return arbiters(world, task_id)


def hear(world: World, task_id: bytes, choices: Sequence[Choice], **changes: Any) -> None:
    """Draw a panel and have its first members vote; whom they name is in `changes`."""
    panel = seat_panel(world, task_id)
    votes = []
    for who, choice in zip(panel, choices, strict=False):
        named = changes if choice in (Choice.OVERTURN, Choice.VOID, Choice.REVALIDATE) else {}
        votes.append(arbitrate(world, who, task_id, choice, **named))
    world.seal(*votes)


def close(world: World, task_id: bytes) -> DisputeCase:
    """Let epochs pass until the present dispute has ended; return it."""
    round_ = case_of(world, task_id).round
    while case_of(world, task_id, round_).closed_at is None:
        world.seal()
    return case_of(world, task_id, round_)
