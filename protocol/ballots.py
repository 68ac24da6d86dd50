"""What sealers say to one another until they agree on a seal: ballots, proposals, quorums, proofs.

    statement = [epoch, round, step, value]        value: the hash of a plan, null for nil
    ballot    = [epoch, round, step, value, sealer, signature]
                signature over SHA-256("minesync/ballot/1" || network || statement)

A ballot binds its round; the signature of a seal does not. Signatures of several rounds must never
add up to a quorum: with one liar among four, two values can each be precommitted by three sealers
over four rounds, though no round decides twice (`tests/test_protocol/test_agreement_rounds.py` has
the run). So a sealer signs the seal itself only once it knows that its plan is decided: not before
could anybody, since the secret of the epoch, on which the state depends, is opened only then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from protocol import codec
from protocol.charter_records import SEALERS_MAX
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.keys import SIGNATURE_BYTES, Signer, is_valid_signature
from protocol.params import Epochs
from protocol.plan import Plan, compute_plan_hash
from protocol.schema import AtMost, Between, Exactly
from protocol.seals import SealContent, Vote, compute_quorum
from protocol.sharing import DEALS_MAX, Deal, Opening
from protocol.task_types import Address, Id

ROUND_MAX = (1 << 31) - 1
SHOWN_ROUNDS = 3
PROPOSALS_PER_ROUND_MAX = 2
"""A second one of a round is kept too: the others may have heard of that one only."""

Round = Annotated[int, Between(0, ROUND_MAX)]


class Step(IntEnum):
    """The three things a sealer says in a round, in their order."""

    PROPOSE = 0
    PREVOTE = 1
    PRECOMMIT = 2


@dataclass(frozen=True, slots=True)
class Ballot:
    """One sealer's signed word in one step of one round."""

    epoch: Epochs
    round: Round
    step: Step
    value: Id | None
    sealer: Address
    signature: Annotated[bytes, Exactly(SIGNATURE_BYTES)]


@dataclass(frozen=True, slots=True)
class Quorum:
    """A quorum's signatures under one value, in one step of one round; sorted by sealer."""

    round: Round
    votes: Annotated[tuple[Vote, ...], AtMost(SEALERS_MAX)]


@dataclass(frozen=True, slots=True)
class Backed:
    """A plan and the quorum behind it: prevotes make it lockable, precommits decide it."""

    plan: Plan
    quorum: Quorum


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the proposer of a round wants sealed.

    Attributes:
        ballot: the proposer's, of step PROPOSE.
        plan: what its value is the hash of.
        polka: prevotes of an earlier round under the same value, which free others of their locks.
            It proves itself, so it is no part of what is signed.
    """

    ballot: Ballot
    plan: Plan
    polka: Quorum | None


@dataclass(frozen=True, slots=True)
class SealVote:
    """One sealer's signature under the seal that a decided plan leads to, with what it signs."""

    content: SealContent
    vote: Vote


@dataclass(frozen=True, slots=True)
class DoubleBallot:
    """Proof that a sealer contradicted itself: two ballots of one epoch, round and step."""

    first: Ballot
    second: Ballot


@dataclass(frozen=True, slots=True)
class DoubleSeal:
    """Proof that a sealer signed two different seals of one epoch."""

    first: SealVote
    second: SealVote


@dataclass(frozen=True, slots=True)
class Shown:
    """What one peer shows another of an agreement: all that can still move somebody.

    Attributes:
        deals: that make the secret of this epoch, and those dealt for the next.
    """

    proposals: Annotated[tuple[Proposal, ...], AtMost(SHOWN_ROUNDS * PROPOSALS_PER_ROUND_MAX)] = ()
    ballots: Annotated[tuple[Ballot, ...], AtMost(2 * SHOWN_ROUNDS * SEALERS_MAX)] = ()
    seal_votes: Annotated[tuple[SealVote, ...], AtMost(SEALERS_MAX)] = ()
    decision: Backed | None = None
    doubles: Annotated[tuple[DoubleBallot, ...], AtMost(SEALERS_MAX)] = ()
    deals: Annotated[tuple[Deal, ...], AtMost(2 * DEALS_MAX)] = ()
    openings: Annotated[tuple[Opening, ...], AtMost(DEALS_MAX)] = ()

    def list_words(self) -> "list[Word]":
        """Return all that is shown, what other words rest on first."""
        decision = () if self.decision is None else (self.decision,)
        words = (*self.deals, *self.proposals, *self.ballots, *self.seal_votes, *decision)
        return [*words, *self.openings, *self.doubles]


Word = Ballot | Proposal | SealVote | Backed | DoubleBallot | Deal | Opening


def choose_proposer(sealers: Sequence[bytes], epoch: int, round_number: int) -> bytes:
    """Return whose turn it is to propose; every sealer's comes after at most n rounds or epochs."""
    return sealers[(epoch + round_number) % len(sealers)]


def compute_honest(sealers: int) -> int:
    """Return how many of `sealers` are too many to be all liars: f + 1."""
    return (sealers - 1) // 3 + 1


def compute_statement(
    network: bytes, epoch: int, round_number: int, step: Step, value: bytes | None
) -> bytes:
    """Return what a ballot signs, 32 bytes."""
    plain = [epoch, round_number, int(step), value]
    return compute_hash("ballot", network, codec.encode(plain))


def sign_ballot(
    network: bytes, epoch: int, round_number: int, step: Step, value: bytes | None, signer: Signer
) -> Ballot:
    """Return a sealer's ballot."""
    statement = compute_statement(network, epoch, round_number, step, value)
    return Ballot(epoch, round_number, step, value, signer.address, signer.sign(statement))


def is_valid_ballot(network: bytes, ballot: Ballot) -> bool:
    """Tell whether a ballot is its sealer's."""
    statement = compute_statement(network, ballot.epoch, ballot.round, ballot.step, ballot.value)
    return is_valid_signature(ballot.sealer, statement, ballot.signature)


def check_quorum(
    network: bytes, plan: Plan, quorum: Quorum, step: Step, sealers: Sequence[bytes]
) -> None:
    """Check that a quorum of `sealers` said `plan` in one step of one round.

    Raises:
        Rejected: `quorum_votes`, `quorum_short`, `quorum_signature`.
    """
    names = [vote.sealer for vote in quorum.votes]
    if names != sorted(set(names)) or not set(names) <= set(sealers):
        raise Rejected("quorum_votes", f"{len(names)} votes", "sorted votes of different sealers")
    if len(names) < compute_quorum(len(sealers)):
        raise Rejected("quorum_short", f"{len(names)} votes", compute_quorum(len(sealers)))
    value = compute_plan_hash(network, plan)
    statement = compute_statement(network, plan.epoch, quorum.round, step, value)
    for vote in quorum.votes:
        if not is_valid_signature(vote.sealer, statement, vote.signature):
            raise Rejected("quorum_signature", vote.sealer.hex()[:16], "a valid signature")


def check_double_ballot(network: bytes, proof: DoubleBallot, sealers: Sequence[bytes]) -> bytes:
    """Return the sealer that a proof convicts.

    Raises:
        Rejected: `double_ballot`: it proves nothing.
    """
    first, second = proof.first, proof.second
    one = (first.epoch, first.round, first.step, first.sealer)
    other = (second.epoch, second.round, second.step, second.sealer)
    if one != other or first.value == second.value or first.sealer not in sealers:
        raise Rejected("double_ballot", "two ballots", "one sealer's, in one step, that differ")
    if not is_valid_ballot(network, first) or not is_valid_ballot(network, second):
        raise Rejected("double_ballot", "a forged ballot", "two that the sealer signed")
    return first.sealer
