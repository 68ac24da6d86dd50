"""The check of a state: its root computed anew, all money added up, every row held to its rules."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from protocol.invariants import SUM_RULES
from protocol.invariants_rows import ROW_RULES
from protocol.lthash import LtHash
from protocol.scene import Scene
from protocol.tables import ALL
from protocol.view import Key
from storage.store import Store

ROWS_MAX = 200_000
"""Of a state that is checked in memory, rule by rule; of a larger one only the root."""
ROWS_PER_TURN = 500


@dataclass(frozen=True, slots=True)
class StateReport:
    """What a check found.

    Attributes:
        wanted: the root that the head of the store names; `found` is that of the rows.
        rules_checked: 0 for a state too large for them.
        broken: a line for each rule that a row breaks.
    """

    epoch: int
    rows: int
    wanted: bytes
    found: bytes
    rules_checked: int
    broken: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing was found."""
        return self.found == self.wanted and not self.broken


def check_state(store: Store) -> Generator[int, None, StateReport]:
    """Check the sealed state as it is at the first step.

    Yields:
        How many rows were read, where a caller may do other things.

    Raises:
        Corrupt: a row cannot be read.
    """
    # All scans begin in one step: each shows the rows of this moment, whatever is sealed meanwhile.
    epoch, wanted = store.head.epoch, store.head.state_root
    is_whole = store.totals.rows <= ROWS_MAX
    scans = [(table, store.rows.scan(table)) for table in ALL]
    rows_hash = LtHash.from_bytes(store.pruned.lanes)
    rows: dict[Key, Any] = {}
    count = 0
    for table, scan in scans:
        for key, record in scan:
            rows_hash.add_row(table.name, key, table.encode_row(record))
            count += 1
            if is_whole:
                rows[(table.name, key)] = record
            if count % ROWS_PER_TURN == 0:
                yield count
    scene = Scene.of_rows(rows)
    rules = (*ROW_RULES, *SUM_RULES) if is_whole else ()
    broken: list[str] = []
    for rule in rules:
        broken += [f"{rule.__name__}: {text}" for text in rule(scene)]
        yield count
    found = rows_hash.state_root()
    return StateReport(epoch, count, wanted, found, len(rules), tuple(broken))
