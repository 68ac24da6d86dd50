"""What is pure is computed once for all peers of a run: it would come out the same.

Every peer verifies the same signatures, reads the same rows, encodes and hashes them. Here these
functions of bytes and of frozen records remember what they returned, by all that they were given.
Folding reads each peer's own disk: `devnet.sim.fold_memo` says when it is not done again. Then two
peers hold one outcome, so that it is checked, encoded and indexed once.

The people of a simulation deal the same secrets in every run (`devnet.sim.cast`), so what was dealt
and opened is remembered for longer: for all runs of the process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from devnet.sim.fold_memo import FoldMemo
from node import open_set, sealing
from protocol import ballots, keys, lthash, seals, secret_box, sharing, transactions
from protocol.book import Refused
from protocol.charter_records import Charter
from protocol.epoch import Epoch
from protocol.fold import Outcome, SubjectOutcome
from protocol.genesis import Genesis
from protocol.intake import Intake
from protocol.invariants import ConsistencyChecker
from protocol.keys import Signer
from protocol.tables import Table
from protocol.transactions import SignedTransaction
from protocol.view import StateView
from storage import commit

_LASTING: tuple[tuple[Any, str], ...] = (
    (secret_box, "build_deal"),
    (secret_box, "check_deal"),
    (secret_box, "build_opening"),
    (secret_box, "check_opening"),
    (secret_box, "recover_secret"),
)
LASTING_MAX = 4_096
"""Results of each of these that are kept."""
_BY_VALUE: tuple[tuple[Any, str], ...] = (
    (lthash, "_hash_row"),
    (Table, "decode_row"),
    (Intake, "read"),
    (seals, "decode_record"),
    (seals, "compute_sealers_hash"),
    (ballots, "compute_statement"),
)
_BY_RECORD: tuple[tuple[Any, str], ...] = (
    (Table, "encode_row"),
    (commit, "compute_index_keys"),
    (commit, "compute_difference"),
    (sealing, "sum_changes"),
    (Genesis, "rows"),
    (ConsistencyChecker, "check"),
)
_PROPERTIES: tuple[tuple[Any, str], ...] = (
    (Genesis, "hash"),
    (Genesis, "charter"),
    (SignedTransaction, "wire"),
)
_VERIFYING = (seals, ballots, sharing, transactions)

Quick = Callable[..., Any]


@contextmanager
def remembering() -> Iterator[None]:
    """Let pure functions of the product remember what they returned while the block lasts.

    Whatever stands in their place at the beginning is what is remembered: a planted bug stays.
    """
    sign, is_valid = _remember_signatures(Signer.sign, keys.is_valid_signature)
    fold, fold_subject = _make_memo_of_folds(
        vars(sealing)["fold_epoch"], vars(open_set)["fold_subject"]
    )
    places: list[tuple[Any, str, Any]] = [
        (Signer, "sign", sign),
        *((owner, "is_valid_signature", is_valid) for owner in _VERIFYING),
        *((owner, name, _remember_lastingly(vars(owner)[name])) for owner, name in _LASTING),
        *((owner, name, lru_cache(None)(vars(owner)[name])) for owner, name in _BY_VALUE),
        *((owner, name, _remember_record(vars(owner)[name])) for owner, name in _BY_RECORD),
        *(
            (owner, name, property(_remember_record(vars(owner)[name].fget)))
            for owner, name in _PROPERTIES
        ),
        (seals, "compute_root", _remember_list(vars(seals)["compute_root"])),
        (sealing, "fold_epoch", fold),
        (open_set, "fold_subject", fold_subject),
    ]
    originals = [vars(owner)[name] for owner, name, _ in places]
    for owner, name, quick in places:
        setattr(owner, name, quick)
    try:
        yield
    finally:
        for (owner, name, _), original in zip(places, originals, strict=True):
            setattr(owner, name, original)


def forget() -> None:
    """Remember nothing of earlier runs: the product is not what it was."""
    _remember_lastingly.cache_clear()


@cache
def _remember_lastingly(function: Quick) -> Quick:
    return lru_cache(LASTING_MAX)(function)


def _remember_signatures(sign: Quick, verify: Quick) -> tuple[Quick, Quick]:
    """Return how to sign and to verify so that nothing is verified which was signed here.

    `devnet.sim.reference` verifies signatures that were sealed all the same.
    """
    known: dict[tuple[bytes, bytes, bytes], bool] = {}

    def sign_once(signer: Signer, message: bytes) -> bytes:
        signature: bytes = sign(signer, message)
        known[(signer.address, message, signature)] = True
        return signature

    def is_valid(address: bytes, message: bytes, signature: bytes) -> bool:
        key = (address, message, signature)
        found = known.get(key)
        if found is None:
            found = known[key] = verify(address, message, signature)
        return found

    return sign_once, is_valid


def _remember_list(function: Quick) -> Quick:
    """Remember by the items of the one argument."""
    remembered = lru_cache(None)(function)
    return lambda items: remembered(tuple(items))


def _remember_record(function: Quick) -> Quick:
    """Remember by the record itself, given last and kept: two that are equal are two."""
    known: dict[int, tuple[Any, Any]] = {}

    def quick(*arguments: Any) -> Any:
        record = arguments[-1]
        found = known.get(id(record))
        if found is None:
            found = known[id(record)] = (record, function(*arguments))
        return found[1]

    return quick


def _make_memo_of_folds(
    fold: Callable[..., Outcome], fold_subject: Callable[..., SubjectOutcome]
) -> tuple[Quick, Quick]:
    """Return how to fold an epoch and a subject if another peer has done the same before."""
    memo = FoldMemo()
    charters: dict[int, Charter] = {}

    def fold_once(view: StateView, genesis: Genesis, epoch: Epoch) -> Outcome:
        ids = tuple(tx.tx_id for tx in epoch.transactions)
        place = (epoch.number, epoch.beacon, epoch.evidence, ids)
        return memo.fold(
            place, view, lambda state: fold(state, genesis, epoch), is_provisional=False
        )

    def fold_subject_once(
        view: StateView,
        charter: Charter,
        network: bytes,
        epoch: Epoch,
        subject: bytes,
        transactions: Sequence[SignedTransaction],
        unfunded: Mapping[bytes, Refused],
    ) -> SubjectOutcome:
        def work(state: StateView) -> SubjectOutcome:
            return fold_subject(state, charter, network, epoch, subject, transactions, unfunded)

        ids = tuple(tx.tx_id for tx in transactions)
        if unfunded and not unfunded.keys().isdisjoint(ids):
            return work(view)
        charters.setdefault(id(charter), charter)
        place = (epoch.number, subject, ids, id(charter))
        return memo.fold(place, view, work, is_provisional=True)

    return fold_once, fold_subject_once
