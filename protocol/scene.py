"""What an invariant looks at: the rows that changed, what they were, and the state around them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protocol.fold import Outcome
from protocol.tables import BY_NAME, Table
from protocol.view import Key, MemoryView, StateView

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One row and what it was before; None where there is no row."""

    key: bytes
    before: T | None
    after: T | None


class Scene:
    """The rows that an epoch changes, over the state before it."""

    def __init__(self, view: StateView, steps: Mapping[str, list[Step[Any]]]) -> None:
        self._view = view
        self._steps = steps
        self._after = {
            (name, step.key): step.after for name, found in steps.items() for step in found
        }

    @classmethod
    def of_outcome(cls, view: StateView, outcome: Outcome) -> "Scene":
        """Return what an epoch changes."""
        steps: dict[str, list[Step[Any]]] = {}
        for one in outcome.changes:
            steps.setdefault(one.table.name, []).append(Step(one.key, one.before, one.after))
        return cls(view, steps)

    @classmethod
    def of_rows(cls, rows: Mapping[Key, Any]) -> "Scene":
        """Return a whole state, every row without a before.

        Raises:
            KeyError: a row of a table that does not exist.
        """
        steps: dict[str, list[Step[Any]]] = {name: [] for name in BY_NAME}
        for name, key in sorted(rows):
            steps[name].append(Step(key, None, rows[(name, key)]))
        return cls(MemoryView(), steps)

    def steps(self, table: Table[T]) -> list[Step[T]]:
        """Return the changed rows of a table, sorted by key."""
        return self._steps.get(table.name, [])

    def rows(self, table: Table[T]) -> Iterator[tuple[bytes, T]]:
        """Yield key and row of the changed rows of a table, as they are afterwards."""
        for step in self.steps(table):
            if step.after is not None:
                yield step.key, step.after

    def get(self, table: Table[T], key: bytes) -> T | None:
        """Return any row as it is afterwards."""
        if (table.name, key) in self._after:
            row: T | None = self._after[(table.name, key)]
            return row
        return self._view.get(table, key)

    def sum_of(self, table: Table[T], amount_of: Callable[[T], int]) -> int:
        """Return by how much an amount, added up over all rows of a table, changes."""
        change = 0
        for step in self.steps(table):
            if step.before is not None:
                change -= amount_of(step.before)
            if step.after is not None:
                change += amount_of(step.after)
        return change


Rule = Callable[[Scene], Iterator[str]]
"""Yields a line for each thing that is wrong; its name is the name of the rule."""
