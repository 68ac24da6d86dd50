"""Agreement of the sealers on one seal: single-shot Tendermint, bytes in and effects out.

Source: E. Buchman, J. Kwon, Z. Milosevic, "The latest gossip on BFT consensus", 2018, algorithm 1;
the numbers of its lines stand beside the rules. Heights are epochs. Of n = 3f + 1 sealers f may be
silent, lie or contradict themselves: two different seals never come about, and while 2f + 1 hear
one another within the time-outs, one does.

Beyond the paper:
1. A proposal brings the prevotes that it refers to, so nobody has to remember old rounds.
2. What is decided is a plan: a set, and deals for the next epoch (`protocol.sharing`), of which a
   proposer waits for f + 1. Only then, and never before, each sealer opens its shares of the deals
   for this epoch; f + 1 openings give the secret, so f who stay silent change nothing.
3. From plan and secret follows the seal, which is signed in a step of its own: see
   `protocol.ballots` for why.
4. Whoever learns that f + 1 sealers signed the seal knows that its plan is decided.

The machine looks at the whole box each time, so it does not matter in which order things came, how
often, or whether some were there before it.
"""

from protocol.agreement_effects import (
    Build,
    Diary,
    Dissent,
    Effect,
    Examine,
    Finish,
    Fold,
    Schedule,
    Tell,
    Verdict,
)
from protocol.ballot_box import BallotBox
from protocol.ballots import (
    ROUND_MAX,
    Backed,
    Ballot,
    Proposal,
    SealVote,
    Step,
    choose_proposer,
    sign_ballot,
)
from protocol.keys import Signer
from protocol.plan import Plan, complete, compute_plan_hash, leads_to
from protocol.seals import sign_seal
from protocol.sharing import Deal, Opening


class Agreement:
    """One sealer's part in the agreement on one epoch.

    Args:
        box: of the epoch; others may put things into it, and then call `advance`.
        signer: the sealer's key.
        diary: of an earlier life, of this epoch.

    Attributes:
        diary: what must be on disk before anything that is told here is sent.
    """

    def __init__(self, box: BallotBox, signer: Signer, diary: Diary | None = None) -> None:
        self.box = box
        self.diary = diary or Diary(box.epoch, 0)
        self._signer = signer
        self._round = self.diary.round
        self._proposed = self.diary.proposed
        self._prevoted = self.diary.prevoted
        self._precommitted = self.diary.precommitted
        self._before = self.diary.before
        self._locked = self.diary.locked
        self._valid = self.diary.valid
        self._decided = self.diary.decided
        self._sealed = self.diary.sealed
        self._is_dealing = False
        self._is_started = False
        self._is_opened = False
        self._is_done = False
        self._is_renounced = False
        self._verdicts: dict[bytes, Verdict] = {}
        self._examining: set[bytes] = set()
        self._root: bytes | None = None
        self._asked: set[object] = set()
        self._expired: set[tuple[Step, int]] = set()
        self._effects: list[Effect] = []

    # ---------------------------------------------------------------------------- state shown

    @property
    def round(self) -> int:
        """The round that this sealer is in."""
        return self._round

    @property
    def step(self) -> Step:
        """The step that this sealer is in: the one after what it said last."""
        if self._precommitted is not None:
            return Step.PRECOMMIT
        return Step.PROPOSE if self._prevoted is None else Step.PREVOTE

    @property
    def decided(self) -> Plan | None:
        """The plan that will be sealed, once it is certain."""
        return self._decided

    # --------------------------------------------------------------------------------- events

    def deal(self) -> list[Effect]:
        """Deal for the next epoch, early enough that it is there when somebody proposes."""
        self._begin_dealing()
        return self.advance()

    def start(self) -> list[Effect]:
        """The epoch has lasted long enough here. Whoever seals only the next one deals for that."""
        self._begin_dealing()
        self._is_started = self._signer.address in self.box.sealers
        # What was said in an earlier life is said again, never anew.
        said = (*self._before, self._proposed, self._prevoted, self._precommitted, self._sealed)
        for message in said:
            if message is not None:
                self._say(message)
        return self.advance()

    def offer(self, round_number: int, plan: Plan) -> list[Effect]:
        """Propose a plan that was made here, in answer to `Build`."""
        self._verdicts[self._hash(plan)] = Verdict.SOUND
        if round_number == self._round and self._proposed is None and self._prevoted is None:
            self._propose(plan)
        return self.advance()

    def judge(self, plan: Plan, verdict: Verdict) -> list[Effect]:
        """Take in what was found in answer to `Examine`."""
        self._verdicts[self._hash(plan)] = verdict
        return self.advance()

    def conclude(self, plan: Plan, state_root: bytes) -> list[Effect]:
        """Take in what the decided plan leads to, in answer to `Fold`."""
        if plan == self._decided:
            self._root = state_root
        return self.advance()

    def expire(self, step: Step, round_number: int) -> list[Effect]:
        """Take in that a time-out is over."""
        self._expired.add((step, round_number))
        return self.advance()

    def renounce(self) -> list[Effect]:
        """Vote against everything from now on: this sealer no longer trusts its own state."""
        self._is_renounced = True
        return self.advance()

    def advance(self) -> list[Effect]:
        """Do all that the box now asks for; return it in order."""
        while self._do_one():
            pass
        self.diary = Diary(
            epoch=self.box.epoch,
            round=self._round,
            proposed=self._proposed,
            prevoted=self._prevoted,
            precommitted=self._precommitted,
            before=self._before,
            locked=self._locked,
            valid=self._valid,
            decided=self._decided,
            decision=self.box.decision,
            sealed=self._sealed,
            deals=self.box.secrets.list_agreed(),
        )
        effects, self._effects = self._effects, []
        return effects

    # ---------------------------------------------------------------------------------- rules

    def _do_one(self) -> bool:
        """Apply the first rule that has something to do; return whether one had."""
        if self._is_done:
            return False
        return (
            self._finish()
            or (self._is_dealing and self._deal())
            or (
                self._is_started
                and (self._decide() or self._seal() or (self._decided is None and self._vote()))
            )
        )

    def _begin_dealing(self) -> None:
        self._is_dealing = True
        self.box.secrets.recall(self.diary.deals, self._signer)
        # Before anything is written anew: the next page would forget why it is decided.
        if self.diary.decision is not None:
            self.box.add(self.diary.decision)

    def _vote(self) -> bool:
        return self._skip() or self._act_in_round()

    def _finish(self) -> bool:
        seal = self.box.find_seal()
        if seal is None:
            return False
        self._is_done = True
        self._effects.append(Finish(seal))
        return True

    def _deal(self) -> bool:
        """Deal for the next epoch, once."""
        deal = self.box.secrets.deal(self._signer)
        if deal is not None:
            self._say(deal)
        return deal is not None

    def _decide(self) -> bool:
        """Line 49: a quorum of precommits of one round."""
        if self._decided is not None:
            return False
        self._decided = self.box.find_decided()
        return self._decided is not None

    def _seal(self) -> bool:
        """Open the shares, fold with the secret that comes of them, and sign what it leads to."""
        plan, secrets = self._decided, self.box.secrets
        if plan is None:
            return False
        if not self._is_opened:
            # There is no other way here than over a decision.
            opening = secrets.open(self._signer)
            if opening is not None:
                self._is_opened = True
                self._say(opening)
                return True
        secret = secrets.find_secret()
        if (secrets.is_needed and secret is None) or not self._is_sound(plan):
            return False
        if self._root is None:
            self._ask(Fold(plan, secret))
            return False
        content = complete(self.box.network, plan, secret, self._root)
        vouched = self.box.find_vouched()
        if vouched is not None and vouched != content and leads_to(self.box.network, plan, vouched):
            self._ask(Dissent(vouched, self._root))
            return False
        if self._sealed is not None:
            return False
        self._sealed = SealVote(content, sign_seal(self.box.network, content, self._signer))
        self._say(self._sealed)
        return True

    def _skip(self) -> bool:
        """Line 55: f + 1 sealers are in a later round."""
        reached = self.box.reached_round()
        return reached > self._round and self._enter(reached)

    def _act_in_round(self) -> bool:
        if self._prevoted is None:
            return self._act_on_proposal()
        if self._act_on_polka():
            return True
        if self._precommitted is None:
            return self._act_on_prevotes()
        return self._act_on_precommits()

    def _act_on_proposal(self) -> bool:
        """Lines 14 to 21, 22, 28 and 57."""
        number = self._round
        if self._is_ours(number) and self._proposed is None and not self._is_renounced:
            if self._valid is not None:
                self._propose(self._valid.plan)
                return True
            if self.box.secrets.choose_deals() is not None:
                self._ask(Build(number))
        self._ask(Schedule(Step.PROPOSE, number))
        proposal = self.box.find_proposal(number)
        if proposal is not None:
            verdict = self._examine(proposal.plan)
            if verdict is not None:
                self._take_polka(proposal)
                is_free = self._may_prevote(proposal)
                self._prevote(proposal.ballot.value if is_free else None)
                return True
        if (Step.PROPOSE, number) in self._expired:
            self._prevote(None)
            return True
        return False

    def _may_prevote(self, proposal: Proposal) -> bool:
        if not self._is_sound(proposal.plan):
            return False
        if self._locked is None or self._locked.plan == proposal.plan:
            return True
        polka = proposal.polka
        return polka is not None and polka.round >= self._locked.quorum.round

    def _take_polka(self, proposal: Proposal) -> None:
        """Know of a polka that a proposal brought, as if it had been seen in its round."""
        polka = proposal.polka
        if polka is None or not self._is_sound(proposal.plan):
            return
        if self._valid is None or polka.round > self._valid.quorum.round:
            self._valid = Backed(proposal.plan, polka)

    def _act_on_polka(self) -> bool:
        """Line 36: a quorum prevoted one plan in this round."""
        number = self._round
        polka = self.box.find_backed(number, Step.PREVOTE)
        if polka is None or self._examine(polka.plan) is not Verdict.SOUND:
            return False
        if self._precommitted is None:
            self._valid = self._locked = polka
            self._precommit(self._hash(polka.plan))
            return True
        if self._valid is None or self._valid.quorum.round < number:
            self._valid = polka
            return True
        return False

    def _act_on_prevotes(self) -> bool:
        """Lines 34, 44 and 61."""
        number = self._round
        counts = self.box.count(number, Step.PREVOTE)
        if counts.total() >= self.box.quorum:
            self._ask(Schedule(Step.PREVOTE, number))
        if counts[None] >= self.box.quorum or (Step.PREVOTE, number) in self._expired:
            self._precommit(None)
            return True
        return False

    def _act_on_precommits(self) -> bool:
        """Lines 47 and 65."""
        number = self._round
        counts = self.box.count(number, Step.PRECOMMIT)
        if counts.total() >= self.box.quorum:
            self._ask(Schedule(Step.PRECOMMIT, number))
        # Where a quorum said nil there is nothing to wait for.
        is_over = counts[None] >= self.box.quorum or (Step.PRECOMMIT, number) in self._expired
        return is_over and number < ROUND_MAX and self._enter(number + 1)

    # ------------------------------------------------------------------------------- doing it

    def _enter(self, number: int) -> bool:
        """Line 11: begin a round."""
        self._before = tuple(one for one in (self._prevoted, self._precommitted) if one)
        self._round = number
        self._proposed = self._prevoted = self._precommitted = None
        return True

    def _is_ours(self, number: int) -> bool:
        return choose_proposer(self.box.sealers, self.box.epoch, number) == self._signer.address

    def _propose(self, plan: Plan) -> None:
        polka = None
        if self._valid is not None and self._valid.plan == plan:
            polka = self._valid.quorum
        ballot = self._sign(Step.PROPOSE, self._hash(plan))
        self._proposed = Proposal(ballot, plan, polka)
        self._say(self._proposed)

    def _prevote(self, value: bytes | None) -> None:
        self._prevoted = self._sign(Step.PREVOTE, value)
        self._say(self._prevoted)

    def _precommit(self, value: bytes | None) -> None:
        self._precommitted = self._sign(Step.PRECOMMIT, value)
        self._say(self._precommitted)

    def _sign(self, step: Step, value: bytes | None) -> Ballot:
        box = self.box
        return sign_ballot(box.network, box.epoch, self._round, step, value, self._signer)

    def _say(self, message: Ballot | Proposal | SealVote | Deal | Opening) -> None:
        self.box.add(message)
        self._effects.append(Tell(message))

    def _ask(self, effect: Build | Schedule | Fold | Dissent) -> None:
        """Want something of the outside, once."""
        if effect not in self._asked:
            self._asked.add(effect)
            self._effects.append(effect)

    def _examine(self, plan: Plan) -> Verdict | None:
        """Return what was found of a plan; None for now, and have it looked at."""
        if self._is_renounced:
            return Verdict.ILLEGAL
        value = self._hash(plan)
        verdict = self._verdicts.get(value)
        if verdict is None and value not in self._examining:
            self._examining.add(value)
            self._effects.append(Examine(plan))
        return verdict

    def _is_sound(self, plan: Plan) -> bool:
        return self._examine(plan) is Verdict.SOUND

    def _hash(self, plan: Plan) -> bytes:
        return compute_plan_hash(self.box.network, plan)
