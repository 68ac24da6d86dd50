"""Four sealers who agree by word of mouth: machines in one process, an adversary between them.

Nothing is real but the machines and their boxes. Signatures are made and checked once each and then
looked up, so that many schedules can be tried.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from protocol import ballots, seals
from protocol.agreement import Agreement
from protocol.agreement_effects import (
    Build,
    Diary,
    Effect,
    Examine,
    Finish,
    Schedule,
    Tell,
    Verdict,
)
from protocol.ballot_box import BallotBox
from protocol.ballots import Ballot, Proposal, SealVote, Shown, Step, choose_proposer, sign_ballot
from protocol.keys import Signer, is_valid_signature
from protocol.seals import Seal, SealContent, compute_seal_hash, compute_sealers_hash, sign_seal
from tests.support.builders import a_hash, a_seed

NETWORK = b"network!"
PREV = a_hash("the seal before")
EPOCH = 1
VALUES = ("one", "two")


class QuickSigner(Signer):
    """A key that signs the same thing once."""

    def __init__(self, name: str) -> None:
        super().__init__(a_seed(name))
        self.sign = lru_cache(None)(super().sign)  # type: ignore[method-assign]


SIGNERS = sorted(
    (QuickSigner(name) for name in ("ada", "ben", "cy", "dee")), key=lambda one: one.address
)
SEALERS = tuple(one.address for one in SIGNERS)
"""In the order of their addresses: sealer i is the proposer of round r when (1 + r) % 4 == i."""


def quicken(monkeypatch_setattr: Callable[..., None]) -> None:
    """Let every signature be checked once only."""
    quick = lru_cache(None)(is_valid_signature)
    monkeypatch_setattr(ballots, "is_valid_signature", quick)
    monkeypatch_setattr(seals, "is_valid_signature", quick)


@lru_cache(None)
def a_content(name: str) -> SealContent:
    """Return one of the contents that the sealers quarrel about."""
    return SealContent(
        epoch=EPOCH,
        prev=PREV,
        set_root=a_hash(name),
        count=1,
        state_root=a_hash(f"state after {name}"),
        sealers_next=compute_sealers_hash(SEALERS),
        time_ms=0,
    )


def value_of(name: str) -> bytes:
    return compute_seal_hash(NETWORK, a_content(name))


def a_ballot(sealer: int, round_number: int, step: Step, name: str | None) -> Ballot:
    """Return what a sealer may say, honest or not."""
    value = None if name is None else value_of(name)
    return sign_ballot(NETWORK, EPOCH, round_number, step, value, SIGNERS[sealer])


def a_proposal(sealer: int, round_number: int, name: str) -> Proposal:
    """Return a proposal, in turn or not."""
    return Proposal(a_ballot(sealer, round_number, Step.PROPOSE, name), a_content(name), None)


def proposer_of(round_number: int) -> int:
    return SEALERS.index(choose_proposer(SEALERS, EPOCH, round_number))


class Member:
    """One honest sealer, its disk, and what it has sent.

    Args:
        place: among the sealers.
        wish: the content it proposes when it is free to.
        machine: another one than the real, to see that the tests notice.
    """

    def __init__(self, place: int, wish: str, machine: type[Agreement] = Agreement) -> None:
        self.place = place
        self.wish = wish
        self.seal: Seal | None = None
        self.sent: list[object] = []
        self.timers: list[tuple[Step, int]] = []
        self.disk: Diary | None = None
        self._machine = machine
        self.restart()

    def restart(self) -> None:
        """Forget all but the disk."""
        self.box = BallotBox(NETWORK, EPOCH, PREV, SEALERS, SEALERS)
        self.agreement = self._machine(self.box, SIGNERS[self.place], self.disk)
        self.timers.clear()
        self._perform(self.agreement.start())

    def hear(self, message: object) -> None:
        """Take in one message."""
        if self.box.add(message):
            self._perform(self.agreement.advance())

    def expire(self, timer: tuple[Step, int]) -> None:
        """Let a time-out be over."""
        self.timers.remove(timer)
        self._perform(self.agreement.expire(*timer))

    def _perform(self, effects: Iterable[Effect]) -> None:
        self.disk = self.agreement.diary
        for effect in effects:
            match effect:
                case Tell():
                    self.sent.append(effect.message)
                case Schedule():
                    self.timers.append((effect.step, effect.round))
                case Build():
                    self._perform(self.agreement.offer(effect.round, a_content(self.wish)))
                case Examine():
                    self._perform(self.agreement.judge(effect.content, Verdict.SOUND))
                case Finish():
                    self.seal = effect.seal


class Assembly:
    """Honest members and at most one liar, and everything that was ever sent.

    Args:
        honest: their places; the rest lies or is silent.
        wishes: what each would propose.
    """

    def __init__(
        self,
        honest: Iterable[int] = (0, 1, 2, 3),
        wishes: str = "ABAB",
        machine: type[Agreement] = Agreement,
    ) -> None:
        names = {"A": VALUES[0], "B": VALUES[1]}
        self.members = {place: Member(place, names[wishes[place]], machine) for place in honest}

    def spread(self) -> None:
        """Let everybody ask everybody what he knows, until nobody has news."""
        members = list(self.members.values())
        while True:
            before = [one.box.digest() for one in members]
            for one in members:
                for message in list_shown(one.box.show()):
                    for other in members:
                        other.hear(message)
            if [one.box.digest() for one in members] == before:
                return

    def settle(self, rounds: int = 40) -> None:
        """Let everybody hear everything and time-outs be over, until all have a seal."""
        for _ in range(rounds):
            self.spread()
            if all(one.seal is not None for one in self.members.values()):
                return
            for one in self.members.values():
                for timer in sorted(one.timers):
                    one.expire(timer)

    def decided(self) -> set[bytes]:
        """Return what honest members hold to be decided or sealed."""
        contents = [one.agreement.decided for one in self.members.values()]
        contents += [one.seal.content for one in self.members.values() if one.seal]
        return {compute_seal_hash(NETWORK, one) for one in contents if one is not None}


def list_shown(shown: Shown) -> list[object]:
    """Return all that one peer shows another."""
    decision = () if shown.decision is None else (shown.decision,)
    return [*shown.proposals, *shown.ballots, *shown.seal_votes, *decision, *shown.doubles]


def scramble(
    assembly: Assembly, rng: random.Random, steps: int, lies: Sequence[object] = ()
) -> None:
    """Deliver in any order, repeat, lose, lie, let time-outs end early, and pull plugs."""
    members = list(assembly.members.values())
    waiting: dict[int, list[object]] = {one.place: [] for one in members}
    told = {one.place: 0 for one in members}
    for _ in range(steps):
        for one in members:
            for message in one.sent[told[one.place] :]:
                for other in members:
                    if rng.random() < 0.9:
                        waiting[other.place] += [message] * (1 + (rng.random() < 0.1))
            told[one.place] = len(one.sent)
        one = rng.choice(members)
        what = rng.random()
        if what < 0.02:
            one.restart()
        elif what < 0.15 and one.timers:
            one.expire(rng.choice(one.timers))
        elif what < 0.3 and lies:
            one.hear(rng.choice(lies))
        elif waiting[one.place]:
            one.hear(waiting[one.place].pop(rng.randrange(min(4, len(waiting[one.place])))))


def list_lies(liar: int, rounds: int) -> list[object]:
    """Return everything that a sealer may sign in the first rounds, true or not."""
    said = (*VALUES, None)
    lies: list[object] = [
        a_ballot(liar, number, step, name)
        for number in range(rounds)
        for step in (Step.PREVOTE, Step.PRECOMMIT)
        for name in said
    ]
    turns = [number for number in range(rounds) if proposer_of(number) == liar]
    lies += [a_proposal(liar, number, name) for number in turns for name in VALUES]
    for name in VALUES:
        content = a_content(name)
        lies.append(SealVote(content, sign_seal(NETWORK, content, SIGNERS[liar])))
    return lies


def find_contradictions(members: Iterable[Member]) -> list[tuple[int, int, Step]]:
    """Return where an honest sealer said two things in one step of one round."""
    found = []
    for one in members:
        said: dict[tuple[int, Step], bytes | None] = {}
        for message in one.sent:
            ballot = message.ballot if isinstance(message, Proposal) else message
            if isinstance(ballot, Ballot):
                known = said.setdefault((ballot.round, ballot.step), ballot.value)
                if known != ballot.value:
                    found.append((one.place, ballot.round, ballot.step))
    return found
