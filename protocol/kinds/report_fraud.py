"""report_fraud: a miner says publicly, with his name, that an answer looks like fraud.

It is an opinion: what it says moves no money and no reputation. Whoever wants consequences opens a
dispute, where a panel may read it.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol.book import Book, Pot, Refused
from protocol.errors import Rejected
from protocol.fees import split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import is_taking_part, require_submission, require_task
from protocol.params import Bps, Params
from protocol.records import FraudReport
from protocol.schema import Between
from protocol.stakes import is_closed
from protocol.tables import FRAUD_REPORTS, MINERS, report_key
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction

RISK_MIN = 7_001
"""Least risk worth a report, in basis points: what the founding rules flag."""


@dataclass(frozen=True, slots=True)
class ReportFraud:
    """Payload.

    Attributes:
        risk: overall, in basis points.
        ruleset: of the rules by which it was counted.
        analysis_hash: of the whole analysis.
    """

    submission_id: Id
    risk: Bps
    ruleset: Annotated[int, Between(1, 65_535)]
    analysis_hash: Id


def _check(header: Header, payload: Any) -> None:
    if payload.risk < RISK_MIN:
        raise Rejected("bad_risk", payload.risk, f"at least {RISK_MIN}")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return params.validate_fee


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: ReportFraud = tx.payload
    reporter = tx.header.author
    task = require_task(book, tx.header.subject)
    submission = require_submission(book, task, payload.submission_id)
    if reporter == submission.miner:
        raise Refused("own_answer", "the miner himself", "somebody else")
    miner = book.sealed.get(MINERS, reporter)
    if miner is None or not is_taking_part(miner):
        raise Refused("not_registered", reporter.hex()[:16], "an active miner at the last seal")
    if submission.content_hash is None:
        raise Refused("not_revealed", "a hidden answer", "one that was shown")
    if is_closed(task):
        raise Refused("task_closed", task.status.name.lower(), "a task that is going on")
    key = report_key(payload.submission_id, reporter)
    earlier = book.get(FRAUD_REPORTS, key)
    if earlier is not None:
        raise Refused("already_reported", "a second report", "one", earlier.report_id)
    treasury, burned = split_fee(book.params.validate_fee, book.params)
    book.pay(reporter, Pot.TREASURY, treasury)
    book.pay(reporter, Pot.BURNED, burned)
    report = FraudReport(
        report_id=tx.tx_id,
        task_id=task.task_id,
        submission_id=payload.submission_id,
        reporter=reporter,
        risk=payload.risk,
        ruleset=payload.ruleset,
        analysis_hash=payload.analysis_hash,
        reported_at=book.epoch,
    )
    book.put(FRAUD_REPORTS, key, report)


REPORT_FRAUD = Kind(14, "report_fraud", Stage.DISPUTE, ReportFraud, _check, _compute_debit, _apply)
