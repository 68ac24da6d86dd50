"""The ballot box of one epoch: everything valid that its sealers said, counted and bounded.

Rules:
1. Nothing enters unverified. What is in was signed by a sealer of this epoch, for this epoch.
2. Of each sealer only its last `ROUNDS_KEPT` rounds are kept: whoever names rounds that nobody
   reached pushes out his own words and no one else's.
3. In each step a sealer's first word counts; a second one that differs is a proof against it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from protocol.ballots import (
    PROPOSALS_PER_ROUND_MAX,
    SHOWN_ROUNDS,
    Backed,
    Ballot,
    DoubleBallot,
    DoubleSeal,
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
from protocol.plan import Plan, check_plan, check_sealed, compute_plan_hash, leads_to
from protocol.schema import encode_record
from protocol.seals import Seal, SealContent, Vote, compute_quorum, is_valid_vote
from protocol.secret_box import SecretBox
from protocol.sharing import Deal, Opening

ROUNDS_KEPT = 4
_NOTHING: dict[Step, Ballot] = {}
DIGEST_BYTES = 16


class BallotBox:
    """What was said about the seal of one epoch.

    Args:
        network: its id.
        epoch: that is to be sealed.
        prev: the hash of the seal before it.
        sealers: of that epoch, sorted.
        sealers_next: of the epoch after it, which its seal names.
        agreed: hashes of the deals that make its secret, as the seal before it names them.

    Attributes:
        decision: a plan that a quorum precommitted in one round, with that quorum.
        doubles: proofs against sealers, by sealer: one is enough.
        double_seals: the same of sealers who signed two seals. Nobody shows them to others: both
            signatures travel, and whoever hears of the second has the proof.
        secrets: deals and openings.
    """

    def __init__(
        self,
        network: bytes,
        epoch: int,
        prev: bytes,
        sealers: Sequence[bytes],
        sealers_next: Sequence[bytes],
        agreed: Sequence[bytes] = (),
    ) -> None:
        self.network = network
        self.epoch = epoch
        self.prev = prev
        self.sealers = tuple(sealers)
        self.sealers_next = tuple(sealers_next)
        self.secrets = SecretBox(network, epoch, self.sealers, self.sealers_next, agreed)
        self.quorum = compute_quorum(len(sealers))
        self.honest = compute_honest(len(sealers))
        self.decision: Backed | None = None
        self.doubles: dict[bytes, DoubleBallot] = {}
        self.double_seals: dict[bytes, DoubleSeal] = {}
        # By sealer, by round, by step. The first word of a sealer in a step.
        self._said: dict[bytes, dict[int, dict[Step, Ballot]]] = {one: {} for one in sealers}
        self._proposals: dict[int, dict[bytes, Proposal]] = {}
        self._seal_votes: dict[bytes, SealVote] = {}
        # Proposals of a round whose deals were bad: they count against its bound.
        self._refused: Counter[int] = Counter()

    # ---------------------------------------------------------------------------- putting in

    def add(self, message: object) -> bool:
        """Put in whatever a peer may have sent; return whether anything of it is new.

        Raises:
            Rejected: `ballot_…`, `proposal_…`, `seal_…`, `quorum_…`, `double_ballot`, `deal_…`,
                `opening_…`, `group_…`.
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
            case Deal():
                return self.secrets.add_deal(message)
            case Opening():
                return self.secrets.add_opening(message)
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
            Rejected: `proposal_…`, `ballot_…`, `quorum_…`, `deal_…`, `group_…`.
        """
        ballot, plan, polka = proposal.ballot, proposal.plan, proposal.polka
        check_plan(plan, self.epoch, self.prev, self.sealers_next)
        if ballot.step is not Step.PROPOSE:
            raise Rejected("proposal_step", ballot.step.name.lower(), "propose")
        if ballot.value != compute_plan_hash(self.network, plan):
            raise Rejected("proposal_value", "another hash", "the hash of the plan")
        if ballot.sealer != choose_proposer(self.sealers, self.epoch, ballot.round):
            raise Rejected("proposal_turn", ballot.sealer.hex()[:16], "the proposer of the round")
        known = self._proposals.get(ballot.round, {}).get(ballot.value)
        if known is not None and not _brings_later(polka, known.polka):
            return False
        if polka is not None:
            if polka.round >= ballot.round:
                raise Rejected("proposal_polka", polka.round, f"below {ballot.round}")
            check_quorum(self.network, plan, polka, Step.PREVOTE, self.sealers)
        is_new = self._add_word(ballot)
        if ballot.round not in self._said[ballot.sealer]:
            return False
        if not is_new and known is None:
            if not self._is_of_use(ballot):
                return False
            if not is_valid_ballot(self.network, ballot):
                raise Rejected("ballot_signature", ballot.sealer.hex()[:16], "a valid signature")
        self._check_deals(ballot.round, plan)
        self._proposals.setdefault(ballot.round, {})[ballot.value] = proposal
        return True

    def _check_deals(self, round_number: int, plan: Plan) -> None:
        try:
            self.secrets.check_offered(plan.deals)
        except Rejected:
            self._refused[round_number] += 1
            raise

    def add_seal_vote(self, seal_vote: SealVote) -> bool:
        """Put in a signature under the seal; return whether it is new, or a proof against him.

        Raises:
            Rejected: `ballot_sealer`, `proposal_content`, `seal_signature`, `seal_sharing`.
        """
        content, vote = seal_vote.content, seal_vote.vote
        check_sealed(content, self.epoch, self.prev, self.sealers, self.sealers_next)
        if vote.sealer not in self._said:
            raise Rejected("ballot_sealer", vote.sealer.hex()[:16], "a sealer of the epoch")
        known = self._seal_votes.get(vote.sealer)
        if known is not None and (known.content == content or vote.sealer in self.double_seals):
            return False
        if not is_valid_vote(self.network, content, vote):
            raise Rejected("seal_signature", vote.sealer.hex()[:16], "a valid signature")
        if known is not None:
            self.double_seals[vote.sealer] = DoubleSeal(known, seal_vote)
            return True
        self._seal_votes[vote.sealer] = seal_vote
        return True

    def add_decision(self, decision: Backed) -> bool:
        """Put in a quorum of precommits; return whether it is news.

        Raises:
            Rejected: `proposal_…`, `quorum_…`.
        """
        if self.decision is not None:
            return False
        check_plan(decision.plan, self.epoch, self.prev, self.sealers_next)
        # Its deals were checked by the honest ones among those who precommitted it.
        check_quorum(self.network, decision.plan, decision.quorum, Step.PRECOMMIT, self.sealers)
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
        count = len(known) + self._refused[ballot.round]
        return count < PROPOSALS_PER_ROUND_MAX or backers >= self.honest

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
        counts: Counter[bytes | None] = Counter()
        for rounds in self._said.values():
            ballot = rounds.get(round_number, _NOTHING).get(step)
            if ballot is not None:
                counts[ballot.value] += 1
        return counts

    def find_backed(self, round_number: int, step: Step) -> Backed | None:
        """Return the plan that a quorum said in a step; None too if only its hash is known."""
        for value, votes in self.count(round_number, step).items():
            if value is None or votes < self.quorum:
                continue
            plan = self.find_plan(value)
            if plan is not None:
                return Backed(plan, self._collect(round_number, step, value))
        return None

    def _collect(self, round_number: int, step: Step, value: bytes) -> Quorum:
        said = (self.find_ballot(one, round_number, step) for one in self.sealers)
        votes = (Vote(one.sealer, one.signature) for one in said if one and one.value == value)
        return Quorum(round_number, tuple(votes))

    def find_plan(self, value: bytes) -> Plan | None:
        """Return the plan that a value is the hash of, if a proposal showed it."""
        for known in self._proposals.values():
            if value in known:
                return known[value].plan
        return None

    def list_deals(self) -> list[Deal]:
        """Return every deal that is known, some of them twice."""
        planned = (deal for plan in self.list_plans() for deal in plan.deals)
        return [*self.secrets.show_deals(), *planned]

    def list_plans(self) -> list[Plan]:
        """Return every plan that is known."""
        decided = () if self.decision is None else (self.decision.plan,)
        proposals = (one for known in self._proposals.values() for one in known.values())
        return [*decided, *(one.plan for one in proposals)]

    def find_decided(self) -> Plan | None:
        """Return the plan that is decided, as soon as that is certain.

        A quorum precommitted it in one round, or so many signed the seal it leads to that one of
        them is honest and knows of such a quorum.
        """
        if self.decision is None:
            rounds = sorted({number for said in self._said.values() for number in said})
            found = (self.find_backed(number, Step.PRECOMMIT) for number in rounds)
            self.decision = next((one for one in found if one is not None), None)
        if self.decision is not None:
            return self.decision.plan
        content = self.find_vouched()
        if content is None:
            return None
        plans = self.list_plans()
        return next((one for one in plans if leads_to(self.network, one, content)), None)

    def find_vouched(self) -> SealContent | None:
        """Return the content that so many signed that one of them is honest."""
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
            self.secrets.show_deals(),
            self.secrets.show_openings(),
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
            shown = replace(shown, decision=Backed(shown.decision.plan, quorum))
        shown = replace(shown, deals=(), openings=())
        secrets = encode_record(self.secrets.summarize())
        return compute_hash("ballots", encode_record(shown) + secrets)[:DIGEST_BYTES]


def _brings_later(polka: Quorum | None, known: Quorum | None) -> bool:
    return polka is not None and (known is None or polka.round > known.round)
