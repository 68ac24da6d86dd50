"""What must hold when a run is over: everything computed anew, nothing lost, no lie rewarded."""

from collections.abc import Collection, Sequence
from typing import Any

from devnet.genesis import BALANCE_NANO
from devnet.sim.cast import Cast
from devnet.sim.plan import Plan
from devnet.sim.witness import PropertyBroken, Witness
from node.events import Broadcast
from node.state_manager import StateManager
from protocol import kinds
from protocol.dispute_records import DisputeCase
from protocol.lthash import LtHash
from protocol.phases import DisputeStatus, MinerStatus, SubmissionStatus, TaskStatus, VoteState
from protocol.resolver import ConflictResolver, History, SealedSet
from protocol.seals import Seal
from protocol.tables import (
    ACCOUNTS,
    BY_NAME,
    DISPUTES,
    FRAUD_REPORTS,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VOTE_COMMITMENTS,
)
from storage.rebuild import find_missing_keys, find_stale_keys

IDLE = ("liar", "copier")
"""Liars that never work, so that nothing is due to them."""
RULING_NAMES = {
    ("submit_answer", "task_full"): "a full task gets one more answer",
    ("submit_answer", "deadline_passed"): "an answer comes too late",
    ("submit_answer", "wrong_phase"): "an answer comes too late",
    ("reveal_answer", "deadline_passed"): "a reveal comes too late",
    ("reveal_answer", "wrong_phase"): "a reveal comes too late",
    ("claim_reward", "already_claimed"): "a reward is claimed twice",
    ("claim_reward", "not_recipient"): "somebody claims what is another's",
    ("cancel_task", "wrong_phase"): "a cancellation meets an answer",
}
"""What rulings show, by kind of transaction and code."""


class Ending:
    """The checks at the end of one run."""

    def __init__(self, plan: Plan, cast: Cast, witness: Witness) -> None:
        self._plan = plan
        self._cast = cast
        self._witness = witness

    def check_refolded(self, state: StateManager) -> None:
        """P8 and P9: fold all anew from the genesis, each set in reverse; compare root and rows.

        Raises:
            PropertyBroken: P8, P9.
        """
        journal = state.store.journal
        epochs = []
        for number in range(1, state.epoch + 1):
            ids = journal.sealed_ids(number)
            transactions = tuple(tx for one in reversed(ids) if (tx := journal.get(one)))
            places = [place for one in ids if (place := journal.evidence_place(one))]
            data, prev = journal.seal(number), journal.seal_hash(number - 1)
            secret = None if data is None else Seal.from_bytes(data).content.secret
            epochs.append(SealedSet(prev, transactions, tuple(sorted(places)), secret))
        resolution = ConflictResolver().resolve(History(self._cast.genesis, tuple(epochs)))
        rows_hash = LtHash()
        for (name, key), record in resolution.records.items():
            table: Any = BY_NAME[name]
            rows_hash.add_row(name, key, table.encode_row(record))
        if rows_hash.state_root() != state.state_root:
            raise PropertyBroken("P9", "refolded_root", f"epoch {state.epoch}")
        stored: dict[tuple[str, bytes], Any] = {}
        for name in BY_NAME:
            table = BY_NAME[name]
            stored.update({(name, key): row for key, row in state.store.rows.scan(table)})
        dropped = len(resolution.records) - len(stored)
        if dropped != state.store.pruned.rows or not stored.items() <= resolution.records.items():
            raise PropertyBroken("P8", "rows_on_disk", f"epoch {state.epoch}")
        engine = state.store.engine
        for key in (*find_missing_keys(engine), *find_stale_keys(engine)):
            raise PropertyBroken("P8", "indexes_on_disk", f"epoch {state.epoch} {key.hex()[:32]}")
        again = StateManager(state.genesis, state.store, Broadcast())
        if again.status() != state.status():
            raise PropertyBroken("P8", "restarted_status", f"epoch {state.epoch}")

    def check_honest(self, states: dict[int, StateManager]) -> None:
        """P7: nobody holds evidence against an honest account, or proof against its sealer.

        Raises:
            PropertyBroken: P7.
        """
        honest = {
            self._cast.signers[account].address
            for peer in range(self._plan.peers)
            if self._plan.is_honest(peer)
            for account in self._cast.accounts_of(peer, self._plan.peers)
        }
        for peer, state in states.items():
            for _, row in state.store.journal.all_evidence():
                if row.author in honest:
                    raise PropertyBroken("P7", "honest_equivocation", f"peer {peer} seq {row.seq}")
            if state.store.pruned.tasks:
                self._witness.reach("old tasks are cleaned up")
            convicted = {*state.ballots.list_convicted(), *state.ballots.box.doubles}
            if convicted & honest:
                raise PropertyBroken("P7", "honest_double_ballot", f"peer {peer}")
            if convicted:
                self._witness.reach("a sealer is convicted")

    def check_nothing_lost(self, core: dict[int, StateManager], owed: Collection[bytes]) -> None:
        """P12: what one acknowledged all know; what was alive in the calm is sealed.

        Raises:
            PropertyBroken: P12.
        """
        for peer, state in core.items():
            for tx_id in self._witness.acknowledged[peer]:
                tx = state.store.journal.get(tx_id)
                if tx is None:
                    raise PropertyBroken("P12", "lost_at_home", f"peer {peer}")
                if tx_id not in state.open.transactions and not _is_sealed(state, tx_id):
                    if tx_id in owed:
                        raise PropertyBroken("P12", "died_after_the_calm", tx_id.hex()[:16])
                    # No seal took it in while it was alive: dead by rule, and told as such.
                    self._witness.reach("a transaction dies unsealed")
                    continue
                for other, there in core.items():
                    if not there.knows(tx_id):
                        text = f"peer {other} lacks {tx_id.hex()[:16]} of peer {peer}"
                        raise PropertyBroken("P12", "lost", text)

    def check_bars(self, core: list[StateManager], met: Sequence[tuple[bytes, int]]) -> None:
        """P13: where anybody holds evidence or heard two faces, all bar the author.

        Raises:
            PropertyBroken: P13.
        """
        seen = {
            (row.author, row.seq): None
            for state in core
            for _, row in state.store.journal.all_evidence()
        }
        for author, seq in {**seen, **dict.fromkeys(met)}:
            for state in core:
                if not state.open.is_barred(author, seq):
                    raise PropertyBroken("P13", "not_barred", f"{author.hex()[:16]} seq {seq}")
        for account in (row for _, row in core[0].store.rows.scan(ACCOUNTS)):
            if account.barred_from is not None:
                self._witness.reach("an equivocation is sealed")

    def check_profits(self, state: StateManager) -> None:
        """P16: who only lies has nothing of it.

        Raises:
            PropertyBroken: P16.
        """
        if state.store.pruned.tasks:
            # What others forfeited on tasks that are gone cannot be counted any more.
            return
        for peer in range(self._plan.peers):
            if self._plan.is_honest(peer) or self._plan.habits[peer] not in IDLE:
                continue
            for account in self._cast.accounts_of(peer, self._plan.peers):
                address = self._cast.signers[account].address
                miner = state.store.view.get(MINERS, address)
                row = state.store.view.get(ACCOUNTS, address)
                earned = 0 if miner is None else miner.earned
                # What others forfeited on his tasks is his by right: he asked and got no answer.
                owed = _sum_forfeits(state, address)
                if earned or row is None or row.balance > BALANCE_NANO + owed:
                    raise PropertyBroken("P16", "a_liar_earned", f"peer {peer}: {earned} nano")

    def note_outcomes(self, state: StateManager) -> None:
        """Tell the witness which rare things the sealed state shows."""
        rows, reach = state.store.rows, self._witness.reach
        for _, row in rows.scan(REWARDS):
            if any(entry.claim_tx is not None for entry in row.entries):
                reach("a reward is claimed")
        for _, ruling in rows.scan(RULINGS):
            kind = kinds.BY_CODE.get(ruling.kind)
            name = kind and RULING_NAMES.get((kind.name, ruling.code))
            if name:
                reach(name)
        commitments: set[bytes] = set()
        for _, one in rows.scan(SUBMISSIONS):
            if one.status is SubmissionStatus.NOT_REVEALED:
                reach("an answer is never shown")
            if one.commitment in commitments:
                reach("a commitment is copied")
            commitments.add(one.commitment)
        for _, vote in rows.scan(VOTE_COMMITMENTS):
            if vote.state is VoteState.NOT_REVEALED:
                reach("a vote is never shown")
        for _, task in rows.scan(TASKS):
            if task.status is TaskStatus.EXPIRED:
                reach("a task expires")
            if task.lifecycle.round:
                reach("a task is judged again")
        for _, case in rows.scan(DISPUTES):
            self._note_dispute(case)
        for _ in rows.scan(FRAUD_REPORTS):
            reach("fraud is reported")
        for _, miner in rows.scan(MINERS):
            if miner.status is MinerStatus.EXITED:
                reach("a stake is taken back")

    def _note_dispute(self, case: DisputeCase) -> None:
        reach = self._witness.reach
        reach("a dispute is opened")
        if case.judgments:
            reach("a panel judges a dispute")
        elif case.status is DisputeStatus.EXPIRED:
            reach("a dispute ends without a judgment")
        if case.appeals:
            reach("a judgment is appealed")
        if case.status is DisputeStatus.WITHDRAWN:
            reach("a dispute is withdrawn")


def _is_sealed(state: StateManager, tx_id: bytes) -> bool:
    return state.store.journal.sealed_epoch(tx_id) is not None


def _sum_forfeits(state: StateManager, publisher: bytes) -> int:
    tasks = {row.task_id for _, row in state.store.rows.scan(TASKS) if row.publisher == publisher}
    answers = (row for _, row in state.store.rows.scan(SUBMISSIONS))
    votes = (row for _, row in state.store.rows.scan(VOTE_COMMITMENTS))
    lost = sum(one.forfeited for one in answers if one.task_id in tasks)
    lost += sum(one.forfeited for one in votes if one.task_id in tasks)
    # Whoever was sued for nothing has half of the bond.
    cases = (row for _, row in state.store.rows.scan(DISPUTES))
    return lost + sum(one.forfeited for one in cases if one.task_id in tasks)
