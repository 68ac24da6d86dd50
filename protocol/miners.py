"""What an epoch does to miners: reputation, counters and the time of their last action.

Notes of all subjects are added up here. Every change is computed from the miner's standing at the
seal before, so the order in which his tasks are looked at means nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from protocol.book import Note, Payment, Pot
from protocol.epoch import Epoch
from protocol.errors import InvariantBroken
from protocol.fees import split_fee
from protocol.params import Params
from protocol.phases import MinerStatus
from protocol.records import Miner, Reputation
from protocol.reputation import (
    PENALTY_POINTS,
    Violation,
    apply_deltas,
    compute_task_delta,
    compute_vote_delta,
)
from protocol.tables import ACCOUNTS, MINERS, Table
from protocol.view import Key, StateView


def settle_miners(
    view: StateView,
    params: Params,
    epoch: Epoch,
    rows: dict[Key, tuple[Table[Any], Any]],
    notes: Iterable[Note],
    active: Iterable[bytes],
) -> tuple[Payment, ...]:
    """Write every miner that an epoch says something of into `rows`; return what that moves.

    Args:
        view: the state before the epoch.
        params: the numbers of the network.
        epoch: its number, and the evidence it takes in.
        rows: what the subjects wrote; a miner who registers in this epoch is read from here.
        notes: of all subjects.
        active: authors of all transactions that applied.

    Raises:
        InvariantBroken: a note on somebody who is no miner.
    """
    by_miner: dict[bytes, list[Note]] = {}
    for note in notes:
        by_miner.setdefault(note.miner, []).append(note)
    caught = _find_caught(view, epoch)
    acted = set(active)
    payments: list[Payment] = []
    for address in sorted({*by_miner, *acted, *caught}):
        written = rows.get((MINERS.name, address))
        before = written[1] if written is not None else view.get(MINERS, address)
        if before is None:
            # Publishers need not be registered; whoever answers or votes is.
            if address in by_miner:
                raise InvariantBroken(f"a note on {address.hex()[:16]}, who is no miner")
            continue
        found = by_miner.get(address, [])
        if address in caught:
            found = [*found, Note(address, penalty=PENALTY_POINTS[Violation.EQUIVOCATION])]
        miner = _take_in(before, found, params, epoch.number)
        if address in acted:
            miner = _wake(miner, epoch.number)
        if address in caught:
            miner, lost = _suspend(miner, params)
            payments += lost
        if miner != before:
            rows[(MINERS.name, address)] = (MINERS, miner)
    return tuple(payments)


def _suspend(miner: Miner, params: Params) -> tuple[Miner, tuple[Payment, ...]]:
    """Return a miner who was caught, and where his registration stake goes.

    Nothing he signs will be sealed again, so he must not be drawn for a panel, and he could never
    take the stake back: it is forfeited like a fee, for nobody in particular was harmed.
    """
    treasury, burned = split_fee(miner.stake, params)
    payments = (
        Payment(Pot.STAKE, Pot.TREASURY, treasury),
        Payment(Pot.STAKE, Pot.BURNED, burned),
    )
    forfeited = miner.forfeited + miner.stake
    return replace(miner, status=MinerStatus.SUSPENDED, stake=0, forfeited=forfeited), payments


def _find_caught(view: StateView, epoch: Epoch) -> set[bytes]:
    """Return the authors first caught in this epoch; later evidence adds nothing to it."""
    found = set()
    for author, _ in epoch.evidence:
        account = view.get(ACCOUNTS, author)
        if account is None or account.barred_from is None:
            found.add(author)
    return found


def _wake(miner: Miner, epoch: int) -> Miner:
    sleeping = miner.status in (MinerStatus.INACTIVE, MinerStatus.DORMANT)
    status = MinerStatus.ACTIVE if sleeping else miner.status
    return replace(miner, status=status, last_active=epoch)


def _take_in(miner: Miner, notes: Sequence[Note], params: Params, epoch: int) -> Miner:
    if not notes:
        return miner
    return replace(
        miner,
        earned=miner.earned + sum(note.earned for note in notes),
        forfeited=miner.forfeited + sum(note.forfeited for note in notes),
        reputation=_move_reputation(miner.reputation, notes, params, epoch),
    )


def _move_reputation(
    standing: Reputation, notes: Sequence[Note], params: Params, epoch: int
) -> Reputation:
    scores = [note.score for note in notes if note.score is not None]
    deviations = [note.deviation for note in notes if note.deviation is not None]
    penalties = [-note.penalty for note in notes if note.penalty]
    if not (scores or deviations or penalties):
        return standing
    tolerance = params.score_tolerance
    deltas = [
        *(compute_task_delta(score, standing.score) for score in scores),
        *(compute_vote_delta(one, tolerance, standing.score) for one in deviations),
        *penalties,
    ]
    return Reputation(
        score=apply_deltas(standing.score, deltas),
        updated_at=epoch,
        tasks=standing.tasks + len(scores),
        successes=standing.successes + sum(note.success for note in notes),
        quality_sum=standing.quality_sum + sum(scores),
        votes=standing.votes + len(deviations),
        accurate_votes=standing.accurate_votes + sum(one <= tolerance for one in deviations),
    )
