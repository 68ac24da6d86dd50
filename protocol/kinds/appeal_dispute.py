"""appeal_dispute: a side of a dispute asks another panel, with a deposit."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from protocol.book import Book, Pot, Refused
from protocol.dispute_records import (
    EVIDENCE_MAX,
    REASON_BYTES_MAX,
    Appeal,
    Evidence,
    EvidenceType,
)
from protocol.disputes import find_parties, require_dispute
from protocol.fees import compute_bond_min, split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_before, require_task
from protocol.params import Amount, Params, Small
from protocol.phases import DisputeStatus
from protocol.schema import AtMost
from protocol.tables import DISPUTES, dispute_key
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction
from protocol.verdicts import step_dispute


@dataclass(frozen=True, slots=True)
class AppealDispute:
    """Payload.

    Attributes:
        hearing: whose judgment is appealed against.
        reason: for people.
        evidence: hash of a blob that the next panel should see, None without any.
        deposit: nano-units locked until the dispute ends.
    """

    dispute_id: Id
    hearing: Small
    reason: Annotated[str, AtMost(REASON_BYTES_MAX)]
    evidence: Id | None
    deposit: Amount


def _check(header: Header, payload: Any) -> None:
    """Nothing to see without the state."""


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(tx.payload.deposit) + params.validate_fee


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: AppealDispute = tx.payload
    author = tx.header.author
    task = require_task(book, tx.header.subject)
    case = require_dispute(book, task, payload.dispute_id, DisputeStatus.RESOLVED_APPEALABLE)
    if payload.hearing != case.hearing:
        raise Refused("wrong_hearing", payload.hearing, case.hearing)
    require_before(book.epoch, case.appeal_deadline or 0)
    if author not in find_parties(task, case):
        raise Refused("not_a_party", author.hex()[:16], "a side of the dispute")
    least = compute_bond_min(task.terms.reward)
    if payload.deposit < least:
        raise Refused("bond_too_small", payload.deposit, f"at least {least}")
    treasury, burned = split_fee(book.params.validate_fee, book.params)
    book.pay(author, Pot.STAKE, payload.deposit)
    book.pay(author, Pot.TREASURY, treasury)
    book.pay(author, Pot.BURNED, burned)
    evidence = case.evidence
    known = {one.content_hash for one in evidence}
    if payload.evidence is not None and payload.evidence not in known:
        item = Evidence(EvidenceType.TECHNICAL_ANALYSIS, payload.evidence, author, book.epoch)
        evidence = (*evidence, item)[:EVIDENCE_MAX]
    appeal = Appeal(author, tx.tx_id, payload.reason, book.epoch, payload.deposit)
    case = replace(
        step_dispute(case, DisputeStatus.APPEALED),
        evidence=evidence,
        hearing=case.hearing + 1,
        pending_until=book.epoch,
        voting_deadline=None,
        resolution_deadline=None,
        appeal_deadline=None,
        panel=(),
        earlier_panels=tuple(sorted((*case.earlier_panels, *case.panel))),
        appeals=(*case.appeals, appeal),
    )
    book.put(DISPUTES, dispute_key(task.task_id, case.round), case)


APPEAL_DISPUTE = Kind(
    11, "appeal_dispute", Stage.DISPUTE, AppealDispute, _check, _compute_debit, _apply
)
