"""register_miner: somebody enters as a solver, a validator or both, with a stake."""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol.book import Book, Pot, Refused
from protocol.errors import Rejected
from protocol.fees import split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import is_barred
from protocol.params import Amount, Params, Small
from protocol.phases import MinerStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, Miner, Reputation
from protocol.schema import AtMost
from protocol.tables import MINERS
from protocol.task_types import TYPE_SLUGS, Slug
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class RegisterMiner:
    """Payload.

    Attributes:
        roles: 1 solver, 2 validator, 3 both.
        specializations: slugs of task types, sorted, 1 to 10.
        stake: nano-units locked for as long as the miner is registered.
    """

    roles: Small
    specializations: Annotated[tuple[Slug, ...], AtMost(10)]
    stake: Amount
    display_name: Annotated[str, AtMost(64)]
    contact: Annotated[str, AtMost(256)]


def _check(header: Header, payload: Any) -> None:
    if header.subject != header.author:
        raise Rejected("wrong_subject", header.subject.hex()[:16], "the author's address")
    if not 1 <= payload.roles <= ROLE_SOLVER | ROLE_VALIDATOR:
        raise Rejected("bad_roles", payload.roles, "1, 2 or 3")
    slugs = payload.specializations
    if not slugs or list(slugs) != sorted(set(slugs)):
        raise Rejected("unsorted", f"{len(slugs)} specializations", "1 to 10, sorted and unique")
    known = sorted(TYPE_SLUGS.values())
    for slug in slugs:
        if slug not in known:
            raise Rejected("unknown_specialization", slug, " or ".join(known))


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(params.registration_fee + tx.payload.stake)


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: RegisterMiner = tx.payload
    author = tx.header.author
    if is_barred(book.sealed, author):
        # What he signed before that counts may still be sealed; a stake he could never take back.
        raise Refused("barred", author.hex()[:16], "an author who never signed twice")
    known = book.get(MINERS, author)
    if known is not None and known.status is not MinerStatus.EXITED:
        raise Refused("already_registered", author.hex()[:16], "one registration for each key")
    if payload.stake < book.params.miner_stake_min:
        raise Refused("stake_too_small", payload.stake, f"at least {book.params.miner_stake_min}")
    treasury, burned = split_fee(book.params.registration_fee, book.params)
    book.pay(author, Pot.TREASURY, treasury)
    book.pay(author, Pot.BURNED, burned)
    book.pay(author, Pot.STAKE, payload.stake)
    reputation = Reputation(book.params.reputation_start, book.epoch, 0, 0, 0, 0, 0)
    book.put(
        MINERS,
        author,
        Miner(
            address=author,
            roles=payload.roles,
            specializations=payload.specializations,
            display_name=payload.display_name,
            contact=payload.contact,
            status=MinerStatus.ACTIVE,
            registered_at=book.epoch,
            last_active=book.epoch,
            stake=payload.stake,
            # Who comes back keeps his history: leaving must not wash a reputation.
            earned=known.earned if known else 0,
            forfeited=known.forfeited if known else 0,
            reputation=known.reputation if known else reputation,
        ),
    )


REGISTER_MINER = Kind(
    4, "register_miner", Stage.REGISTER, RegisterMiner, _check, _compute_debit, _apply
)
