"""What must hold of every state, whatever anybody sent: a broken rule is our bug.

A rule is a generator that yields what is wrong; its name is what an operator sees. Rules of rows
look at a row and at what it names, rules of steps at the row before too, the rule of money at all
of them together. `ConsistencyChecker` runs them on every outcome before it is stored;
`check_whole_state` runs those of rows and money on a whole state, where no row has a before.

Two more rules are held by `storage`, which alone can see them: an index row points to a row with
that value and the reverse, and the index of flagged answers is the set of those with high risk.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from protocol.bonds import count_locked
from protocol.errors import InvariantBroken
from protocol.fold import Outcome
from protocol.invariants_changes import CHANGE_ROW_RULES, CHANGE_STEP_RULES
from protocol.invariants_disputes import DISPUTE_ROW_RULES, DISPUTE_STEP_RULES
from protocol.invariants_rows import ROW_RULES
from protocol.invariants_steps import STEP_RULES
from protocol.records import Ledger
from protocol.scene import Rule, Scene
from protocol.tables import (
    ACCOUNTS,
    DISPUTES,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
)
from protocol.view import Key, StateView

_NOTHING = Ledger(0, 0, 0, 0, 0, 0)


def money_is_where_the_ledger_says(scene: Scene) -> Iterator[str]:
    """Balances, escrows and stakes of the rows add up to what the ledger holds; all is counted."""
    steps = scene.steps(LEDGER)
    if not steps:
        before = after = _NOTHING
    else:
        before, after = steps[0].before or _NOTHING, steps[0].after or _NOTHING
    staked = (
        scene.sum_of(MINERS, lambda miner: miner.stake)
        + scene.sum_of(SUBMISSIONS, lambda submission: submission.stake)
        + scene.sum_of(VALIDATIONS, lambda vote: vote.stake)
        + scene.sum_of(VOTE_COMMITMENTS, lambda vote: vote.stake)
        + scene.sum_of(DISPUTES, count_locked)
    )
    moved = (
        ("balances", scene.sum_of(ACCOUNTS, lambda account: account.balance)),
        ("escrowed", scene.sum_of(TASKS, lambda task: task.pool.escrowed)),
        ("staked", staked),
    )
    for name, amount in moved:
        counted = getattr(after, name) - getattr(before, name)
        if counted != amount:
            yield f"{name}: rows moved by {amount}, ledger by {counted}"
    held = after.balances + after.escrowed + after.staked + after.treasury + after.burned
    if held != after.supply:
        yield f"{held} nano held, supply {after.supply}"
    if steps and steps[0].before is not None and after.supply != before.supply:
        yield f"supply {before.supply} became {after.supply}"


SUM_RULES: tuple[Rule, ...] = (money_is_where_the_ledger_says,)
_OF_ROWS: tuple[Rule, ...] = (*ROW_RULES, *DISPUTE_ROW_RULES, *CHANGE_ROW_RULES, *SUM_RULES)
ALL: tuple[Rule, ...] = (
    *_OF_ROWS,
    *STEP_RULES,
    *DISPUTE_STEP_RULES,
    *CHANGE_STEP_RULES,
)


class ConsistencyChecker:
    """Runs every rule on every outcome, before anything of it is stored."""

    def check(self, view: StateView, outcome: Outcome) -> None:
        """Check what an epoch does to a state.

        Args:
            view: the state before.
            outcome: of `protocol.fold.fold_epoch` over it.

        Raises:
            InvariantBroken: naming the rule and what is wrong.
        """
        _run(ALL, Scene.of_outcome(view, outcome), f"epoch {outcome.epoch}")


def check_whole_state(rows: Mapping[Key, Any]) -> None:
    """Check all rows of a state and add all money up anew.

    Raises:
        InvariantBroken: naming the rule and what is wrong.
        KeyError: a row of a table that does not exist.
    """
    if (LEDGER.name, LEDGER_KEY) not in rows:
        raise InvariantBroken("money_is_where_the_ledger_says: a state without a ledger")
    _run(_OF_ROWS, Scene.of_rows(rows), "state")


def _run(rules: Iterable[Rule], scene: Scene, where: str) -> None:
    for rule in rules:
        for wrong in rule(scene):
            raise InvariantBroken(f"{rule.__name__}: {where}: {wrong}")
