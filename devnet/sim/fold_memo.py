"""Folds of one run that are not done again: who reads the same rows would come to the same.

Each peer folds over its own disk. Here a fold takes down all that it asks of the state, and what it
came to. Another peer that folds the same transactions asks its own state the same questions; only
if all answers are the same does it take that outcome. If one differs, it folds for itself.

A fold that comes out otherwise for no reason would be hidden by that. So each fold of a sealed
epoch, and one in `CHECKED_OF` of the provisional ones, is done by a second peer all the same; the
two must be equal, or the peers differ in all that follows.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from protocol.tables import Table
from protocol.view import StateView

T = TypeVar("T")

CHECKED_OF = 4
"""One provisional outcome in so many is not taken before a second fold has come to the same."""

Question = tuple[Any, ...]
Work = Callable[[StateView], T]


class _Listener:
    """A state that takes down what it was asked and what it said. See `StateView`."""

    def __init__(self, view: StateView) -> None:
        self.answers: dict[Question, Any] = {}
        self.tables: dict[str, Table[Any]] = {}
        self._view = view

    def get(self, table: Table[T], key: bytes) -> T | None:
        self.tables[table.name] = table
        return self._ask("get", table.name, key, ask=lambda: self._view.get(table, key))

    def due_tasks(self, epoch: int) -> Sequence[bytes]:
        return self._ask("due_tasks", epoch, ask=lambda: self._view.due_tasks(epoch))

    def validators(self) -> Sequence[bytes]:
        return self._ask("validators", ask=self._view.validators)

    def open_changes(self) -> Sequence[bytes]:
        return self._ask("open_changes", ask=self._view.open_changes)

    def owing_tasks(self, recipient: bytes) -> Sequence[bytes]:
        return self._ask("owing_tasks", recipient, ask=lambda: self._view.owing_tasks(recipient))

    def closed_at(self, task_id: bytes) -> int | None:
        return self._ask("closed_at", task_id, ask=lambda: self._view.closed_at(task_id))

    def _ask(self, *question: Any, ask: Callable[[], T]) -> T:
        if question not in self.answers:
            self.answers[question] = ask()
        answer: T = self.answers[question]
        return answer


class _Known:
    """One fold that was done."""

    def __init__(self, listener: _Listener, outcome: Any, *, is_certain: bool) -> None:
        self.outcome = outcome
        self.is_certain = is_certain
        self._gets = [
            (listener.tables[question[1]], question[2], answer)
            for question, answer in listener.answers.items()
            if question[0] == "get"
        ]
        self._others = [
            (question, answer)
            for question, answer in listener.answers.items()
            if question[0] != "get"
        ]

    def is_same(self, view: StateView) -> bool:
        """Tell whether a state answers all that this fold asked as its own did."""
        for table, key, answer in self._gets:
            row = view.get(table, key)
            if row is not answer and row != answer:
                return False
        return all(
            getattr(view, question[0])(*question[1:]) == answer for question, answer in self._others
        )


class FoldMemo:
    """The folds of one run."""

    def __init__(self) -> None:
        self._known: dict[Question, list[_Known]] = {}
        self._folds = 0

    def fold(self, place: Question, view: StateView, work: Work[T], *, is_provisional: bool) -> T:
        """Return what `work` makes of a state, or made of one that answers all it asked alike.

        Args:
            place: all that the fold depends on beside the state.
            view: the state.
            work: folds over the state that it is given.
            is_provisional: whether nothing is sealed by it.
        """
        others = self._known.setdefault(place, [])
        alike = next((one for one in others if one.is_same(view)), None)
        if alike is not None and alike.is_certain:
            certain: T = alike.outcome
            return certain
        listener = _Listener(view)
        outcome = work(listener)
        if alike is not None and alike.outcome == outcome:
            alike.is_certain = True
            first: T = alike.outcome
            return first
        self._folds += 1
        is_certain = is_provisional and alike is None and self._folds % CHECKED_OF != 0
        others.append(_Known(listener, outcome, is_certain=is_certain))
        return outcome
