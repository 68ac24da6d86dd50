"""The bond of a dispute and the deposits of its appeals: who has them back, and who gets the rest.

Rules:
1. All of it is locked in the row of the dispute; when the dispute ends, all of it has gone.
2. Who is right has his money back. Of who is wrong, half goes to the other side and half to the
   arbiters who judged. Where nobody judged, nobody is wrong, except who withdrew or was dismissed.
3. Whatever is split is split by largest remainder, so nothing is lost.
"""

from collections.abc import Sequence
from dataclasses import replace

from protocol.book import Book, Note, Pot
from protocol.convictions import read_verdict
from protocol.dispute_records import Appeal, Choice, DisputeCase
from protocol.fees import split_fee
from protocol.judgment import is_same_judgment
from protocol.phases import DisputeStatus
from protocol.reputation import PENALTY_POINTS, Violation
from protocol.rewards import split_amount
from protocol.tables import MINERS


def count_locked(case: DisputeCase) -> int:
    """Return the nano-units that a dispute holds."""
    return case.bond + sum(appeal.deposit for appeal in case.appeals)


def settle_bonds(book: Book, case: DisputeCase) -> DisputeCase:
    """Return an ended dispute with nothing locked any more."""
    forfeited = _settle_bond(book, case)
    for place, appeal in enumerate(case.appeals):
        forfeited += _settle_deposit(book, case, appeal, place)
    appeals = tuple(replace(appeal, deposit=0) for appeal in case.appeals)
    return replace(case, bond=0, appeals=appeals, forfeited=forfeited)


def _settle_bond(book: Book, case: DisputeCase) -> int:
    """Pay the disputer's bond to whom it belongs; return how much of it he lost."""
    verdict = read_verdict(case)
    match case.status:
        case DisputeStatus.WITHDRAWN:
            # No panel had any work. What he loses keeps disputes from being used up for nothing.
            lost = case.bond // 2
            _divide(book, case.defendants, lost)
        case DisputeStatus.DISMISSED:
            lost = case.bond
            _forfeit(book, case.bond, case.defendants, ())
        case _ if verdict is not None and verdict.choice is Choice.UPHOLD:
            lost = case.bond
            _forfeit(book, case.bond, case.defendants, find_judges(case, verdict.hearing))
            if book.sealed.get(MINERS, case.disputer) is not None:
                points = PENALTY_POINTS[Violation.FRIVOLOUS_DISPUTE]
                book.note(Note(case.disputer, penalty=points, forfeited=lost))
        case _:
            lost = 0
    book.pay(Pot.STAKE, case.disputer, case.bond - lost)
    return lost


def _settle_deposit(book: Book, case: DisputeCase, appeal: Appeal, place: int) -> int:
    """Pay an appellant's deposit to whom it belongs; return how much of it he lost.

    Appeal number `place` is against judgment number `place`. It was right if the next hearing came
    to another one; where there is no next judgment nobody knows.
    """
    heard = place + 1 < len(case.judgments)
    if not heard or not is_same_judgment(case.judgments[place], case.judgments[place + 1]):
        book.pay(Pot.STAKE, appeal.appellant, appeal.deposit)
        return 0
    others = case.defendants if appeal.appellant == case.disputer else (case.disputer,)
    _forfeit(book, appeal.deposit, others, find_judges(case, case.judgments[place + 1].hearing))
    return appeal.deposit


def find_judges(case: DisputeCase, hearing: int) -> tuple[bytes, ...]:
    """Return the arbiters who took a side in a hearing, sorted."""
    return tuple(
        sorted(
            vote.arbiter
            for vote in case.votes
            if vote.hearing == hearing and vote.choice is not Choice.ABSTAIN
        )
    )


def _forfeit(book: Book, amount: int, others: Sequence[bytes], judges: Sequence[bytes]) -> None:
    half = amount // 2
    _divide(book, others, half)
    if judges:
        _divide(book, judges, amount - half)
    else:
        treasury, burned = split_fee(amount - half, book.params)
        book.pay(Pot.STAKE, Pot.TREASURY, treasury)
        book.pay(Pot.STAKE, Pot.BURNED, burned)


def _divide(book: Book, recipients: Sequence[bytes], amount: int) -> None:
    parts = split_amount(amount, [1] * len(recipients))
    for recipient, part in zip(recipients, parts, strict=True):
        book.pay(Pot.STAKE, recipient, part)
