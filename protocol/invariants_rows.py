"""Invariants of a single row and of what it names; the names of the functions are the rules."""

from collections.abc import Iterator
from itertools import pairwise

from protocol.errors import Rejected
from protocol.params import SCALE
from protocol.phases import (
    RewardState,
    SubmissionStatus,
    TaskStatus,
    VoteState,
    get_label,
    require_move,
)
from protocol.records import ENTRIES_MAX, TRANSITIONS_MAX, Task
from protocol.scene import Rule, Scene
from protocol.stakes import is_closed
from protocol.tables import (
    ACCOUNTS,
    LEDGER,
    MINERS,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    reward_key,
    validation_key,
)


def _name(key: bytes) -> str:
    return key.hex()[:16]


def every_move_is_legal_and_follows_the_last(scene: Scene) -> Iterator[str]:
    """The history of a task is a chain of legal moves from Published to where it is."""
    for key, task in scene.rows(TASKS):
        history = task.lifecycle.transitions
        status, epoch = TaskStatus.PUBLISHED, task.lifecycle.published_at
        if len(history) == TRANSITIONS_MAX:
            status = history[0].from_status
        for move in history:
            if move.from_status is not status or move.epoch < epoch:
                yield f"task {_name(key)}: a move from {move.from_status.name} at {move.epoch}"
            try:
                require_move(move.from_status, move.to_status, move.trigger)
            except Rejected as reason:
                yield f"task {_name(key)}: {reason}"
            status, epoch = move.to_status, move.epoch
        if task.status is not status:
            yield f"task {_name(key)}: {task.status.name} after a move to {status.name}"


def windows_follow_one_another(scene: Scene) -> Iterator[str]:
    """published < submission < reveal < validation < finalize; completion opens the dispute."""
    for key, task in scene.rows(TASKS):
        times = task.lifecycle
        ends = (
            times.published_at,
            times.submission_deadline,
            times.reveal_deadline,
            times.validation_deadline,
            times.finalize_deadline,
        )
        if any(earlier >= later for earlier, later in pairwise(ends)):
            yield f"task {_name(key)}: windows end at {ends}"
        if (times.completed_at is None) != (times.dispute_deadline is None):
            yield f"task {_name(key)}: one of completion and dispute deadline is missing"
        if task.status is TaskStatus.COMPLETED and times.completed_at is None:
            yield f"task {_name(key)}: completed at no time"
        completed, disputable = times.completed_at, times.dispute_deadline
        if completed is not None and not times.published_at < completed <= (disputable or 0):
            yield f"task {_name(key)}: completed at {completed}, disputable until {disputable}"


def each_escrow_adds_up(scene: Scene) -> Iterator[str]:
    """escrowed + paid out + refunded = total, and a closed task owes no more than its entries."""
    for key, task in scene.rows(TASKS):
        pool = task.pool
        parts = (pool.escrowed, pool.paid_out, pool.refunded)
        if min(parts) < 0 or sum(parts) != pool.total or pool.total != task.terms.reward:
            yield f"task {_name(key)}: pool {parts} of {pool.total}"
        owed = _compute_owed(scene, task)
        if owed is not None and owed != pool.escrowed:
            yield f"task {_name(key)}: {pool.escrowed} in escrow, {owed} owed"


def _compute_owed(scene: Scene, task: Task) -> int | None:
    """Return what the escrow must still hold, None while the task's phase does not fix it."""
    if task.status in (TaskStatus.EXPIRED, TaskStatus.CANCELLED):
        return 0
    if task.status is not TaskStatus.COMPLETED:
        return None
    distribution = scene.get(REWARDS, reward_key(task.task_id, task.lifecycle.round))
    if distribution is None:
        return -1
    open_states = (RewardState.LOCKED, RewardState.CLAIMABLE)
    owed = sum(entry.amount for entry in distribution.entries if entry.state in open_states)
    return owed if task.settled else owed + distribution.network_fee + distribution.refund


def each_reward_is_divided_without_rest(scene: Scene) -> Iterator[str]:
    """entries + network fee + refund = total, no entry is empty, none is there twice."""
    for key, distribution in scene.rows(REWARDS):
        entries = distribution.entries
        amounts = [entry.amount for entry in entries]
        paid = sum(amounts) + distribution.network_fee + distribution.refund
        task = scene.get(TASKS, distribution.task_id)
        if task is None or task.pool.total != distribution.total:
            yield f"distribution {_name(key)}: {distribution.total} of another task's reward"
        elif paid != distribution.total:
            yield f"distribution {_name(key)}: {paid} of {distribution.total}"
        if len(entries) > ENTRIES_MAX or any(amount <= 0 for amount in amounts):
            yield f"distribution {_name(key)}: {len(entries)} entries, one of them empty"
        if len({entry.entry_id for entry in entries}) != len(entries):
            yield f"distribution {_name(key)}: an entry is there twice"


def rewards_open_when_the_task_settles(scene: Scene) -> Iterator[str]:
    """Nothing is claimable or claimed before the dispute window has passed."""
    for key, distribution in scene.rows(REWARDS):
        task = scene.get(TASKS, distribution.task_id)
        settled = task is not None and task.settled
        for entry in distribution.entries:
            is_open = entry.state in (RewardState.CLAIMABLE, RewardState.CLAIMED)
            if is_open and not settled:
                yield f"entry {_name(entry.entry_id)} {entry.state.name} before settlement"
            is_claimed = entry.state is RewardState.CLAIMED
            if is_claimed != (entry.claim_tx is not None) or is_claimed != (
                entry.claimed_at is not None
            ):
                yield f"entry {_name(entry.entry_id)} of {_name(key)} {entry.state.name}"
            if entry.claimed_at is not None and entry.claimed_at <= distribution.claimable_after:
                yield f"entry {_name(entry.entry_id)} claimed at {entry.claimed_at}"


def places_are_taken_once(scene: Scene) -> Iterator[str]:
    """No more participants than places, each with one answer, none the publisher."""
    for key, task in scene.rows(TASKS):
        miners = [one.miner for one in task.participants]
        if len(miners) > task.terms.max_participants or len(set(miners)) != len(miners):
            yield f"task {_name(key)}: {len(miners)} places taken"
        if task.publisher in miners:
            yield f"task {_name(key)}: its publisher takes part"
        for one in task.participants:
            submission = scene.get(SUBMISSIONS, one.submission_id)
            found = submission and (submission.task_id, submission.miner)
            if found != (task.task_id, one.miner):
                yield f"task {_name(key)}: a place without the answer {_name(one.submission_id)}"


def every_answer_has_its_place(scene: Scene) -> Iterator[str]:
    """An answer is listed by its task, and shows what its status says."""
    places: dict[bytes, frozenset[bytes]] = {}
    for key, one in scene.rows(SUBMISSIONS):
        if one.task_id not in places:
            task = scene.get(TASKS, one.task_id)
            listed = task.participants if task else ()
            places[one.task_id] = frozenset(place.submission_id for place in listed)
        if key not in places[one.task_id] or key != one.submission_id:
            yield f"answer {_name(key)}: in no place of its task"
        is_hidden = one.status in (SubmissionStatus.PENDING, SubmissionStatus.NOT_REVEALED)
        shown = (one.reveal_tx, one.content_hash, one.revealed_at)
        if any((part is None) != is_hidden for part in shown):
            yield f"answer {_name(key)}: {one.status.name}, but not shown so"
        is_judged = one.status in (SubmissionStatus.APPROVED, SubmissionStatus.REJECTED)
        if is_judged and one.score is None:
            yield f"answer {_name(key)}: {one.status.name} without a score"


def nobody_judges_his_own(scene: Scene) -> Iterator[str]:
    """A vote is by a member of the panel who is neither publisher nor participant."""
    for key, vote in scene.rows(VALIDATIONS):
        if key != validation_key(vote.submission_id, vote.validator, vote.round):
            yield f"vote {_name(vote.validation_id)}: under another key"
        submission = scene.get(SUBMISSIONS, vote.submission_id)
        task = scene.get(TASKS, vote.task_id)
        if submission is None or task is None or submission.task_id != task.task_id:
            yield f"vote {_name(vote.validation_id)}: on no answer of its task"
        elif vote.validator in (task.publisher, submission.miner):
            yield f"vote {_name(vote.validation_id)}: by a party"
        elif vote.validator not in submission.votes:
            yield f"vote {_name(vote.validation_id)}: not counted by its answer"
    for key, task in scene.rows(TASKS):
        parties = {task.publisher, *(one.miner for one in task.participants)}
        if list(task.panel) != sorted(set(task.panel)) or not parties.isdisjoint(task.panel):
            yield f"task {_name(key)}: a panel of {len(task.panel)} with a party"


def a_commitment_shows_what_its_state_says(scene: Scene) -> Iterator[str]:
    """It is by an outsider to an answer of its task, holds a stake until then, and has one vote."""
    for key, one in scene.rows(VOTE_COMMITMENTS):
        name = f"commitment {_name(one.commit_tx)}"
        task, answer = scene.get(TASKS, one.task_id), scene.get(SUBMISSIONS, one.submission_id)
        if key != validation_key(one.submission_id, one.validator, one.round):
            yield f"{name}: under another key"
        if task is None or answer is None or answer.task_id != one.task_id:
            yield f"{name}: to no answer of its task"
        elif one.validator in (task.publisher, answer.miner):
            yield f"{name}: by a party"
        is_shown = one.state is VoteState.REVEALED
        vote = scene.get(VALIDATIONS, key) if is_shown else None
        if is_shown and (vote is None or vote.validation_id != one.reveal_tx):
            yield f"{name}: revealed without its vote"
        if is_shown != (one.reveal_tx is not None):
            yield f"{name}: {get_label(one.state)}, but not shown so"
        if one.stake and one.state is not VoteState.COMMITTED:
            yield f"{name}: {get_label(one.state)}, {one.stake} nano still locked"


def a_closed_task_holds_no_stake(scene: Scene) -> Iterator[str]:
    """What nothing can happen to any more has given all stakes back."""
    for key, task in scene.rows(TASKS):
        if is_closed(task):
            for place in task.participants:
                submission = scene.get(SUBMISSIONS, place.submission_id)
                if submission is not None and submission.stake:
                    yield f"task {_name(key)}: {submission.stake} nano still locked"
    for _, one in scene.rows(SUBMISSIONS):
        parent = scene.get(TASKS, one.task_id)
        if one.stake and (parent is None or is_closed(parent)):
            yield f"answer {_name(one.submission_id)}: {one.stake} nano still locked"
    for _, vote in scene.rows(VALIDATIONS):
        parent = scene.get(TASKS, vote.task_id)
        if vote.stake and (parent is None or is_closed(parent)):
            yield f"vote {_name(vote.validation_id)}: {vote.stake} nano still locked"
    for _, hidden in scene.rows(VOTE_COMMITMENTS):
        parent = scene.get(TASKS, hidden.task_id)
        if hidden.stake and (parent is None or is_closed(parent)):
            yield f"commitment {_name(hidden.commit_tx)}: {hidden.stake} nano still locked"


def a_reputation_stays_in_its_range(scene: Scene) -> Iterator[str]:
    """0 to 10,000, and no count exceeds the count that it is a part of."""
    for key, miner in scene.rows(MINERS):
        standing = miner.reputation
        fits = (
            0 <= standing.score <= SCALE
            and standing.successes <= standing.tasks
            and standing.accurate_votes <= standing.votes
            and standing.quality_sum <= 100 * standing.tasks
            and miner.registered_at <= miner.last_active
            and miner.stake >= 0
        )
        if not fits:
            yield f"miner {_name(key)}: {standing}"


def no_account_is_overdrawn(scene: Scene) -> Iterator[str]:
    """No balance and no pot is below zero; who has a head has a seq."""
    for key, account in scene.rows(ACCOUNTS):
        if account.balance < 0 or (account.head is None) != (account.next_seq == 0):
            yield f"account {_name(key)}: {account.balance} nano, seq {account.next_seq}"
    for _, ledger in scene.rows(LEDGER):
        pots = (ledger.balances, ledger.escrowed, ledger.staked, ledger.treasury, ledger.burned)
        if min(pots) < 0:
            yield f"ledger {pots}"


ROW_RULES: tuple[Rule, ...] = (
    every_move_is_legal_and_follows_the_last,
    windows_follow_one_another,
    each_escrow_adds_up,
    each_reward_is_divided_without_rest,
    rewards_open_when_the_task_settles,
    places_are_taken_once,
    every_answer_has_its_place,
    nobody_judges_his_own,
    a_commitment_shows_what_its_state_says,
    a_closed_task_holds_no_stake,
    a_reputation_stays_in_its_range,
    no_account_is_overdrawn,
)
