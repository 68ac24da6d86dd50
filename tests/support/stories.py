"""Plays tests/stories/*.txt: what people do on two sides of a cut, and what stands once it heals.

    # Prose for the reader.

    cast    alice publisher, bob carol solvers, vera viktor violet validators
    epoch   alice publishes one places 1          one sealed epoch; deeds divided by `;`
    judged  bob of one by vera 90, viktor 88      votes are committed to, and then shown
    epoch   sara proposes slow set epoch_ms 9 in 4    sara is of the cast as one of the sealers
    until   reveal of one                         epochs pass: reveal, verdict, votes, end, settled,
                                                  last (to object), panel, peace
    left    alice cancels one                     what one side does, not knowing of the other
    right   bob answers one
    heal    2                                     in which epoch the right side is sealed
    ----
    what each side believed alone, and what the two amount to together

Whoever acts on both sides signs one seq twice: an author's chain is one, and the cut forks it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protocol.chains import is_alive
from protocol.charter import compute_change_id
from protocol.charter_records import Change
from protocol.dispute_records import Choice
from protocol.phases import TaskStatus, get_label
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, Ruling
from protocol.tables import TASKS
from protocol.transactions import SignedTransaction
from tests.support.builders import COIN, a_hash, a_vote, an_address, name_of
from tests.support.court import (
    appeal,
    arbitrate,
    bring,
    case_of,
    close,
    object_to,
    seat_panel,
    withdraw,
)
from tests.support.governing import a_governed_genesis, back, find_change, set_to
from tests.support.world import Place, World

DIVIDER = "----"


@dataclass
class Story:
    """One file, read.

    Attributes:
        told: everything above the divider, as it stands in the file.
        expected: the lines below it.
        lines: (word, rest) of each line that means something.
    """

    told: str
    expected: list[str]
    lines: list[tuple[str, str]] = field(default_factory=list)


def read_story(path: Path) -> Story:
    """Return a story file, split at its divider."""
    told, _, expected = path.read_text(encoding="utf-8").partition(f"{DIVIDER}\n")
    story = Story(told, expected.splitlines())
    for line in told.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            story.lines.append((word, rest.strip()))
    return story


def write_story(path: Path, story: Story, outcome: Sequence[str]) -> None:
    """Write a story file anew with what really happened."""
    text = story.told + f"{DIVIDER}\n" + "\n".join(outcome) + "\n"
    path.write_text(text, encoding="utf-8")


class Player:
    """One performance of a story."""

    def __init__(self) -> None:
        """Begin with an empty stage."""
        self.world = World()
        self.tasks: dict[str, bytes] = {}
        self.changes: dict[str, Change] = {}
        self.told: dict[bytes, str] = {}
        self.left: list[SignedTransaction] = []
        self.right: list[SignedTransaction] = []
        self.sides: dict[str, World] = {}
        self.heal = 1

    def play(self, story: Story) -> list[str]:
        """Return the outcome of a story, line by line."""
        for word, rest in story.lines:
            _WORDS[word](self, rest)
        lines = self._tell_alone("left", self.left) if self.left else []
        lines += self._tell_alone("right", self.right) if self.right else []
        return [*lines, "together", *self._tell_together()]

    # --------------------------------------------------------------------------- before the cut

    def cast(self, rest: str) -> None:
        """Register people by their parts; sealers seal the network from its beginning."""
        parts = {"publisher": 0, "solvers": ROLE_SOLVER, "validators": ROLE_VALIDATOR}
        registrations = []
        for group in rest.split(","):
            *names, part = group.split()
            if part == "sealers":
                self.world = World(a_governed_genesis(names))
            elif parts[part]:
                registrations += [self.world.register(who, roles=parts[part]) for who in names]
        self.world.seal(*registrations)

    def epoch(self, rest: str) -> None:
        """Seal one epoch of deeds."""
        self.world.seal(*self._sign(self.world, rest))

    def judged(self, rest: str) -> None:
        """Have validators commit to votes on an answer, and show them when all can."""
        about, _, votes = rest.partition(" by ")
        miner, _, name = about.split()
        scores = [vote.split() for vote in votes.split(",")]
        task_id = self.tasks[name]
        self.world.cast_votes(
            *(self.world.vote(who, task_id, miner, int(score)) for who, score in scores)
        )

    def until(self, rest: str) -> None:
        """Let epochs pass: up to where answers can be revealed, or past a window."""
        what, _, name = rest.split()
        task_id = self.tasks[name]
        times = self.world.task(task_id).lifecycle
        epochs = {
            "reveal": times.submission_deadline,
            "verdict": times.reveal_deadline + 1,
            "votes": times.validation_deadline,
            "end": times.finalize_deadline + 1,
            "settled": (times.dispute_deadline or 0) + 1,
            "last": times.dispute_deadline or 0,
        }
        if what == "panel":
            seat_panel(self.world, task_id)
        elif what == "peace":
            close(self.world, task_id)
        else:
            self.world.pass_until(epochs[what] - (what == "last"))

    # ------------------------------------------------------------------------------- the cut

    def on_left(self, rest: str) -> None:
        """Sign deeds of the left side."""
        self.left += self._sign(self.sides.setdefault("left", self.world.fork()), rest)

    def on_right(self, rest: str) -> None:
        """Sign deeds of the right side."""
        self.right += self._sign(self.sides.setdefault("right", self.world.fork()), rest)

    def healed(self, rest: str) -> None:
        """Say in which epoch after the cut the right side is sealed; 1 is with the left."""
        self.heal = int(rest)

    def _sign(self, world: World, rest: str) -> list[SignedTransaction]:
        signed = []
        for deed in rest.split(";"):
            who, verb, name, *more = deed.split()
            if verb == "publishes":
                tx = self._publish(world, who, more)
                self.tasks[name] = tx.header.subject
            elif verb in ("proposes", "backs"):
                if verb == "proposes":
                    _, parameter, value, _, ahead = more
                    action = set_to(parameter, int(value))
                    self.changes[name] = Change(world.epoch + int(ahead), action)
                tx = back(world, who, self.changes[name])
            else:
                tx = _VERBS[verb](world, who, self.tasks[name], more)
            self.told[tx.tx_id] = " ".join(deed.split())
            signed.append(tx)
        return signed

    def _publish(self, world: World, who: str, more: list[str]) -> SignedTransaction:
        places = int(more[1]) if more[:1] == ["places"] else 3
        if more[:1] == ["reward"]:
            return world.publish(
                who, difficulty=3, reward=int(more[1]) * COIN, stake_required=30 * COIN
            )
        return world.publish(who, max_participants=places)

    # ------------------------------------------------------------------------------ the outcome

    def _tell_alone(self, side: str, signed: Sequence[SignedTransaction]) -> list[str]:
        world = self.world.fork()
        world.adopt(signed)
        world.seal(*signed)
        return [f"{side} alone", *self._tell(world, signed)]

    def _tell_together(self) -> list[str]:
        world = self.world
        world.adopt((*self.left, *self.right))
        if self.heal > 1:
            world.seal(*self.left)
            world.pass_until(world.epoch + self.heal - 2)
            late = world.params.late_epochs
            alive = [tx for tx in self.right if is_alive(tx.header.epoch, world.epoch + 1, late)]
            world.seal(*alive)
            dead = [f"  dead     {self.told[tx.tx_id]}" for tx in self.right if tx not in alive]
            return dead + self._tell(world, [*self.left, *alive])
        union = list({tx.tx_id: tx for tx in (*self.left, *self.right)}.values())
        evidence = find_forks(union)
        bars = dict(sorted(evidence, reverse=True))
        out = [tx for tx in union if tx.header.seq >= bars.get(tx.header.author, 1 << 62)]
        taken = [tx for tx in union if tx not in out]
        # Whichever side's transactions come first, the outcome is one.
        assert world.fold(taken, evidence)[1] == world.fold(reversed(taken), evidence)[1]
        world.seal(*taken, evidence=evidence)
        caught = [
            f"  caught   {name_of(author)} signed seq {seq} twice" for author, seq in evidence
        ]
        gone = sorted(f"  out      {self.told[tx.tx_id]}" for tx in out)
        return [*caught, *gone, *self._tell(world, taken)]

    def _tell(self, world: World, signed: Iterable[SignedTransaction]) -> list[str]:
        lines = []
        for tx in signed:
            ruling = world.rulings.get(tx.tx_id)
            stands = "stands " if ruling is None else "refused"
            lines.append(f"  {stands}  {self.told[tx.tx_id]}{self._explain(ruling)}")
        for name, task_id in sorted(self.tasks.items()):
            task = world.view.get(TASKS, task_id)
            status = "not there" if task is None else get_label(task.status)
            if task is not None and task.status is TaskStatus.DISPUTED:
                status += f", {get_label(case_of(world, task_id).status)}"
            lines.append(f"  => {name} {status}")
        for name, change in sorted(self.changes.items()):
            lines.append(f"  => {name} {self._describe_change(world, change)}")
        return lines

    def _describe_change(self, world: World, change: Change) -> str:
        case = find_change(world, change)
        if case is None:
            return "not there"
        names = {compute_change_id(world.network, one): name for name, one in self.changes.items()}
        reason = f": {case.code}" if case.code else ""
        lost = "" if case.lost_to is None else f", lost to `{names[case.lost_to]}`"
        votes = f"{case.counted} of {case.quorum}" if case.quorum else f"{len(case.votes)} votes"
        return f"{get_label(case.status)} with {votes}{reason}{lost}"

    def _explain(self, ruling: Ruling | None) -> str:
        if ruling is None:
            return ""
        text = f": {ruling.code}, found {ruling.found}, wanted {ruling.wanted}"
        if ruling.lost_to is not None:
            text += f", lost to `{self.told[ruling.lost_to]}`"
        return text


def find_forks(transactions: Iterable[SignedTransaction]) -> list[Place]:
    """Return (author, seq) of every place that two different transactions claim, sorted."""
    at: dict[Place, bytes] = {}
    forks = set()
    for tx in transactions:
        place = (tx.header.author, tx.header.seq)
        if at.setdefault(place, tx.tx_id) != tx.tx_id:
            forks.add(place)
    return sorted(forks)


def _answer(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    if more[:1] == ["copying"]:
        return world.submit(who, task_id, commitment=world.commitment(task_id, more[1]))
    return world.submit(who, task_id)


def _reveal(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    if more[:1] != ["copying"]:
        return world.reveal(who, task_id)
    places = world.task(task_id).participants
    mine = next(one.submission_id for one in places if one.miner == an_address(who))
    shown = world.fork().reveal(more[1], task_id).payload
    return world.reveal(
        who,
        task_id,
        submission_id=mine,
        content_hash=shown.content_hash,
        salt=shown.salt,
        content=shown.content,
    )


def _score(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    miner, *copying, score = more
    if copying[:1] != ["copying"]:
        return world.vote(who, task_id, miner, int(score))
    shown = world.fork().vote(copying[1], task_id, miner, int(score))
    return world.vote(who, task_id, miner, int(score), commitment=shown.payload.commitment)


def _show(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    vote = a_vote(world.submission_id(task_id, more[0]), int(more[1]))
    return world.sign(who, "reveal_vote", vote, subject=task_id)


def _claim(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    owner = more[1] if more[:1] == ["of"] else who
    entries = world.entries_of(task_id, owner)
    return world.claim(who, task_id, entries[0] if entries else a_hash("no entry"))


def _cancel(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    return world.cancel(who, task_id)


def _object(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    about = world.submission_id(task_id, more[1]) if more[:1] == ["about"] else None
    return object_to(world, who, task_id, submission_id=about)


def _judge(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    choice, *guilty = more
    named = tuple(sorted(world.submission_id(task_id, one) for one in guilty))
    return arbitrate(world, who, task_id, Choice[choice.upper()], submissions=named)


def _bring(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    return bring(world, who, task_id, " ".join(more))


def _appeal(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    return appeal(world, who, task_id)


def _withdraw(world: World, who: str, task_id: bytes, more: list[str]) -> SignedTransaction:
    return withdraw(world, who, task_id)


_VERBS: dict[str, Callable[[World, str, bytes, list[str]], SignedTransaction]] = {
    "answers": _answer,
    "reveals": _reveal,
    "scores": _score,
    "shows": _show,
    "claims": _claim,
    "cancels": _cancel,
    "objects": _object,
    "judges": _judge,
    "brings": _bring,
    "appeals": _appeal,
    "withdraws": _withdraw,
}
_WORDS: dict[str, Callable[[Player, str], None]] = {
    "cast": Player.cast,
    "epoch": Player.epoch,
    "judged": Player.judged,
    "until": Player.until,
    "left": Player.on_left,
    "right": Player.on_right,
    "heal": Player.healed,
}
