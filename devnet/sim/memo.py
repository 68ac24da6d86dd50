"""What is pure is computed once for all peers of a run: it would come out the same.

Every peer verifies the same signatures, reads the same rows, encodes and hashes them. Here these
functions of bytes and of frozen records remember what they returned, by all that they were given.
Folding itself is not one of them: each peer folds for itself, over its own disk. Only if what comes
out is equal to what came out elsewhere do the two become one object, so that it is checked, encoded
and indexed once; if it is not, they differ in all that follows, as they should.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from node import sealing
from protocol import ballots, keys, lthash, seals, secret_box, transactions
from protocol.fold import Outcome
from protocol.genesis import Genesis
from protocol.invariants import ConsistencyChecker
from protocol.tables import Table
from storage import commit

_BY_VALUE: tuple[tuple[Any, str], ...] = (
    (lthash, "_hash_row"),
    (Table, "decode_row"),
    (seals, "compute_sealers_hash"),
    (secret_box, "build_deal"),
    (secret_box, "check_deal"),
    (secret_box, "build_opening"),
    (secret_box, "check_opening"),
    (secret_box, "recover_secret"),
)
_BY_RECORD: tuple[tuple[Any, str], ...] = (
    (Table, "encode_row"),
    (commit, "compute_index_keys"),
    (ConsistencyChecker, "check"),
)
_VERIFYING = (seals, ballots, transactions)

Quick = Callable[..., Any]


@contextmanager
def remembering() -> Iterator[None]:
    """Let pure functions of the product remember what they returned while the block lasts.

    Whatever stands in their place at the beginning is what is remembered: a planted bug stays.
    """
    is_valid = lru_cache(None)(keys.is_valid_signature)
    places: list[tuple[Any, str, Any]] = [
        *((owner, "is_valid_signature", is_valid) for owner in _VERIFYING),
        *((owner, name, lru_cache(None)(vars(owner)[name])) for owner, name in _BY_VALUE),
        *((owner, name, _remember_record(vars(owner)[name])) for owner, name in _BY_RECORD),
        (Genesis, "hash", property(_remember_record(vars(Genesis)["hash"].fget))),
        (sealing, "fold_epoch", _make_one(vars(sealing)["fold_epoch"])),
    ]
    originals = [vars(owner)[name] for owner, name, _ in places]
    for owner, name, quick in places:
        setattr(owner, name, quick)
    try:
        yield
    finally:
        for (owner, name, _), original in zip(places, originals, strict=True):
            setattr(owner, name, original)


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


def _make_one(fold: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Return for equal outcomes of one epoch the same object."""
    known: dict[int, list[Outcome]] = {}

    def fold_once_more(*arguments: Any) -> Outcome:
        outcome = fold(*arguments)
        others = known.setdefault(outcome.epoch, [])
        for other in others:
            if other == outcome:
                return other
        others.append(outcome)
        return outcome

    return fold_once_more
