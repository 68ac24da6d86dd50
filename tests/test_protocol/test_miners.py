"""What an epoch does to miners: notes added up, in any order, over the standing before."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.book import Note
from protocol.epoch import Epoch
from protocol.errors import InvariantBroken
from protocol.lifecycle import is_taking_part
from protocol.miners import settle_miners
from protocol.params import MINIMAL
from protocol.phases import MinerStatus
from protocol.records import Account, Miner, Reputation
from protocol.tables import ACCOUNTS, MINERS, Table
from protocol.view import Key, MemoryView

BOB = b"b" * 32
EPOCH = 20

MINER = Miner(
    address=BOB,
    roles=3,
    specializations=("general_task",),
    display_name="",
    contact="",
    status=MinerStatus.ACTIVE,
    registered_at=1,
    last_active=5,
    stake=10,
    earned=100,
    forfeited=7,
    reputation=Reputation(5_000, 5, 3, 2, 200, 4, 3),
)


def settle(
    notes: Iterable[Note] = (),
    active: Iterable[bytes] = (),
    *,
    miner: Miner | None = MINER,
    account: Account | None = None,
    evidence: tuple[tuple[bytes, int], ...] = (),
    written: Miner | None = None,
) -> Miner | None:
    """Return the row that an epoch writes for Bob, None if it writes none."""
    view = MemoryView()
    if miner is not None:
        view.rows[(MINERS.name, BOB)] = miner
    if account is not None:
        view.rows[(ACCOUNTS.name, BOB)] = account
    rows: dict[Key, tuple[Table[Any], Any]] = {}
    if written is not None:
        rows[(MINERS.name, BOB)] = (MINERS, written)
    settle_miners(view, MINIMAL, Epoch(EPOCH, None, (), evidence), rows, list(notes), active)
    found = rows.get((MINERS.name, BOB))
    return None if found is None else found[1]


def test_nothing_is_written_of_whom_nothing_is_said() -> None:
    assert settle() is None
    assert settle([Note(BOB)]) is None


def test_an_answer_moves_score_and_counts() -> None:
    row = settle([Note(BOB, score=92, success=True)])
    assert row is not None
    # +50, damped at 5,000 by 95,000 / 100,000.
    assert row.reputation == Reputation(5_047, EPOCH, 4, 3, 292, 4, 3)
    assert row.last_active == 5


def test_votes_near_the_consensus_count_as_accurate() -> None:
    near, between, far = (Note(BOB, deviation=one) for one in (15, 30, 31))
    row = settle([near, between, far])
    assert row is not None
    assert row.reputation == Reputation(5_000 + 9 - 20, EPOCH, 3, 2, 200, 7, 4)


def test_a_penalty_and_what_it_cost_are_taken_in() -> None:
    row = settle([Note(BOB, penalty=50, forfeited=15), Note(BOB, earned=40)])
    assert row is not None
    assert row.reputation.score == 4_950
    assert (row.earned, row.forfeited) == (140, 22)


def test_a_payment_alone_leaves_the_standing_as_it_was() -> None:
    row = settle([Note(BOB, earned=40)])
    assert row is not None
    assert row.reputation == MINER.reputation


@given(
    st.lists(
        st.one_of(
            st.builds(Note, st.just(BOB), score=st.integers(0, 100), success=st.booleans()),
            st.builds(Note, st.just(BOB), deviation=st.integers(0, 100)),
            st.builds(Note, st.just(BOB), penalty=st.integers(0, 3_000)),
            st.builds(Note, st.just(BOB), earned=st.integers(0, 9), forfeited=st.integers(0, 9)),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_notes_means_nothing(notes: list[Note], chance: Any) -> None:
    shuffled = list(notes)
    chance.shuffle(shuffled)
    assert settle(notes) == settle(shuffled)


def test_whoever_acts_is_awake() -> None:
    for status in (MinerStatus.INACTIVE, MinerStatus.DORMANT, MinerStatus.ACTIVE):
        row = settle(active=[BOB], miner=replace(MINER, status=status))
        assert row is not None
        assert (row.status, row.last_active) == (MinerStatus.ACTIVE, EPOCH)


def test_acting_lifts_no_suspension() -> None:
    row = settle(active=[BOB], miner=replace(MINER, status=MinerStatus.SUSPENDED))
    assert row is not None
    assert row.status is MinerStatus.SUSPENDED


def test_a_publisher_who_is_no_miner_gets_no_row() -> None:
    assert settle(active=[BOB], miner=None) is None


def test_a_note_on_somebody_who_is_no_miner_is_our_bug() -> None:
    with pytest.raises(InvariantBroken):
        settle([Note(BOB, score=1)], miner=None)


def test_a_registration_of_the_same_epoch_is_read_first() -> None:
    fresh = replace(MINER, registered_at=EPOCH, last_active=EPOCH, earned=0)
    assert settle(active=[BOB], miner=None, written=fresh) == fresh


def test_who_is_caught_is_suspended_and_pays_once() -> None:
    row = settle(evidence=((BOB, 4), (BOB, 9)))
    assert row is not None
    assert row.status is MinerStatus.SUSPENDED
    assert row.reputation.score == 4_000
    barred = Account(BOB, 0, 5, b"h" * 32, 4)
    assert settle(evidence=((BOB, 2),), account=barred, miner=row) is None


def test_somebody_caught_who_is_no_miner_has_no_standing_to_lose() -> None:
    assert settle(evidence=((BOB, 4),), miner=None) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (MinerStatus.ACTIVE, True),
        (MinerStatus.INACTIVE, True),
        (MinerStatus.DORMANT, True),
        (MinerStatus.SUSPENDED, False),
        (MinerStatus.EXITING, False),
        (MinerStatus.EXITED, False),
    ],
)
def test_who_takes_part(status: MinerStatus, expected: bool) -> None:
    assert is_taking_part(replace(MINER, status=status)) is expected
