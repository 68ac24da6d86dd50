"""What an account does about disputes: objects, judges as an arbiter, appeals, reports fraud.

Nothing of it is a role of the node: it is what people do by hand. What they choose depends on the
dispute, so that most arbiters agree and a few do not.
"""

from collections.abc import Callable, Sequence
from typing import Any

from node.state_manager import StateManager
from protocol.dispute_records import Choice, DisputeCase, DisputeType, EvidenceType
from protocol.fees import compute_bond_min
from protocol.hashing import compute_content_hash
from protocol.kinds.add_evidence import AddEvidence
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.kinds.appeal_dispute import AppealDispute
from protocol.kinds.open_dispute import Exhibit, OpenDispute
from protocol.kinds.report_fraud import ReportFraud
from protocol.kinds.vote_dispute import VoteDispute
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.params import NANO_PER_COIN
from protocol.phases import DisputeStatus, MinerStatus, TaskStatus
from protocol.records import Submission, Task
from protocol.tables import DISPUTES, MINERS, SUBMISSIONS, TASKS, dispute_key

Submit = Callable[[str, Any, bytes | None], bool]

SUE_STATUSES = (TaskStatus.ANSWERS_SUBMITTED, TaskStatus.UNDER_VALIDATION, TaskStatus.COMPLETED)
DISSENT_OF = 6
"""One arbiter in so many abstains where the others judge."""
APPEAL_OF = 2
WITHDRAW_OF = 6
SHARE = 2_500
RISK = 9_000


class Litigant:
    """One account in court.

    Args:
        state: of its peer.
        address: of the account.
        submit: signs and submits; tells whether the rules let it.
        votes_again: whether it tries to vote more than once; of a liar.
    """

    def __init__(
        self, state: StateManager, address: bytes, submit: Submit, *, votes_again: bool
    ) -> None:
        self._state = state
        self._address = address
        self._submit = submit
        self._votes_again = votes_again

    def sue(self, choice: int) -> bool:
        """Take one step in a dispute of ours, or open one."""
        for task, case in self._list_cases():
            if self._is_party(task, case) and self._go_on(task, case, choice):
                return True
        ours = [task for task in self._list_tasks(*SUE_STATUSES) if self._takes_part(task)]
        return bool(ours) and self._open(ours[choice % len(ours)], choice)

    def judge(self) -> int:
        """Vote where we sit on the panel, appeal where we lost; return how many that made."""
        return sum(self._attend(task, case) for task, case in self._list_cases())

    def report(self, choice: int) -> bool:
        """Report an answer of somebody else as fraud."""
        tasks = self._list_tasks(TaskStatus.ANSWERS_SUBMITTED, TaskStatus.UNDER_VALIDATION)
        shown = [one for task in tasks for one in self._list_shown(task)]
        others = [one for one in shown if one.miner != self._address]
        if not others:
            return False
        one = others[choice % len(others)]
        payload = ReportFraud(one.submission_id, RISK, 1, compute_content_hash(b"analysis"))
        return self._submit("report_fraud", payload, one.task_id)

    def change_stake(self, choice: int) -> bool:
        """Take back the registration stake if we have left, else leave, or add to it."""
        miner = self._state.store.view.get(MINERS, self._address)
        action = StakeAction.EXIT if choice % 3 == 0 else StakeAction.DEPOSIT
        if miner is not None and miner.status is MinerStatus.EXITING:
            action = StakeAction.WITHDRAW
        amount = NANO_PER_COIN // 2 if action is StakeAction.DEPOSIT else 0
        return self._submit("adjust_stake", AdjustStake(action, amount), None)

    # ---------------------------------------------------------------------------- inner parts

    def _attend(self, task: Task, case: DisputeCase) -> bool:
        if case.status is DisputeStatus.RESOLVED_APPEALABLE:
            is_angry = (self._address[0] + case.dispute_id[1]) % APPEAL_OF == 0
            return is_angry and self._is_party(task, case) and self._appeal(task, case)
        is_due = case.status is DisputeStatus.UNDER_REVIEW and self._address in case.panel
        return (
            is_due and (self._votes_again or not self._has_voted(case)) and self._vote(task, case)
        )

    def _appeal(self, task: Task, case: DisputeCase) -> bool:
        deposit = compute_bond_min(task.terms.reward)
        appeal = AppealDispute(case.dispute_id, case.hearing, "", None, deposit)
        return self._submit("appeal_dispute", appeal, task.task_id)

    def _open(self, task: Task, choice: int) -> bool:
        shown = self._list_shown(task)
        about = shown[choice % len(shown)].submission_id if shown and choice % 2 else None
        types = [DisputeType.QUALITY_ASSESSMENT, DisputeType.FRAUD_ACCUSATION]
        if task.status is TaskStatus.COMPLETED:
            types.append(DisputeType.REWARD_DISTRIBUTION)
        if about is not None:
            types += [DisputeType.PLAGIARISM, DisputeType.VALIDATION_ACCURACY]
        exhibit = Exhibit(EvidenceType.TECHNICAL_ANALYSIS, compute_content_hash(b"proof"))
        type_ = types[choice // 2 % len(types)]
        payload = OpenDispute(type_, about, (exhibit,), "", compute_bond_min(task.terms.reward))
        return self._submit("open_dispute", payload, task.task_id)

    def _go_on(self, task: Task, case: DisputeCase, choice: int) -> bool:
        if case.status is DisputeStatus.RESOLVED_APPEALABLE:
            return self._appeal(task, case)
        if case.disputer == self._address and choice % WITHDRAW_OF == 0:
            withdrawal = WithdrawDispute(case.dispute_id)
            return self._submit("withdraw_dispute", withdrawal, task.task_id)
        content = compute_content_hash(choice.to_bytes(8, "big"))
        evidence = AddEvidence(case.dispute_id, EvidenceType.PRIOR_ART, content)
        return self._submit("add_evidence", evidence, task.task_id)

    def _vote(self, task: Task, case: DisputeCase) -> bool:
        choice = list(Choice)[(case.dispute_id[0] + case.hearing) % Choice.ABSTAIN]
        shown = [one.submission_id for one in self._list_shown(task)]
        named: tuple[bytes, ...] = ()
        if choice is Choice.OVERTURN:
            named = (case.submission_id,) if case.submission_id else tuple(shown[:1])
        is_possible = named or choice is not Choice.OVERTURN
        if choice is Choice.SPLIT and case.status_before is not TaskStatus.COMPLETED:
            is_possible = False
        if not is_possible:
            choice, named = Choice.UPHOLD, ()
        if (self._address[0] + case.dispute_id[1]) % DISSENT_OF == 0:
            choice, named = Choice.ABSTAIN, ()
        share = SHARE if choice is Choice.SPLIT else 0
        vote = VoteDispute(case.dispute_id, case.hearing, choice, share, named, (), "")
        return self._submit("vote_dispute", vote, task.task_id)

    def _has_voted(self, case: DisputeCase) -> bool:
        mine = (self._address, case.hearing)
        return any((vote.arbiter, vote.hearing) == mine for vote in case.votes)

    def _is_party(self, task: Task, case: DisputeCase) -> bool:
        return self._address in (task.publisher, case.disputer, *case.defendants)

    def _takes_part(self, task: Task) -> bool:
        miners = [one.miner for one in task.participants]
        return self._address in (task.publisher, *miners, *task.panel)

    def _list_cases(self) -> Sequence[tuple[Task, DisputeCase]]:
        found = []
        for task in self._list_tasks(TaskStatus.DISPUTED):
            key = dispute_key(task.task_id, task.lifecycle.round)
            case = self._state.open.get(DISPUTES, key)
            if case is not None and case.closed_at is None:
                found.append((task, case))
        return found

    def _list_tasks(self, *statuses: TaskStatus) -> list[Task]:
        opened = self._state.open
        keys = [key for key, _ in self._state.store.gate.scan(TASKS.name)]
        found = (opened.get(TASKS, key) for key in keys)
        return [task for task in found if task is not None and task.status in statuses]

    def _list_shown(self, task: Task) -> list[Submission]:
        """Return the answers of a task that were shown."""
        opened = self._state.open
        answers = (opened.get(SUBMISSIONS, one.submission_id) for one in task.participants)
        return [one for one in answers if one is not None and one.content_hash is not None]
