"""Invariants of disputes; the names of the functions are the rules."""

from collections.abc import Iterator
from dataclasses import replace

from protocol.bonds import count_locked
from protocol.convictions import read_convicted, read_verdict
from protocol.dispute_records import HEARINGS_MAX, PANEL_SIZES, Appeal, DisputeCase
from protocol.phases import (
    DISPUTE_STEPS,
    ROUNDS_MAX,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    find_reachable,
    get_label,
)
from protocol.records import RewardRole, Task
from protocol.scene import Rule, Scene
from protocol.tables import (
    DISPUTES,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    dispute_key,
    reward_key,
    validation_key,
)


def _name(key: bytes) -> str:
    return key.hex()[:16]


def each_round_is_one_dispute(scene: Scene) -> Iterator[str]:
    """A task is as many rounds on as disputes of it have ended; a disputed one has one more."""
    for key, task in scene.rows(TASKS):
        if task.lifecycle.round > ROUNDS_MAX:
            yield f"task {_name(key)}: round {task.lifecycle.round}"
        for round_ in range(task.lifecycle.round + 1):
            case = scene.get(DISPUTES, dispute_key(key, round_))
            is_past = round_ < task.lifecycle.round
            is_wanted = is_past or task.status is TaskStatus.DISPUTED
            if (case is not None) != is_wanted:
                yield f"task {_name(key)}: {task.status.name}, no dispute fits round {round_}"
            elif case is not None and (case.closed_at is not None) != is_past:
                yield f"task {_name(key)}: dispute of round {round_} closed at {case.closed_at}"


def a_dispute_is_of_its_task(scene: Scene) -> Iterator[str]:
    """A dispute is under its key, of a task that is there, and holds money while it is open."""
    for key, case in scene.rows(DISPUTES):
        task = scene.get(TASKS, case.task_id)
        if key != dispute_key(case.task_id, case.round) or task is None:
            yield f"dispute {_name(case.dispute_id)}: of no task"
        elif case.round > task.lifecycle.round or (
            case.round == task.lifecycle.round and task.status is not TaskStatus.DISPUTED
        ):
            yield f"dispute {_name(case.dispute_id)}: of a round that has no dispute"
        is_closed = case.status not in DISPUTE_STEPS
        if is_closed != (case.closed_at is not None) or is_closed != (count_locked(case) == 0):
            locked = f"{count_locked(case)} nano locked"
            yield f"dispute {_name(case.dispute_id)}: {case.status.name}, {locked}"
        if case.hearing >= HEARINGS_MAX or case.hearing != len(case.appeals):
            yield f"dispute {_name(case.dispute_id)}: hearing {case.hearing}"


def arbiters_are_outsiders(scene: Scene) -> Iterator[str]:
    """No party is on a panel, nobody sits twice, and an arbiter votes once in a hearing."""
    for _, case in scene.rows(DISPUTES):
        task = scene.get(TASKS, case.task_id)
        parties = {case.disputer, *case.defendants}
        if task is not None:
            parties |= {task.publisher, *(one.miner for one in task.participants)}
        seated = (*case.earlier_panels, *case.panel)
        if len(set(seated)) != len(seated) or not parties.isdisjoint(seated):
            yield f"dispute {_name(case.dispute_id)}: a party or a member twice on its panels"
        if len(case.panel) > PANEL_SIZES[case.hearing] or list(case.panel) != sorted(case.panel):
            yield f"dispute {_name(case.dispute_id)}: a panel of {len(case.panel)}"
        places = [(vote.hearing, vote.arbiter) for vote in case.votes]
        strangers = {vote.arbiter for vote in case.votes} - set(seated)
        if len(set(places)) != len(places) or strangers:
            yield f"dispute {_name(case.dispute_id)}: {len(places)} votes, not one each"


def the_guilty_hold_nothing(scene: Scene) -> Iterator[str]:
    """Whom a verdict named has lost or got back what he had locked in the task."""
    for _, case in scene.rows(DISPUTES):
        task, verdict = scene.get(TASKS, case.task_id), read_verdict(case)
        if task is None or verdict is None:
            continue
        for key in verdict.submissions:
            struck = scene.get(SUBMISSIONS, key)
            if struck is None or struck.stake or struck.status is not SubmissionStatus.REJECTED:
                yield f"answer {_name(key)}: guilty, but not struck out"
        for validator in verdict.validators:
            yield from _find_locked(scene, task, validator)


def _find_locked(scene: Scene, task: Task, validator: bytes) -> Iterator[str]:
    for place in task.participants:
        for round_ in range(task.lifecycle.round + 1):
            key = validation_key(place.submission_id, validator, round_)
            vote = scene.get(VALIDATIONS, key)
            if vote is not None and vote.stake:
                yield f"vote {_name(vote.validation_id)}: guilty, {vote.stake} nano locked"
            hidden = scene.get(VOTE_COMMITMENTS, key)
            if hidden is not None and hidden.stake:
                yield f"commitment {_name(hidden.commit_tx)}: guilty, {hidden.stake} nano locked"


def the_guilty_are_paid_nothing(scene: Scene) -> Iterator[str]:
    """No entry of a later round is for an answer that was struck out or for a false vote."""
    for _, distribution in scene.rows(REWARDS):
        task = scene.get(TASKS, distribution.task_id)
        if task is None or distribution.round > task.lifecycle.round:
            continue
        then = replace(task, lifecycle=replace(task.lifecycle, round=distribution.round))
        convicted = read_convicted(scene, then)
        for entry in distribution.entries:
            is_false_vote = (
                entry.role is RewardRole.VALIDATOR and entry.recipient in convicted.validators
            )
            if is_false_vote or entry.submission_id in convicted.submissions:
                yield f"entry {_name(entry.entry_id)}: for somebody guilty"


def an_earlier_round_pays_nothing(scene: Scene) -> Iterator[str]:
    """All entries of a round that a dispute has ended are revoked."""
    for key, task in scene.rows(TASKS):
        for round_ in range(task.lifecycle.round):
            distribution = scene.get(REWARDS, reward_key(key, round_))
            entries = () if distribution is None else distribution.entries
            if any(entry.state is not RewardState.REVOKED for entry in entries):
                yield f"task {_name(key)}: round {round_} still pays"


def a_dispute_takes_legal_steps(scene: Scene) -> Iterator[str]:
    """A dispute moves along its table; its file only grows and its bond only shrinks."""
    for step in scene.steps(DISPUTES):
        before, after = step.before, step.after
        if after is None:
            continue
        source = before.status if before else None
        if after.status not in find_reachable(DISPUTE_STEPS, source):
            yield f"dispute {_name(step.key)}: {get_label(source)} to {get_label(after.status)}"
        if before is None:
            continue
        if before.closed_at is not None and before != after:
            yield f"dispute {_name(step.key)}: changed after its end"
        if _read_fixed(before) != _read_fixed(after):
            yield f"dispute {_name(step.key)}: another dispute"
        files = zip(_read_file(before), _read_file(after), strict=True)
        if any(new[: len(old)] != old for old, new in files):
            yield f"dispute {_name(step.key)}: something was taken out of its file"
        if after.bond > before.bond or after.hearing < before.hearing:
            yield f"dispute {_name(step.key)}: its bond grew or a hearing was taken back"


def _read_fixed(case: DisputeCase) -> tuple[object, ...]:
    return (
        case.dispute_id,
        case.type,
        case.submission_id,
        case.disputer,
        case.defendants,
        case.status_before,
        case.opened_at,
    )


def _read_file(case: DisputeCase) -> tuple[tuple[object, ...], ...]:
    return case.evidence, case.votes, case.judgments, tuple(map(_clean, case.appeals))


def _clean(appeal: Appeal) -> Appeal:
    return replace(appeal, deposit=0)


DISPUTE_ROW_RULES: tuple[Rule, ...] = (
    each_round_is_one_dispute,
    a_dispute_is_of_its_task,
    arbiters_are_outsiders,
    the_guilty_hold_nothing,
    the_guilty_are_paid_nothing,
    an_earlier_round_pays_nothing,
)
DISPUTE_STEP_RULES: tuple[Rule, ...] = (a_dispute_takes_legal_steps,)
