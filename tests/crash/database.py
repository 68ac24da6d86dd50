"""One database over many lives of its writers, and what it must hold."""

import random
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from storage.rocks import RocksSettings
from tests.crash.children import LOOK_S, Child, Send, ask
from tests.crash.facts import Fact, Hearing, Kind, Teller
from tests.crash.reference import (
    Finding,
    OtherState,
    a_reference,
    check_backups,
    check_store,
)
from tests.crash.writer import Plan, write_until_killed

KIB = 1 << 10


class Life:
    """A writer at work, what was heard of it, and in the end its exit code."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.hearing = Hearing()
        self.code = 0

    def listen(self, for_s: float | None = None) -> bool:
        """Hear it for so long; return whether it has fallen silent for ever."""
        return self.child.listen(self.hearing.hear, for_s)

    def listen_until(self, is_enough: Callable[[Hearing], bool]) -> None:
        """Hear it until enough was heard, or it died before."""
        while not is_enough(self.hearing) and not self.listen(LOOK_S):
            pass


class Database:
    """A folder that writers live in one after the other.

    Attributes:
        path: of the database.
        history: all facts told of it.
        acknowledged: how many of them must be there.
    """

    def __init__(self, folder: Path) -> None:
        """Begin with nothing in `folder`."""
        folder.mkdir(parents=True)
        self._folder = folder
        self.path = folder / "db"
        self.backups = folder / "backups"
        self.history: list[Fact] = []
        self.acknowledged = 0
        self._reference = a_reference()
        self._applied = 0
        self._backup_tried = self._backup_made = 0

    def begin(self, plan: Plan) -> Life:
        """Begin a life."""

        def work(send: Send) -> None:
            write_until_killed(self.path, self.backups, self._reference, plan, Teller(send))

        return Life(Child(work))

    def note(self, hearing: Hearing) -> None:
        """Hold the database to all that was heard of a life so far; to be called once for each."""
        promised = hearing.facts[: hearing.acknowledged]
        if hearing.acknowledged:
            self.acknowledged = len(self.history) + hearing.acknowledged
        self.history += hearing.facts
        for fact in hearing.facts:
            if fact.kind is Kind.BACKUP:
                self._backup_tried = int(fact.parts[0])
        made = [int(fact.parts[0]) for fact in promised if fact.kind is Kind.BACKUP]
        self._backup_made = max(made, default=self._backup_made)

    def check(
        self, path: Path | None = None, *, settings: RocksSettings | None = None, is_full: bool
    ) -> Finding:
        """Compare what is in `path`, or in the database, with what must be there."""

        def work() -> dict[str, object]:
            finding = check_store(
                path or self.path,
                self._reference,
                self.history,
                self._applied,
                self.acknowledged,
                settings=settings,
                is_full=is_full,
            )
            return asdict(finding)

        try:
            self._apply(self.acknowledged)
        except OtherState as error:
            return Finding(half=[str(error)])
        finding = Finding(**ask(work))
        if is_full and path is None and self._backup_tried:
            made = self._backup_made
            genesis = self._reference.genesis
            faults = ask(lambda: {"found": check_backups(self.backups, genesis, made)})
            finding.faults += faults["found"]
        return finding

    def count_promised(self) -> int:
        """Return how many things must be there."""
        return sum(fact.count_items() for fact in self.history[: self.acknowledged])

    def settle(self, point: int) -> None:
        """Go on from what was found: facts that were never acknowledged and are not there go."""
        self._apply(point)
        del self.history[point:]
        self.acknowledged = point

    def remove(self) -> None:
        """Delete it with its backups."""
        shutil.rmtree(self._folder)

    def _apply(self, point: int) -> None:
        for fact in self.history[self._applied : point]:
            self._reference.apply(fact)
        self._applied = max(self._applied, point)


def draw_settings(chance: random.Random) -> RocksSettings:
    """Return other options for each life: small buffers flush and compact all the time."""
    return RocksSettings(
        cache_bytes=chance.choice((256 * KIB, 8_192 * KIB)),
        write_buffers_bytes=chance.choice((64 * KIB, 512 * KIB, 16_384 * KIB)),
        background_jobs=chance.choice((1, 2, 4)),
    )
