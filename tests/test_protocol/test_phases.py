"""The life cycle: the whole table of moves is walked, legal and illegal."""

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from protocol import phases
from protocol.errors import Rejected
from protocol.phases import (
    MOVES,
    OPEN_DISPUTES,
    ROUNDS_MAX,
    STAYS,
    ChangeStatus,
    DisputeStatus,
    MinerStatus,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    Trigger,
    compute_merge_rank,
    get_label,
    next_statuses,
    render_diagram,
    render_table,
    require_move,
    require_step,
)
from protocol.records import TRANSITIONS_MAX

README = Path(phases.__file__).with_name("README.md")

# The rules, written down a second time and in another way than in the code.
LEGAL = {
    "published": {"in_progress", "cancelled", "expired"},
    "in_progress": {"answers_submitted", "expired"},
    "answers_submitted": {"under_validation", "expired", "disputed"},
    "under_validation": {"completed", "expired", "disputed"},
    "completed": {"disputed"},
    "disputed": {"completed", "under_validation", "cancelled"},
    "expired": set[str](),
    "cancelled": set[str](),
}
PAIRS = [(source, target) for source in TaskStatus for target in TaskStatus]


def is_legal(source: TaskStatus, target: TaskStatus) -> bool:
    return get_label(target) in LEGAL[get_label(source)]


def accepts(source: TaskStatus | None, target: TaskStatus, trigger: Trigger) -> bool:
    try:
        require_move(source, target, trigger)
    except Rejected:
        return False
    return True


def test_the_names_and_numbers_of_the_statuses_never_change() -> None:
    assert {get_label(status): int(status) for status in TaskStatus} == {
        "published": 0,
        "in_progress": 1,
        "answers_submitted": 2,
        "under_validation": 3,
        "completed": 4,
        "expired": 5,
        "disputed": 6,
        "cancelled": 7,
    }
    assert get_label(None) == "none"


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_of_the_64_pairs_exactly_those_of_the_table_are_legal(
    source: TaskStatus, target: TaskStatus
) -> None:
    assert any(accepts(source, target, trigger) for trigger in Trigger) is is_legal(source, target)


@pytest.mark.parametrize(("source", "target"), [p for p in PAIRS if not is_legal(*p)])
@pytest.mark.parametrize("trigger", Trigger)
def test_an_illegal_move_says_what_was_found_and_what_was_wanted(
    source: TaskStatus, target: TaskStatus, trigger: Trigger
) -> None:
    with pytest.raises(Rejected) as caught:
        require_move(source, target, trigger)
    assert caught.value.code == "wrong_phase"
    assert caught.value.found == (
        f"{get_label(source)} to {get_label(target)} by {get_label(trigger)}"
    )
    for status in next_statuses(source, trigger):
        assert get_label(status) in caught.value.wanted


def test_a_legal_move_by_the_wrong_cause_is_refused() -> None:
    with pytest.raises(Rejected, match="wrong_phase"):
        require_move(TaskStatus.PUBLISHED, TaskStatus.CANCELLED, Trigger.TIME_EXPIRY)
    with pytest.raises(Rejected, match="wrong_phase"):
        require_move(TaskStatus.UNDER_VALIDATION, TaskStatus.COMPLETED, Trigger.PARTICIPANT_ACTION)


def test_every_row_of_the_table_is_found_by_its_ends_and_each_of_its_causes() -> None:
    for move in MOVES:
        for trigger in move.triggers:
            assert require_move(move.source, move.target, trigger) is move
            assert move.target in next_statuses(move.source, trigger)


def test_a_task_comes_into_being_in_one_way_only() -> None:
    born = [status for status in TaskStatus if accepts(None, status, Trigger.TASK_CREATED)]
    assert born == [TaskStatus.PUBLISHED]


def test_the_rows_are_numbered_as_in_the_rules_without_a_gap() -> None:
    numbers = {move.number for move in MOVES} | {stay.number for stay in STAYS}
    assert numbers == {f"T{i}" for i in range(16)} | {"T1'", "T9'"}


def test_no_cause_but_creation_makes_a_task() -> None:
    for trigger in Trigger:
        if trigger is not Trigger.TASK_CREATED:
            assert next_statuses(None, trigger) == ()


def test_every_open_phase_can_be_left_without_anybody() -> None:
    computed = {Trigger.TIME_EXPIRY, Trigger.VALIDATION_COMPLETE, Trigger.DISPUTE_RESOLVED}
    for status in TaskStatus:
        if status not in (TaskStatus.EXPIRED, TaskStatus.CANCELLED, TaskStatus.COMPLETED):
            assert any(next_statuses(status, trigger) for trigger in computed)


def test_nothing_leaves_what_is_expired_or_cancelled() -> None:
    for status in (TaskStatus.EXPIRED, TaskStatus.CANCELLED):
        assert all(next_statuses(status, trigger) == () for trigger in Trigger)


def test_the_longest_history_fits_its_bound() -> None:
    def longest(status: TaskStatus, disputes: int) -> int:
        lengths = [0]
        for move in MOVES:
            if move.source is status:
                opened = disputes + (move.target is TaskStatus.DISPUTED)
                if opened <= ROUNDS_MAX:
                    lengths.append(1 + longest(move.target, opened))
        return max(lengths)

    assert longest(TaskStatus.PUBLISHED, 0) == 13
    assert longest(TaskStatus.PUBLISHED, 0) + 1 <= TRANSITIONS_MAX


def test_every_move_of_a_task_makes_its_record_win_over_the_older_one() -> None:
    for move in MOVES:
        if move.source is None:
            continue
        # A resolved dispute starts a round, and the round is compared first.
        rounds = int(Trigger.DISPUTE_RESOLVED in move.triggers)
        before = (0, *compute_merge_rank(move.source, None))
        assert (rounds, *compute_merge_rank(move.target, move.source)) > before


def test_evidence_of_work_wins_over_a_refund() -> None:
    working = compute_merge_rank(TaskStatus.IN_PROGRESS, None)
    cancelled = compute_merge_rank(TaskStatus.CANCELLED, TaskStatus.PUBLISHED)
    expired = compute_merge_rank(TaskStatus.EXPIRED, TaskStatus.PUBLISHED)
    assert working > cancelled > expired > compute_merge_rank(TaskStatus.PUBLISHED, None)


def test_completed_wins_over_expired_and_disputed_over_completed() -> None:
    expired = compute_merge_rank(TaskStatus.EXPIRED, TaskStatus.UNDER_VALIDATION)
    completed = compute_merge_rank(TaskStatus.COMPLETED, None)
    assert expired < completed < compute_merge_rank(TaskStatus.DISPUTED, None)


@pytest.mark.parametrize("left", [None, TaskStatus.COMPLETED, TaskStatus.EXPIRED])
def test_a_closed_record_must_say_from_which_phase_it_was_closed(left: TaskStatus | None) -> None:
    with pytest.raises(Rejected, match="wrong_phase"):
        compute_merge_rank(TaskStatus.EXPIRED, left)


STEP_TABLES: list[tuple[type[IntEnum], Mapping[Any, tuple[IntEnum, ...]], int]] = [
    (SubmissionStatus, phases.SUBMISSION_STEPS, 12),
    (RewardState, phases.REWARD_STEPS, 5),
    (MinerStatus, phases.MINER_STEPS, 12),
    (DisputeStatus, phases.DISPUTE_STEPS, 10),
    (ChangeStatus, phases.CHANGE_STEPS, 4),
]


@pytest.mark.parametrize(("states", "steps", "count"), STEP_TABLES)
def test_a_step_of_another_entity_is_legal_only_if_its_table_says_so(
    states: type[IntEnum], steps: Mapping[Any, tuple[IntEnum, ...]], count: int
) -> None:
    legal = 0
    for source in (None, *states):
        for target in states:
            if target in steps.get(source, ()):
                require_step(steps, source, target)
                legal += 1
            else:
                with pytest.raises(Rejected, match="wrong_state"):
                    require_step(steps, source, target)
    assert legal == count


@pytest.mark.parametrize(("states", "steps", "count"), STEP_TABLES)
def test_every_state_of_another_entity_can_be_reached_and_none_reaches_itself(
    states: type[IntEnum], steps: Mapping[Any, tuple[IntEnum, ...]], count: int
) -> None:
    reached = {target for targets in steps.values() for target in targets}
    assert reached == set(states)
    assert all(source not in targets for source, targets in steps.items())


def test_a_claimed_reward_is_final() -> None:
    for target in RewardState:
        with pytest.raises(Rejected, match="wrong_state"):
            require_step(phases.REWARD_STEPS, RewardState.CLAIMED, target)


def test_a_dispute_is_pending_until_it_is_resolved_dropped_or_over() -> None:
    ended = {status for status in DisputeStatus if status not in phases.DISPUTE_STEPS}
    assert not ended & set(OPEN_DISPUTES)
    assert set(DisputeStatus) - ended - set(OPEN_DISPUTES) == {DisputeStatus.RESOLVED_APPEALABLE}


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("diagram", f"```mermaid\n{render_diagram()}```\n"), ("table", render_table())],
)
def test_what_the_readme_draws_is_what_the_table_says(name: str, drawn: str) -> None:
    text = README.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"<!-- {name}: drawn from phases.py -->\n")
    assert found, f"no {name} in {README}"
    assert rest.partition(f"<!-- end of {name} -->")[0] == drawn
