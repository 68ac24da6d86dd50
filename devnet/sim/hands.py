"""What an account does next, seen from its peer's provisional state: the roles without a worker.

`node.roles` does the same as tasks of trio. Here each step is one call, so that a heap of events
can make it, and everything that is due is done at once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from devnet.sim.cast import (
    make_answer,
    make_registration,
    make_reveal,
    make_terms,
    make_vote,
    make_vote_commitment,
)
from devnet.sim.litigant import Litigant
from node.author import Author
from node.high_water import SigningError
from node.roles.claimer import find_claimable
from node.state_manager import StateManager
from protocol.convictions import read_voting_round
from protocol.errors import Rejected
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.reveal_vote import RevealVote
from protocol.phases import MinerStatus, SubmissionStatus, TaskStatus, VoteState
from protocol.records import Submission, Task
from protocol.tables import MINERS, SUBMISSIONS, TASKS, VOTE_COMMITMENTS, validation_key

GOOD_SCORES = range(80, 90)


def do_one(people: Sequence["Hands"], deed: str, choice: int, place: int) -> bool:
    """Let the first of these accounts that can do a deed, from a place on; return if one could."""
    return any(
        people[(place + number) % len(people)].do(deed, choice) for number in range(len(people))
    )


class Hands:
    """One account at work.

    Args:
        state: of its peer.
        author: signs for it.
        friends: accounts whose answers it praises and whose rivals' it rejects; of a liar.
        reveals: whether it shows what it committed to; a liar may not.
    """

    def __init__(
        self,
        state: StateManager,
        author: Author,
        *,
        friends: frozenset[bytes] = frozenset(),
        reveals: bool = True,
    ) -> None:
        self._state = state
        self._author = author
        self._friends = friends
        self._reveals = reveals
        self._litigant = Litigant(state, author.address, self._submit, votes_again=bool(friends))

    def do(self, deed: str, choice: int) -> bool:
        """Do a deed of a plan, `publish`, `cancel`, `sue`, `report` or `stake`, if it can be."""
        deeds = {
            "publish": self.publish,
            "cancel": self.cancel,
            "sue": self._litigant.sue,
            "report": self._litigant.report,
            "stake": self._litigant.change_stake,
        }
        return deeds[deed](choice)

    def judge(self) -> int:
        """Vote in the disputes on whose panel we sit; return how many votes that made."""
        return self._litigant.judge()

    def publish(self, choice: int) -> bool:
        """Publish a task; return whether the rules let us."""
        return self._submit("publish_task", make_terms(choice))

    def cancel(self, choice: int) -> bool:
        """Cancel one of our own tasks, if there is one."""
        own = [task for task in self._list_tasks() if task.publisher == self._author.address]
        if not own:
            return False
        task_id = own[choice % len(own)].task_id
        return self._submit("cancel_task", CancelTask("never mind"), task_id)

    def work(self, choice: int) -> int:
        """Do all that is due; return how many transactions that made."""
        state, address = self._state, self._author.address
        miner = state.store.view.get(MINERS, address)
        if miner is None:
            is_new = state.open.get(MINERS, address) is None
            return int(is_new and self._submit("register_miner", make_registration()))
        done = self.judge()
        if miner.status is MinerStatus.EXITING:
            done += self._litigant.change_stake(choice)
        for one in find_claimable(state, address):
            payload = ClaimReward(one.entry.entry_id, one.round)
            done += self._submit("claim_reward", payload, one.task_id)
        for task in self._list_tasks():
            done += self._look(task, choice)
        return done

    # ---------------------------------------------------------------------------- inner parts

    def _list_tasks(self) -> list[Task]:
        """Return all tasks to which something can happen, as the next seal would leave them."""
        state = self._state
        sealed = {task.task_id for task in state.store.queries.active_tasks()}
        found = (
            state.open.get(TASKS, key) for key in sorted(sealed | state.open.rows(TASKS).keys())
        )
        return [task for task in found if task is not None]

    def _look(self, task: Task, choice: int) -> int:
        match task.status:
            case TaskStatus.PUBLISHED | TaskStatus.IN_PROGRESS:
                return self._commit(task, choice)
            case TaskStatus.ANSWERS_SUBMITTED if self._reveals:
                return self._reveal(task)
            case TaskStatus.UNDER_VALIDATION:
                return self._judge(task)
        return 0

    def _commit(self, task: Task, choice: int) -> int:
        address, times = self._author.address, task.lifecycle
        is_ours = address == task.publisher or any(
            one.miner == address for one in task.participants
        )
        is_open = self._state.epoch + 1 <= times.submission_deadline
        has_room = len(task.participants) < task.terms.max_participants
        # Not everybody takes every task, or nobody would be left to judge it.
        is_wanted = (address[0] + choice) % 3 == 0
        if is_ours or not is_open or not has_room or not is_wanted:
            return 0
        payload = make_answer(self._state.network, task.task_id, address)
        return self._submit("submit_answer", payload, task.task_id)

    def _reveal(self, task: Task) -> int:
        address, times = self._author.address, task.lifecycle
        is_time = times.submission_deadline < self._state.epoch + 1 <= times.reveal_deadline
        mine = [one for one in self._submissions(task) if one.miner == address]
        if not is_time or not mine or mine[0].status is not SubmissionStatus.PENDING:
            return 0
        payload = make_reveal(self._state.network, task.task_id, address)
        return self._submit("reveal_answer", payload, task.task_id)

    def _judge(self, task: Task) -> int:
        """Commit to votes while that is possible; then show them."""
        state, address = self._state, self._author.address
        sealed = state.store.view.get(TASKS, task.task_id)
        if sealed is None or address not in sealed.panel:
            return 0
        are_open = state.epoch + 1 > sealed.lifecycle.validation_deadline
        round_number, done = read_voting_round(state.open, task), 0
        for one in self._submissions(task):
            if one.status is not SubmissionStatus.UNDER_REVIEW or one.miner == address:
                continue
            key = validation_key(one.submission_id, address, round_number)
            bound, vote = state.open.get(VOTE_COMMITMENTS, key), self._make_vote(one)
            if are_open and self._reveals and bound and bound.state is VoteState.COMMITTED:
                done += self._submit("reveal_vote", vote, task.task_id)
            elif not are_open and bound is None:
                payload = make_vote_commitment(state.network, address, vote, round_number)
                done += self._submit("validate_answer", payload, task.task_id)
        return done

    def _make_vote(self, submission: Submission) -> RevealVote:
        score = GOOD_SCORES[submission.miner[0] % len(GOOD_SCORES)]
        if self._friends:
            score = 100 if submission.miner in self._friends else 0
        return make_vote(self._author.address, submission.submission_id, score)

    def _submissions(self, task: Task) -> Iterable[Submission]:
        found = (self._state.open.get(SUBMISSIONS, one.submission_id) for one in task.participants)
        return [one for one in found if one is not None]

    def _submit(self, kind: str, payload: Any, subject: bytes | None = None) -> bool:
        try:
            self._author.submit_nowait(kind, payload, subject=subject)
        except (Rejected, SigningError):
            # The rules refuse it as things stand, or this database is behind what was signed.
            return False
        return True
