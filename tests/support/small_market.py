"""A market so small that all of it can be looked at: who is there, and what they can sign.

One task, two publishers, two miners, six validators of whom three are drawn for the task's panel
and three are left to judge a dispute. Every window is as short as the rules allow. What somebody
signs is made once for each content, author and epoch, so the seqs of an author have gaps: the fold
reads no links, which `protocol.chains` checks before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, permutations
from typing import Any

from protocol import kinds
from protocol.book import Book
from protocol.fold import compute_order
from protocol.kind import Stage
from protocol.panel import draw_validators
from protocol.params import MINIMAL
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.transactions import (
    ANCHOR_BYTES,
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from protocol.view import Key, MemoryView
from tests.support.builders import a_genesis, a_hash, a_signer, an_address
from tests.support.world import World

PUBLISHERS = ("alice", "eve")
MINERS = ("bob", "carol")
PANEL = ("vera", "viktor", "violet")
COURT = ("ada", "abel", "agnes")
JUDGES = (*PANEL, *COURT)
EVERYBODY = (*PUBLISHERS, *MINERS, *JUDGES)

PARAMS = replace(
    MINIMAL,
    submission_epochs_min=1,
    reveal_epochs_min=1,
    validation_epochs=1,
    finalize_epochs=1,
    dispute_epochs=1,
    resolution_epochs=2,
    panel_spares=0,
)
GENESIS = a_genesis(cast=EVERYBODY, params=PARAMS)
NETWORK = GENESIS.network

SEQS_PER_EPOCH = 64
FIRST_EPOCH = 1
"""All are registered in it; the task can be published from the next one on."""
TASK_ID = compute_task_id(NETWORK, an_address("alice"), SEQS_PER_EPOCH * (FIRST_EPOCH + 1))
BEACONS = 24
"""How many lots are kept at hand; enough for every order of three who want the same."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody can sign: his name, the kind, the payload, and how a person would call it."""

    who: str
    kind: str
    payload: Any
    label: str

    def __str__(self) -> str:
        return f"{self.who} {self.label}"


Choice = tuple[Deed, ...]
"""What one actor does in one epoch; often nothing."""


@cache
def sign(deed: Deed, epoch: int, place: int) -> SignedTransaction:
    """Return the transaction of a deed.

    Args:
        deed: what is signed.
        epoch: for which it is signed.
        place: among what the author signs for this epoch.
    """
    header = Header(
        version=VERSION,
        network=NETWORK,
        kind=kinds.BY_NAME[deed.kind].code,
        author=an_address(deed.who),
        seq=SEQS_PER_EPOCH * epoch + place,
        prev=bytes(32),
        epoch=epoch,
        anchor=bytes(ANCHOR_BYTES),
        subject=TASK_ID,
        refs=(),
    )
    tx = sign_transaction(header, deed.payload, a_signer(deed.who))
    kinds.BY_CODE[header.kind].check(header, deed.payload)
    return tx


def sign_all(deeds: Sequence[Deed], epoch: int) -> tuple[SignedTransaction, ...]:
    """Return the transactions of all that is done in one epoch, each author's in their order."""
    places = {who: count() for who in EVERYBODY}
    return tuple(sign(deed, epoch, next(places[deed.who])) for deed in deeds)


def begin() -> dict[Key, Any]:
    """Return the state in which everybody is registered and nothing is on offer."""
    world = World(GENESIS)
    world.seal(
        *(world.register(who, roles=ROLE_SOLVER) for who in MINERS),
        *(world.register(who, roles=ROLE_VALIDATOR) for who in JUDGES),
    )
    return world.view.rows


@cache
def find_beacons() -> tuple[bytes, ...]:
    """Return lots that put vera, viktor and violet on the task's panel.

    Before they are drawn all six validators are alike, so any other panel is this one renamed.
    """
    view = MemoryView(begin())
    wanted = tuple(sorted(map(an_address, PANEL)))
    found: list[bytes] = []
    for number in count():
        beacon = a_hash(f"lot {number}")
        book = Book(view, GENESIS.charter, NETWORK, FIRST_EPOCH + 1, beacon)
        if draw_validators(book, "panel", (TASK_ID,), len(PANEL), ()) == wanted:
            found.append(beacon)
        if len(found) == BEACONS:
            break
    return tuple(found)


def find_orders(transactions: Sequence[SignedTransaction]) -> Iterator[bytes]:
    """Yield a beacon for each order in which those can stand who contend for one thing.

    They contend for places, where the whole order counts, and for the one dispute of a round,
    where it counts who is first. One beacon if there is no contest.
    """
    beacons = find_beacons()
    places = [tx for tx in transactions if _get_stage(tx) is Stage.COMMIT]
    objections = [tx for tx in transactions if _get_stage(tx) is Stage.DISPUTE]
    wanted = len(list(permutations(places))) * max(1, len(objections))
    seen: set[tuple[bytes, ...]] = set()
    for beacon in beacons:
        if len(seen) == wanted:
            break
        order = _sort(places, beacon) + _sort(objections, beacon)[:1]
        if order not in seen:
            seen.add(order)
            yield beacon


def _sort(transactions: Sequence[SignedTransaction], beacon: bytes) -> tuple[bytes, ...]:
    return tuple(tx.tx_id for tx in sorted(transactions, key=lambda tx: compute_order(tx, beacon)))


def _get_stage(tx: SignedTransaction) -> Stage:
    return kinds.BY_CODE[tx.header.kind].stage
