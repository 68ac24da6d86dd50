"""Invariants of a row and the row before it; the names of the functions are the rules."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from protocol.phases import (
    MINER_STEPS,
    REWARD_STEPS,
    SUBMISSION_STEPS,
    VOTE_STEPS,
    MinerStatus,
    RewardState,
    TaskStatus,
    VoteState,
    find_reachable,
    get_label,
)
from protocol.records import TRANSITIONS_MAX, RewardEntry, VoteCommitment
from protocol.scene import Rule, Scene
from protocol.tables import (
    ACCOUNTS,
    ALL,
    FRAUD_REPORTS,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    Table,
)


def _name(key: bytes) -> str:
    return key.hex()[:16]


def nothing_is_removed(scene: Scene) -> Iterator[str]:
    """The fold adds rows and changes rows; rulings and reports it never even changes."""
    for table in ALL:
        for step in scene.steps(table):
            if step.after is None:
                yield f"{table.name} {_name(step.key)} removed"
    said: tuple[Table[Any], ...] = (RULINGS, FRAUD_REPORTS)
    for table in said:
        for step in scene.steps(table):
            if step.before is not None:
                yield f"{table.name} {_name(step.key)} changed"


def what_was_agreed_stays(scene: Scene) -> Iterator[str]:
    """Terms, publisher and history of a task stay; rounds and places are only added."""
    for step in scene.steps(TASKS):
        before, after = step.before, step.after
        if before is None or after is None:
            continue
        fixed = (before.publisher, before.publish_tx, before.terms, before.pool.total)
        if fixed != (after.publisher, after.publish_tx, after.terms, after.pool.total):
            yield f"task {_name(step.key)}: its terms changed"
        if after.participants[: len(before.participants)] != before.participants:
            yield f"task {_name(step.key)}: a place was taken away"
        if after.lifecycle.round < before.lifecycle.round:
            yield f"task {_name(step.key)}: round {before.lifecycle.round} became an earlier one"
        if before.settled and not after.settled:
            yield f"task {_name(step.key)}: a settled task became unsettled"
        old, new = before.lifecycle.transitions, after.lifecycle.transitions
        if len(new) < TRANSITIONS_MAX and new[: len(old)] != old:
            yield f"task {_name(step.key)}: its history changed"


def an_answer_keeps_its_commitment(scene: Scene) -> Iterator[str]:
    """An answer takes legal steps, keeps what was committed, and its stake only shrinks."""
    for step in scene.steps(SUBMISSIONS):
        before, after = step.before, step.after
        if after is None:
            continue
        source = before.status if before else None
        if after.status not in find_reachable(SUBMISSION_STEPS, source):
            yield f"answer {_name(step.key)}: {get_label(source)} to {get_label(after.status)}"
        if before is None:
            continue
        fixed = (before.task_id, before.miner, before.commit_tx, before.commitment)
        if fixed != (after.task_id, after.miner, after.commit_tx, after.commitment):
            yield f"answer {_name(step.key)}: its commitment changed"
        if before.reveal_tx not in (None, after.reveal_tx):
            yield f"answer {_name(step.key)}: revealed twice"
        lost = after.forfeited - before.forfeited
        if not 0 <= lost <= before.stake - after.stake:
            yield f"answer {_name(step.key)}: {lost} forfeited of {before.stake} locked"
        if not set(before.votes) <= set(after.votes):
            yield f"answer {_name(step.key)}: a vote was taken away"


def a_vote_is_cast_once(scene: Scene) -> Iterator[str]:
    """There is one vote for each answer, validator and round; only its stake ever changes."""
    for step in scene.steps(VALIDATIONS):
        before, after = step.before, step.after
        if before is None or after is None:
            continue
        if replace(before, stake=0) != replace(after, stake=0):
            yield f"vote {_name(before.validation_id)}: cast again"
        elif after.stake > before.stake:
            yield f"vote {_name(before.validation_id)}: its stake grew"


def a_vote_is_bound_before_any_is_shown(scene: Scene) -> Iterator[str]:
    """A new vote opens a commitment, and nobody commits to one any more when votes are shown."""
    earlier = {step.key: step.before for step in scene.steps(TASKS)}
    for step in scene.steps(VALIDATIONS):
        vote, committed = step.after, scene.get(VOTE_COMMITMENTS, step.key)
        if step.before is not None or vote is None:
            continue
        # A second panel has a window of its own, which may begin in the epoch of the last vote.
        tasks = (scene.get(TASKS, vote.task_id), earlier.get(vote.task_id))
        ends = [task.lifecycle.validation_deadline for task in tasks if task is not None]
        if vote.voted_at <= min(ends, default=vote.voted_at):
            yield f"vote {_name(vote.validation_id)}: shown at {vote.voted_at}, too early"
        opened = committed and (committed.reveal_tx, committed.weight)
        if opened != (vote.validation_id, vote.weight):
            yield f"vote {_name(vote.validation_id)}: without its commitment"
    for pledge in scene.steps(VOTE_COMMITMENTS):
        one = pledge.after
        if pledge.before is not None or one is None:
            continue
        task = scene.get(TASKS, one.task_id)
        if task is None or one.committed_at > task.lifecycle.validation_deadline:
            yield f"commitment {_name(one.commit_tx)}: at {one.committed_at}, too late"


def a_commitment_takes_legal_steps(scene: Scene) -> Iterator[str]:
    """A commitment stays what it was; its stake leaves once, with what is forfeited of it."""
    for step in scene.steps(VOTE_COMMITMENTS):
        before, after = step.before, step.after
        if after is None:
            continue
        source = before.state if before else None
        if after.state not in find_reachable(VOTE_STEPS, source):
            yield f"commitment {_name(step.key)}: {get_label(source)} to {get_label(after.state)}"
        if before is None:
            continue
        if _read_bound(before) != _read_bound(after):
            yield f"commitment {_name(step.key)}: to another vote"
        if not 0 <= after.forfeited - before.forfeited <= before.stake - after.stake:
            yield f"commitment {_name(step.key)}: {after.forfeited} nano forfeited"


def _read_bound(one: VoteCommitment) -> VoteCommitment:
    return replace(one, reveal_tx=None, stake=0, forfeited=0, state=VoteState.COMMITTED)


def an_entry_is_claimed_once(scene: Scene) -> Iterator[str]:
    """Entries are fixed at completion; each takes legal steps and is claimed at most once."""
    for step in scene.steps(REWARDS):
        before, after = step.before, step.after
        if after is None:
            continue
        old = {entry.entry_id: entry for entry in before.entries} if before else {}
        if before is not None and replace(before, entries=()) != replace(after, entries=()):
            yield f"distribution {_name(step.key)}: divided anew"
        if before is not None and list(old) != [entry.entry_id for entry in after.entries]:
            yield f"distribution {_name(step.key)}: its entries changed"
        for entry in after.entries:
            earlier = old.get(entry.entry_id)
            source = earlier.state if earlier else None
            if entry.state not in find_reachable(REWARD_STEPS, source):
                taken = f"{get_label(source)} to {get_label(entry.state)}"
                yield f"entry {_name(entry.entry_id)}: {taken}"
            if earlier is not None and _clean(earlier) != _clean(entry):
                yield f"entry {_name(entry.entry_id)}: its terms changed"
            if source is RewardState.CLAIMED and earlier != entry:
                yield f"entry {_name(entry.entry_id)}: claimed again"


def _clean(entry: RewardEntry) -> RewardEntry:
    return replace(entry, state=RewardState.LOCKED, claimed_at=None, claim_tx=None)


def a_disputed_task_pays_nothing(scene: Scene) -> Iterator[str]:
    """While a task is disputed no entry of it is claimed."""
    for step in scene.steps(REWARDS):
        if step.after is None:
            continue
        task = scene.get(TASKS, step.after.task_id)
        if task is None or task.status is not TaskStatus.DISPUTED:
            continue
        old = {entry.entry_id: entry.state for entry in step.before.entries} if step.before else {}
        for entry in step.after.entries:
            if entry.state is RewardState.CLAIMED and old.get(entry.entry_id) is not entry.state:
                yield f"entry {_name(entry.entry_id)}: claimed while disputed"


def a_miner_takes_legal_steps(scene: Scene) -> Iterator[str]:
    """A miner's status moves along its table; what he earned and lost is never taken back."""
    for step in scene.steps(MINERS):
        before, after = step.before, step.after
        if after is None:
            continue
        source = before.status if before else None
        # All states of miners lead to one another in the end; inside one epoch a miner can wake or
        # register, and after that take one more step.
        ways = [MINER_STEPS.get(source, ())]
        if MinerStatus.ACTIVE in ways[0]:
            ways.append(MINER_STEPS[MinerStatus.ACTIVE])
        if after.status is not source and not any(after.status in way for way in ways):
            yield f"miner {_name(step.key)}: {get_label(source)} to {get_label(after.status)}"
        if before is not None:
            counts = (
                after.earned >= before.earned,
                after.forfeited >= before.forfeited,
                after.last_active >= before.last_active,
                after.registered_at >= before.registered_at,
                after.reputation.tasks >= before.reputation.tasks,
                after.reputation.votes >= before.reputation.votes,
            )
            if not all(counts):
                yield f"miner {_name(step.key)}: a count went down"


def a_chain_only_grows(scene: Scene) -> Iterator[str]:
    """An author's chain goes forward, and a bar only ever moves to an earlier seq."""
    for step in scene.steps(ACCOUNTS):
        before, after = step.before, step.after
        if before is None or after is None:
            continue
        if after.next_seq < before.next_seq:
            yield f"account {_name(step.key)}: seq {before.next_seq} to {after.next_seq}"
        if (after.next_seq == before.next_seq) != (after.head == before.head):
            yield f"account {_name(step.key)}: another head at seq {after.next_seq}"
        if before.barred_from is not None and (
            after.barred_from is None or after.barred_from > before.barred_from
        ):
            yield f"account {_name(step.key)}: a bar was lifted"


def who_can_sign_no_more_holds_nothing_up(scene: Scene) -> Iterator[str]:
    """Whom evidence bars has no stake as a miner, and of a settled reward he is owed nothing."""
    for step in scene.steps(MINERS):
        if step.after is not None and step.after.stake and _is_barred(scene, step.key):
            yield f"miner {_name(step.key)}: barred, {step.after.stake} nano at stake"
    for reward in scene.steps(REWARDS):
        for entry in reward.after.entries if reward.after is not None else ():
            if entry.state is RewardState.CLAIMABLE and _is_barred(scene, entry.recipient):
                yield f"entry {_name(entry.entry_id)}: owed to one who is barred"


def _is_barred(scene: Scene, author: bytes) -> bool:
    account = scene.get(ACCOUNTS, author)
    return account is not None and account.barred_from is not None


STEP_RULES: tuple[Rule, ...] = (
    nothing_is_removed,
    what_was_agreed_stays,
    an_answer_keeps_its_commitment,
    a_vote_is_bound_before_any_is_shown,
    a_commitment_takes_legal_steps,
    a_vote_is_cast_once,
    an_entry_is_claimed_once,
    a_disputed_task_pays_nothing,
    a_miner_takes_legal_steps,
    a_chain_only_grows,
    who_can_sign_no_more_holds_nothing_up,
)
