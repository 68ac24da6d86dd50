"""Every schedule of a few rounds, explored: three honest sealers, one liar, two contents.

What a round leaves behind in an honest sealer is its lock and its valid value. So a state of the
whole is those three pairs, the polkas that exist, and who precommitted what; a round is one step.
In it an adversary chooses what each sealer hears in time, and what the liar says to each. A polka
or a decision *exists* when two honest sealers said so, since the liar adds his own word at will.
What an honest sealer does is asked of the real machine, once for each case.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from protocol.agreement import Agreement
from protocol.agreement_effects import Diary, Effect, Examine, Verdict
from protocol.ballots import Backed, Ballot, Proposal, Quorum, Step
from protocol.seals import Vote
from tests.support.agreeing import (
    EPOCH,
    SEALERS,
    SIGNERS,
    VALUES,
    a_ballot,
    a_box,
    a_plan,
    proposer_of,
    value_of,
)

Backing = tuple[int, str]
"""A round and the content that a polka of it names."""
Heard = tuple[str, int | None] | None
"""A proposal that is heard in time, with the round of the polka it shows; None for none."""
_NAMES = {None: None} | {value_of(name): name for name in VALUES}


@dataclass(frozen=True)
class Mind:
    """What an honest sealer takes into the next round."""

    locked: Backing | None = None
    valid: Backing | None = None


Said = tuple[str | None, Mind]
"""A content that was voted for, None for nil, and the mind after it."""


@dataclass(frozen=True)
class World:
    """What there is before a round.

    Attributes:
        minds: of the honest, by place.
        polkas: that exist.
        signed: (content, place) of every precommit of an honest sealer, whatever its round.
        decidable: contents that two honest sealers precommitted in one round.
    """

    minds: tuple[Mind, ...]
    polkas: frozenset[Backing] = frozenset()
    signed: frozenset[tuple[str, int]] = frozenset()
    decidable: frozenset[str] = frozenset()

    def list_signed_by_quorum(self) -> set[str]:
        """Return the contents with precommits of a quorum, counted over all rounds together."""
        return {name for name in VALUES if sum(content == name for content, _ in self.signed) >= 2}


def back(backing: Backing | None) -> Backed | None:
    """Return a polka as a machine remembers it."""
    if backing is None:
        return None
    number, name = backing
    ballots = (a_ballot(place, number, Step.PREVOTE, name) for place in range(3))
    votes = tuple(Vote(ballot.sealer, ballot.signature) for ballot in ballots)
    return Backed(a_plan(name), Quorum(number, votes))


class Explorer:
    """Finds all worlds that a few rounds can lead to.

    Args:
        liar: his place.
        machine: another one than the real, to see that the explorer notices.
    """

    def __init__(self, liar: int, machine: type[Agreement] = Agreement) -> None:
        self.honest = [place for place in range(len(SEALERS)) if place != liar]
        self._liar = liar
        self._machine = machine
        self.prevote = lru_cache(None)(self._prevote)
        self.precommit = lru_cache(None)(self._precommit)

    def explore(self, rounds: int) -> set[World]:
        """Return every world after so many rounds."""
        worlds = {self._begin()}
        for number in range(rounds):
            worlds = {after for world in worlds for after in self._play(world, number)}
        return worlds

    def search(self, rounds: int, is_wanted: Callable[[World], bool]) -> World | None:
        """Return a world that is wanted, None if there is none; deep before broad."""
        seen: set[tuple[int, World]] = set()
        ahead = [(0, self._begin())]
        while ahead:
            number, world = ahead.pop()
            if is_wanted(world):
                return world
            if number < rounds:
                fresh = {(number + 1, after): None for after in self._play(world, number)}
                ahead += [one for one in fresh if one not in seen]
                seen.update(fresh)
        return None

    def _begin(self) -> World:
        return World(tuple(Mind() for _ in self.honest))

    # ---------------------------------------------------------------------------- one round

    def _play(self, world: World, number: int) -> Iterator[World]:
        for said in dict.fromkeys(self._list_said(world, number)):
            names = [name for name, _ in said]
            polkas = {name for name in VALUES if names.count(name) >= 2}
            choices = [
                [self.precommit(place, number, mind, name, seen) for seen in _list_seen(polkas)]
                for place, (name, mind) in zip(self.honest, said, strict=True)
            ]
            for chosen in product(*map(dict.fromkeys, choices)):
                precommits = [name for name, _ in chosen]
                signed = {
                    (name, place)
                    for place, name in zip(self.honest, precommits, strict=True)
                    if name is not None
                }
                yield World(
                    tuple(mind for _, mind in chosen),
                    world.polkas | {(number, name) for name in polkas},
                    world.signed | signed,
                    world.decidable | {name for name in VALUES if precommits.count(name) >= 2},
                )

    def _list_said(self, world: World, number: int) -> Iterator[tuple[Said, ...]]:
        """Yield what the honest sealers may prevote, by what each hears of a proposal in time."""
        proposer = proposer_of(number)
        free: list[Heard] = [(name, None) for name in VALUES]
        if proposer == self._liar:
            # He may tell each of them something else, and show any polka that exists.
            backed: list[Heard] = [(name, one) for one, name in sorted(world.polkas)]
            yield from self._list_prevotes(world, number, [[None, *free, *backed]] * 3)
            return
        valid = world.minds[self.honest.index(proposer)].valid
        for proposal in free if valid is None else [(valid[1], valid[0])]:
            heard = [[proposal] if one == proposer else [proposal, None] for one in self.honest]
            yield from self._list_prevotes(world, number, heard)

    def _list_prevotes(
        self, world: World, number: int, heard: Sequence[Sequence[Heard]]
    ) -> Iterator[tuple[Said, ...]]:
        outcomes = [
            dict.fromkeys(self.prevote(place, number, mind, one) for one in options)
            for place, mind, options in zip(self.honest, world.minds, heard, strict=True)
        ]
        return product(*outcomes)

    # ------------------------------------------------------------------- the real machine asked

    def _prevote(self, place: int, number: int, mind: Mind, proposal: Heard) -> Said:
        """Return what a sealer prevotes, and its mind then."""
        agreement = self._revive(place, number, mind)
        if proposal is not None:
            name, polka_round = proposal
            backed = back(None if polka_round is None else (polka_round, name))
            ballot = a_ballot(proposer_of(number), number, Step.PROPOSE, name)
            word = Proposal(ballot, a_plan(name), None if backed is None else backed.quorum)
            agreement.box.add(word)
        # An honest proposer hears himself: what was put into his box stands for his own choice.
        self._answer(agreement, agreement.start())
        if proposal is None:
            self._answer(agreement, agreement.expire(Step.PROPOSE, number))
        prevoted = agreement.diary.prevoted
        assert prevoted is not None
        return _NAMES[prevoted.value], _read_mind(agreement)

    def _precommit(
        self, place: int, number: int, mind: Mind, prevoted: str | None, seen: tuple[str, str]
    ) -> Said:
        """Return what a sealer precommits, and its mind then.

        Args:
            place: of the sealer.
            number: the round.
            mind: its, after its prevote.
            prevoted: what it prevoted.
            seen: the content of the polka it hears of, and whether "in time" or "late"; or "".
        """
        own = a_ballot(place, number, Step.PREVOTE, prevoted)
        agreement = self._revive(place, number, mind, own)
        name, when = seen
        self._answer(agreement, agreement.start())
        if when != "in time":
            self._answer(agreement, agreement.expire(Step.PREVOTE, number))
        if name:
            for other in range(len(SEALERS)):
                if other != place:
                    agreement.box.add(a_ballot(other, number, Step.PREVOTE, name))
            proposal = a_ballot(proposer_of(number), number, Step.PROPOSE, name)
            agreement.box.add(Proposal(proposal, a_plan(name), None))
            self._answer(agreement, agreement.advance())
        precommitted = agreement.diary.precommitted
        assert precommitted is not None
        return _NAMES[precommitted.value], _read_mind(agreement)

    def _revive(
        self, place: int, number: int, mind: Mind, prevoted: Ballot | None = None
    ) -> Agreement:
        diary = Diary(
            EPOCH, number, prevoted=prevoted, locked=back(mind.locked), valid=back(mind.valid)
        )
        return self._machine(a_box(), SIGNERS[place], diary)

    def _answer(self, agreement: Agreement, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Examine):
                self._answer(agreement, agreement.judge(effect.plan, Verdict.SOUND))


def _list_seen(polkas: set[str]) -> list[tuple[str, str]]:
    return [
        ("", "never"),
        *((name, when) for name in sorted(polkas) for when in ("in time", "late")),
    ]


def _read_mind(agreement: Agreement) -> Mind:
    diary = agreement.diary
    return Mind(_name(diary.locked), _name(diary.valid))


def _name(backed: Backed | None) -> Backing | None:
    if backed is None:
        return None
    name = next(one for one in VALUES if a_plan(one) == backed.plan)
    return backed.quorum.round, name
