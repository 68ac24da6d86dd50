"""The validator: judges every answer to a task whose panel holds the account, once.

What is done about an answer follows from the state and the vote box alone:

    not bound, nothing boxed    have it scored, box the vote, commit to it
    not bound, boxed            commit: an earlier commitment found no seal, or was not sent
    bound, boxed                show the vote, once nobody can commit any more
    bound, not boxed            the salt is lost; told once
    shown, or over              forget the box

The panel is drawn when validation is sealed, so nothing is judged before.
"""

import secrets
import unicodedata

import structlog
import trio

from node.author import Author
from node.roles.box import SALT_BYTES, DrawBytes
from node.roles.desk import WorkerDesk
from node.roles.refusals import Refusals
from node.roles.scoring import Scoring
from node.roles.vote_box import VERSION, BoxedVote, VoteBox, make_key
from node.roles.watch import Watch
from node.state_manager import StateManager
from node.workers.messages import REASONING_BYTES_MAX
from node.workers.messages import Verdict as Judgement
from protocol.convictions import read_voting_round
from protocol.errors import BlamedError
from protocol.kinds.reveal_vote import RevealVote, compute_vote_commitment
from protocol.kinds.validate_answer import ValidateAnswer
from protocol.phases import SubmissionStatus, TaskStatus, VoteState
from protocol.records import RejectReason, Submission, Task, Verdict, VoteCommitment
from protocol.stakes import is_closed
from protocol.tables import SUBMISSIONS, TASKS, VOTE_COMMITMENTS, validation_key

log = structlog.get_logger("roles")


class Validator:
    """Judges answers for one account.

    Args:
        state: what there is to judge.
        author: of the account.
        desk: the worker that scores.
        box: votes not shown yet.
        concurrency: tasks at the same time.
        timeout_ms: for the answers to one task.
        draw_bytes: draws the salts of commitments; a simulation has a seed for it.
    """

    def __init__(
        self,
        state: StateManager,
        author: Author,
        desk: WorkerDesk,
        box: VoteBox,
        *,
        concurrency: int,
        timeout_ms: int,
        draw_bytes: DrawBytes = secrets.token_bytes,
    ) -> None:
        self._draw_bytes = draw_bytes
        self._state = state
        self._author = author
        self._scoring = Scoring(state, desk, timeout_ms)
        self._box = box
        self._concurrency = concurrency
        self._refusals = Refusals("validator")
        self._waiting: set[bytes] = set()
        self._working: set[bytes] = set()
        self._showing: set[bytes] = set()

    async def run(self) -> None:
        """Look at what happens and act on it; never returns."""
        with self._state.broadcast.listen() as listener:
            watch = Watch(self._state, listener)
            async with trio.open_nursery() as nursery:
                while True:
                    await watch.look_at_next(self._take_note)
                    self._forget_what_is_over()
                    self._take_up(nursery)

    # ------------------------------------------------------------------------- deciding

    def _take_note(self, task_id: bytes) -> None:
        if self._find_ours(task_id) is not None:
            self._waiting.add(task_id)

    def _find_ours(self, task_id: bytes) -> Task | None:
        """Return a task, as it is sealed, on which a vote of ours can be cast."""
        task = self._state.store.view.get(TASKS, task_id)
        if task is None or task.status is not TaskStatus.UNDER_VALIDATION:
            return None
        is_late = self._state.epoch + 1 > task.lifecycle.finalize_deadline
        return None if is_late or self._author.address not in task.panel else task

    def _take_up(self, nursery: trio.Nursery) -> None:
        """Show what can be shown; judge as many tasks as there are places, urgent ones first."""
        ranked, waiting = [], set()
        for task_id in sorted(self._waiting):
            sealed, task = self._find_ours(task_id), self._state.open.get(TASKS, task_id)
            if sealed is None or task is None:
                continue
            deadline = sealed.lifecycle.validation_deadline
            hidden = self._list_hidden(task)
            if self._state.epoch + 1 > deadline:
                self._begin_to_show(task, hidden, nursery)
            elif self._list_unbound(task):
                ranked.append((deadline, task_id, task))
                waiting.add(task_id)
            if hidden:
                waiting.add(task_id)
        self._waiting = waiting
        self._scoring.forget_all_but(self._waiting)
        for _, task_id, task in sorted(ranked, key=lambda one: one[:2]):
            if len(self._working) >= self._concurrency:
                return
            if task_id not in self._working and self._may_begin(task):
                self._working.add(task_id)
                nursery.start_soon(self._judge, task)

    def _may_begin(self, task: Task) -> bool:
        if self._refusals.is_fresh(task.task_id, self._state.epoch):
            return False
        if not self._list_unboxed(task):
            return True
        return not self._box.is_full and self._scoring.can_ask(task)

    def _list_unbound(self, task: Task) -> list[Submission]:
        """Return the answers that wait for our vote, in the order of their places."""
        view, own = self._state.open, self._author.address
        voting_round = read_voting_round(view, task)
        found = []
        for one in task.participants:
            submission = view.get(SUBMISSIONS, one.submission_id)
            if submission is None or submission.status is not SubmissionStatus.UNDER_REVIEW:
                continue
            key = validation_key(one.submission_id, own, voting_round)
            if one.miner != own and view.get(VOTE_COMMITMENTS, key) is None:
                found.append(submission)
        return found

    def _list_unboxed(self, task: Task) -> list[Submission]:
        """Return those of them that no vote is boxed for."""
        voting_round = read_voting_round(self._state.open, task)
        return [
            one
            for one in self._list_unbound(task)
            if self._box.get(make_key(one.submission_id, voting_round)) is None
        ]

    def _list_hidden(self, task: Task) -> list[VoteCommitment]:
        """Return what we have committed to and not shown."""
        view, own = self._state.open, self._author.address
        voting_round = read_voting_round(view, task)
        keys = [validation_key(one.submission_id, own, voting_round) for one in task.participants]
        found = [view.get(VOTE_COMMITMENTS, key) for key in keys]
        return [one for one in found if one is not None and one.state is VoteState.COMMITTED]

    def _begin_to_show(
        self, task: Task, hidden: list[VoteCommitment], nursery: trio.Nursery
    ) -> None:
        boxed = []
        for one in hidden:
            vote = self._box.get(make_key(one.submission_id, one.round))
            if vote is None:
                lost = BlamedError("vote_lost", "no boxed vote", "the salt of our commitment")
                self._refusals.note(one.submission_id, lost, self._state.epoch)
            else:
                boxed.append(vote)
        is_refused = self._refusals.is_fresh(task.task_id, self._state.epoch)
        if boxed and not is_refused and task.task_id not in self._showing:
            self._showing.add(task.task_id)
            nursery.start_soon(self._show, task, boxed)

    def _forget_what_is_over(self) -> None:
        """Empty the box of votes that a seal took in or that are over; what is unknown is kept."""
        view, own = self._state.store.view, self._author.address
        for key in self._box.list_keys():
            boxed = self._box.get(key)
            if boxed is None or boxed.task_id in self._showing | self._working:
                continue
            task = view.get(TASKS, boxed.task_id)
            place = validation_key(boxed.vote.submission_id, own, boxed.round)
            bound = view.get(VOTE_COMMITMENTS, place)
            is_done = bound is not None and bound.state is not VoteState.COMMITTED
            if is_done or (task is not None and is_closed(task)):
                self._box.remove(key)

    # --------------------------------------------------------------------------- acting

    async def _judge(self, task: Task) -> None:
        """Have the answers to one task scored unless that was done before; commit to the votes."""
        voting_round = read_voting_round(self._state.open, task)
        try:
            for vote in await self._score(task, self._list_unboxed(task)):
                if not self._box.is_full:
                    self._box.put(BoxedVote(VERSION, task.task_id, voting_round, vote))
            bound = 0
            for submission in self._list_unbound(task):
                boxed = self._box.get(make_key(submission.submission_id, voting_round))
                if boxed is not None:
                    await self._commit(task, boxed)
                    bound += 1
            if bound:
                log.info("answers_judged", task=task.task_id[:8], votes=bound)
        except BlamedError as error:
            self._refusals.note(task.task_id, error, self._state.epoch)
        finally:
            self._working.discard(task.task_id)

    async def _commit(self, task: Task, boxed: BoxedVote) -> None:
        commitment = compute_vote_commitment(
            self._state.network, self._author.address, boxed.round, boxed.vote
        )
        payload = ValidateAnswer(
            submission_id=boxed.vote.submission_id,
            commitment=commitment,
            stake=(task.terms.stake_required + 1) // 2,
            round=boxed.round,
        )
        await self._author.submit("validate_answer", payload, subject=task.task_id)

    async def _show(self, task: Task, votes: list[BoxedVote]) -> None:
        try:
            for boxed in votes:
                await self._author.submit("reveal_vote", boxed.vote, subject=task.task_id)
        except BlamedError as error:
            self._refusals.note(task.task_id, error, self._state.epoch)
        else:
            log.info("votes_shown", task=task.task_id[:8], votes=len(votes))
        finally:
            self._showing.discard(task.task_id)

    async def _score(self, task: Task, submissions: list[Submission]) -> list[RevealVote]:
        """Return a vote on each answer whose content is here; the others' turn comes later.

        Raises:
            WorkerFault: the worker gave no scores.
            BlamedError: `task_unreadable` or `input_missing`.
        """
        deadline = task.lifecycle.validation_deadline
        return [
            self._build_vote(submission.submission_id, judgement)
            for submission, judgement in await self._scoring.score(task, submissions, deadline)
        ]

    def _build_vote(self, submission_id: bytes, judgement: Judgement | None) -> RevealVote:
        """Return the vote that a judgement means; None of one: the answer is no text.

        Whatever is worth anything is approved with its score: the median of the scores decides
        about the quality that the publisher asked for, and pays who is near it.
        """
        score, reasoning, reason = 0, "no text", RejectReason.TECHNICAL_ERROR
        verdict = Verdict.REJECT
        if judgement is not None:
            score, reasoning = judgement.score or 0, _fit(judgement.reasoning)
            if judgement.score is None:
                verdict, reason = Verdict.ABSTAIN, RejectReason.NONE
            elif score:
                verdict, reason = Verdict.APPROVE, RejectReason.NONE
            else:
                reason = RejectReason.INCORRECT_ANSWER
        return RevealVote(
            submission_id=submission_id,
            verdict=verdict,
            score=score,
            reason=reason,
            reasoning=reasoning,
            salt=self._draw_bytes(SALT_BYTES),
        )


def _fit(reasoning: str) -> str:
    """Return what a worker wrote as a transaction can hold it: composed, and cut if that grew."""
    data = unicodedata.normalize("NFC", reasoning).encode("utf-8")
    return data[:REASONING_BYTES_MAX].decode("utf-8", "ignore")
