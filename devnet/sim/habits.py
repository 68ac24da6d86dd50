"""What a liar does all the time: how his replies differ from those of an honest peer.

The honest reply is computed first, by the real server, and then twisted.
"""

from typing import Any

from devnet.sim.cast import Cast
from devnet.sim.fates import Fates
from node.state_manager import StateManager
from protocol.messages import Items, Ranges, Status
from protocol.ranges import FINGERPRINT_BYTES
from protocol.reconcile import ReconcileSession, Role
from protocol.transactions import SignedTransaction

DISLIKED_OF = 3
"""A censor leaves out one account in so many."""


class Tongue:
    """How one peer speaks.

    Args:
        habit: one of `devnet.sim.plan.HABITS`; empty for an honest peer.
        number: of the peer.
    """

    def __init__(self, habit: str, number: int, cast: Cast, fates: Fates) -> None:
        self.habit = habit
        self._number = number
        self._cast = cast
        self._fates = fates

    def twist(self, reply: Any, asker: int) -> Any:
        """Return what is said instead of an honest reply; None: nothing, for ever."""
        match self.habit:
            case "silent":
                return None
            case "forger" if isinstance(reply, Status):
                # A set that nobody has, so that whoever asks has to ask again and again.
                fake = self._fates.draw_bytes(FINGERPRINT_BYTES, "forged", self._number, asker)
                return Status(
                    reply.epoch, reply.seal_hash, reply.open_count + 1, fake, reply.state_root
                )
            case "forger" if isinstance(reply, Items):
                return Items((), ())
            case "censor" if isinstance(reply, Items):
                open_now = self._cast.verifier.open_now
                kept = [wire for wire in reply.transactions if not self._dislikes(open_now(wire))]
                return Items(tuple(kept), reply.evidence)
        return reply

    def is_passing_on(self, tx: SignedTransaction) -> bool:
        """Tell whether this peer gossips a transaction of somebody else."""
        if self.habit in ("silent", "forger"):
            return False
        return self.habit != "censor" or not self._dislikes(tx)

    def _dislikes(self, tx: SignedTransaction) -> bool:
        return self._cast.numbers.get(tx.header.author, 0) % DISLIKED_OF == 1


def reconcile(state: StateManager, request: Ranges, sitting: list[ReconcileSession]) -> Any:
    """Return the reply to one message of a reconciliation, as `node.sync.server` gives it.

    Args:
        state: of the peer that answers.
        request: of the peer that asks.
        sitting: the session of this conversation, if one has begun.
    """
    if request.epoch != state.epoch:
        return state.status()
    if request.is_first:
        sitting[:] = [ReconcileSession(state.open.fingerprint_items(), Role.SERVER)]
    if not sitting:
        return state.status()
    step = sitting[0].receive(request.message)
    return Ranges(request.scope, state.epoch, False, step.reply or b"")
