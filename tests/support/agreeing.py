"""Four sealers who agree by word of mouth: machines in one process, an adversary between them.

Nothing is real but the machines and their boxes. Signatures, deals and openings are made and
checked once each and then looked up, so that many schedules can be tried.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from protocol import ballots, seals, secret_box
from protocol.agreement import Agreement
from protocol.agreement_effects import (
    Build,
    Diary,
    Effect,
    Examine,
    Finish,
    Fold,
    Schedule,
    Tell,
    Verdict,
)
from protocol.ballot_box import BallotBox
from protocol.ballots import Ballot, Proposal, SealVote, Step, choose_proposer, sign_ballot
from protocol.hashing import compute_hash
from protocol.keys import Signer, is_valid_signature
from protocol.plan import Plan, complete, compute_plan_hash
from protocol.seals import Seal, SealContent, check_seal, compute_sealers_hash, sign_seal
from protocol.sharing import (
    build_deal,
    build_opening,
    check_deal,
    check_opening,
    compute_deal_hash,
    recover_secret,
)
from tests.support.builders import a_hash, a_seed, an_address

NETWORK = b"network!"
PREV = a_hash("the seal before")
EPOCH = 5
NAMES = ("ada", "ben", "cy", "dee")
VALUES = ("one", "two")


class QuickSigner(Signer):
    """A key that signs the same thing once."""

    def __init__(self, name: str) -> None:
        super().__init__(a_seed(name))
        self.sign = lru_cache(None)(super().sign)  # type: ignore[method-assign]


class FickleSigner(Signer):
    """The same key, with other luck: what it deals is valid, and not what it dealt before."""

    def derive(self, purpose: bytes, statement: bytes) -> bytes:
        """Return other words than an honest holder would."""
        return super().derive(purpose, b"once more" + statement)


SIGNERS = sorted((QuickSigner(name) for name in NAMES), key=lambda one: one.address)
SEALERS = tuple(one.address for one in SIGNERS)
"""In the order of their addresses: sealer i is the proposer of round r when (1 + r) % 4 == i."""
DEALT = tuple(build_deal(NETWORK, EPOCH, SEALERS, signer) for signer in SIGNERS[1:3])
"""What makes the secret of the epoch; the dealers need not be there any more."""
AGREED = tuple(compute_deal_hash(NETWORK, deal) for deal in DEALT)
OFFERED = tuple(build_deal(NETWORK, EPOCH + 1, SEALERS, signer) for signer in SIGNERS)
FICKLE = tuple(
    build_deal(NETWORK, EPOCH + 1, SEALERS, FickleSigner(a_seed(name)))
    for name in sorted(NAMES, key=an_address)
)
"""What each of them may offer to some while the others hear of the first."""
OPENINGS = tuple(
    opening
    for signer in SIGNERS
    if (opening := build_opening(NETWORK, EPOCH, DEALT, SEALERS, signer)) is not None
)
SECRET = recover_secret(NETWORK, EPOCH, DEALT, OPENINGS, SEALERS)


_QUICK: tuple[tuple[Any, Callable[..., Any]], ...] = (
    *((owner, lru_cache(None)(is_valid_signature)) for owner in (ballots, seals)),
    *(
        (secret_box, lru_cache(None)(function))
        for function in (build_deal, check_deal, build_opening, check_opening, recover_secret)
    ),
)


def quicken(monkeypatch_setattr: Callable[..., None]) -> None:
    """Let every signature and proof be made and checked once only."""
    for owner, quick in _QUICK:
        monkeypatch_setattr(owner, quick.__name__, quick)


def a_box() -> BallotBox:
    """Return an empty box, in which the deals for the epoch are known."""
    box = BallotBox(NETWORK, EPOCH, PREV, SEALERS, SEALERS, AGREED)
    box.secrets.recall(DEALT)
    return box


@lru_cache(None)
def a_plan(name: str) -> Plan:
    """Return one of the plans that the sealers quarrel about."""
    return Plan(
        epoch=EPOCH,
        prev=PREV,
        set_root=a_hash(name),
        count=1,
        sealers_next=compute_sealers_hash(SEALERS),
        time_ms=0,
        deals=OFFERED[:2],
    )


@lru_cache(None)
def a_content(name: str) -> SealContent:
    """Return what a plan leads to."""
    return complete(NETWORK, a_plan(name), SECRET, find_root(a_plan(name), SECRET))


@lru_cache(None)
def find_root(plan: Plan, secret: bytes | None) -> bytes:
    """Return what stands for the state after a plan, which depends on the secret."""
    return compute_hash("state", plan.set_root, secret or b"")


@lru_cache(None)
def value_of(name: str) -> bytes:
    return compute_plan_hash(NETWORK, a_plan(name))


def a_ballot(sealer: int, round_number: int, step: Step, name: str | None) -> Ballot:
    """Return what a sealer may say, honest or not."""
    value = None if name is None else value_of(name)
    return sign_ballot(NETWORK, EPOCH, round_number, step, value, SIGNERS[sealer])


def a_proposal(sealer: int, round_number: int, name: str) -> Proposal:
    """Return a proposal, in turn or not."""
    return Proposal(a_ballot(sealer, round_number, Step.PROPOSE, name), a_plan(name), None)


def proposer_of(round_number: int) -> int:
    return SEALERS.index(choose_proposer(SEALERS, EPOCH, round_number))


class Member:
    """One honest sealer, its disk, and what it has sent.

    Args:
        place: among the sealers.
        wish: the plan it proposes when it is free to.
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
        self.box = a_box()
        self.agreement = self._machine(self.box, SIGNERS[self.place], self.disk)
        self.timers.clear()
        self._perform(self.agreement.start())

    def hear(self, message: object) -> None:
        """Take in one message."""
        if self.box.add(message):
            self._perform(self.agreement.advance())

    def take_seal(self, seal: Seal) -> None:
        """Take in a seal that another has: it proves itself, and the epoch is over."""
        check_seal(NETWORK, seal, PREV, EPOCH, SEALERS, SEALERS)
        self.seal = self.seal or seal

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
                    self._perform(self.agreement.offer(effect.round, a_plan(self.wish)))
                case Examine():
                    self._perform(self.agreement.judge(effect.plan, Verdict.SOUND))
                case Fold():
                    root = find_root(effect.plan, effect.secret)
                    self._perform(self.agreement.conclude(effect.plan, root))
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
                for message in one.box.show().list_words():
                    for other in members:
                        other.hear(message)
            if [one.box.digest() for one in members] == before:
                break
        for seal in [one.seal for one in members if one.seal is not None]:
            for other in members:
                other.take_seal(seal)

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
        plans = [one.agreement.decided for one in self.members.values()]
        sealed = [one.seal.content for one in self.members.values() if one.seal]
        found = {compute_plan_hash(NETWORK, one) for one in plans if one is not None}
        return found | {value_of(name) for name in VALUES if a_content(name) in sealed}


def scramble(
    assembly: Assembly,
    rng: random.Random,
    steps: int,
    lies: Sequence[object] = (),
    look: Callable[[], None] = lambda: None,
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
        look()


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
    return [*lies, OFFERED[liar], FICKLE[liar], OPENINGS[liar]]


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
