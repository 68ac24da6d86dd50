"""A state with something of everything in it, and ways to change it behind the fold's back."""

from dataclasses import replace
from typing import Any

from protocol.dispute_records import Choice
from protocol.fold import Change, Outcome
from protocol.tables import BY_NAME, DISPUTES, Table, dispute_key, validation_key
from protocol.view import Key
from tests.support.builders import an_address
from tests.support.court import a_court, arbitrate, close, hear, object_to, seat_panel
from tests.support.tasks import a_judged_task
from tests.support.world import World


class Stage:
    """Two tasks, one settled and partly claimed, one under validation; and what is done to them.

    On an answer to the second there are two commitments to votes, of which one is shown.
    """

    def __init__(self) -> None:
        self.world = world = World()
        world.settle_cast()
        self.done = world.open_task(max_participants=1)
        world.collect_answers(self.done, ["bob"])
        world.reveal_answers(self.done, ["bob"])
        world.judge(self.done, {"bob": (90, 90, 90)})
        world.settle(self.done)
        world.seal(world.claim("bob", self.done, world.entries_of(self.done, "bob")[0]))
        self.open = world.open_task()
        world.collect_answers(self.open, ["carol", "dave"])
        world.seal(world.submit("bob", self.open), world.reveal("carol", self.open))
        world.pass_until(world.task(self.open).lifecycle.reveal_deadline + 1)
        self.voter, self.silent, self.idle = world.panel(self.open)[:3]
        votes = [world.vote(who, self.open, "carol", 80) for who in (self.voter, self.silent)]
        world.seal(*votes)
        world.pass_until(world.task(self.open).lifecycle.validation_deadline)
        world.seal(world.show(votes[0]))
        self.rows: dict[Key, Any] = dict(world.view.rows)

    def change(self, table: Table[Any], key: bytes, **fields: Any) -> None:
        """Change fields of a row behind the fold's back."""
        self.rows[(table.name, key)] = replace(self.rows[(table.name, key)], **fields)

    @property
    def done_entries(self) -> tuple[Any, ...]:
        return self.world.distribution(self.done).entries

    def answer(self, who: str) -> bytes:
        return self.world.submission_id(self.open, who)

    def vote_of(self, who: str) -> bytes:
        """Return the key of somebody's vote on carol's answer, and of his commitment to it."""
        return validation_key(self.answer("carol"), an_address(who), 0)

    @property
    def vote(self) -> bytes:
        return self.vote_of(self.voter)

    def build_outcome(self) -> Outcome:
        """Return the step from the honest state to the changed one."""
        before = self.world.view.rows
        changes = []
        for name, key in sorted({*before, *self.rows}):
            old, new = before.get((name, key)), self.rows.get((name, key))
            if old != new:
                changes.append(Change(BY_NAME[name], key, old, new))
        return Outcome(self.world.epoch + 1, tuple(changes), ())


class CourtStage(Stage):
    """Two completed tasks: of one a dispute has ended with guilty parties, one is in court."""

    def __init__(self) -> None:
        self.world = world = a_court()
        self.ended = a_judged_task(world)
        self.liar = world.panel(self.ended)[0]
        world.seal(object_to(world, "alice", self.ended))
        hear(
            world,
            self.ended,
            [Choice.OVERTURN] * 3,
            submissions=(world.submission_id(self.ended, "bob"),),
            validators=(an_address(self.liar),),
        )
        close(world, self.ended)
        self.heard = a_judged_task(world)
        world.seal(object_to(world, "bob", self.heard))
        self.panel = seat_panel(world, self.heard)
        world.seal(arbitrate(world, self.panel[0], self.heard, Choice.VOID))
        self.rows: dict[Key, Any] = dict(world.view.rows)

    def change_dispute(self, task_id: bytes, **fields: Any) -> None:
        """Change fields of the first dispute of a task behind the fold's back."""
        self.change(DISPUTES, dispute_key(task_id, 0), **fields)
