"""The ballot box of one epoch: everything valid that its sealers said, counted and bounded.

Rules:
1. Nothing enters unverified. What is in was signed by a sealer of the genesis, for this epoch.
2. Of each sealer only its last `ROUNDS_KEPT` rounds are kept: whoever names rounds that nobody
   reached pushes out his own words and no one else's.
3. In each step a sealer's first word counts; a second one that differs is a proof against it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from protocol.ballots import (
    PROPOSALS_PER_ROUND_MAX,
    SET_IDS_MAX,
    SHOWN_ROUNDS,
    Backed,
    Ballot,
    DoubleBallot,
    Proposal,
    Quorum,
    SealVote,
    Shown,
    Step,
    check_double_ballot,
    check_quorum,
    choose_proposer,
    compute_honest,
    is_valid_ballot,
)
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.schema import encode_record
from protocol.seals import (
    Seal,
    SealContent,
    Vote,
    compute_quorum,
    compute_seal_hash,
    compute_sealers_hash,
    is_valid_vote,
)

ROUNDS_KEPT = 4
DIGEST_BYTES = 16


class BallotBox:
    """What was said about the seal of one epoch.

    Args:
        network: its id.
        epoch: that is to be sealed.
        prev: the hash of the seal before it.
        sealers: of that epoch, sorted.
        sealers_next: of the epoch after it, which its seal names.

    Attributes:
        decision: a content that a quorum precommitted in one round, with that quorum.
        doubles: proofs against sealers, by sealer: one is enough.
    """

    def __init__(
        self,
        network: bytes,
        epoch: int,
        prev: bytes,
        sealers: Sequence[bytes],
        sealers_next: Sequence[bytes],
    ) -> None:
        self.network = network
        self.epoch = epoch
        self.prev = prev
        self.sealers = tuple(sealers)
        self.quorum = compute_quorum(len(sealers))
        self.honest = compute_honest(len(sealers))
        self.decision: Backed | None = None
        self.doubles: dict[bytes, DoubleBallot] = {}
        self._sealers_next = compute_sealers_hash(sealers_next)
        # By sealer, by round, by step. The first word of a sealer in a step.
        self._said: dict[bytes, dict[int, dict[Step, Ballot]]] = {one: {} for one in sealers}
        self._proposals: dict[int, dict[bytes, Proposal]] = {}
        self._seal_votes: dict[bytes, SealVote] = {}

    # ---------------------------------------------------------------------------- putting in

    def add(self, message: object) -> bool:
        """Put in whatever a peer may have sent; return whether anything of it is new.

        Raises:
            Rejected: `ballot_…`, `proposal_…`, `seal_…`, `quorum_…`, `double_ballot`.
        """
        match message:
            case Ballot():
                return self.add_ballot(message)
            case Proposal():
                return self.add_proposal(message)
            case SealVote():
                return self.add_seal_vote(message)
            case Backed():
                return self.add_decision(message)
            case DoubleBallot():
                return self.add_double(message)
        raise Rejected("ballot_kind", type(message).__name__, "a word of a sealer")

    def add_ballot(self, ballot: Ballot) -> bool:
        """Put in a prevote or precommit; return whether it is new.

        Raises:
            Rejected: `ballot_step`, `ballot_epoch`, `ballot_sealer`, `ballot_signature`.
        """
        if ballot.step is Step.PROPOSE:
            raise Rejected("ballot_step", "propose", "a proposal with its content")
        return self._add_word(ballot)

    def add_proposal(self, proposal: Proposal) -> bool:
        """Put in a proposal; return whether it, or the polka it brings, is new.

        Raises:
            Rejected: `proposal_…`, `ballot_…`, `quorum_…`.
        """
        ballot, content, polka = proposal.ballot, proposal.content, proposal.polka
        self._check_content(content)
        if ballot.step is not Step.PROPOSE:
            raise Rejected("proposal_step", ballot.step.name.lower(), "propose")
        if ballot.value != compute_seal_hash(self.network, content):
            raise Rejected("proposal_value", "another hash", "the hash of the content")
        if ballot.sealer != choose_proposer(self.sealers, self.epoch, ballot.round):
            raise Rejected("proposal_turn", ballot.sealer.hex()[:16], "the proposer of the round")
        known = self._proposals.get(ballot.round, {}).get(ballot.value)
        if known is not None and not _brings_later(polka, known.polka):
            return False
        if polka is not None:
            if polka.round >= ballot.round:
                raise Rejected("proposal_polka", polka.round, f"below {ballot.round}")
            check_quorum(self.network, content, polka, Step.PREVOTE, self.sealers)
        is_new = self._add_word(ballot)
        if ballot.round not in self._said[ballot.sealer]:
            return False
        if not is_new and known is None:
            if not self._is_of_use(ballot):
                return False
            if not is_valid_ballot(self.network, ballot):
                raise Rejected("ballot_signature", ballot.sealer.hex()[:16], "a valid signature")
        self._proposals.setdefault(ballot.round, {})[ballot.value] = proposal
        return True

    def add_seal_vote(self, seal_vote: SealVote) -> bool:
        """Put in a signature under the seal; return whether it is new.

        Raises:
            Rejected: `ballot_sealer`, `proposal_content`, `seal_signature`.
        """
        content, vote = seal_vote.content, seal_vote.vote
        self._check_content(content)
        if vote.sealer not in self._said:
            raise Rejected("ballot_sealer", vote.sealer.hex()[:16], "a sealer of the epoch")
        if vote.sealer in self._seal_votes:
            return False
        if not is_valid_vote(self.network, content, vote):
            raise Rejected("seal_signature", vote.sealer.hex()[:16], "a valid signature")
        self._seal_votes[vote.sealer] = seal_vote
        return True

    def add_decision(self, decision: Backed) -> bool:
        """Put in a quorum of precommits; return whether it is news.

        Raises:
            Rejected: `proposal_content`, `quorum_…`.
        """
        if self.decision is not None:
            return False
        self._check_content(decision.content)
        check_quorum(self.network, decision.content, decision.quorum, Step.PRECOMMIT, self.sealers)
        self.decision = decision
        return True

    def add_double(self, proof: DoubleBallot) -> bool:
        """Put in a proof against a sealer; return whether there was none.

        Raises:
            Rejected: `ballot_epoch`, `double_ballot`.
        """
        if proof.first.epoch != self.epoch:
            raise Rejected("ballot_epoch", proof.first.epoch, self.epoch)
        if proof.first.sealer in self.doubles:
            return False
        self.doubles[check_double_ballot(self.network, proof, self.sealers)] = proof
        return True

    def _check_content(self, content: SealContent) -> None:
        if (content.epoch, content.prev) != (self.epoch, self.prev):
            raise Rejected("proposal_content", f"epoch {content.epoch}", f"the next, {self.epoch}")
        if content.sealers_next != self._sealers_next:
            raise Rejected("proposal_content", "other sealers", "those of the epoch after it")
        if content.count > SET_IDS_MAX:
            raise Rejected("proposal_content", f"{content.count} ids", f"at most {SET_IDS_MAX}")

    def _add_word(self, ballot: Ballot) -> bool:
        if ballot.epoch != self.epoch:
            raise Rejected("ballot_epoch", ballot.epoch, self.epoch)
        rounds = self._said.get(ballot.sealer)
        if rounds is None:
            raise Rejected("ballot_sealer", ballot.sealer.hex()[:16], "a sealer of the epoch")
        known = rounds.get(ballot.round, {}).get(ballot.step)
        if known is not None and (known.value == ballot.value or ballot.sealer in self.doubles):
            return False
        if ballot.round not in rounds and len(rounds) == ROUNDS_KEPT and ballot.round < min(rounds):
            return False
        if not is_valid_ballot(self.network, ballot):
            raise Rejected("ballot_signature", ballot.sealer.hex()[:16], "a valid signature")
        if known is not None:
            self.doubles[ballot.sealer] = DoubleBallot(known, ballot)
            return True
        rounds.setdefault(ballot.round, {})[ballot.step] = ballot
        if len(rounds) > ROUNDS_KEPT:
            dropped = min(rounds)
            del rounds[dropped]
            if choose_proposer(self.sealers, self.epoch, dropped) == ballot.sealer:
                self._proposals.pop(dropped, None)
        return True

    def _is_of_use(self, ballot: Ballot) -> bool:
        """Tell whether a proposer's second proposal may be kept: there is room, or need."""
        known = self._proposals.get(ballot.round, {})
        assert ballot.value is not None
        backers = self.count(ballot.round, Step.PREVOTE)[ballot.value]
        return len(known) < PROPOSALS_PER_ROUND_MAX or backers >= self.honest

    # -------------------------------------------------------------------------------- counts

    def find_proposal(self, round_number: int) -> Proposal | None:
        """Return the proposal of a round: the first that was heard of."""
        return next(iter(self._proposals.get(round_number, {}).values()), None)

    def find_ballot(self, sealer: bytes, round_number: int, step: Step) -> Ballot | None:
        """Return what a sealer said in a step."""
        return self._said[sealer].get(round_number, {}).get(step)

    def find_seal_vote(self, sealer: bytes) -> SealVote | None:
        """Return a sealer's signature under the seal."""
        return self._seal_votes.get(sealer)

    def count(self, round_number: int, step: Step) -> Counter[bytes | None]:
        """Return how many sealers said each value in a step, nil under None."""
        said = (self.find_ballot(one, round_number, step) for one in self.sealers)
        return Counter(ballot.value for ballot in said if ballot is not None)

    def find_backed(self, round_number: int, step: Step) -> Backed | None:
        """Return the content that a quorum said in a step; None too if only its hash is known."""
        for value, votes in self.count(round_number, step).items():
            if value is None or votes < self.quorum:
                continue
            content = self.find_content(value)
            if content is not None:
                return Backed(content, self._collect(round_number, step, value))
        return None

    def _collect(self, round_number: int, step: Step, value: bytes) -> Quorum:
        said = (self.find_ballot(one, round_number, step) for one in self.sealers)
        votes = (Vote(one.sealer, one.signature) for one in said if one and one.value == value)
        return Quorum(round_number, tuple(votes))

    def find_content(self, value: bytes) -> SealContent | None:
        """Return the content that a value is the hash of, if a proposal or a vote showed it."""
        for known in self._proposals.values():
            if value in known:
                return known[value].content
        return next((one for one in self._sealed() if self._hash(one) == value), None)

    def count_backers(self, value: bytes) -> int:
        """Return how many sealers ever prevoted or precommitted a value, as far as is kept."""
        return sum(
            any(one.value == value for said in rounds.values() for one in said.values())
            for rounds in self._said.values()
        )

    def find_decided(self) -> SealContent | None:
        """Return the content that is decided, as soon as that is certain.

        A quorum precommitted it in one round, or so many signed the seal that one of them is honest
        and knows of such a quorum.
        """
        if self.decision is None:
            rounds = sorted({number for said in self._said.values() for number in said})
            found = (self.find_backed(number, Step.PRECOMMIT) for number in rounds)
            self.decision = next((one for one in found if one is not None), None)
        if self.decision is not None:
            return self.decision.content
        votes = Counter(self._sealed())
        return next((one for one, many in votes.items() if many >= self.honest), None)

    def find_seal(self) -> Seal | None:
        """Return the seal, once a quorum has signed it."""
        for content, votes in Counter(self._sealed()).items():
            if votes >= self.quorum:
                signed = (self._seal_votes.get(one) for one in self.sealers)
                mine = (one.vote for one in signed if one is not None and one.content == content)
                return Seal(content, tuple(mine))
        return None

    def _sealed(self) -> Iterator[SealContent]:
        return (one.content for _, one in sorted(self._seal_votes.items()))

    def _hash(self, content: SealContent) -> bytes:
        return compute_seal_hash(self.network, content)

    def reached_round(self) -> int:
        """Return the highest round that somebody honest has surely reached, 0 if none is known."""
        latest = sorted((max(said, default=0) for said in self._said.values()), reverse=True)
        return latest[self.honest - 1]

    # ------------------------------------------------------------------------------ showing

    def show(self) -> Shown:
        """Return what a peer that missed something needs, bounded."""
        reached = self.reached_round()
        first = max(0, reached - 1)
        rounds = range(first, first + SHOWN_ROUNDS)
        proposals = [one for number in rounds for one in self._show_proposals(number)]
        ballots = [
            said[number][step]
            for said in self._said.values()
            for number in rounds
            for step in (Step.PREVOTE, Step.PRECOMMIT)
            if number in said and step in said[number]
        ]
        seal_votes = [one for _, one in sorted(self._seal_votes.items())]
        doubles = [one for _, one in sorted(self.doubles.items())]
        return Shown(
            tuple(proposals),
            tuple(ballots),
            tuple(seal_votes),
            self.decision,
            tuple(doubles),
        )

    def _show_proposals(self, number: int) -> list[Proposal]:
        """Return the proposals of a round that most sealers back."""
        backers = self.count(number, Step.PREVOTE)
        known = list(self._proposals.get(number, {}).values())
        known.sort(key=lambda one: -backers[one.ballot.value])
        return known[:PROPOSALS_PER_ROUND_MAX]

    def digest(self) -> bytes:
        """Return what tells two boxes apart that show different things."""
        shown = self.show()
        if shown.decision is not None:
            # Any quorum will do, and peers heard of different ones.
            quorum = Quorum(shown.decision.quorum.round, ())
            shown = replace(shown, decision=Backed(shown.decision.content, quorum))
        return compute_hash("ballots", encode_record(shown))[:DIGEST_BYTES]


def _brings_later(polka: Quorum | None, known: Quorum | None) -> bool:
    return polka is not None and (known is None or polka.round > known.round)
