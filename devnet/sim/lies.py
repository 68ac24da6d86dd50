"""What a liar signs: transactions that no honest peer would make, each bytewise in order.

A lie is made from the liar's own view of the network. Nothing here sends anything; the layers
decide who is told what.
"""

from dataclasses import dataclass, replace
from typing import Any

from devnet.sim.cast import make_answer, make_registration, make_terms
from node.state_manager import StateManager
from protocol import kinds
from protocol.keys import Signer
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.phases import RewardState, TaskStatus
from protocol.records import Task
from protocol.tables import MINERS, REWARDS, SUBMISSIONS, TASKS
from protocol.task_types import TaskTerms
from protocol.transactions import (
    ANCHOR_BYTES,
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)

FLOOD_MAX = 24


@dataclass(frozen=True, slots=True)
class Lie:
    """What a liar has made up.

    Attributes:
        told: goes to everybody.
        also: the second face of an equivocation: goes to the other half.
    """

    told: tuple[SignedTransaction, ...] = ()
    also: tuple[SignedTransaction, ...] = ()


class Liar:
    """One account that lies, and never works honestly.

    Args:
        state: of the liar's peer.
        signer: of the account.
    """

    def __init__(self, state: StateManager, signer: Signer) -> None:
        self._state = state
        self._signer = signer

    def make(self, kind: str, choice: int) -> Lie:
        """Return a lie of a kind; one that is not possible now is empty."""
        makers = {
            "equivocate": self._equivocate,
            "hoard": self._publish,
            "flood": self._flood,
            "replay": self._replay,
            "backdate": self._backdate,
            "copy": self._copy,
        }
        return makers[kind](choice)

    # ---------------------------------------------------------------------------- inner parts

    def _publish(self, choice: int) -> Lie:
        return Lie((self._sign("publish_task", self._make_terms(choice)),))

    def _equivocate(self, choice: int) -> Lie:
        one = self._sign("publish_task", self._make_terms(choice))
        terms = replace(one.payload, title="Another face")
        return Lie((one,), (sign_transaction(one.header, terms, self._signer),))

    def _flood(self, choice: int) -> Lie:
        """Return a chain of what costs nothing: cancellations of others' tasks, and of none."""
        chain: list[SignedTransaction] = []
        others = [key for key, _ in self._state.store.rows.scan(TASKS)]
        for place in range(1 + choice % FLOOD_MAX):
            # Of two one is about a task that exists, or did.
            is_about_one = others and place % 2
            task_id = others[place % len(others)] if is_about_one else bytes([place]) * 32
            after = chain[-1] if chain else None
            chain.append(self._sign("cancel_task", CancelTask("spam"), task_id, after=after))
        return Lie(tuple(chain))

    def _replay(self, choice: int) -> Lie:
        """Claim twice what can be claimed once: our own, else what waits for others, else any."""
        state = self._state
        claimed = [
            (row, entry)
            for _, row in state.store.rows.scan(REWARDS)
            for entry in row.entries
            if entry.state in (RewardState.CLAIMED, RewardState.CLAIMABLE)
        ]
        own = [pair for pair in claimed if pair[1].recipient == self._signer.address]
        waiting = [pair for pair in claimed if pair[1].state is RewardState.CLAIMABLE]
        claimed = own or waiting or claimed
        if not claimed:
            return Lie()
        row, entry = claimed[choice % len(claimed)]
        payload = ClaimReward(entry.entry_id, row.round)
        first = self._sign("claim_reward", payload, row.task_id)
        return Lie((first, self._sign("claim_reward", payload, row.task_id, after=first)))

    def _backdate(self, choice: int) -> Lie:
        """Answer a task whose time is over, dated when it was not, its anchor true or made up."""
        epoch = self._state.epoch
        dated = max(1, epoch - choice % 4)
        tasks = self._find_tasks(TaskStatus.ANSWERS_SUBMITTED, TaskStatus.UNDER_VALIDATION)
        anchor = bytes(ANCHOR_BYTES) if choice % 3 == 0 else None
        if self._is_stranger():
            return Lie((self._sign("register_miner", make_registration()),))
        if not tasks:
            terms = self._make_terms(choice)
            return Lie((self._sign("publish_task", terms, epoch=dated, anchor=anchor),))
        task_id = tasks[choice % len(tasks)].task_id
        payload = make_answer(self._state.network, task_id, self._signer.address)
        return Lie((self._sign("submit_answer", payload, task_id, epoch=dated, anchor=anchor),))

    def _copy(self, choice: int) -> Lie:
        """Commit to what somebody else committed to; show it once he has shown it."""
        if self._is_stranger():
            return Lie((self._sign("register_miner", make_registration()),))
        shown = self._find_shown()
        if shown is not None:
            return Lie((shown,))
        tasks = self._find_tasks(TaskStatus.PUBLISHED, TaskStatus.IN_PROGRESS)
        seen = [
            (task, one.submission_id)
            for task in tasks
            for one in task.participants
            if one.miner != self._signer.address
        ]
        if not seen:
            return Lie()
        task, submission_id = seen[choice % len(seen)]
        other = self._state.open.get(SUBMISSIONS, submission_id)
        if other is None:
            return Lie()
        payload = make_answer(self._state.network, task.task_id, self._signer.address)
        payload = replace(payload, commitment=other.commitment)
        return Lie((self._sign("submit_answer", payload, task.task_id),))

    def _find_shown(self) -> SignedTransaction | None:
        """Return the opening of a copied commitment, word for word, if the original is open."""
        state = self._state
        tasks = self._find_tasks(TaskStatus.ANSWERS_SUBMITTED)
        places = [one.submission_id for task in tasks for one in task.participants]
        answers = [row for key in places if (row := state.open.get(SUBMISSIONS, key))]
        originals = {one.commitment: one.reveal_tx for one in answers if one.reveal_tx}
        for one in answers:
            is_ours = one.miner == self._signer.address and one.reveal_tx is None
            reveal_tx = originals.get(one.commitment) if is_ours else None
            tx = None if reveal_tx is None else state.store.journal.get(reveal_tx)
            if tx is not None:
                payload = replace(tx.payload, submission_id=one.submission_id)
                return self._sign("reveal_answer", payload, one.task_id)
        return None

    def _make_terms(self, choice: int) -> TaskTerms:
        """Return terms that the network of the liar's peer accepts."""
        epochs = self._state.genesis.params.submission_epochs_min + choice % 2
        return replace(make_terms(choice), submission_epochs=epochs)

    def _is_stranger(self) -> bool:
        return self._state.open.get(MINERS, self._signer.address) is None

    def _find_tasks(self, *statuses: TaskStatus) -> list[Task]:
        open_set = self._state.open
        sealed = [task.task_id for task in self._state.store.queries.active_tasks()]
        keys = sorted({*sealed, *open_set.rows(TASKS)})
        found = (open_set.get(TASKS, key) for key in keys)
        return [task for task in found if task is not None and task.status in statuses]

    def _sign(
        self,
        kind: str,
        payload: Any,
        subject: bytes | None = None,
        *,
        epoch: int | None = None,
        anchor: bytes | None = None,
        after: SignedTransaction | None = None,
    ) -> SignedTransaction:
        state, address = self._state, self._signer.address
        seq, prev = state.next_link(address)
        if after is not None:
            seq, prev = after.header.seq + 1, after.tx_id
        if subject is None:
            is_task = kind == "publish_task"
            subject = compute_task_id(state.network, address, seq) if is_task else address
        dated = state.epoch + 1 if epoch is None else epoch
        if anchor is None:
            anchor = state.store.journal.seal_hash(dated - 1)[:ANCHOR_BYTES]
        header = Header(
            version=VERSION,
            network=state.network,
            kind=kinds.BY_NAME[kind].code,
            author=address,
            seq=seq,
            prev=prev,
            epoch=dated,
            anchor=anchor,
            subject=subject,
            refs=(),
        )
        return sign_transaction(header, payload, self._signer)
