"""add_evidence: a side of an open dispute adds to its file."""

from dataclasses import dataclass, replace
from typing import Any

from protocol.book import Book, Pot, Refused
from protocol.dispute_records import EVIDENCE_EACH_MAX, EVIDENCE_MAX, Evidence, EvidenceType
from protocol.disputes import find_parties, require_dispute
from protocol.fees import split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_task
from protocol.params import Params
from protocol.phases import OPEN_DISPUTES
from protocol.tables import DISPUTES, dispute_key
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class AddEvidence:
    """Payload: one item; its content travels as a blob of that hash."""

    dispute_id: Id
    type: EvidenceType
    content_hash: Id


def _check(header: Header, payload: Any) -> None:
    """Nothing to see without the state."""


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return params.validate_fee


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: AddEvidence = tx.payload
    author = tx.header.author
    task = require_task(book, tx.header.subject)
    case = require_dispute(book, task, payload.dispute_id, *OPEN_DISPUTES)
    if author not in find_parties(task, case):
        raise Refused("not_a_party", author.hex()[:16], "a side of the dispute")
    if any(one.content_hash == payload.content_hash for one in case.evidence):
        raise Refused("already_there", payload.content_hash.hex()[:16], "new evidence")
    mine = sum(one.submitter == author for one in case.evidence)
    if mine >= EVIDENCE_EACH_MAX or len(case.evidence) >= EVIDENCE_MAX:
        wanted = f"at most {EVIDENCE_EACH_MAX} from each side, {EVIDENCE_MAX} in all"
        raise Refused("too_much_evidence", f"{mine} of {len(case.evidence)} items", wanted)
    treasury, burned = split_fee(book.params.validate_fee, book.params)
    book.pay(author, Pot.TREASURY, treasury)
    book.pay(author, Pot.BURNED, burned)
    item = Evidence(payload.type, payload.content_hash, author, book.epoch)
    case = replace(case, evidence=(*case.evidence, item))
    book.put(DISPUTES, dispute_key(task.task_id, case.round), case)


ADD_EVIDENCE = Kind(9, "add_evidence", Stage.DISPUTE, AddEvidence, _check, _compute_debit, _apply)
