"""What steps and states of the small market are checked against, beside the invariants of all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from protocol.closing import compute_archive_epochs
from protocol.epoch import Epoch
from protocol.fold import Outcome, fold_epoch
from protocol.kinds.claim_reward import CLAIM_REWARD
from protocol.phases import RewardState
from protocol.tables import ACCOUNTS, REWARDS, RULINGS, reward_key
from protocol.transactions import SignedTransaction
from protocol.view import Key, MemoryView
from tests.support.small_deeds import claim_nothing
from tests.support.small_market import GENESIS, PARAMS, TASK_ID, find_beacons, sign_all
from tests.support.small_moves import Situation
from tests.support.small_wrongs import find_wrongs


def strip(outcome: Outcome) -> dict[Key, Any]:
    """Return what an epoch changes but for rulings and the chains of authors."""
    changed = {}
    for change in outcome.changes:
        before, after = change.before, change.after
        if change.table is ACCOUNTS:
            before = before and replace(before, next_seq=0, head=None)
            after = replace(after, next_seq=0, head=None)
        if change.table is not RULINGS and before != after:
            changed[(change.table.name, change.key)] = after
    return changed


def check_claims(rows: Mapping[Key, Any], applied: Sequence[SignedTransaction]) -> None:
    """Every claim that stands is of the author's own entry, which nobody has claimed before."""
    claims = [tx for tx in applied if tx.header.kind == CLAIM_REWARD.code]
    ids = [tx.payload.entry_id for tx in claims]
    assert len(set(ids)) == len(ids), "an entry was claimed twice in one epoch"
    for tx in claims:
        row = rows[(REWARDS.name, reward_key(TASK_ID, tx.payload.round))]
        entry = next(one for one in row.entries if one.entry_id == tx.payload.entry_id)
        assert entry.recipient == tx.header.author, "somebody else's entry was claimed"
        assert entry.state not in (RewardState.CLAIMED, RewardState.REVOKED), "claimed again"


def check_archive(rows: dict[Key, Any]) -> None:
    """Some epochs after a task has closed for good there is one answer to whatever is said."""
    view = MemoryView(rows)
    closed = view.closed_at(TASK_ID)
    if closed is None:
        return
    last = closed + compute_archive_epochs(PARAMS)
    here = Situation(rows, last)
    wrongs = [*find_wrongs(here), claim_nothing("bob")]
    epoch = Epoch(last + 1, find_beacons()[0], sign_all(wrongs, last + 1))
    outcome = fold_epoch(view, GENESIS, epoch)
    assert {ruling.code for ruling in outcome.rulings} == {"task_archived"}
    assert len(outcome.rulings) == len(wrongs)
