"""What an honest sealer may say, written down a second time and held against every word it says.

The agreement's own code is not asked: the rules here are those of the paper's proof. A broken one
is found when the word is said, long before two seals come of it.
"""

from collections.abc import Collection

from devnet.sim.plan import Plan
from devnet.sim.witness import PropertyBroken, Witness
from protocol.ballot_box import BallotBox
from protocol.ballots import Ballot, Proposal, SealVote, Step, Word
from protocol.plan import leads_to
from protocol.seals import SealContent
from protocol.sharing import Deal, Opening

Value = bytes | None
LONG_MS = 2_000
"""Of a cut that lasts longer than an epoch and all its words."""


class SealerWatch:
    """Hears all that the honest sealers of one run say.

    Args:
        witness: told of rare things.
        sealers: how many the network has.
    """

    def __init__(self, witness: Witness, sealers: int) -> None:
        self._witness = witness
        self._liars_max = (sealers - 1) // 3
        self._quorum = sealers - self._liars_max
        self._said: dict[tuple[int, int, int, Step], Value] = {}
        self._locks: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._seals: dict[tuple[int, int], object] = {}
        self._deals: dict[tuple[int, int], Deal] = {}

    def hear(self, peer: int, word: Word, box: BallotBox) -> None:
        """Check a word that a peer's sealer is about to say.

        Args:
            peer: its number.
            word: signed, and in the box.
            box: all that this sealer has heard of the epoch.

        Raises:
            PropertyBroken: P1 or P7.
        """
        self._witness.note("word", peer, type(word).__name__, box.epoch)
        match word:
            case Ballot():
                self._hear_ballot(peer, word, box)
            case Proposal():
                self._hear_ballot(peer, word.ballot, box)
            case SealVote():
                self._hear_seal_vote(peer, word, box)
            case Opening():
                self._hear_opening(peer, word, box)
            case Deal():
                self._hear_deal(peer, word)

    def _hear_ballot(self, peer: int, ballot: Ballot, box: BallotBox) -> None:
        number, value = ballot.round, ballot.value
        name = f"peer {peer} epoch {ballot.epoch} round {number} {ballot.step.name}"
        place = (peer, ballot.epoch, number, ballot.step)
        if place in self._said:
            if self._said[place] != value:
                raise PropertyBroken("P7", "sealer_contradicts", name)
            self._witness.reach("a sealer goes on from its diary")
            return
        self._said[place] = value
        if value is None:
            if ballot.step is Step.PREVOTE and box.find_proposal(number) is not None:
                self._witness.reach("a proposal is voted down")
            return
        if ballot.step is Step.PREVOTE:
            self._check_lock(peer, ballot, box, name)
        elif ballot.step is Step.PRECOMMIT:
            if box.count(number, Step.PREVOTE)[value] < self._quorum:
                raise PropertyBroken("P1", "precommit_without_polka", name)
            self._locks[(peer, ballot.epoch)] = (number, value)

    def _check_lock(self, peer: int, ballot: Ballot, box: BallotBox, name: str) -> None:
        lock = self._locks.get((peer, ballot.epoch))
        if lock is None or lock[1] == ballot.value:
            return
        proposal = box.find_proposal(ballot.round)
        polka = None if proposal is None else proposal.polka
        if polka is None or polka.round < lock[0] or len(polka.votes) < self._quorum:
            raise PropertyBroken("P7", "broke_its_lock", name)

    def _hear_seal_vote(self, peer: int, word: SealVote, box: BallotBox) -> None:
        place = (peer, word.content.epoch)
        if place in self._seals:
            if self._seals[place] != word.content:
                raise PropertyBroken("P7", "signed_two_seals", f"peer {peer} epoch {place[1]}")
            return
        self._seals[place] = word.content
        decision = box.decision
        is_planned = decision is not None and leads_to(box.network, decision.plan, word.content)
        # Its own is in the box already: f + 1 others, or a quorum of precommits.
        if not is_planned and self._count_voters(box, word.content) <= self._liars_max + 1:
            raise PropertyBroken("P1", "signed_undecided", f"peer {peer} epoch {place[1]}")
        if decision is not None and decision.quorum.round:
            self._witness.reach("a seal takes a second round")

    def _hear_opening(self, peer: int, word: Opening, box: BallotBox) -> None:
        """Nothing may be opened while the set can still be another."""
        signed = (self._count_voters(box, vote.content) for one in box.sealers
                  if (vote := box.find_seal_vote(one)) is not None)  # fmt: skip
        if box.decision is None and max(signed, default=0) <= self._liars_max:
            raise PropertyBroken("P1", "opened_undecided", f"peer {peer} epoch {word.epoch}")
        if len(box.secrets.openings) > self._liars_max:
            self._witness.reach("a secret is opened")

    def _hear_deal(self, peer: int, word: Deal) -> None:
        known = self._deals.setdefault((peer, word.epoch), word)
        if known != word:
            raise PropertyBroken("P7", "dealt_two_secrets", f"peer {peer} epoch {word.epoch}")

    def _count_voters(self, box: BallotBox, content: SealContent) -> int:
        votes = (box.find_seal_vote(one) for one in box.sealers)
        return sum(vote is not None and vote.content == content for vote in votes)


def note_lost_quorum(witness: Witness, plan: Plan, side: Collection[int], cut_ms: int) -> None:
    """Tell the witness if no side of a cut has enough sealers to end an epoch."""
    here = sum(sealer in side for sealer in range(plan.sealers))
    quorum = plan.sealers - (plan.sealers - 1) // 3
    if plan.sealers > 1 and max(here, plan.sealers - here) < quorum and cut_ms >= LONG_MS:
        witness.reach("a cut leaves no quorum of sealers")
