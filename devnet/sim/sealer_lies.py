"""How a sealer lies: what he tells his peers instead of, or beside, what an honest one would say.

His machine is the real one; its words are twisted on their way out, as many of them as he likes,
each signed with his own key. Half of the peers are shown one face, the others another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from devnet.sim.fates import Fates
from node.state_manager import StateManager
from protocol.ballots import Ballot, Proposal, Word, sign_ballot
from protocol.keys import Signer
from protocol.plan import Plan, compute_plan_hash
from protocol.seals import compute_set_root
from protocol.sharing import Deal, Opening, compute_deal_hash

SEALER_HABITS = ("double", "outlaw", "hider", "miser")
"""Says two things in each step; proposes what must not be sealed; proposes what nobody can get;
opens no secret, and deals what is none."""


@dataclass(frozen=True, slots=True)
class Said:
    """One word on its way.

    Attributes:
        ids: of the proposed set, None to keep them back.
        face: 0: every neighbour hears it; 1 or 2: every other one.
    """

    word: Word
    ids: tuple[bytes, ...] | None = None
    face: int = 0

    def is_for(self, place: int) -> bool:
        """Tell whether the neighbour at this place is told."""
        return not self.face or place % 2 == self.face - 1


class SealerLies:
    """Twists the words of one lying sealer.

    Args:
        habit: one of `SEALER_HABITS`.
        state: of his peer.
        signer: his key.
    """

    def __init__(self, habit: str, state: StateManager, signer: Signer, fates: Fates) -> None:
        self._habit = habit
        self._state = state
        self._signer = signer
        self._fates = fates

    def twist(self, word: Word) -> list[Said]:
        """Return what is told in the place of a word."""
        makers: dict[str, Callable[[Word], list[Said]]] = {
            "double": self._double,
            "outlaw": self._propose_outlaws,
            "hider": self._hide,
            "miser": self._keep_secrets,
        }
        return makers[self._habit](word)

    def _double(self, word: Word) -> list[Said]:
        match word:
            case Ballot():
                other = self._draw("double", word) if word.value is None else None
                return [Said(word, face=1), Said(self._sign(word, other), face=2)]
            case Proposal():
                later = replace(word.plan, time_ms=word.plan.time_ms + 1)
                ids = self._find_ids(word.plan)
                return [Said(word, ids, 1), Said(self._propose(word, later), ids, 2)]
        return [Said(word)]

    def _propose_outlaws(self, word: Word) -> list[Said]:
        """Take what an earlier seal took in into the set once more; the root is right."""
        ids = self._find_ids(word.plan) if isinstance(word, Proposal) else None
        if not isinstance(word, Proposal) or ids is None:
            return [Said(word)]
        journal, epoch = self._state.store.journal, word.plan.epoch
        sealed = [item for number in range(1, epoch) for item in journal.sealed_ids(number)]
        if not sealed:
            return [Said(word, ids)]
        ids = tuple(sorted({*ids, sealed[-1]}))
        return [Said(self._propose(word, _name_set(word.plan, ids)), ids)]

    def _hide(self, word: Word) -> list[Said]:
        """Propose a set with something in it that was never shown to anybody."""
        ids = self._find_ids(word.plan) if isinstance(word, Proposal) else None
        if not isinstance(word, Proposal) or ids is None:
            return [Said(word)]
        ids = tuple(sorted({*ids, self._draw("hidden", word.ballot)}))
        return [Said(self._propose(word, _name_set(word.plan, ids)), ids)]

    def _keep_secrets(self, word: Word) -> list[Said]:
        match word:
            case Opening():
                return []
            case Deal():
                lie = replace(word, shares=word.shares[32:] + word.shares[:32])
                value = compute_deal_hash(self._state.network, lie)
                return [Said(replace(lie, signature=self._signer.sign(value)))]
        return [tell_honestly(word, self._state)]

    def _propose(self, word: Proposal, plan: Plan) -> Proposal:
        value = compute_plan_hash(self._state.network, plan)
        return Proposal(self._sign(word.ballot, value), plan, None)

    def _sign(self, ballot: Ballot, value: bytes | None) -> Ballot:
        number, step = ballot.round, ballot.step
        return sign_ballot(self._state.network, ballot.epoch, number, step, value, self._signer)

    def _find_ids(self, plan: Plan) -> tuple[bytes, ...] | None:
        ids = self._state.find_set(plan)
        return None if ids is None else tuple(ids)

    def _draw(self, purpose: str, ballot: Ballot) -> bytes:
        return self._fates.draw_bytes(32, purpose, ballot.epoch, ballot.round, int(ballot.step))


def tell_honestly(word: Word, state: StateManager) -> Said:
    """Return a word with all that belongs to it."""
    ids = state.find_set(word.plan) if isinstance(word, Proposal) else None
    return Said(word, None if ids is None else tuple(ids))


def _name_set(plan: Plan, ids: tuple[bytes, ...]) -> Plan:
    return replace(plan, set_root=compute_set_root(ids), count=len(ids))
